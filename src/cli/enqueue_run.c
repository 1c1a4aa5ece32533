/*
 * weir enqueue: from flags and lines to jobs in a store.
 *
 * Design: the flags make a template.  A line's job is a copy of it with the
 * line's args or, with --whole, with whatever the line says.
 */
#include "cli/cmd_queue.h"
#include "cli/queue_batch.h"
#include "cli/queue_fill.h"
#include "cli/queue_open.h"
#include "cli/queue_time.h"
#include "cli/signals.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* args and metadata at their largest, and all else. */
#define LINE_BYTES_MAX (2 * WEIR_ARGS_MAX + 64 * 1024)

struct enqueue {
	struct weir_cli *cli;
	const struct enqueue_cli_options *options;
	struct weir_arena arena; /* what the template points to */
	weir_insert template;    /* what the flags say */
	struct queue_batch *batch;
};

static int
usage(struct enqueue *e, const char *wrong, const char *next)
{
	weir__cli_error(e->cli, NULL, "%s", wrong);
	if (next)
		weir__cli_try(e->cli, "%s", next);
	return WEIR_EXIT_USAGE;
}

static int
check_options(struct enqueue *e)
{
	const struct enqueue_cli_options *o = e->options;
	bool delayed = weir__option_source(e->cli, "delay") > WEIR_FROM_DEFAULT;

	if (e->cli->operand_count > 1) {
		weir__cli_error(e->cli, NULL, "too many arguments: '%s'",
				e->cli->operands[1]);
		return WEIR_EXIT_USAGE;
	}
	if (e->cli->operand_count == 0 && !o->whole)
		return usage(e, "no queue given",
			     "weir enqueue default --kind KIND");
	if (!o->job.kind && !o->whole)
		return usage(e, "no --kind given",
			     "weir enqueue --whole, if each line names its "
			     "kind");
	if (o->job.args && o->files.count > 0)
		return usage(e, "--args and --arg-file exclude each other",
			     NULL);
	if (o->job.args && o->whole)
		return usage(e, "--whole is about lines, and --args reads none",
			     NULL);
	if (delayed && o->at)
		return usage(e, "--delay and --at exclude each other", NULL);
	return -1;
}

static int
take_options(struct enqueue *e)
{
	const struct enqueue_cli_options *o = e->options;
	int status = check_options(e);

	if (status < 0)
		status = weir__fill_options(e->cli, &o->job, &e->arena,
					    &e->template);
	if (status >= 0)
		return status;
	e->template.queue =
		e->cli->operand_count > 0 ? e->cli->operands[0] : NULL;
	e->template.pending = o->pending;
	e->template.delay_ns = o->delay_ns;
	if (!o->at || weir__time_parse_at(o->at, weir__time_now_ms(),
					  &e->template.scheduled_at_ms))
		return -1;
	weir__cli_error(e->cli, "--at",
			"'%s' is no time, such as 2027-01-31T09:00:00Z or "
			"09:30",
			o->at);
	return WEIR_EXIT_USAGE;
}

/* One job, of --args. */
static void
enqueue_one(struct enqueue *e)
{
	/* There is nothing to tidy up, so a signal may end it at once. */
	weir__signals_release();
	weir__batch_add(e->batch, &e->template, 0, 0);
	(void)weir__batch_flush(e->batch);
}

/* Of lines, all that the flags say; and args, if they are there. */
static int
check_template(struct enqueue *e)
{
	weir_insert insert = e->template;

	if (!insert.kind)
		insert.kind = "any";
	return weir__batch_check(e->cli, &insert, false);
}

static void
take_line(struct queue_lines *lines, const struct weir_line *line)
{
	struct enqueue *e = lines->user;
	char *text = weir__batch_keep(e->batch, line->text, line->len);
	weir_insert insert = e->template;
	char why[WEIR_ERROR_MAX];
	weir_status status = WEIR_OK;

	if (!text)
		return;
	if (e->options->whole) {
		status = weir__fill_line(text, line->len, &e->batch->arena,
					 &insert, why);
	} else {
		insert.args = text;
		insert.args_len = line->len;
	}
	if (status == WEIR_OK && !insert.kind) {
		status = WEIR_INVAL;
		(void)snprintf(why, sizeof(why), "it names no kind");
	}
	if (status == WEIR_NOMEM)
		e->batch->exit = weir__queue_no_memory(e->cli);
	else if (status == WEIR_OK)
		weir__batch_add(e->batch, &insert, line->number, line->len);
	else
		weir__batch_bad_line(lines, line, why);
}

static void
enqueue_lines(struct enqueue *e)
{
	struct queue_lines lines = {
		.batch = e->batch,
		.files = e->options->files.items,
		.file_count = e->options->files.count,
		.max = LINE_BYTES_MAX,
		.take = take_line,
		.user = e,
	};

	weir__batch_read(&lines);
	if (lines.count == 0 && !weir__batch_is_over(e->batch))
		weir__cli_note(e->cli, "no lines in the input; a job without "
				       "arguments has --args '{}'");
}

/* They should be there before anything is enqueued. */
static int
check_input(struct enqueue *e)
{
	const struct weir_option_list *files = &e->options->files;

	if (files->count > 0)
		return weir__batch_check_files(e->cli, files->items,
					       files->count);
	if (e->options->job.args || !isatty(STDIN_FILENO))
		return -1;
	weir__cli_note(e->cli,
		       "nothing to enqueue; give --args JSON, or pipe in lines "
		       "of JSON");
	return WEIR_EXIT_OK;
}

int
weir__enqueue_run(struct weir_cli *cli)
{
	struct enqueue e = {.cli = cli, .options = cli->options};
	int status = take_options(&e);

	if (status < 0)
		status = check_template(&e);
	if (status < 0)
		status = check_input(&e);
	if (status < 0)
		status = weir__batch_begin(
			&e.batch, cli, e.options->db,
			(weir_durability)e.options->durability);
	if (status < 0) {
		e.batch->json = e.options->json;
		if (e.options->job.args)
			enqueue_one(&e);
		else
			enqueue_lines(&e);
		status = weir__batch_end(e.batch);
	}
	weir__batch_free(e.batch);
	weir__arena_fini(&e.arena);
	return status;
}
