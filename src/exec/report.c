/*
 * Counting, ordering and buffering; see report.h.
 *
 * Design.  A chunk whose turn it is goes to the end of the list of what is to
 * be written.  In the order of the input what comes early waits in a window, a
 * ring indexed by the number of the job, where it is gathered in one spool for
 * each stream, however many lines there are:
 *
 *      written | o | x |   | x | . |        o: its turn, may still be running
 *               next             next + window: not read yet
 *
 * Locking.  mu guards everything that is marked so, and is a leaf: with it held
 * nothing is called but `failed`, which must not call back.  Temporary files
 * are written with it held when something waits for its turn: a disk, never a
 * pipe.
 */
#include "exec/report.h"

#include "base/assert.h"
#include "exec/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The writer is told of so many records; it looks by itself, too. */
#define NOTIFY_AT 64
/* Above this no more input is read, and no more lines are taken. */
#define CHUNKS_MAX 512
/* Above this records have to be written before more output is. */
#define RECORDS_MAX (64 * 1024)
#define PIECE_SIZE  (32 * 1024)

struct weir_exec_chunk {
	struct weir_list link;
	enum weir_exec_target target;
	bool is_ours; /* text, not to be tagged */
	struct weir_spool spool;
	size_t tag_len;
	char tag[];
};

struct weir_exec_late {
	struct weir_exec_chunk *chunks[WEIR_EXEC_TARGETS];
	bool done;
};

bool
weir__exec_report_init(struct weir_exec_report *report)
{
	weir__mutex_init(&report->mu);
	weir__list_init(&report->chunks);
	report->next = 1;
	if (!report->ordered)
		return true;
	report->late = calloc(report->window, sizeof(*report->late));
	return report->late != NULL;
}

static struct weir_exec_chunk *
chunk_free(struct weir_exec_chunk *chunk)
{
	if (chunk)
		weir__spool_fini(&chunk->spool);
	free(chunk);
	return NULL;
}

static bool
is_output(const struct weir_exec_chunk *chunk)
{
	return chunk->target == WEIR_EXEC_TO_OUT ||
	       chunk->target == WEIR_EXEC_TO_ERR;
}

static struct weir_exec_chunk *
pop_chunk(struct weir_exec_report *report)
{
	struct weir_exec_chunk *chunk = NULL;
	struct weir_list *link;

	weir__mutex_lock(&report->mu);
	link = weir__list_pop(&report->chunks);
	if (link) {
		chunk = weir_container_of(link, struct weir_exec_chunk, link);
		report->chunk_count--;
		report->output_count -= is_output(chunk);
	}
	weir__mutex_unlock(&report->mu);
	return chunk;
}

static void
text_fini(struct weir_exec_text *text)
{
	weir__buf_fini(&text->text);
}

void
weir__exec_report_fini(struct weir_exec_report *report)
{
	struct weir_exec_chunk *chunk;

	for (size_t i = 0; report->late && i < report->window; i++)
		for (int j = 0; j < WEIR_EXEC_TARGETS; j++)
			chunk_free(report->late[i].chunks[j]);
	while (report->chunks.next && (chunk = pop_chunk(report)))
		chunk_free(chunk);
	chunk_free(report->current);
	free(report->late);
	text_fini(&report->log);
	text_fini(&report->joblog);
	weir__buf_fini(&report->line);
	weir__mutex_fini(&report->mu);
}

static void
notify(struct weir_exec_report *report)
{
	uint64_t one = 1;

	while (write(report->notify_fd, &one, sizeof(one)) < 0 &&
	       errno == EINTR)
		;
}

/* What cannot be kept is lost, and the run with it: the owner looks. */
static void note_error_locked(struct weir_exec_report *report, int error)
	WEIR_REQUIRES(report->mu);

static void
note_error_locked(struct weir_exec_report *report, int error)
{
	if (error && !report->error)
		report->error = error;
}

static void push_locked(struct weir_exec_report *report,
			struct weir_exec_chunk *chunk)
	WEIR_REQUIRES(report->mu);

static void
push_locked(struct weir_exec_report *report, struct weir_exec_chunk *chunk)
{
	if (!chunk)
		return;
	weir__list_append(&report->chunks, &chunk->link);
	report->chunk_count++;
	report->output_count += is_output(chunk);
}

static struct weir_exec_chunk *
chunk_new(const struct weir_exec_report *report,
	  const struct weir_exec_job *job, enum weir_exec_target target)
{
	size_t tag_len = report->tagged && job ? job->item_len : 0;
	struct weir_exec_chunk *chunk = calloc(1, sizeof(*chunk) + tag_len + 1);

	if (!chunk)
		return NULL;
	chunk->target = target;
	chunk->is_ours = !job;
	chunk->tag_len = tag_len;
	if (tag_len > 0)
		memcpy(chunk->tag, job->item, tag_len);
	chunk->spool.budget = report->budget;
	return chunk;
}

/* Add what is in spool to what waits already. */
static int
gather(struct weir_spool *dest, struct weir_spool *spool)
{
	char piece[4096];
	long got;
	int failed = 0;

	while (failed == 0 &&
	       (got = weir__spool_read(spool, piece, sizeof(piece))) != 0)
		failed = got < 0 ? errno
				 : weir__spool_append(dest, piece, (size_t)got);
	weir__spool_fini(spool);
	return failed;
}

/* Is it written as soon as possible, or does it have to wait for others? */
static bool is_its_turn_locked(const struct weir_exec_report *report,
			       uint64_t seq) WEIR_REQUIRES(report->mu);

static bool
is_its_turn_locked(const struct weir_exec_report *report, uint64_t seq)
{
	return !report->ordered || seq == report->next;
}

/* What waits for the turn of seq, for that target. */
static struct weir_exec_chunk **late_of_locked(struct weir_exec_report *report,
					       uint64_t seq,
					       enum weir_exec_target target)
	WEIR_REQUIRES(report->mu);

static struct weir_exec_chunk **
late_of_locked(struct weir_exec_report *report, uint64_t seq,
	       enum weir_exec_target target)
{
	struct weir_exec_late *late = &report->late[seq % report->window];

	weir_assert(seq >= report->next &&
		    seq - report->next < report->window && !late->done);
	return &late->chunks[target];
}

/* A spool of output, whose turn may be now or later.  It is empty then. */
static void add_locked(struct weir_exec_report *report,
		       const struct weir_exec_job *job, uint64_t seq,
		       enum weir_exec_target target, struct weir_spool *spool)
	WEIR_REQUIRES(report->mu);

static void
add_locked(struct weir_exec_report *report, const struct weir_exec_job *job,
	   uint64_t seq, enum weir_exec_target target, struct weir_spool *spool)
{
	struct weir_exec_chunk *chunk, **late = NULL;

	if (!spool || spool->len == 0)
		return;
	if (!is_its_turn_locked(report, seq)) {
		late = late_of_locked(report, seq, target);
		if (*late) {
			note_error_locked(report,
					  gather(&(*late)->spool, spool));
			return;
		}
	}
	chunk = chunk_new(report, job, target);
	if (!chunk) {
		note_error_locked(report, ENOMEM);
		return;
	}
	weir__spool_move(&chunk->spool, spool);
	if (late)
		*late = chunk;
	else
		push_locked(report, chunk);
}

/* Nothing more will come of number seq: those behind it may have their turn. */
static void settle_locked(struct weir_exec_report *report, uint64_t seq)
	WEIR_REQUIRES(report->mu);

static void
settle_locked(struct weir_exec_report *report, uint64_t seq)
{
	struct weir_exec_late *late;

	if (!report->ordered)
		return;
	late = &report->late[seq % report->window];
	weir_assert(seq >= report->next &&
		    seq - report->next < report->window && !late->done);
	late->done = true;
	while ((late = &report->late[report->next % report->window])->done) {
		*late = (struct weir_exec_late){0};
		report->next++;
		/* Whose turn it is now may have written something before. */
		late = &report->late[report->next % report->window];
		for (int i = 0; i < WEIR_EXEC_TARGETS; i++) {
			push_locked(report, late->chunks[i]);
			late->chunks[i] = NULL;
		}
	}
}

static bool wants_writer_locked(const struct weir_exec_report *report)
	WEIR_REQUIRES(report->mu);

static bool
wants_writer_locked(const struct weir_exec_report *report)
{
	return report->output_count > 0 || report->chunk_count >= NOTIFY_AT;
}

/* Let go, and tell the writer if there was nothing for it before. */
static void unlock_and_tell(struct weir_exec_report *report, bool told)
	WEIR_RELEASES(report->mu);

static void
unlock_and_tell(struct weir_exec_report *report, bool told)
{
	bool tell = !told && wants_writer_locked(report);

	weir__mutex_unlock(&report->mu);
	if (tell)
		notify(report);
}

static void add_text_locked(struct weir_exec_report *report, uint64_t seq,
			    enum weir_exec_target target,
			    const struct weir_buf *text)
	WEIR_REQUIRES(report->mu);

static void
add_text_locked(struct weir_exec_report *report, uint64_t seq,
		enum weir_exec_target target, const struct weir_buf *text)
{
	struct weir_spool spool = {.budget = report->budget};

	if (text->failed)
		note_error_locked(report, ENOMEM);
	if (text->len == 0)
		return;
	note_error_locked(report,
			  weir__spool_append(&spool, text->data, text->len));
	add_locked(report, NULL, seq, target, &spool);
}

static void add_record_locked(struct weir_exec_report *report, uint64_t seq,
			      const struct weir_buf *line)
	WEIR_REQUIRES(report->mu);

/* A line for the log and, with --json, for standard output. */
static void
add_record_locked(struct weir_exec_report *report, uint64_t seq,
		  const struct weir_buf *line)
{
	if (report->json)
		add_text_locked(report, seq, WEIR_EXEC_TO_OUT, line);
	if (report->has_log)
		add_text_locked(report, seq, WEIR_EXEC_TO_LOG, line);
}

static void
put_record(const struct weir_exec_report *report, struct weir_buf *line,
	   const struct weir_exec_job *job,
	   const struct weir_exec_attempt *attempt)
{
	char why[WEIR_ERROR_MAX];

	if (!report->has_log && !report->json)
		return;
	weir__exec_why(why, sizeof(why), attempt);
	weir__exec_json_line(line, job, attempt, why);
}

/* The record of the last attempt waits for the job's end, and its output. */
void
weir__exec_report_attempt(struct weir_exec_report *report,
			  const struct weir_exec_job *job,
			  const struct weir_exec_attempt *attempt)
{
	struct weir_buf line = {0};
	bool told;

	if (!attempt->will_retry)
		return;
	put_record(report, &line, job, attempt);
	weir__mutex_lock(&report->mu);
	told = wants_writer_locked(report);
	report->counts.retries++;
	add_record_locked(report, job->seq, &line);
	unlock_and_tell(report, told);
	weir__buf_fini(&line);
}

/* The exit status that a shell would give this. */
static int
code_of(const struct weir_exec_attempt *attempt)
{
	if (!attempt)
		return 1;
	switch (attempt->end) {
	case WEIR_EXEC_EXITED:
		return attempt->code;
	case WEIR_EXEC_SIGNALED:
	case WEIR_EXEC_CANCELED:
		return 128 + attempt->code;
	case WEIR_EXEC_TIMED_OUT:
		return 124;
	case WEIR_EXEC_UNSTARTED:
		return attempt->error == ENOENT ? 127 : 126;
	}
	return 1;
}

/* Where what commands write to their standard output goes. */
static enum weir_exec_target
output_target(const struct weir_exec_report *report)
{
	return report->json || report->aside ? WEIR_EXEC_TO_ERR
					     : WEIR_EXEC_TO_OUT;
}

static void count_locked(struct weir_exec_report *report,
			 const struct weir_exec_result *result)
	WEIR_REQUIRES(report->mu);

static void
count_locked(struct weir_exec_report *report,
	     const struct weir_exec_result *result)
{
	struct weir_exec_counts *counts = &report->counts;
	int code;

	switch (result->status) {
	case WEIR_EXEC_OK:
		counts->ok++;
		weir__hist_add(&report->latency, result->run_ns);
		break;
	case WEIR_EXEC_FAILED:
		code = code_of(result->last);
		if (counts->failed++ == 0)
			counts->first_code = code;
		if (code > counts->max_code)
			counts->max_code = code;
		if (report->failed)
			report->failed(result, report->user);
		break;
	case WEIR_EXEC_CANCELLED:
		counts->cancelled++;
		break;
	case WEIR_EXEC_SKIPPED:
		counts->skipped++;
		break;
	}
}

void
weir__exec_report_ended(struct weir_exec_report *report,
			const struct weir_exec_result *result)
{
	const struct weir_exec_job *job = result->job;
	struct weir_buf line = {0}, row = {0};
	bool told;

	if (!result->last && (report->has_log || report->json))
		weir__exec_json_line(&line, job, NULL, result->error);
	else if (result->last && !result->was_to_retry)
		put_record(report, &line, job, result->last);
	if (report->has_joblog)
		weir__joblog_line(&row, job, result->last);
	weir__mutex_lock(&report->mu);
	told = wants_writer_locked(report);
	count_locked(report, result);
	add_locked(report, job, job->seq, output_target(report), result->out);
	add_locked(report, job, job->seq, WEIR_EXEC_TO_ERR, result->err);
	add_record_locked(report, job->seq, &line);
	add_text_locked(report, job->seq, WEIR_EXEC_TO_JOBLOG, &row);
	settle_locked(report, job->seq);
	unlock_and_tell(report, told);
	weir__buf_fini(&line);
	weir__buf_fini(&row);
}

void
weir__exec_report_unstarted(struct weir_exec_report *report,
			    const struct weir_exec_job *job)
{
	weir__mutex_lock(&report->mu);
	report->counts.unstarted++;
	settle_locked(report, job->seq);
	unlock_and_tell(report, false);
}

void
weir__exec_report_skipped(struct weir_exec_report *report, uint64_t seq)
{
	weir__mutex_lock(&report->mu);
	report->counts.skipped++;
	settle_locked(report, seq);
	unlock_and_tell(report, false);
}

void
weir__exec_report_say(struct weir_exec_report *report, uint64_t seq,
		      bool is_err, const char *text, size_t len)
{
	struct weir_spool spool = {.budget = report->budget};

	weir__mutex_lock(&report->mu);
	note_error_locked(report, weir__spool_append(&spool, text, len));
	add_locked(report, NULL, seq,
		   is_err ? WEIR_EXEC_TO_ERR : WEIR_EXEC_TO_OUT, &spool);
	unlock_and_tell(report, false);
}

bool
weir__exec_report_chunk(struct weir_exec_report *report,
			const struct weir_exec_job *job, bool is_err,
			struct weir_spool *spool)
{
	bool room, told;

	weir__mutex_lock(&report->mu);
	told = wants_writer_locked(report);
	room = report->chunk_count < CHUNKS_MAX;
	if (room)
		add_locked(report, job, job->seq,
			   is_err ? WEIR_EXEC_TO_ERR : output_target(report),
			   spool);
	else
		weir__u32_store(&report->full, 1, WEIR_SEQ_CST);
	unlock_and_tell(report, told);
	return room;
}

bool
weir__exec_report_has_room(struct weir_exec_report *report, uint64_t seq)
{
	bool room;

	weir__mutex_lock(&report->mu);
	room = report->chunk_count < CHUNKS_MAX &&
	       (!report->ordered || seq - report->next < report->window);
	if (!room)
		weir__u32_store(&report->full, 1, WEIR_SEQ_CST);
	weir__mutex_unlock(&report->mu);
	return room;
}

bool
weir__exec_report_was_full(struct weir_exec_report *report)
{
	return weir__u32_exchange(&report->full, 0, WEIR_SEQ_CST) != 0;
}

/* Append data with the tag in front of each line. */
static void
put_lines(struct weir_exec_report *report, const char *data, size_t len)
{
	const struct weir_exec_chunk *chunk = report->current;
	const char *end;
	size_t part;

	if (!report->tagged || chunk->is_ours) {
		weir__buf_append(&report->line, data, len);
		return;
	}
	for (; len > 0; data += part, len -= part) {
		end = memchr(data, '\n', len);
		part = end ? (size_t)(end - data) + 1 : len;
		if (!report->mid_line) {
			weir__buf_append(&report->line, chunk->tag,
					 chunk->tag_len);
			weir__buf_putc(&report->line, '\t');
		}
		weir__buf_append(&report->line, data, part);
		report->mid_line = !end;
	}
}

/* What has been read of the current chunk: lines for people, or a record. */
static void
put_piece(struct weir_exec_report *report, const char *data, size_t len)
{
	switch (report->current->target) {
	case WEIR_EXEC_TO_OUT:
	case WEIR_EXEC_TO_ERR:
		put_lines(report, data, len);
		break;
	case WEIR_EXEC_TO_LOG:
		weir__buf_append(&report->log.text, data, len);
		break;
	case WEIR_EXEC_TO_JOBLOG:
		weir__buf_append(&report->joblog.text, data, len);
		break;
	case WEIR_EXEC_TARGETS:
		weir_bug("a chunk for nobody");
	}
}

/* To the next chunk.  False: there is none, or not yet. */
static bool
turn(struct weir_exec_report *report)
{
	report->current = chunk_free(report->current);
	report->mid_line = false;
	if (report->log.text.len >= RECORDS_MAX ||
	    report->joblog.text.len >= RECORDS_MAX)
		return false;
	report->current = pop_chunk(report);
	return report->current;
}

static void
note_error(struct weir_exec_report *report, int error)
{
	weir__mutex_lock(&report->mu);
	note_error_locked(report, error);
	weir__mutex_unlock(&report->mu);
}

/* Some more of the current chunk, or of the next one. */
static bool
refill(struct weir_exec_report *report)
{
	char piece[PIECE_SIZE];
	long got;

	weir__buf_reset(&report->line);
	report->written = 0;
	if (!report->current && !turn(report))
		return false;
	got = weir__spool_read(&report->current->spool, piece, sizeof(piece));
	if (got < 0)
		note_error(report, errno);
	if (got > 0)
		put_piece(report, piece, (size_t)got);
	if (report->line.failed || report->log.text.failed ||
	    report->joblog.text.failed)
		note_error(report, ENOMEM);
	return got > 0 || turn(report);
}

bool
weir__exec_report_piece(struct weir_exec_report *report,
			struct weir_exec_piece *ret)
{
	while (report->written == report->line.len)
		if (!refill(report))
			return false;
	ret->data = report->line.data + report->written;
	ret->len = report->line.len - report->written;
	ret->is_err = report->current->target == WEIR_EXEC_TO_ERR;
	return true;
}

void
weir__exec_report_wrote(struct weir_exec_report *report, size_t len)
{
	weir_assert(len <= report->line.len - report->written);
	report->written += len;
}

struct weir_exec_counts
weir__exec_report_counts(struct weir_exec_report *report)
{
	struct weir_exec_counts counts;

	weir__mutex_lock(&report->mu);
	counts = report->counts;
	weir__mutex_unlock(&report->mu);
	return counts;
}
