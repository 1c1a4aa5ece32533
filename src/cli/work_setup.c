/*
 * Before the run of weir work: from options and operands to what the loop and
 * the lane take, and everything that can be refused is refused here.
 *
 * Locking: none; there is one thread yet.
 */
#include "cli/work_run.h"

#include "base/assert.h"
#include "base/quote.h"
#include "cli/live.h"
#include "cli/queue_open.h"
#include "queue/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_MAX  16384
#define HTTP_JOBS 16

int
weir__work_fail(struct work_run *run, const char *what, int error_number,
		const char *where)
{
	weir__cli_error(run->cli, what, "%s (%s)", strerror(error_number),
			where);
	return WEIR_EXIT_FAILURE;
}

int
weir__work_no_memory(struct work_run *run)
{
	weir__cli_error(run->cli, NULL, "out of memory");
	return WEIR_EXIT_FAILURE;
}

static int
refuse(struct work_run *run, const char *what, const char *why)
{
	weir__cli_error(run->cli, what, "%s", why);
	return WEIR_EXIT_USAGE;
}

/*
 * "mail=4": a name that is copied into run->names, which has room, and a
 * number behind the last "=", which need not be there.  False: the number is
 * none.
 */
static bool
parse_width(struct work_run *run, const char *text, const char **ret_name,
	    uint32_t *ret_width)
{
	const char *equals = strrchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	size_t at = run->names.len;
	unsigned long width = 0;
	char *end = NULL;

	weir_assert(run->names.cap - at > len + 1);
	weir__buf_append(&run->names, text, len);
	weir__buf_putc(&run->names, '\0');
	*ret_name = run->names.data + at;
	*ret_width = 0;
	if (!equals)
		return true;
	if (equals[1] < '0' || equals[1] > '9')
		return false;
	width = strtoul(equals + 1, &end, 10);
	*ret_width = (uint32_t)width;
	return *end == '\0' && width >= 1 && width <= JOBS_MAX;
}

/* Room for all names at once: they are pointed at. */
static bool
reserve_names(struct work_run *run, size_t queues)
{
	const struct weir_option_list *limits = &run->options->limits;
	size_t bytes = 1;

	for (size_t i = 0; i < queues; i++)
		bytes += strlen(run->cli->operands[i]) + 1;
	for (size_t i = 0; i < limits->count; i++)
		bytes += strlen(limits->items[i]) + 1;
	return weir__buf_reserve(&run->names, bytes);
}

static int
bad_queue(struct work_run *run, const char *text, const char *fault)
{
	struct weir_buf next = {0};

	weir__cli_error(run->cli, NULL, "the name of queue '%s' %s", text,
			fault);
	if (!run->command && strpbrk(text, "./")) {
		weir__buf_puts(&next, "-- ");
		weir__quote_word(&next, text);
		weir__cli_try(run->cli, "weir work %s", weir__buf_str(&next));
		weir__buf_fini(&next);
	}
	return WEIR_EXIT_USAGE;
}

static int
take_queue(struct work_run *run, const char *text)
{
	weir_work_queue *queue = &run->queues[run->queue_count];
	const char *fault;

	if (!parse_width(run, text, &queue->name, &queue->width)) {
		weir__cli_error(run->cli, NULL,
				"'%s': a number from 1 to %d must follow the =",
				text, JOBS_MAX);
		return WEIR_EXIT_USAGE;
	}
	fault = weir__queue_name_fault(queue->name, strlen(queue->name));
	if (fault)
		return bad_queue(run, queue->name, fault);
	for (size_t i = 0; i < run->queue_count; i++)
		if (strcmp(run->queues[i].name, queue->name) == 0)
			return refuse(run, queue->name,
				      "this queue is named twice");
	run->queue_count++;
	return -1;
}

int
weir__work_take_operands(struct work_run *run)
{
	struct weir_cli *cli = run->cli;
	size_t queues = cli->operands_before_dashes;
	int status = -1;

	if (cli->operand_count > queues) {
		run->command = cli->operands + queues;
		run->command_count = cli->operand_count - queues;
	}
	run->queues = calloc(queues + 1, sizeof(*run->queues));
	if (!run->queues || !reserve_names(run, queues))
		return weir__work_no_memory(run);
	for (size_t i = 0; i < queues && status < 0; i++)
		status = take_queue(run, cli->operands[i]);
	if (status < 0 && queues == 0)
		run->queues[run->queue_count++].name = "default";
	return status;
}

static int
check_options(struct work_run *run)
{
	const struct work_cli_options *o = run->options;
	bool calls = o->http || o->fetch;
	const char *wrong = NULL;

	if ((o->http && o->fetch) || (calls && run->command))
		wrong = "a COMMAND, --http and --fetch exclude each other";
	else if (calls != (strcmp(weir__work_lane.name, "http") == 0))
		wrong = "this program does not do that; use weir";
	else if (o->headers.count > 0 && !calls)
		wrong = "--header is for --http and --fetch";
	else if (o->fetch_dir && !o->fetch)
		wrong = "--output-dir is for --fetch";
	else if (o->output && o->lines)
		wrong = "--line-buffer prints what --output is to keep";
	else if (o->output && o->fetch)
		wrong = "--fetch has no output to keep";
	else if (o->dir && !run->command && !calls)
		wrong = "--chdir is for a COMMAND; other jobs bring a folder";
	else if (calls && (o->tagged || o->lines || o->dir))
		wrong = "--tag, --line-buffer and --chdir are for commands";
	else if (calls && (o->mem_limit || o->cpu_limit_ns || o->nofile))
		wrong = "limits are for commands";
	return wrong ? refuse(run, NULL, wrong) : -1;
}

static int
take_jobs(struct work_run *run)
{
	bool calls = run->options->http || run->options->fetch;
	const char *text = run->options->jobs;
	double jobs = HTTP_JOBS;

	if (!text)
		text = calls ? "16" : "100%";
	if (!weir__parse_share(text, &jobs) || jobs > JOBS_MAX) {
		weir__cli_error(run->cli, "--jobs",
				"'%s' is not a number from 1 to %d, nor one "
				"such as 200%%",
				text, JOBS_MAX);
		return WEIR_EXIT_USAGE;
	}
	run->jobs = jobs < 1 ? 1 : (uint32_t)jobs;
	return -1;
}

/* A kind that is to be worked: does it go with how jobs are run? */
static int
check_kind(struct work_run *run, const char *kind)
{
	const char *fault = weir__kind_fault(kind, strlen(kind));
	bool given = run->command || run->options->http;
	const char *own = run->options->fetch ? WORK_KIND_FETCH : WORK_KIND_RUN;

	if (fault) {
		weir__cli_error(run->cli, "--kind", "'%s' %s", kind, fault);
		return WEIR_EXIT_USAGE;
	}
	if (given && weir__kind_is_ours(kind, strlen(kind))) {
		weir__cli_error(run->cli, "--kind",
				"jobs of '%s' bring their own command", kind);
		return WEIR_EXIT_USAGE;
	}
	if (!given && strcmp(kind, own) != 0) {
		weir__cli_error(run->cli, "--kind",
				"nothing is given to run '%s' with", kind);
		weir__cli_try(run->cli, "weir work --kind %s -- COMMAND", kind);
		return WEIR_EXIT_USAGE;
	}
	return -1;
}

static int
take_kinds(struct work_run *run)
{
	static const char *ours[] = {WORK_KIND_RUN, WORK_KIND_FETCH};
	const struct weir_option_list *kinds = &run->options->kinds;
	size_t count = kinds->count > 0 ? kinds->count : 2;
	int status = -1;

	run->kinds = calloc(count, sizeof(*run->kinds));
	if (!run->kinds)
		return weir__work_no_memory(run);
	if (kinds->count == 0 && !run->command && !run->options->http) {
		run->kinds[run->kind_count++] =
			run->options->fetch ? WORK_KIND_FETCH : WORK_KIND_RUN;
		return -1;
	}
	run->kinds_left_out = kinds->count == 0;
	for (size_t i = 0; i < count && status < 0; i++) {
		run->kinds[i] = kinds->count > 0 ? kinds->items[i] : ours[i];
		run->kind_count++;
		if (kinds->count > 0)
			status = check_kind(run, run->kinds[i]);
	}
	return status;
}

static int
take_limits(struct work_run *run)
{
	const struct weir_option_list *limits = &run->options->limits;

	run->limits = calloc(limits->count + 1, sizeof(*run->limits));
	if (!run->limits)
		return weir__work_no_memory(run);
	for (size_t i = 0; i < limits->count; i++) {
		weir_handler *limit = &run->limits[i];
		const char *text = limits->items[i];

		limit->size = sizeof(*limit);
		if (!parse_width(run, text, &limit->kind, &limit->width) ||
		    limit->width == 0 ||
		    weir__kind_fault(limit->kind, strlen(limit->kind))) {
			weir__cli_error(run->cli, "--limit",
					"'%s' is not of the form KIND=N", text);
			return WEIR_EXIT_USAGE;
		}
	}
	return -1;
}

int
weir__work_take_options(struct work_run *run)
{
	int status = check_options(run);

	if (status < 0)
		status = take_jobs(run);
	if (status < 0)
		status = take_kinds(run);
	if (status < 0)
		status = take_limits(run);
	return status;
}

int
weir__work_open_store(struct work_run *run)
{
	weir_durability durability =
		run->options->durability == QUEUE_DURABLE_PROCESS
			? WEIR_DURABLE_PROCESS
			: WEIR_DURABLE_POWER;

	return weir__queue_open(run->cli, run->options->db, QUEUE_OPEN_CHANGE,
				durability, &run->store);
}

int
weir__work_make_work(struct work_run *run, const struct weir_lane *lane)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_lane whole = *lane;
	weir_error error = {0};
	weir_status status;

	options.queues = run->queues;
	options.queue_count = run->queue_count;
	options.handlers = run->limits;
	options.handler_count = run->options->limits.count;
	options.workers = run->jobs;
	options.alone = run->options->alone;
	options.until_empty = run->options->until_empty;
	options.trouble = weir__work_trouble;
	options.user = run;
	whole.kinds = run->kinds;
	whole.kind_count = run->kind_count;
	whole.kinds_left_out = run->kinds_left_out;
	whole.width = run->jobs;
	status = weir__work_make(&run->work, run->store, &options, &whole,
				 &error);
	if (status == WEIR_OK)
		return -1;
	error.status = status;
	return weir__queue_failed(run->cli, run->options->db,
				  "cannot work the store", &error);
}
