/*
 * Where the engine of weir run gets its jobs: items, made into commands, less
 * those that were done before, when nothing holds them back.
 *
 * Locking: gate_mu guards the jobserver; nothing is called with it held but
 * the jobserver itself.
 */
#include "cli/run_run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rows that are no jobs, after which the reactor has its turn again. */
#define ROWS_AT_ONCE 200
/* How often the load and the memory are looked at. */
#define GUARD_NS WEIR_S

/* The beginning of a small file of the system's. */
static bool
read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;

	if (fd >= 0) {
		got = read(fd, text, size - 1);
		(void)close(fd);
	}
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

static bool
load_is_high(const struct run *run)
{
	char text[128];

	return run->load_max > 0 &&
	       read_file("/proc/loadavg", text, sizeof(text)) &&
	       strtod(text, NULL) > run->load_max;
}

static bool
memory_is_low(const struct run *run)
{
	char text[4096];
	const char *line;

	if (run->options->memfree == 0 ||
	    !read_file("/proc/meminfo", text, sizeof(text)))
		return false;
	line = strstr(text, "MemAvailable:");
	return line && strtoull(line + strlen("MemAvailable:"), NULL, 10) <
			       run->options->memfree / 1024;
}

/* Do --load and --memfree let another one start? */
static bool
guards_admit(struct run *run)
{
	int64_t now_ns;

	if (run->load_max <= 0 && run->options->memfree == 0)
		return true;
	now_ns = weir_now_ns();
	if (now_ns >= run->guard_ns) {
		run->guard_ns = now_ns + GUARD_NS;
		run->guarded = load_is_high(run) || memory_is_low(run);
	}
	return !run->guarded;
}

static bool
gate_admits(struct run *run)
{
	bool admits;

	if (!run->options->jobserver)
		return true;
	weir__mutex_lock(&run->gate_mu);
	admits = weir__jobserver_take(run->jobserver);
	weir__mutex_unlock(&run->gate_mu);
	return admits;
}

void
weir__run_gate_leave(struct run *run)
{
	if (!run->options->jobserver)
		return;
	weir__mutex_lock(&run->gate_mu);
	weir__jobserver_give(run->jobserver);
	weir__mutex_unlock(&run->gate_mu);
}

static weir_status
busy(struct run *run, enum run_hunger why)
{
	weir__u32_store(&run->hunger, why, WEIR_SEQ_CST);
	return WEIR_BUSY;
}

static bool
was_done(const struct run *run, const struct weir_exec_job *job)
{
	enum weir_exec_before before;

	if (!run->resume || job->bad[0])
		return false;
	before = weir__exec_resume_find(run->resume, job);
	return run->options->only_failed ? before != WEIR_EXEC_BEFORE_FAILED
					 : before == WEIR_EXEC_BEFORE_OK;
}

static void
say_command(struct run *run, const struct weir_exec_job *job, bool is_err)
{
	struct weir_buf text = {0};

	weir__exec_show(&text, job->argv);
	weir__buf_putc(&text, '\n');
	weir__exec_report_say(&run->report, job->seq, is_err,
			      weir__buf_str(&text), text.len);
	weir__buf_fini(&text);
}

/* The command for a row; NULL: it is none that has to run. */
static weir_status
take_row(struct run *run, const struct weir_items_row *row, bool bad)
{
	struct weir_exec_job *job =
		bad ? weir__template_bad(row)
		    : weir__template_make(run->template, row);
	bool dry = run->options->dry_run;

	if (!job)
		return WEIR_NOMEM;
	if (!was_done(run, job) && !(dry && !job->bad[0])) {
		run->next = job;
		return WEIR_OK;
	}
	if (dry && !was_done(run, job))
		say_command(run, job, false);
	weir__exec_report_skipped(&run->report, job->seq);
	weir__exec_job_free(job);
	return WEIR_FAILED;
}

/* One row.  WEIR_OK: run->next is set; WEIR_FAILED: it was something else. */
static weir_status
next_row(struct run *run)
{
	struct weir_items_row row;

	switch (weir__items_next(run->items, &row)) {
	case WEIR_ITEMS_ROW:
		return take_row(run, &row, false);
	case WEIR_ITEMS_BAD:
		return take_row(run, &row, true);
	case WEIR_ITEMS_NONE:
		return busy(run, RUN_AWAITS_INPUT);
	case WEIR_ITEMS_END:
		return WEIR_CLOSED;
	case WEIR_ITEMS_ERROR:
		break;
	}
	run->input_error.status = WEIR_SYSTEM;
	memcpy(run->input_error.message, row.why, sizeof(row.why));
	return WEIR_SYSTEM;
}

/* Make sure that there is a next job. */
static weir_status
prepare(struct run *run)
{
	weir_status status = WEIR_FAILED;
	bool end;

	for (int i = 0; i < ROWS_AT_ONCE && status == WEIR_FAILED; i++) {
		uint64_t seq = weir__items_count(run->items, &end) + 1;

		if (!weir__exec_report_has_room(&run->report, seq))
			return busy(run, RUN_AWAITS_ROOM);
		status = next_row(run);
	}
	if (status != WEIR_FAILED)
		return status;
	/* Nothing to run in all of these: others have their turn, then we. */
	(void)busy(run, RUN_AWAITS_ROOM);
	weir__exec_engine_poke(run->engine);
	return WEIR_BUSY;
}

weir_status
weir__run_next(struct weir_exec_job **ret, void *user)
{
	struct run *run = user;
	weir_status status = WEIR_OK;

	if (weir__u32_load(&run->halted, WEIR_SEQ_CST))
		return WEIR_CLOSED;
	if (!run->next)
		status = prepare(run);
	if (status != WEIR_OK)
		return status;
	if (!guards_admit(run))
		return busy(run, RUN_AWAITS_GUARD);
	if (!gate_admits(run))
		return busy(run, RUN_AWAITS_TOKEN);
	if (run->options->verbose && !run->next->bad[0])
		say_command(run, run->next, true);
	*ret = run->next;
	run->next = NULL;
	return WEIR_OK;
}

int64_t
weir__run_hungry(int *ret_fd, void *user)
{
	struct run *run = user;

	*ret_fd = -1;
	switch ((enum run_hunger)weir__u32_load(&run->hunger, WEIR_SEQ_CST)) {
	case RUN_AWAITS_INPUT:
		*ret_fd = weir__items_fd(run->items);
		break;
	case RUN_AWAITS_ROOM:
		break;
	case RUN_AWAITS_TOKEN:
		*ret_fd = weir__jobserver_fd(run->jobserver);
		break;
	case RUN_AWAITS_GUARD:
		return GUARD_NS;
	}
	return WEIR_FOREVER;
}
