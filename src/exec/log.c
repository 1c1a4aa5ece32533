/*
 * Attempts as text; see log.h.
 */
#include "exec/log.h"

#include "base/json.h"
#include "base/quote.h"
#include "base/units.h"
#include "exec/template.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

/* What GNU parallel writes where no exit status is to be had. */
#define NO_EXIT_STATUS (-1)

const char weir__joblog_head[] =
	"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\t"
	"Command\n";

/* What a shell says of a command that it cannot start. */
static int
unstarted_status(int error)
{
	return error == ENOENT || error == ENOTDIR ? 127 : 126;
}

/* The columns Exitval and Signal; both are 0 only if all is well. */
static void
joblog_ends(const struct weir_exec_attempt *attempt, int *ret_exit,
	    int *ret_signal)
{
	*ret_exit = NO_EXIT_STATUS;
	*ret_signal = 0;
	if (!attempt)
		return;
	switch (attempt->end) {
	case WEIR_EXEC_EXITED:
		*ret_exit = attempt->code;
		return;
	case WEIR_EXEC_SIGNALED:
		*ret_exit = 0;
		*ret_signal = attempt->code;
		return;
	case WEIR_EXEC_TIMED_OUT:
	case WEIR_EXEC_CANCELED:
		*ret_signal = attempt->code ? attempt->code : SIGTERM;
		return;
	case WEIR_EXEC_UNSTARTED:
		*ret_exit = unstarted_status(attempt->error);
		return;
	}
}

void
weir__joblog_line(struct weir_buf *buf, const struct weir_exec_job *job,
		  const struct weir_exec_attempt *attempt)
{
	static const struct weir_exec_attempt none;
	const struct weir_exec_attempt *a = attempt ? attempt : &none;
	int exit_status, signal_number;

	joblog_ends(attempt, &exit_status, &signal_number);
	weir__buf_printf(
		buf, "%" PRIu64 "\t:\t%.3f\t%10.3f\t0\t%" PRIu64 "\t%d\t%d\t",
		job->seq, (double)a->started_unix_ns / (double)NS_PER_S,
		(double)a->wall_ns / (double)NS_PER_S, a->out_bytes,
		exit_status, signal_number);
	if (job->argc > 0)
		weir__quote_words(buf, job->argv);
	else
		weir__quote_word(buf, job->item);
	weir__buf_putc(buf, '\n');
}

void
weir__exec_signal_name(char *text, size_t size, int signal_number)
{
	const char *name = sigabbrev_np(signal_number);

	if (name)
		snprintf(text, size, "SIG%s", name);
	else
		snprintf(text, size, "signal %d", signal_number);
}

void
weir__exec_why(char *text, size_t size, const struct weir_exec_attempt *attempt)
{
	char name[32], wall[WEIR_FORMAT_SIZE];

	weir__format_duration(wall, sizeof(wall), attempt->wall_ns);
	weir__exec_signal_name(name, sizeof(name), attempt->code);
	text[0] = '\0';
	switch (attempt->end) {
	case WEIR_EXEC_EXITED:
		if (attempt->code != 0)
			snprintf(text, size, "exit %d", attempt->code);
		return;
	case WEIR_EXEC_SIGNALED:
		snprintf(text, size, "killed by %s after %s", name, wall);
		return;
	case WEIR_EXEC_TIMED_OUT:
		snprintf(text, size, "timed out after %s%s", wall,
			 attempt->code == SIGKILL ? ", killed" : "");
		return;
	case WEIR_EXEC_CANCELED:
		snprintf(text, size, "stopped after %s%s", wall,
			 attempt->code == SIGKILL ? ", killed" : "");
		return;
	case WEIR_EXEC_UNSTARTED:
		snprintf(text, size, "cannot start: %s",
			 strerror(attempt->error));
		return;
	}
}

void
weir__exec_reason(char *text, size_t size,
		  const struct weir_exec_attempt *attempt)
{
	text[0] = '\0';
	switch (attempt->end) {
	case WEIR_EXEC_EXITED:
		if (attempt->code != 0)
			snprintf(text, size, "exit %d", attempt->code);
		return;
	case WEIR_EXEC_SIGNALED:
		weir__exec_signal_name(text, size, attempt->code);
		return;
	case WEIR_EXEC_TIMED_OUT:
		snprintf(text, size, "timeout");
		return;
	case WEIR_EXEC_CANCELED:
		snprintf(text, size, "stopped");
		return;
	case WEIR_EXEC_UNSTARTED:
		snprintf(text, size, "%s",
			 attempt->error == ENOENT   ? "not found"
			 : attempt->error == EACCES ? "not executable"
						    : strerror(attempt->error));
		return;
	}
}

static const char *
status_of(const struct weir_exec_attempt *attempt)
{
	if (attempt && attempt->end == WEIR_EXEC_EXITED && attempt->code == 0)
		return "ok";
	if (attempt && attempt->end == WEIR_EXEC_CANCELED)
		return "cancelled";
	return "failed";
}

/* "2026-11-22T23:08:40.125Z" */
static void
put_time(struct weir_json *j, int64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / NS_PER_S);
	char text[64];
	struct tm tm;
	size_t len;

	if (!gmtime_r(&seconds, &tm)) {
		weir__json_null(j);
		return;
	}
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03dZ",
		 (int)(unix_ns % NS_PER_S / NS_PER_MS));
	weir__json_puts(j, text);
}

static void
put_uint(struct weir_json *j, const char *key, uint64_t value)
{
	weir__json_key(j, key);
	weir__json_uint(j, value);
}

static void
put_ms(struct weir_json *j, const char *key, int64_t ns)
{
	weir__json_key(j, key);
	weir__json_fixed(j, (double)ns / (double)NS_PER_MS, 1);
}

static void
put_command(struct weir_json *j, const struct weir_exec_job *job)
{
	char key[WEIR_EXEC_KEY_TEXT];

	weir__exec_key_text(key, &job->key);
	put_uint(j, "seq", job->seq);
	weir__json_key(j, "key");
	weir__json_puts(j, key);
	weir__json_key(j, "argv");
	weir__json_begin_array(j);
	for (size_t i = 0; i < job->argc; i++)
		weir__json_puts(j, job->argv[i]);
	weir__json_end_array(j);
	if (job->argc == 0) {
		weir__json_key(j, "item");
		weir__json_string(j, job->item, job->item_len);
	}
}

/* exit, signal and error: null is what there was none of. */
static void
put_end(struct weir_json *j, const struct weir_exec_attempt *attempt,
	const char *error)
{
	bool exited = attempt && attempt->end == WEIR_EXEC_EXITED;
	bool signaled = attempt && attempt->end != WEIR_EXEC_EXITED &&
			attempt->end != WEIR_EXEC_UNSTARTED &&
			attempt->code != 0;
	char name[32];

	weir__json_key(j, "exit");
	if (exited)
		weir__json_int(j, attempt->code);
	else
		weir__json_null(j);
	weir__json_key(j, "signal");
	if (signaled) {
		weir__exec_signal_name(name, sizeof(name), attempt->code);
		weir__json_puts(j, name);
	} else {
		weir__json_null(j);
	}
	weir__json_key(j, "error");
	if (error && *error)
		weir__json_puts(j, error);
	else
		weir__json_null(j);
}

static void
put_figures(struct weir_json *j, const struct weir_exec_attempt *attempt)
{
	weir__json_key(j, "started");
	put_time(j, attempt->started_unix_ns);
	put_ms(j, "wall_ms", attempt->wall_ns);
	put_ms(j, "user_ms", attempt->user_ns);
	put_ms(j, "sys_ms", attempt->sys_ns);
	put_uint(j, "max_rss", attempt->max_rss);
	put_uint(j, "stdout_bytes", attempt->out_bytes);
	put_uint(j, "stderr_bytes", attempt->err_bytes);
	put_uint(j, "slot", attempt->slot);
	weir__json_key(j, "pid");
	weir__json_int(j, attempt->pid);
	weir__json_key(j, "will_retry");
	weir__json_bool(j, attempt->will_retry);
}

void
weir__exec_json_line(struct weir_buf *buf, const struct weir_exec_job *job,
		     const struct weir_exec_attempt *attempt, const char *error)
{
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	put_command(&j, job);
	put_uint(&j, "attempt", attempt ? attempt->number : 0);
	weir__json_key(&j, "status");
	weir__json_puts(&j, status_of(attempt));
	put_end(&j, attempt, error);
	if (attempt)
		put_figures(&j, attempt);
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}
