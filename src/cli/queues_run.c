/*
 * weir queues: list them, pause and resume them, say what becomes of their
 * completed jobs.
 */
#include "cli/cmd_queue.h"

#include "cli/queue_job.h"
#include "cli/queue_open.h"
#include "cli/queue_print.h"
#include "cli/queue_time.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* In the order of weir_finished_policy, and of --finished. */
static const char *const policies[] = {
	[WEIR_FINISHED_KEEP] = "keep",
	[WEIR_FINISHED_ARCHIVE] = "archive",
	[WEIR_FINISHED_DROP] = "drop",
};

struct queues {
	struct weir_cli *cli;
	const struct queues_cli_options *options;
	weir_store *store;
	struct queue_out out;
	struct queue_table table;
	uint64_t count;
	int64_t now_ms;
};

static int
failed(struct queues *queues, const char *what, weir_status status,
       weir_error *error)
{
	error->status = status;
	return weir__queue_failed(queues->cli, queues->options->db, what,
				  error);
}

static void
put_record(struct weir_buf *buf, const weir_queue_row *row)
{
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "name");
	weir__json_puts(&j, row->name);
	weir__job_put_time(&j, "created_at", row->created_at_ms);
	weir__job_put_time(&j, "paused_at", row->paused_at_ms);
	weir__json_key(&j, "finished");
	weir__json_puts(&j, policies[row->finished]);
	weir__json_key(&j, "jobs");
	weir__json_begin_object(&j);
	for (unsigned i = 0; i < 8; i++) {
		weir__json_key(&j, weir_job_state_name((weir_state)i));
		weir__json_uint(&j, row->counts[i]);
	}
	weir__json_end_object(&j);
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

/* The columns, in the order in which a job goes through its states. */
static const weir_state shown[] = {
	WEIR_JOB_PENDING,   WEIR_JOB_SCHEDULED, WEIR_JOB_AVAILABLE,
	WEIR_JOB_RUNNING,   WEIR_JOB_RETRYABLE, WEIR_JOB_COMPLETED,
	WEIR_JOB_CANCELLED, WEIR_JOB_DISCARDED,
};
#define SHOWN (sizeof(shown) / sizeof(shown[0]))

static void
put_row(struct queues *queues, const weir_queue_row *row)
{
	char counts[SHOWN][24], note[64] = "", age[WEIR_AGE_SIZE];
	const char *cells[QUEUE_TABLE_COLUMNS] = {row->name};

	for (size_t i = 0; i < SHOWN; i++) {
		(void)snprintf(counts[i], sizeof(counts[i]), "%" PRIu64,
			       row->counts[shown[i]]);
		cells[1 + i] = counts[i];
	}
	if (row->paused_at_ms > 0)
		(void)snprintf(note, sizeof(note), "paused for %s",
			       weir__time_age(age, queues->now_ms -
							   row->paused_at_ms));
	cells[1 + SHOWN] = policies[row->finished];
	cells[2 + SHOWN] = note;
	weir__queue_table_add(&queues->table, cells);
}

static bool
on_queue(const weir_queue_row *row, void *user)
{
	struct queues *queues = user;

	queues->count++;
	if (queues->options->json)
		put_record(&queues->out.text, row);
	else
		put_row(queues, row);
	return true;
}

static int
list(struct queues *queues)
{
	static const char *const headings[] = {
		"QUEUE", "PENDING", "SCHED",   "AVAIL",  "RUN",  "RETRY",
		"DONE",  "CANCEL",  "DISCARD", "POLICY", "NOTE", NULL};
	weir_error error = {0};
	weir_status status;
	int end;

	weir__queue_table_init(&queues->table, &queues->out, headings, 0x1fe);
	status = weir_store_queues(queues->store, on_queue, queues, &error);
	weir__queue_table_end(&queues->table);
	if (status != WEIR_OK)
		return failed(queues, "cannot list the queues", status, &error);
	end = weir__queue_out_fini(&queues->out);
	if (queues->count == 0 && end == 0)
		weir__cli_note(queues->cli, "no queues");
	return end;
}

/* What was set, for one queue. */
static void
say_set(struct queues *queues, const char *name, const char *key,
	const char *value)
{
	struct weir_buf *buf = &queues->out.text;
	struct weir_json j;

	if (!queues->options->json) {
		weir__buf_printf(buf, "%s %s\n",
				 strcmp(name, "*") == 0 ? "all" : name, value);
		return;
	}
	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "name");
	weir__json_puts(&j, name);
	weir__json_key(&j, key);
	if (strcmp(key, "paused") == 0)
		weir__json_bool(&j, strcmp(value, "paused") == 0);
	else
		weir__json_puts(&j, value);
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

/* Something was done to a queue.  -1: go on; else the exit status. */
static int
settle(struct queues *queues, const char *name, weir_status status,
       weir_error *error, int *ret_worst)
{
	struct queue_shown url;

	if (status == WEIR_NOTFOUND) {
		weir__cli_error(queues->cli, NULL,
				"there is no queue '%s' (%s)", name,
				weir__queue_shown(&url, queues->options->db));
		*ret_worst = WEIR_EXIT_SOME_FAILED;
		return -1;
	}
	if (status == WEIR_INVAL) {
		weir__cli_error(queues->cli, NULL, "'%s': %s", name,
				error->message);
		*ret_worst = WEIR_EXIT_SOME_FAILED;
		return -1;
	}
	return status == WEIR_OK
		       ? -1
		       : failed(queues, "cannot change a queue", status, error);
}

static int
pause_all(struct queues *queues, bool pause)
{
	weir_error error = {0};
	weir_status status =
		weir_store_pause(queues->store, "*", pause, &error);

	if (status != WEIR_OK)
		return failed(queues, "cannot change the queues", status,
			      &error);
	say_set(queues, "*", "paused", pause ? "paused" : "resumed");
	return weir__queue_out_fini(&queues->out);
}

/* One by one, so that each is answered for. */
static int
change(struct queues *queues, const char *word)
{
	bool set = strcmp(word, "set") == 0, pause = strcmp(word, "pause") == 0;
	int worst = 0, end, status = -1;

	for (size_t i = 0; i < queues->cli->operand_count && status < 0; i++) {
		const char *name = queues->cli->operands[i];
		weir_finished_policy policy =
			(weir_finished_policy)queues->options->finished;
		weir_error error = {0};
		weir_status done =
			set ? weir_store_set_finished(queues->store, name,
						      policy, &error)
			    : weir_store_pause(queues->store, name, pause,
					       &error);

		status = settle(queues, name, done, &error, &worst);
		if (done == WEIR_OK && set)
			say_set(queues, name, "finished", policies[policy]);
		else if (done == WEIR_OK)
			say_set(queues, name, "paused",
				pause ? "paused" : "resumed");
	}
	end = weir__queue_out_fini(&queues->out);
	return status >= 0 ? status : end ? end : worst;
}

static int
check(struct queues *queues, const char *word)
{
	bool named = queues->cli->operand_count > 0;
	bool list_word = strcmp(word, "list") == 0;
	bool set = strcmp(word, "set") == 0;

	if (set &&
	    weir__option_source(queues->cli, "finished") != WEIR_FROM_FLAG) {
		weir__cli_error(queues->cli, NULL,
				"no --finished keep|archive|drop given");
		return WEIR_EXIT_USAGE;
	}
	if (list_word || set || named != queues->options->all)
		return -1;
	if (named) {
		weir__cli_error(queues->cli, NULL,
				"--all and names exclude each other");
		return WEIR_EXIT_USAGE;
	}
	weir__cli_error(queues->cli, NULL, "no names of queues given");
	weir__cli_try(queues->cli, "weir queues %s --all", word);
	return WEIR_EXIT_USAGE;
}

int
weir__queues_run(struct weir_cli *cli)
{
	const struct weir_command_word *word = weir__cli_take_word(cli);
	struct queues queues = {.cli = cli,
				.options = cli->options,
				.out = {.cli = cli},
				.now_ms = weir__time_now_ms()};
	bool looks;
	int status;

	if (!word)
		return WEIR_EXIT_USAGE;
	weir__signals_release();
	looks = strcmp(word->name, "list") == 0;
	status = check(&queues, word->name);
	if (status < 0)
		status = weir__queue_open(cli, queues.options->db,
					  looks ? QUEUE_OPEN_LOOK
						: QUEUE_OPEN_CHANGE,
					  WEIR_DURABLE_POWER, &queues.store);
	if (status < 0)
		status = looks ? list(&queues)
			 : queues.options->all
				 ? pause_all(&queues,
					     strcmp(word->name, "pause") == 0)
				 : change(&queues, word->name);
	(void)weir_store_close(queues.store);
	weir__buf_fini(&queues.out.text);
	return status;
}
