/*
 * weir schedule: list, add, remove, pause and resume.
 */
#include "cli/cmd_queue.h"

#include "cli/queue_fill.h"
#include "cli/queue_job.h"
#include "cli/queue_open.h"
#include "cli/queue_print.h"
#include "cli/queue_time.h"
#include "cli/signals.h"
#include "queue/cron.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How many ticks are shown of what was added. */
#define TICKS 3

struct schedules {
	struct weir_cli *cli;
	const struct schedule_cli_options *options;
	weir_store *store;
	struct queue_out out;
	struct queue_table table;
	uint64_t count;
	int64_t now_ms;
	struct weir_arena arena;
};

static int
failed(struct schedules *s, const char *what, weir_status status,
       weir_error *error)
{
	error->status = status;
	return weir__queue_failed(s->cli, s->options->db, what, error);
}

static void
begin_record(struct weir_json *j, struct weir_buf *buf, const char *name)
{
	weir__json_init(j, buf);
	weir__json_begin_object(j);
	weir__json_key(j, "name");
	weir__json_puts(j, name);
}

static void
end_record(struct weir_json *j)
{
	weir__json_end_object(j);
	weir__buf_putc(j->buf, '\n');
}

static void
put_schedule(struct weir_json *j, const weir_schedule *row)
{
	weir__json_key(j, "spec");
	weir__json_puts(j, row->spec);
	weir__json_key(j, "paused");
	weir__json_bool(j, row->paused);
	weir__json_key(j, "job");
	weir__json_begin_object(j);
	weir__job_put_insert(j, row->job);
	weir__json_end_object(j);
}

static void
put_row(struct schedules *s, const weir_schedule *row)
{
	char next[WEIR_TIME_SIZE] = "never", last[WEIR_AGE_SIZE + 8] = "never";
	char age[WEIR_AGE_SIZE];

	if (row->next_at_ms > 0)
		weir__time_format(next, row->next_at_ms);
	if (row->last_at_ms > 0)
		(void)snprintf(
			last, sizeof(last), "%s ago",
			weir__time_age(age, s->now_ms - row->last_at_ms));
	weir__queue_table_add(
		&s->table,
		(const char *const[]){
			row->name, row->spec,
			row->job->queue ? row->job->queue : "default",
			row->job->kind, row->paused ? "paused" : next, last});
}

static bool
on_schedule(const weir_schedule *row, void *user)
{
	struct schedules *s = user;
	struct weir_json j;

	s->count++;
	if (!s->options->json) {
		put_row(s, row);
		return true;
	}
	begin_record(&j, &s->out.text, row->name);
	weir__job_put_time(&j, "next_at", row->next_at_ms);
	weir__job_put_time(&j, "last_at", row->last_at_ms);
	put_schedule(&j, row);
	end_record(&j);
	return true;
}

static int
list(struct schedules *s)
{
	static const char *const headings[] = {"NAME", "SPEC", "QUEUE", "KIND",
					       "NEXT", "LAST", NULL};
	weir_error error = {0};
	weir_status status;
	int end;

	weir__queue_table_init(&s->table, &s->out, headings, 0);
	status = weir_store_schedules(s->store, on_schedule, s, &error);
	weir__queue_table_end(&s->table);
	if (status != WEIR_OK)
		return failed(s, "cannot list the schedules", status, &error);
	end = weir__queue_out_fini(&s->out);
	if (s->count == 0 && end == 0)
		weir__cli_note(s->cli, "no schedules");
	return end;
}

/* When it will fire, for whoever wants to see that the spec is right. */
static void
put_ticks(struct schedules *s, struct weir_json *j, const char *spec)
{
	struct weir_cron cron;
	char why[WEIR_CRON_WHY_MAX], text[WEIR_TIME_SIZE];
	int64_t at_ms = s->now_ms;

	if (!weir__cron_parse(spec, &cron, why))
		return;
	for (int i = 0; i < TICKS; i++) {
		at_ms = weir__cron_next_ms(&cron, at_ms);
		if (at_ms <= 0)
			break;
		weir__time_format(text, at_ms);
		if (j)
			weir__json_puts(j, text);
		else
			weir__buf_printf(&s->out.text, "  %s\n", text);
	}
}

static int
say_added(struct schedules *s, const weir_schedule *added)
{
	struct weir_json j;

	if (s->options->json) {
		begin_record(&j, &s->out.text, added->name);
		weir__json_key(&j, "next_at");
		weir__json_begin_array(&j);
		put_ticks(s, &j, added->spec);
		weir__json_end_array(&j);
		put_schedule(&j, added);
		end_record(&j);
	} else {
		weir__buf_printf(&s->out.text, "%s fires next at\n",
				 added->name);
		put_ticks(s, NULL, added->spec);
	}
	return weir__queue_out_fini(&s->out);
}

/* A spec that is none: why, before the store is made for nothing. */
static int
check_add(struct schedules *s)
{
	const char *spec = s->cli->operands[1];
	struct weir_cron cron;
	char why[WEIR_CRON_WHY_MAX];

	if (!s->options->job.kind) {
		weir__cli_error(s->cli, NULL, "no --kind given");
		weir__cli_try(s->cli, "weir schedule --help");
		return WEIR_EXIT_USAGE;
	}
	if (weir__cron_parse(spec, &cron, why))
		return -1;
	weir__cli_error(s->cli, NULL, "'%s' is no time to fire at: %s", spec,
			why);
	weir__cli_try(s->cli,
		      "weir schedule add %s '*/5 * * * *' ..., or "
		      "'@every 90s', or '@hourly'",
		      s->cli->operands[0]);
	return WEIR_EXIT_USAGE;
}

/* What is there by that name already is replaced, and said so. */
static bool
note_replaced(const weir_schedule *row, void *user)
{
	struct schedules *s = user;

	if (strcmp(row->name, s->cli->operands[0]) != 0)
		return true;
	weir__cli_note(s->cli, "%s replaces what was there: '%s', %s in %s",
		       row->name, row->spec, row->job->kind, row->job->queue);
	return false;
}

static int
add(struct schedules *s)
{
	weir_schedule schedule;
	weir_insert job;
	weir_error error = {0};
	weir_status status;
	int filled =
		weir__fill_options(s->cli, &s->options->job, &s->arena, &job);

	if (filled >= 0)
		return filled;
	job.queue = s->cli->operands[2];
	weir_schedule_init(&schedule);
	schedule.name = s->cli->operands[0];
	schedule.spec = s->cli->operands[1];
	schedule.job = &job;
	schedule.paused = s->options->paused;
	status = weir_store_schedules(s->store, note_replaced, s, &error);
	if (status == WEIR_OK)
		status = weir_store_schedule(s->store, &schedule, &error);
	if (status == WEIR_OK)
		return say_added(s, &schedule);
	if (status != WEIR_INVAL)
		return failed(s, "cannot add it", status, &error);
	weir__cli_error(s->cli, "cannot add it", "%s", error.message);
	weir__cli_try(s->cli, "weir schedule --help");
	return WEIR_EXIT_USAGE;
}

static void
say_done(struct schedules *s, const char *name, const char *done)
{
	struct weir_json j;

	if (!s->options->json) {
		weir__buf_printf(&s->out.text, "%s %s\n", name, done);
		return;
	}
	begin_record(&j, &s->out.text, name);
	weir__json_key(&j, "done");
	weir__json_puts(&j, done);
	end_record(&j);
}

/* remove, pause, resume: one by one, so that each is answered for. */
static int
change(struct schedules *s, const char *word)
{
	bool remove = strcmp(word, "remove") == 0;
	bool pause = strcmp(word, "pause") == 0;
	int worst = 0, end;

	for (size_t i = 0; i < s->cli->operand_count; i++) {
		const char *name = s->cli->operands[i];
		weir_error error = {0};
		weir_status status =
			remove ? weir_store_unschedule(s->store, name, &error)
			       : weir_store_pause_schedule(s->store, name,
							   pause, &error);

		if (status == WEIR_NOTFOUND) {
			struct queue_shown shown;

			weir__cli_error(
				s->cli, NULL, "there is no schedule '%s' (%s)",
				name,
				weir__queue_shown(&shown, s->options->db));
			worst = WEIR_EXIT_SOME_FAILED;
		} else if (status != WEIR_OK) {
			return failed(s, "cannot change a schedule", status,
				      &error);
		} else {
			say_done(s, name,
				 remove  ? "removed"
				 : pause ? "paused"
					 : "resumed");
		}
	}
	end = weir__queue_out_fini(&s->out);
	return end ? end : worst;
}

static int
do_word(struct schedules *s, const char *word)
{
	if (strcmp(word, "list") == 0)
		return list(s);
	return strcmp(word, "add") == 0 ? add(s) : change(s, word);
}

int
weir__schedule_run(struct weir_cli *cli)
{
	const struct weir_command_word *word = weir__cli_take_word(cli);
	struct schedules s = {.cli = cli,
			      .options = cli->options,
			      .out = {.cli = cli},
			      .now_ms = weir__time_now_ms()};
	bool adds;
	int status = -1;

	if (!word)
		return WEIR_EXIT_USAGE;
	weir__signals_release();
	adds = strcmp(word->name, "add") == 0;
	if (adds)
		status = check_add(&s);
	if (status < 0)
		status = weir__queue_open(cli, s.options->db,
					  adds ? QUEUE_OPEN_MAKE
					  : strcmp(word->name, "list") == 0
						  ? QUEUE_OPEN_LOOK
						  : QUEUE_OPEN_CHANGE,
					  WEIR_DURABLE_POWER, &s.store);
	if (status < 0)
		status = do_word(&s, word->name);
	(void)weir_store_close(s.store);
	weir__buf_fini(&s.out.text);
	weir__arena_fini(&s.arena);
	return status;
}
