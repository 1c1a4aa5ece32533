/*
 * Before the run of weir run: from options and operands to what the engine
 * takes, and everything that can be refused is refused here.
 *
 * Locking: none; there is one thread yet.
 */
#include "cli/run_run.h"

#include "base/units.h"
#include "cli/live.h"
#include "cli/nofile.h"
#include "exec/child.h"
#include "exec/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOBS_MAX 16384
/* Results that wait for their turn, unless descriptors are short. */
#define WINDOW_MIN 256
/* A waiting result has two spools, and each of them may be a file. */
#define FILES_EACH 2

int
weir__run_fail(struct run *run, const char *what, int error_number,
	       const char *where)
{
	weir__cli_error(run->cli, what, "%s (%s)", strerror(error_number),
			where);
	return WEIR_EXIT_FAILURE;
}

int
weir__run_no_memory(struct run *run)
{
	weir__cli_error(run->cli, NULL, "out of memory");
	return WEIR_EXIT_FAILURE;
}

static int
refuse(struct run *run, const char *option, const char *value,
       const char *wanted)
{
	weir__cli_error(run->cli, option, "'%s' is not %s", value, wanted);
	return WEIR_EXIT_USAGE;
}

static int
take_jobs(struct run *run)
{
	const char *text = run->options->jobs ? run->options->jobs : "100%";
	double jobs;

	if (!weir__parse_share(text, &jobs) || jobs > JOBS_MAX)
		return refuse(run, "--jobs", text,
			      "a number from 1 to 16384, nor one such as 200%");
	run->engine_options.jobs = jobs < 1 ? 1 : (uint32_t)jobs;
	if (run->options->load &&
	    !weir__parse_share(run->options->load, &run->load_max))
		return refuse(run, "--load", run->options->load,
			      "a number such as 4, nor one such as 100%");
	return -1;
}

/* "200ms..30s", or one time for both. */
static int
take_backoff(struct run *run)
{
	struct weir_exec_options *e = &run->engine_options;
	const char *text = run->options->backoff;
	const char *dots = strstr(text, "..");
	char first[64];
	size_t len = dots ? (size_t)(dots - text) : strlen(text);

	snprintf(first, sizeof(first), "%.*s", (int)len, text);
	if (len >= sizeof(first) ||
	    !weir__parse_duration(first, &e->backoff_ns) ||
	    !weir__parse_duration(dots ? dots + 2 : first,
				  &e->backoff_max_ns) ||
	    e->backoff_ns <= 0 || e->backoff_max_ns < e->backoff_ns)
		return refuse(run, "--backoff", text,
			      "a range of times such as 200ms..30s");
	return -1;
}

/* One word of --retry-on. */
static bool
add_retry_on(struct weir_exec_retry_on *on, const char *word, size_t len)
{
	unsigned long code;
	char text[16], *end;

	snprintf(text, sizeof(text), "%.*s", (int)len, word);
	if (strcmp(text, "signal") == 0) {
		on->signals = true;
	} else if (strcmp(text, "timeout") == 0) {
		on->timeouts = true;
	} else if (strcmp(text, "any") == 0) {
		memset(on->codes, 0xff, sizeof(on->codes));
		on->signals = on->timeouts = on->unstarted = true;
	} else {
		code = strtoul(text, &end, 10);
		if (!isdigit((unsigned char)text[0]) || *end || code < 1 ||
		    code > 255)
			return false;
		on->codes[code / 64] |= UINT64_C(1) << code % 64;
	}
	return true;
}

static int
take_retry_on(struct run *run)
{
	const char *text = run->options->retry_on;

	for (const char *word = text; word;) {
		size_t len = strcspn(word, ",");

		if (!add_retry_on(&run->engine_options.retry_on, word, len))
			return refuse(run, "--retry-on", text,
				      "a list of exit statuses, signal, "
				      "timeout or any");
		word = word[len] ? word + len + 1 : NULL;
	}
	return -1;
}

static int
check_options(struct run *run)
{
	const struct run_cli_options *o = run->options;
	const char *wrong = NULL;

	if (o->only_failed && !o->resume)
		wrong = "--retry-failed needs --resume LOG";
	else if (o->null && o->delimiter)
		wrong = "--null and --delimiter exclude each other";
	else if (o->direct && (o->ordered || o->tagged || o->lines))
		wrong = "--ungroup leaves nothing to order, tag or buffer";
	else if (o->direct && o->json)
		wrong = "--ungroup would mix output into the records of --json";
	else if (o->shell && o->replace)
		wrong = "with --shell the item is $1, not a text to --replace";
	else if (!weir__halt_parse(&run->halt, o->halt))
		return refuse(run, "--halt", o->halt,
			      "of the form now|soon,fail|success|done=N or N%");
	if (!wrong)
		return -1;
	weir__cli_error(run->cli, NULL, "%s", wrong);
	return WEIR_EXIT_USAGE;
}

int
weir__run_take_options(struct run *run)
{
	const struct run_cli_options *o = run->options;
	bool pipe_ignored;
	const sigset_t *mask = weir__signals_before(&pipe_ignored);
	int status;

	run->engine_options = (struct weir_exec_options){
		.output = o->direct  ? WEIR_EXEC_DIRECT
			  : o->lines ? WEIR_EXEC_LINES
				     : WEIR_EXEC_GROUPED,
		.dir = o->dir,
		.limits = {.memory = o->mem_limit,
			   .cpu_s = (uint64_t)(o->cpu_limit_ns / WEIR_S),
			   .nofile = (uint64_t)o->nofile},
		.retries = (uint32_t)o->retries,
		.timeout_ns = o->timeout_ns,
		.kill_after_ns = o->kill_after_ns,
		.rate = o->rate,
		.delay_ns = o->delay_ns,
		.mask = mask,
		.pipe_ignored = pipe_ignored,
	};
	status = check_options(run);
	if (status < 0)
		status = take_jobs(run);
	if (status < 0)
		status = take_backoff(run);
	if (status < 0)
		status = take_retry_on(run);
	return status;
}

/* What ends an item: a character, or an escape for one. */
static int
take_delimiter(struct run *run, char *ret)
{
	static const char names[] = "ntr0\\", values[] = "\n\t\r\0\\";
	const char *text = run->options->delimiter, *at;

	*ret = run->options->null ? '\0' : '\n';
	if (!text)
		return -1;
	if (text[0] && !text[1]) {
		*ret = text[0];
		return -1;
	}
	at = text[0] == '\\' && text[1] && !text[2] ? strchr(names, text[1])
						    : NULL;
	if (!at)
		return refuse(run, "--delimiter", text,
			      "one character, nor \\n, \\t, \\r, \\0 or \\\\");
	*ret = values[at - names];
	return -1;
}

/* Does this word begin another source?  0: no; else how many colons. */
static unsigned
source_mark(const char *word, bool *ret_linked)
{
	size_t colons = strspn(word, ":");

	*ret_linked = word[colons] == '+' && !word[colons + 1];
	if ((colons != 3 && colons != 4) || (word[colons] && !*ret_linked))
		return 0;
	return (unsigned)colons;
}

static void
add_source(struct run *run, const struct weir_item_source *source, bool linked)
{
	struct weir_item_source *added = &run->sources[run->source_count++];

	*added = *source;
	added->link = run->source_count == 1 ? WEIR_LINK_NONE
		      : linked               ? WEIR_LINK_CUT
		      : run->options->link   ? WEIR_LINK_WRAP
					     : WEIR_LINK_NONE;
	if (source->file)
		run->inputs[run->input_count++] = source->file;
}

/* The words after one mark: items, or files of them. */
static size_t
take_source(struct run *run, unsigned colons, bool linked, size_t at)
{
	struct weir_cli *cli = run->cli;
	struct weir_item_source source = {.items = cli->operands + at};
	bool next_linked;

	while (at < cli->operand_count &&
	       source_mark(cli->operands[at], &next_linked) == 0) {
		struct weir_item_source file = {.file = cli->operands[at++]};

		source.count++;
		if (colons == 4)
			add_source(run, &file, linked);
	}
	if (colons == 3)
		add_source(run, &source, linked);
	return at;
}

static int
take_sources(struct run *run, size_t at)
{
	const struct weir_option_list *files = &run->options->files;
	struct weir_item_source standard = {.file = "-"};
	size_t most = files->count + run->cli->operand_count + 1;
	unsigned colons;
	bool linked;

	run->sources = calloc(most, sizeof(*run->sources));
	run->inputs = calloc(most, sizeof(*run->inputs));
	if (!run->sources || !run->inputs)
		return weir__run_no_memory(run);
	for (size_t i = 0; i < files->count; i++) {
		struct weir_item_source file = {.file = files->items[i]};

		add_source(run, &file, false);
	}
	while (at < run->cli->operand_count) {
		colons = source_mark(run->cli->operands[at], &linked);
		at = take_source(run, colons, linked, at + 1);
	}
	if (run->source_count > 0)
		return -1;
	add_source(run, &standard, false);
	if (!isatty(STDIN_FILENO))
		return -1;
	weir__cli_note(run->cli, "nothing to run it for; give items after "
				 ":::, or pipe them in");
	return WEIR_EXIT_OK;
}

/* They should be there before anything is run. */
static int
check_sources(struct run *run)
{
	for (size_t i = 0; i < run->input_count; i++) {
		const char *name = run->inputs[i];

		if (name && strcmp(name, "-") != 0 && access(name, R_OK) != 0)
			return weir__run_fail(run, "cannot read", errno, name);
	}
	return -1;
}

static int
make_items(struct run *run)
{
	struct weir_items_options options = {
		.sources = run->sources,
		.source_count = run->source_count,
		.colsep = run->options->colsep,
		.max_args = (uint32_t)run->options->max_args,
		.skip_blank = run->options->skip_blank,
		.max_bytes = weir__template_room(run->template),
	};
	size_t most = run->items_bytes_max;
	int status = take_delimiter(run, &options.delimiter);

	if (most > 0 && options.max_bytes > most)
		options.max_bytes = most;
	if (status < 0 && options.colsep && !options.colsep[0])
		status = refuse(run, "--colsep", "", "a text to split at");
	if (status < 0 && weir__items_new(&run->items, &options) != WEIR_OK)
		status = weir__run_no_memory(run);
	return status;
}

static int
make_template(struct run *run)
{
	weir_status status;

	run->template_options.replace = run->options->replace;
	run->template_options.shell = run->options->shell;
	status = weir__template_new(&run->template, &run->template_options,
				    &run->error);
	if (status == WEIR_OK)
		return -1;
	if (status == WEIR_NOMEM)
		return weir__run_no_memory(run);
	weir__cli_error(run->cli, NULL, "%s", run->error.message);
	return WEIR_EXIT_USAGE;
}

int
weir__run_take_operands(struct run *run)
{
	struct weir_cli *cli = run->cli;
	size_t count = 0;
	bool linked;
	int status;

	while (count < cli->operand_count &&
	       source_mark(cli->operands[count], &linked) == 0)
		count++;
	if (count == 0 && !run->options->shell) {
		weir__cli_error(cli, NULL, "no command given");
		weir__cli_try(cli, "weir run --shell, to run each item as a "
				   "command line");
		return WEIR_EXIT_USAGE;
	}
	run->template_options.words = cli->operands;
	run->template_options.count = count;
	status = take_sources(run, count);
	if (status < 0)
		status = check_sources(run);
	if (status < 0)
		status = make_template(run);
	if (status < 0)
		status = make_items(run);
	return status;
}

/* The folder where commands run, to look for the program in; -1: here. */
static int
open_dir(struct run *run, int *ret_fd)
{
	const char *dir = run->options->dir;

	*ret_fd = -1;
	if (!dir)
		return -1;
	*ret_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd >= 0 ? -1
			    : weir__run_fail(run, "cannot run in", errno, dir);
}

bool
weir__run_is_script(const char *name)
{
	return strpbrk(name, " |;<>&") != NULL;
}

static int
cannot_run(struct run *run, int failed, const char *name)
{
	if (failed == ENOMEM)
		return weir__run_no_memory(run);
	weir__cli_error(run->cli, "cannot run", "%s (%s)", strerror(failed),
			name);
	if (failed == ENOENT && weir__run_is_script(name))
		weir__cli_try(run->cli, "%s", RUN_TRY_SHELL);
	return failed == ENOENT ? WEIR_EXIT_NOT_FOUND : WEIR_EXIT_CANNOT_RUN;
}

int
weir__run_find_program(struct run *run)
{
	const char *name = weir__template_program(run->template);
	int dir_fd, failed = 0, status = open_dir(run, &dir_fd);

	if (status >= 0)
		return status;
	if (name && !run->options->dry_run)
		failed = weir__child_find(&run->program, name, dir_fd);
	if (dir_fd >= 0)
		(void)close(dir_fd);
	run->engine_options.path = run->program.data;
	return failed ? cannot_run(run, failed, name) : -1;
}

size_t
weir__run_window(const struct run *run)
{
	uint64_t need = weir__exec_engine_descriptors(&run->engine_options);
	size_t jobs = run->engine_options.jobs, window = jobs * 8;
	struct rlimit limit;

	if (window < WINDOW_MIN)
		window = WINDOW_MIN;
	if (!run->options->ordered || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_max >= need + FILES_EACH * window)
		return window;
	window = limit.rlim_max > need
			 ? (size_t)(limit.rlim_max - need) / FILES_EACH
			 : 0;
	return window > jobs ? window : jobs;
}

/* The widest run for which so many descriptors are enough; 0: none is. */
static uint32_t
jobs_within(const struct run *run, uint64_t descriptors)
{
	struct weir_exec_options o = run->engine_options;
	uint64_t waiting = run->options->ordered ? FILES_EACH : 0;

	while (o.jobs > 0 &&
	       weir__exec_engine_descriptors(&o) + waiting * o.jobs >
		       descriptors)
		o.jobs--;
	return o.jobs;
}

int
weir__run_raise_limit(struct run *run)
{
	uint64_t need =
		weir__exec_engine_descriptors(&run->engine_options) +
		(run->options->ordered ? FILES_EACH * run->report.window : 0);
	struct weir_nofile found;
	uint32_t jobs = run->engine_options.jobs;
	bool fits = weir__cli_raise_nofile(run->cli, jobs, need, &found);

	run->engine_options.nofile_before = found.before;
	if (fits)
		return -1;
	jobs = jobs_within(run, found.max);
	if (jobs > 0)
		weir__cli_try(run->cli, "weir run -j %" PRIu32, jobs);
	return WEIR_EXIT_FAILURE;
}

static int
open_log(struct run *run, struct run_file *file, bool append)
{
	if (!file->path)
		return -1;
	return weir__records_open(run->cli, file->path, append, run->inputs,
				  run->input_count, &file->fd);
}

/* Which files, and whether to add to what is there. */
int
weir__run_open_logs(struct run *run)
{
	const struct run_cli_options *o = run->options;
	bool to_joblog =
		run->resume && weir__exec_resume_is_joblog(run->resume);
	struct run_file *resumed = to_joblog ? &run->joblog : &run->log;
	struct stat st;
	int status;

	run->log.path = o->log;
	run->joblog.path = o->joblog;
	if (o->resume && !resumed->path)
		resumed->path = o->resume;
	status = open_log(run, &run->log,
			  o->resume && run->log.path &&
				  strcmp(run->log.path, o->resume) == 0);
	if (status < 0)
		status = open_log(run, &run->joblog,
				  o->resume && run->joblog.path &&
					  strcmp(run->joblog.path, o->resume) ==
						  0);
	run->report.has_log = run->log.fd >= 0;
	run->report.has_joblog = run->joblog.fd >= 0;
	if (status < 0 && run->joblog.fd >= 0 &&
	    fstat(run->joblog.fd, &st) == 0 && st.st_size == 0)
		weir__buf_puts(&run->report.joblog.text, weir__joblog_head);
	return status;
}
