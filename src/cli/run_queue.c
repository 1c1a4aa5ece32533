/*
 * weir run --queue: the commands become jobs of a store, and none is run.
 *
 * Design: options and operands are taken as for a run (run_setup.c), the items
 * become commands by the same template, and a command becomes the args of a
 * job: its words, and the folder that it is to run in.  JSON cannot hold words
 * that are no UTF-8, so these are told apart by what they are, not by a mark
 * in the text: a string is a word as it stands, {"base64": ...} is bytes.
 */
#include "cli/queue_batch.h"
#include "cli/queue_open.h"
#include "cli/queue_refuse.h"
#include "cli/queue_words.h"
#include "cli/run_run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Items of one command, with -n: however they are escaped, they are to fit
 * into the megabyte that args may have.
 */
#define ITEMS_BYTES_MAX (128 * 1024)
/* Rows that are taken between two looks at the signals. */
#define ROWS_AT_ONCE 256

static const struct queue_refusal refusals[] = {
	{"jobs max-procs rate delay load memfree jobserver halt max-time grace "
	 "kill-after exit-code backoff retry-on mem-limit cpu-limit nofile",
	 "how jobs are run is for weir work to say"},
	{"keep-order tag line-buffer ungroup log joblog verbose dry-run",
	 "nothing is run, so there is no output"},
	{"resume retry-failed",
	 "a store knows by itself what is done; see weir jobs"},
};

/* What a run --queue has besides the run's own. */
struct queueing {
	struct run *run;
	struct queue_batch *batch;
	weir_insert template;
	struct weir_buf args; /* of one job */
	char dir[PATH_MAX];
};

/* Where the commands are to run, wherever their worker was started. */
static int
take_dir(struct queueing *q)
{
	const char *dir = q->run->options->dir;

	if (!realpath(dir ? dir : ".", q->dir))
		return weir__run_fail(q->run, "cannot run in", errno,
				      dir ? dir : ".");
	return -1;
}

static int
take_options(struct queueing *q)
{
	const struct run_cli_options *o = q->run->options;
	int status = weir__queue_refuse(q->run->cli, refusals,
					sizeof(refusals) / sizeof(refusals[0]));

	if (status < 0)
		status = weir__run_take_options(q->run);
	if (status < 0)
		status = weir__run_take_operands(q->run);
	if (status < 0)
		status = take_dir(q);
	weir_insert_init(&q->template);
	q->template.kind = "weir.run";
	q->template.queue = o->queue;
	/* Unless somebody says so, one attempt would be too few: a worker
	 * that is killed takes one with it. */
	if (weir__option_source(q->run->cli, "retries") != WEIR_FROM_DEFAULT)
		q->template.max_attempts = (uint32_t)o->retries + 1;
	q->template.timeout_ns =
		o->timeout_ns == WEIR_FOREVER ? 0 : o->timeout_ns;
	return status < 0 ? weir__batch_check(q->run->cli, &q->template, true)
			  : status;
}

/* {"argv": [...], "dir": ...} */
static void
put_args(struct queueing *q, const struct weir_exec_job *job)
{
	struct weir_json j;

	weir__buf_reset(&q->args);
	weir__json_init(&j, &q->args);
	weir__json_begin_object(&j);
	weir__json_key(&j, "argv");
	weir__json_begin_array(&j);
	for (size_t i = 0; i < job->argc; i++)
		weir__words_put(&j, job->argv[i]);
	weir__json_end_array(&j);
	weir__json_key(&j, "dir");
	weir__words_put(&j, q->dir);
	weir__json_end_object(&j);
}

static void
add_job(struct queueing *q, const struct weir_exec_job *job, uint64_t line)
{
	weir_insert insert = q->template;

	put_args(q, job);
	if (q->args.failed) {
		q->batch->exit = weir__queue_no_memory(q->run->cli);
		return;
	}
	insert.args = weir__batch_keep(q->batch, q->args.data, q->args.len);
	insert.args_len = q->args.len;
	if (insert.args)
		weir__batch_add(q->batch, &insert, line, q->args.len);
}

/* A slot is where a job runs, and which that will be nobody knows yet. */
static void
refuse_slots(struct queueing *q)
{
	weir__cli_error(q->run->cli, NULL,
			"{%%} has no place beside --queue: slots are for weir "
			"work to say");
	q->batch->exit = WEIR_EXIT_USAGE;
}

static void
take_row(struct queueing *q, const struct weir_items_row *row, bool bad)
{
	struct weir_exec_job *job =
		bad ? weir__template_bad(row)
		    : weir__template_make(q->run->template, row);

	if (!job)
		q->batch->exit = weir__queue_no_memory(q->run->cli);
	else if (job->bad[0])
		weir__batch_bad(q->batch, row->line, job->bad);
	else if (job->slot_count > 0)
		refuse_slots(q);
	else
		add_job(q, job, row->line);
	weir__exec_job_free(job);
}

/* One row, or what is there instead.  False: the input is over. */
static bool
take_next(struct queueing *q)
{
	struct weir_items_row row;

	switch (weir__items_next(q->run->items, &row)) {
	case WEIR_ITEMS_ROW:
		take_row(q, &row, false);
		return true;
	case WEIR_ITEMS_BAD:
		take_row(q, &row, true);
		return true;
	case WEIR_ITEMS_NONE:
		weir__batch_wait(q->batch, weir__items_fd(q->run->items));
		(void)weir__batch_is_over(q->batch);
		return true;
	case WEIR_ITEMS_END:
		return false;
	case WEIR_ITEMS_ERROR:
		break;
	}
	if (weir__batch_flush(q->batch)) {
		weir__cli_error(q->run->cli, NULL, "%s", row.why);
		q->batch->exit = WEIR_EXIT_FAILURE;
	}
	return false;
}

static void
read_items(struct queueing *q)
{
	struct queue_batch *batch = q->batch;
	unsigned taken = 0;
	bool end;

	while (batch->exit < 0 && !batch->stopped && take_next(q))
		if (++taken % ROWS_AT_ONCE == 0)
			(void)weir__batch_is_over(batch);
	if (weir__batch_is_over(batch))
		return;
	(void)weir__batch_flush(batch);
	if (weir__items_count(q->run->items, &end) == 0 && batch->exit < 0)
		weir__cli_note(q->run->cli, "no items in the input");
}

static int
enqueue(struct queueing *q)
{
	int status = weir__batch_begin(&q->batch, q->run->cli,
				       q->run->options->db, WEIR_DURABLE_POWER);

	if (status >= 0)
		return status;
	q->batch->json = q->run->options->json;
	q->batch->ours = true;
	read_items(q);
	return weir__batch_end(q->batch);
}

int
weir__run_run(struct weir_cli *cli)
{
	struct run *run = calloc(1, sizeof(*run));
	struct queueing q = {.run = run};
	int status;

	if (!run)
		return weir__queue_no_memory(cli);
	run->cli = cli;
	run->options = cli->options;
	run->items_bytes_max = ITEMS_BYTES_MAX;
	status = take_options(&q);
	if (status < 0)
		status = enqueue(&q);
	weir__batch_free(q.batch);
	weir__buf_fini(&q.args);
	weir__items_free(run->items);
	weir__template_free(run->template);
	free(run->sources);
	free(run->inputs);
	free(run);
	return status;
}
