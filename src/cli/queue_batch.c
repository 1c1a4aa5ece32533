/*
 * Many jobs on their way into a store; see queue_batch.h.
 *
 * Design: the store takes all jobs of a call or none, so a batch with a bad
 * job in it is refused as a whole.  That is rare, so nothing is judged before:
 * only when a batch is refused is each of its jobs judged by itself, the bad
 * ones told of with their lines, and the others put in.
 */
#include "cli/queue_batch.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/live.h"
#include "cli/queue_open.h"
#include "cli/queue_time.h"
#include "cli/signals.h"
#include "queue/draft.h"
#include "queue/ours.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
weir__batch_check(struct weir_cli *cli, const weir_insert *insert, bool ours)
{
	const struct weir_draft_rules rules = {
		.now_ms = weir__time_now_ms(),
		.ours = ours,
	};
	struct weir_drafts drafts;
	weir_error error = {0};
	weir_status status =
		weir__drafts_init(&drafts, insert, 1, &rules, &error);

	weir__drafts_fini(&drafts);
	if (status == WEIR_OK)
		return -1;
	if (status == WEIR_NOMEM)
		return weir__queue_no_memory(cli);
	weir__cli_error(cli, NULL, "%s", error.message);
	weir__cli_try(cli, "weir %s --help", cli->command->name);
	return WEIR_EXIT_USAGE;
}

int
weir__batch_begin(struct queue_batch **ret, struct weir_cli *cli,
		  const char *db, weir_durability durability)
{
	struct queue_batch *batch = calloc(1, sizeof(*batch));
	int status;

	*ret = batch;
	if (!batch)
		return weir__queue_no_memory(cli);
	batch->cli = batch->out.cli = cli;
	batch->db = db;
	batch->exit = -1;
	batch->signal_fd = weir__signals_fd();
	batch->began_ns = weir_now_ns();
	status = weir__queue_open(cli, db, QUEUE_OPEN_MAKE, durability,
				  &batch->store);
	if (status < 0)
		weir__progress_begin(batch->cli, &batch->progress);
	return status;
}

char *
weir__batch_keep(struct queue_batch *batch, const char *text, size_t len)
{
	char *copy = weir__arena_take(&batch->arena, len + 1);

	if (!copy) {
		batch->exit = weir__queue_no_memory(batch->cli);
		return NULL;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

static void
begin_record(struct weir_json *j, struct weir_buf *buf, uint64_t line)
{
	weir__json_init(j, buf);
	weir__json_begin_object(j);
	if (line > 0) {
		weir__json_key(j, "line");
		weir__json_uint(j, line);
	}
}

static void
end_record(struct weir_json *j, struct weir_buf *buf)
{
	weir__json_end_object(j);
	weir__buf_putc(buf, '\n');
}

static void
note_line(struct queue_batch *batch, uint64_t line)
{
	if (line > 0)
		batch->seen_line = line;
}

void
weir__batch_bad(struct queue_batch *batch, uint64_t line, const char *why)
{
	struct weir_json j;

	batch->bad++;
	note_line(batch, line);
	if (line > 0)
		weir__cli_error(batch->cli, NULL, "line %" PRIu64 ": %s", line,
				why);
	else
		weir__cli_error(batch->cli, NULL, "%s", why);
	if (!batch->json || line == 0)
		return;
	begin_record(&j, &batch->out.text, line);
	weir__json_key(&j, "id");
	weir__json_null(&j);
	weir__json_key(&j, "error");
	weir__json_puts(&j, why);
	end_record(&j, &batch->out.text);
}

static void
put_id(struct queue_batch *batch, size_t i, const weir_inserted *inserted)
{
	const weir_insert *insert = &batch->inserts[i];
	struct weir_buf *buf = &batch->out.text;
	struct weir_json j;

	if (!batch->json) {
		weir__buf_printf(buf, "%" PRId64 "\n", inserted->id);
		return;
	}
	begin_record(&j, buf, batch->lines[i]);
	weir__json_key(&j, "id");
	weir__json_int(&j, inserted->id);
	weir__json_key(&j, "kind");
	weir__json_puts(&j, insert->kind);
	weir__json_key(&j, "queue");
	weir__json_puts(&j, insert->queue ? insert->queue : "default");
	weir__json_key(&j, "state");
	weir__json_puts(&j, weir_job_state_name(inserted->state));
	weir__json_key(&j, "duplicate");
	weir__json_bool(&j, inserted->duplicate);
	end_record(&j, buf);
}

/* Judge job i by itself, and tell of it if it is none. */
static bool
is_good(struct queue_batch *batch, size_t i)
{
	const struct weir_draft_rules rules = {
		.now_ms = weir__store_now_ms(batch->store),
		.ours = batch->ours,
	};
	struct weir_drafts drafts;
	weir_error error = {0};
	weir_status status = weir__drafts_init(&drafts, &batch->inserts[i], 1,
					       &rules, &error);

	weir__drafts_fini(&drafts);
	if (status == WEIR_NOMEM)
		batch->exit = weir__queue_no_memory(batch->cli);
	if (status == WEIR_INVAL)
		weir__batch_bad(batch, batch->lines[i], error.message);
	return status == WEIR_OK;
}

/* Leave out what is no job.  False: there was nothing to leave out. */
static bool
leave_bad_out(struct queue_batch *batch)
{
	size_t good = 0, before = batch->count;

	for (size_t i = 0; i < before && batch->exit < 0; i++) {
		if (!is_good(batch, i))
			continue;
		batch->inserts[good] = batch->inserts[i];
		batch->lines[good++] = batch->lines[i];
	}
	batch->count = good;
	return good < before;
}

static weir_status
insert_all(struct queue_batch *batch, weir_inserted *rets, weir_error *error)
{
	return batch->ours
		       ? weir__store_insert_ours(batch->store, batch->inserts,
						 batch->count, rets, NULL,
						 error)
		       : weir_store_insert(batch->store, batch->inserts,
					   batch->count, rets, NULL, error);
}

static void
note_inserted(struct queue_batch *batch, const weir_inserted *rets)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (rets[i].duplicate)
			batch->duplicates++;
		else
			batch->added++;
		put_id(batch, i, &rets[i]);
	}
}

static void
show_progress(struct queue_batch *batch)
{
	struct weir_progress_counts counts = {
		.done = batch->added + batch->duplicates + batch->bad,
		.ok = batch->added,
		.failed = batch->bad,
		.skipped = batch->duplicates,
		.elapsed_ns = weir_now_ns() - batch->began_ns,
	};

	counts.total = counts.done;
	if (batch->cli->progress)
		weir__progress_update(batch->cli->progress, &counts);
}

/* What was printed so far stands, and so does what is in the store. */
static void
flush_failed(struct queue_batch *batch, const weir_error *error)
{
	batch->exit = weir__queue_failed(batch->cli, batch->db,
					 "cannot enqueue", error);
}

bool
weir__batch_flush(struct queue_batch *batch)
{
	weir_inserted *rets = batch->inserted;
	weir_error error = {0};
	weir_status status = WEIR_OK;

	if (batch->count > 0 && batch->exit < 0)
		status = insert_all(batch, rets, &error);
	if (status == WEIR_INVAL && leave_bad_out(batch))
		status = batch->count > 0 && batch->exit < 0
				 ? insert_all(batch, rets, &error)
				 : WEIR_OK;
	if (batch->exit < 0 && status == WEIR_OK) {
		note_inserted(batch, rets);
		batch->last_line = batch->seen_line;
	}
	if (status != WEIR_OK) {
		error.status = status;
		flush_failed(batch, &error);
	}
	if (!weir__queue_out_write(&batch->out) && batch->exit < 0)
		batch->exit = batch->out.exit;
	batch->count = batch->bytes = 0;
	weir__arena_fini(&batch->arena);
	show_progress(batch);
	return batch->exit < 0;
}

void
weir__batch_add(struct queue_batch *batch, const weir_insert *insert,
		uint64_t line, size_t bytes)
{
	weir_assert(batch->count < QUEUE_BATCH_MAX);
	note_line(batch, line);
	batch->inserts[batch->count] = *insert;
	batch->lines[batch->count++] = line;
	batch->bytes += bytes;
	if (batch->count == QUEUE_BATCH_MAX ||
	    batch->bytes >= QUEUE_BATCH_BYTES)
		(void)weir__batch_flush(batch);
}

static void
put_count(struct weir_buf *buf, uint64_t count, const char *one,
	  const char *many)
{
	char text[WEIR_FORMAT_SIZE];

	weir__buf_printf(buf, "%s %s",
			 weir__format_count(text, sizeof(text), count),
			 count == 1 ? one : many);
}

/* "enqueued 4 991 jobs in 1.2s  (4 159/s), 7 were there already" */
static void
put_summary(const struct queue_batch *batch, struct weir_buf *buf)
{
	int64_t took_ns = weir_now_ns() - batch->began_ns;
	uint64_t done = batch->added + batch->duplicates;
	char text[WEIR_FORMAT_SIZE];

	weir__buf_puts(buf, "enqueued ");
	put_count(buf, batch->added, "job", "jobs");
	weir__buf_printf(buf, " in %s",
			 weir__format_duration(text, sizeof(text), took_ns));
	if (done > 1) {
		weir__buf_puts(buf, "  (");
		weir__progress_format_rate(
			buf, (double)done * 1e9 /
				     (double)(took_ns > 0 ? took_ns : 1));
		weir__buf_putc(buf, ')');
	}
	if (batch->duplicates > 0) {
		weir__buf_puts(buf, ", ");
		put_count(buf, batch->duplicates, "was there already",
			  "were there already");
	}
	weir__buf_putc(buf, '\n');
}

/* What is in the store, for whoever has to go on from there. */
static void
put_stopped(const struct queue_batch *batch, struct weir_buf *buf)
{
	weir__buf_puts(buf, "stopped: ");
	put_count(buf, batch->added, "job is in the store",
		  "jobs are in the store");
	if (batch->last_line > 0)
		weir__buf_printf(buf, ", up to line %" PRIu64,
				 batch->last_line);
	weir__buf_putc(buf, '\n');
}

static void
print_summary(const struct queue_batch *batch, bool stopped)
{
	struct weir_buf buf = {0};

	if (stopped)
		put_stopped(batch, &buf);
	else
		put_summary(batch, &buf);
	if (batch->bad > 0) {
		put_count(&buf, batch->bad, "line is", "lines are");
		weir__buf_puts(&buf, " no job; see above\n");
	}
	if (!buf.failed)
		(void)weir__term_write(STDERR_FILENO, weir__buf_str(&buf),
				       buf.len);
	weir__buf_fini(&buf);
}

bool
weir__batch_is_over(struct queue_batch *batch)
{
	int number;

	while (!batch->stopped && (number = weir__signals_wait(0)) > 0)
		if (number != SIGUSR1 && number != SIGUSR2)
			batch->stopped = number;
	return batch->stopped || batch->exit >= 0;
}

void
weir__batch_wait(struct queue_batch *batch, int fd)
{
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLIN},
		{.fd = batch->signal_fd, .events = POLLIN},
	};

	if (weir__batch_flush(batch))
		(void)poll(fds, 2, -1);
}

int
weir__batch_end(struct queue_batch *batch)
{
	int stopped = batch->stopped;
	uint64_t done = batch->added + batch->duplicates + batch->bad;
	bool cut = stopped || batch->exit >= 0;
	int status = batch->exit >= 0 ? batch->exit
		     : stopped        ? weir__exit_of_signal(stopped)
		     : batch->bad > 0 ? WEIR_EXIT_SOME_FAILED
				      : WEIR_EXIT_OK;

	if (batch->cli->progress)
		weir__progress_finish(&batch->progress);
	batch->cli->progress = NULL;
	if ((cut && (done > 0 || stopped)) || batch->bad > 0 ||
	    (done > 0 && !batch->cli->common.quiet))
		print_summary(batch, cut);
	return status;
}

void
weir__batch_free(struct queue_batch *batch)
{
	if (!batch)
		return;
	weir_assert(!batch->cli->progress);
	weir__arena_fini(&batch->arena);
	weir__buf_fini(&batch->out.text);
	if (batch->signal_fd >= 0)
		(void)close(batch->signal_fd);
	(void)weir_store_close(batch->store);
	free(batch);
}
