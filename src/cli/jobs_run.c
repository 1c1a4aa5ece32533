/*
 * weir jobs: list, show, and the way to retry, cancel and delete
 * (jobs_change.c).
 *
 * Design: a store waits with its reading side while a row is looked at, and a
 * reader that is open for long keeps its log from being emptied.  So rows are
 * taken a page at a time, as many as fit into a piece of memory, and written
 * when the store has been let go: whoever pipes ten million jobs into a pager
 * holds up nobody.
 */
#include "cli/jobs_run.h"

#include "cli/queue_job.h"
#include "cli/queue_open.h"
#include "cli/queue_time.h"
#include "cli/signals.h"
#include "cli/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a page, at the most. */
#define PAGE_MAX 1000

static int
unknown_state(struct weir_cli *cli, const char *word)
{
	struct weir_buf names = {0};
	const char *best = NULL;
	int best_score = -1;

	for (unsigned i = 0; i < 8; i++) {
		const char *name = weir_job_state_name((weir_state)i);
		int score = weir__suggest_score(word, strlen(word), name);

		weir__buf_printf(&names, "%s%s", i > 0 ? ", " : "", name);
		if (score >= 0 && (best_score < 0 || score < best_score)) {
			best_score = score;
			best = name;
		}
	}
	weir__cli_error(cli, "--state", "'%s' is none of %s%s%s%s", word,
			weir__buf_str(&names), best ? "; did you mean '" : "",
			best ? best : "", best ? "'?" : "");
	weir__buf_fini(&names);
	return WEIR_EXIT_USAGE;
}

/* "retryable,discarded" */
static int
take_states(struct jobs *jobs, const char *text)
{
	char word[16];
	weir_state state;

	for (const char *at = text; at;) {
		size_t len = strcspn(at, ",");

		(void)snprintf(word, sizeof(word), "%.*s", (int)len, at);
		if (len >= sizeof(word) ||
		    weir_job_state_parse(word, &state) != WEIR_OK)
			return unknown_state(jobs->cli, word);
		jobs->filter.states |= WEIR_JOB_STATE_BIT(state);
		at = at[len] ? at + len + 1 : NULL;
	}
	return -1;
}

static int
take_filter(struct jobs *jobs)
{
	const struct jobs_cli_options *o = jobs->options;

	weir_job_filter_init(&jobs->filter);
	jobs->filter.queue = o->queue;
	jobs->filter.kind = o->kind;
	jobs->filter.tag = o->tag;
	jobs->filter.before_id = o->before;
	jobs->filter.oldest_first = o->oldest;
	if (o->since && !weir__time_parse_since(o->since, jobs->now_ms,
						&jobs->filter.since_ms)) {
		weir__cli_error(jobs->cli, "--since",
				"'%s' is no time, such as 1h or "
				"2027-01-31T09:00:00Z",
				o->since);
		return WEIR_EXIT_USAGE;
	}
	return o->state ? take_states(jobs, o->state) : -1;
}

/* The operands, as ids. */
static int
take_ids(struct jobs *jobs)
{
	const struct weir_cli *cli = jobs->cli;

	jobs->ids = calloc(cli->operand_count + 1, sizeof(*jobs->ids));
	if (!jobs->ids)
		return weir__queue_no_memory(jobs->cli);
	for (size_t i = 0; i < cli->operand_count; i++) {
		const char *text = cli->operands[i];
		char *end;

		errno = 0;
		jobs->ids[i] = strtoll(text, &end, 10);
		if (text[0] < '0' || text[0] > '9' || *end || errno ||
		    jobs->ids[i] < 1) {
			weir__cli_error(jobs->cli, NULL,
					"'%s' is no id of a job, such as 17",
					text);
			weir__cli_try(jobs->cli, "weir jobs list");
			return WEIR_EXIT_USAGE;
		}
	}
	jobs->id_count = cli->operand_count;
	return -1;
}

int
weir__jobs_failed(struct jobs *jobs, const char *what, weir_status status,
		  weir_error *error)
{
	error->status = status;
	return weir__queue_failed(jobs->cli, jobs->options->db, what, error);
}

/* A page of a list. */
struct page {
	struct jobs *jobs;
	struct queue_table *table; /* NULL: JSON */
	uint64_t count;
	int64_t last_id;
};

static void
add_row(struct page *page, const weir_job_row *row)
{
	char id[24], age[WEIR_AGE_SIZE], attempt[32];
	struct weir_buf note = {0};
	int64_t now_ms = page->jobs->now_ms;

	(void)snprintf(id, sizeof(id), "%" PRId64, row->id);
	(void)snprintf(attempt, sizeof(attempt), "%" PRIu32 "/%" PRIu32,
		       row->attempt, row->max_attempts);
	weir__time_age(age, now_ms - row->created_at_ms);
	weir__job_put_note(&note, row, now_ms);
	weir__queue_table_add(
		page->table,
		(const char *const[]){id, weir_job_state_name(row->state),
				      row->queue, row->kind, age, attempt,
				      weir__buf_str(&note)});
	weir__buf_fini(&note);
}

static bool
on_row(const weir_job_row *row, void *user)
{
	struct page *page = user;

	page->count++;
	page->last_id = row->id;
	if (page->table)
		add_row(page, row);
	else
		weir__job_put_json(&page->jobs->out.text, row);
	return !weir__queue_out_is_full(&page->jobs->out);
}

/* How many rows the next page may have, of those that are still wanted. */
static uint64_t
page_limit(uint64_t limit, uint64_t listed)
{
	uint64_t left = limit > 0 ? limit - listed : PAGE_MAX;

	return left < PAGE_MAX ? left : PAGE_MAX;
}

/* Page after page.  The exit status; 0: all is well. */
static int
list_pages(struct jobs *jobs, struct queue_table *table, uint64_t *ret_listed)
{
	uint64_t limit = (uint64_t)jobs->options->limit, listed = 0;
	weir_error error = {0};
	weir_status status;

	for (;;) {
		struct page page = {.jobs = jobs, .table = table};

		jobs->filter.limit = page_limit(limit, listed);
		status = weir_store_list(jobs->store, &jobs->filter, on_row,
					 &page, &error);
		if (status != WEIR_OK)
			return weir__jobs_failed(jobs, "cannot list the jobs",
						 status, &error);
		listed += page.count;
		*ret_listed = listed;
		if (page.count == 0 || listed == limit)
			return 0;
		if (jobs->filter.oldest_first)
			jobs->filter.after_id = page.last_id;
		else
			jobs->filter.before_id = page.last_id;
		if (!weir__queue_out_write(&jobs->out))
			return jobs->out.exit;
	}
}

/* There may be more than were asked for; that is worth a word. */
static void
say_more(struct jobs *jobs, uint64_t listed)
{
	if (listed == 0)
		weir__cli_note(jobs->cli, "no jobs%s",
			       weir__jobs_has_filter(jobs) ? " match" : "");
	else if (listed == (uint64_t)jobs->options->limit &&
		 weir__option_source(jobs->cli, "limit") == WEIR_FROM_DEFAULT)
		weir__cli_note(jobs->cli,
			       "these are %" PRIu64 "; --limit 0 for all",
			       listed);
}

static int
list(struct jobs *jobs)
{
	static const char *const headings[] = {"ID",  "STATE", "QUEUE", "KIND",
					       "AGE", "TRY",   "NOTE",  NULL};
	struct queue_table table;
	uint64_t listed = 0;
	int status, end;

	if (!jobs->options->json)
		weir__queue_table_init(&table, &jobs->out, headings,
				       1u << 0 | 1u << 4);
	status = list_pages(jobs, jobs->options->json ? NULL : &table, &listed);
	if (!jobs->options->json)
		weir__queue_table_end(&table);
	end = weir__queue_out_fini(&jobs->out);
	if (status == 0 && end == 0)
		say_more(jobs, listed);
	return status ? status : end;
}

/* One of the jobs that are shown. */
struct shown {
	struct jobs *jobs;
	bool found, first;
};

static bool
on_shown(const weir_job_row *row, void *user)
{
	struct shown *shown = user;
	struct weir_buf *buf = &shown->jobs->out.text;

	shown->found = true;
	if (shown->jobs->options->json) {
		weir__job_put_json(buf, row);
		return true;
	}
	if (!shown->first)
		weir__buf_putc(buf, '\n');
	weir__job_put_text(buf, row, shown->jobs->now_ms);
	return true;
}

void
weir__jobs_not_found(struct jobs *jobs, int64_t id)
{
	struct queue_shown shown;

	weir__cli_error(jobs->cli, NULL, "there is no job %" PRId64 " (%s)", id,
			weir__queue_shown(&shown, jobs->options->db));
}

static int
show(struct jobs *jobs)
{
	int status = 0, end;

	for (size_t i = 0; i < jobs->id_count; i++) {
		struct shown shown = {.jobs = jobs, .first = i == 0};
		weir_error error = {0};
		weir_status found;

		jobs->filter.ids = &jobs->ids[i];
		jobs->filter.id_count = 1;
		found = weir_store_list(jobs->store, &jobs->filter, on_shown,
					&shown, &error);
		if (found != WEIR_OK) {
			status = weir__jobs_failed(jobs, "cannot show a job",
						   found, &error);
			break;
		}
		if (!shown.found) {
			weir__jobs_not_found(jobs, jobs->ids[i]);
			status = WEIR_EXIT_SOME_FAILED;
		}
		if (!weir__queue_out_write(&jobs->out))
			break;
	}
	end = weir__queue_out_fini(&jobs->out);
	return end ? end : status;
}

static bool
word_is(const struct weir_command_word *word, const char *name)
{
	return strcmp(word->name, name) == 0;
}

static int
do_word(struct jobs *jobs, const struct weir_command_word *word)
{
	if (word_is(word, "list"))
		return list(jobs);
	if (word_is(word, "show"))
		return show(jobs);
	return weir__jobs_change(jobs, word_is(word, "retry") ? WEIR_JOB_RETRY
				       : word_is(word, "cancel")
					       ? WEIR_JOB_CANCEL
					       : WEIR_JOB_DELETE);
}

int
weir__jobs_run(struct weir_cli *cli)
{
	const struct weir_command_word *word = weir__cli_take_word(cli);
	struct jobs jobs = {.cli = cli,
			    .options = cli->options,
			    .out = {.cli = cli},
			    .now_ms = weir__time_now_ms()};
	bool looks;
	int status;

	if (!word)
		return WEIR_EXIT_USAGE;
	/* Whatever a signal interrupts here is whole or not there. */
	weir__signals_release();
	looks = word_is(word, "list") || word_is(word, "show");
	status = take_filter(&jobs);
	if (status < 0)
		status = take_ids(&jobs);
	if (status < 0 && !looks)
		status = weir__jobs_check_change(&jobs, word->name);
	if (status < 0)
		status = weir__queue_open(cli, jobs.options->db,
					  looks ? QUEUE_OPEN_LOOK
						: QUEUE_OPEN_CHANGE,
					  WEIR_DURABLE_POWER, &jobs.store);
	if (status < 0)
		status = do_word(&jobs, word);
	(void)weir_store_close(jobs.store);
	weir__buf_fini(&jobs.out.text);
	free(jobs.ids);
	return status;
}
