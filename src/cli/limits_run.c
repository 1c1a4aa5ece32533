/*
 * weir limits: list, set and remove them.
 */
#include "cli/cmd_queue.h"

#include "cli/queue_open.h"
#include "cli/queue_print.h"
#include "cli/signals.h"
#include "cli/store.h"

#include "base/json.h"
#include "weir/queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct limits {
	struct weir_cli *cli;
	const struct limits_cli_options *options;
	weir_store *store;
	struct queue_out out;
	struct queue_table table;
	uint64_t count;
};

static int
failed(struct limits *limits, const char *what, weir_status status,
       weir_error *error)
{
	error->status = status;
	if (status != WEIR_INVAL)
		return weir__queue_failed(limits->cli, limits->options->db,
					  what, error);
	weir__cli_error(limits->cli, what, "%s", error->message);
	weir__cli_try(limits->cli, "weir limits --help");
	return WEIR_EXIT_USAGE;
}

/* A file: what it has instead. */
static int
refuse_file(struct limits *limits)
{
	struct queue_shown shown;

	weir__cli_error(limits->cli, NULL,
			"limits across processes need PostgreSQL (%s)",
			weir__queue_shown(&shown, limits->options->db));
	weir__cli_try(limits->cli,
		      "weir work --limit KIND=N, or --rate, for one worker");
	return WEIR_EXIT_USAGE;
}

/* 20/s, 0.5/m; without what says nothing. */
static void
format_rate(char *to, size_t size, double per_second)
{
	if (per_second <= 0)
		(void)snprintf(to, size, "any");
	else if (per_second >= 1)
		(void)snprintf(to, size, "%.6g/s", per_second);
	else if (per_second >= 1.0 / 60)
		(void)snprintf(to, size, "%.6g/m", per_second * 60);
	else if (per_second >= 1.0 / 3600)
		(void)snprintf(to, size, "%.6g/h", per_second * 3600);
	else
		(void)snprintf(to, size, "%.6g/d", per_second * 86400);
}

static void
put_record(struct weir_buf *buf, const weir_kind_limit *row, bool counts)
{
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "kind");
	weir__json_puts(&j, row->kind);
	weir__json_key(&j, "jobs");
	if (row->most > 0)
		weir__json_uint(&j, row->most);
	else
		weir__json_null(&j);
	weir__json_key(&j, "rate");
	if (row->per_second > 0)
		weir__json_fixed(&j, row->per_second, 6);
	else
		weir__json_null(&j);
	if (row->burst > 0) {
		weir__json_key(&j, "burst");
		weir__json_uint(&j, row->burst);
	}
	if (counts) {
		weir__json_key(&j, "running");
		weir__json_uint(&j, row->running);
		weir__json_key(&j, "waiting");
		weir__json_uint(&j, row->waiting);
	}
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

static void
put_row(struct limits *limits, const weir_kind_limit *row)
{
	char jobs[16] = "any", rate[40], burst[16] = "";
	char running[24], waiting[24];
	const char *cells[QUEUE_TABLE_COLUMNS] = {row->kind, jobs,    rate,
						  burst,     running, waiting};

	if (row->most > 0)
		(void)snprintf(jobs, sizeof(jobs), "%" PRIu32, row->most);
	format_rate(rate, sizeof(rate), row->per_second);
	if (row->per_second > 0)
		(void)snprintf(burst, sizeof(burst), "%" PRIu32, row->burst);
	(void)snprintf(running, sizeof(running), "%" PRIu64, row->running);
	(void)snprintf(waiting, sizeof(waiting), "%" PRIu64, row->waiting);
	weir__queue_table_add(&limits->table, cells);
}

static bool
on_limit(const weir_kind_limit *row, void *user)
{
	struct limits *limits = user;

	limits->count++;
	if (limits->options->json)
		put_record(&limits->out.text, row, true);
	else
		put_row(limits, row);
	return true;
}

static int
list(struct limits *limits)
{
	static const char *const headings[] = {
		"KIND", "JOBS", "RATE", "BURST", "RUN", "WAITING", NULL};
	weir_error error = {0};
	weir_status status;
	int end;

	weir__queue_table_init(&limits->table, &limits->out, headings, 0x3e);
	status = weir_store_limits(limits->store, on_limit, limits, &error);
	weir__queue_table_end(&limits->table);
	if (status != WEIR_OK)
		return failed(limits, "cannot list the limits", status, &error);
	end = weir__queue_out_fini(&limits->out);
	if (limits->count == 0 && end == 0)
		weir__cli_note(limits->cli, "no limits");
	return end;
}

static void
say_set(struct limits *limits, const weir_kind_limit *limit)
{
	struct weir_buf *buf = &limits->out.text;
	char rate[40];

	if (limits->options->json) {
		put_record(buf, limit, false);
		return;
	}
	format_rate(rate, sizeof(rate), limit->per_second);
	weir__buf_printf(buf, "%s limited to", limit->kind);
	if (limit->most > 0)
		weir__buf_printf(buf, " %" PRIu32 " at once%s", limit->most,
				 limit->per_second > 0 ? " and" : "");
	if (limit->per_second > 0)
		weir__buf_printf(buf, " %s", rate);
	weir__buf_putc(buf, '\n');
}

static int
set(struct limits *limits)
{
	const struct limits_cli_options *o = limits->options;

	for (size_t i = 0; i < limits->cli->operand_count; i++) {
		weir_kind_limit limit;
		weir_error error = {0};
		weir_status status;

		weir_kind_limit_init(&limit);
		limit.kind = limits->cli->operands[i];
		limit.most = (uint32_t)o->jobs;
		limit.per_second = o->rate;
		limit.burst = (uint32_t)o->burst;
		status = weir_store_limit(limits->store, &limit, &error);
		if (status != WEIR_OK)
			return failed(limits, "cannot set a limit", status,
				      &error);
		say_set(limits, &limit);
	}
	return weir__queue_out_fini(&limits->out);
}

static void
say_removed(struct limits *limits, const char *kind)
{
	struct weir_json j;

	if (!limits->options->json) {
		weir__buf_printf(&limits->out.text, "%s unlimited\n", kind);
		return;
	}
	weir__json_init(&j, &limits->out.text);
	weir__json_begin_object(&j);
	weir__json_key(&j, "kind");
	weir__json_puts(&j, kind);
	weir__json_key(&j, "done");
	weir__json_puts(&j, "removed");
	weir__json_end_object(&j);
	weir__buf_putc(&limits->out.text, '\n');
}

/* One by one, so that each is answered for. */
static int
remove_all(struct limits *limits)
{
	int worst = 0, end;

	for (size_t i = 0; i < limits->cli->operand_count; i++) {
		const char *kind = limits->cli->operands[i];
		struct queue_shown shown;
		weir_error error = {0};
		weir_status status =
			weir_store_unlimit(limits->store, kind, &error);

		if (status == WEIR_NOTFOUND) {
			weir__cli_error(
				limits->cli, NULL,
				"the kind '%s' has no limit (%s)", kind,
				weir__queue_shown(&shown, limits->options->db));
			worst = WEIR_EXIT_SOME_FAILED;
		} else if (status != WEIR_OK) {
			return failed(limits, "cannot remove a limit", status,
				      &error);
		} else {
			say_removed(limits, kind);
		}
	}
	end = weir__queue_out_fini(&limits->out);
	return end ? end : worst;
}

/* Is there something to set?  -1: go on. */
static int
check_set(struct limits *limits)
{
	const struct limits_cli_options *o = limits->options;

	if (o->burst > 0 && o->rate == 0) {
		weir__cli_error(limits->cli, NULL, "--burst needs --rate");
		return WEIR_EXIT_USAGE;
	}
	if (o->jobs > 0 || o->rate > 0)
		return -1;
	weir__cli_error(limits->cli, NULL, "neither --jobs nor --rate given");
	weir__cli_try(limits->cli, "weir limits set %s --jobs 3",
		      limits->cli->operands[0]);
	return WEIR_EXIT_USAGE;
}

int
weir__limits_run(struct weir_cli *cli)
{
	const struct weir_command_word *word = weir__cli_take_word(cli);
	struct limits limits = {
		.cli = cli, .options = cli->options, .out = {.cli = cli}};
	bool looks, sets;
	int status = -1;

	if (!word)
		return WEIR_EXIT_USAGE;
	weir__signals_release();
	looks = strcmp(word->name, "list") == 0;
	sets = strcmp(word->name, "set") == 0;
	if (sets)
		status = check_set(&limits);
	if (status < 0 && !weir__db_is_fleet(limits.options->db))
		status = refuse_file(&limits);
	if (status < 0)
		status = weir__queue_open(cli, limits.options->db,
					  looks ? QUEUE_OPEN_LOOK
						: QUEUE_OPEN_CHANGE,
					  WEIR_DURABLE_POWER, &limits.store);
	if (status < 0)
		status = looks  ? list(&limits)
			 : sets ? set(&limits)
				: remove_all(&limits);
	(void)weir_store_close(limits.store);
	weir__buf_fini(&limits.out.text);
	return status;
}
