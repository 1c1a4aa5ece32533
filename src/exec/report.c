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

/* The writer is told when so much has come together; it looks by itself, too */
#define NOTIFY_AT (16 * 1024)
/* Above these no more input is read, and no more lines are taken. */
#define PENDING_MAX (1024 * 1024)
#define CHUNKS_MAX  512
#define PIECE_SIZE  (32 * 1024)

struct weir_exec_chunk {
	struct weir_list link;
	bool is_err, is_ours; /* ours: text, not to be tagged */
	struct weir_spool spool;
	size_t tag_len;
	char tag[];
};

struct weir_exec_late {
	struct weir_exec_chunk *out, *err;
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

static void
text_fini(struct weir_exec_text *text)
{
	weir__buf_fini(&text->pending);
	weir__buf_fini(&text->writing);
}

void
weir__exec_report_fini(struct weir_exec_report *report)
{
	struct weir_list *link;

	for (size_t i = 0; report->late && i < report->window; i++) {
		chunk_free(report->late[i].out);
		chunk_free(report->late[i].err);
	}
	while (report->chunks.next && (link = weir__list_pop(&report->chunks)))
		chunk_free(
			weir_container_of(link, struct weir_exec_chunk, link));
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
}

static struct weir_exec_chunk *
chunk_new(const struct weir_exec_report *report,
	  const struct weir_exec_job *job, bool is_err)
{
	size_t tag_len = report->tagged && job ? job->item_len : 0;
	struct weir_exec_chunk *chunk = calloc(1, sizeof(*chunk) + tag_len + 1);

	if (!chunk)
		return NULL;
	chunk->is_err = is_err;
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

/* What waits for the turn of seq, in that stream. */
static struct weir_exec_chunk **late_of_locked(struct weir_exec_report *report,
					       uint64_t seq, bool is_err)
	WEIR_REQUIRES(report->mu);

static struct weir_exec_chunk **
late_of_locked(struct weir_exec_report *report, uint64_t seq, bool is_err)
{
	struct weir_exec_late *late = &report->late[seq % report->window];

	weir_assert(seq >= report->next &&
		    seq - report->next < report->window && !late->done);
	return is_err ? &late->err : &late->out;
}

/* A spool of output, whose turn may be now or later.  It is empty then. */
static void add_locked(struct weir_exec_report *report,
		       const struct weir_exec_job *job, uint64_t seq,
		       bool is_err, struct weir_spool *spool)
	WEIR_REQUIRES(report->mu);

static void
add_locked(struct weir_exec_report *report, const struct weir_exec_job *job,
	   uint64_t seq, bool is_err, struct weir_spool *spool)
{
	struct weir_exec_chunk *chunk, **late = NULL;

	if (!spool || spool->len == 0)
		return;
	if (!is_its_turn_locked(report, seq)) {
		late = late_of_locked(report, seq, is_err);
		if (*late) {
			note_error_locked(report,
					  gather(&(*late)->spool, spool));
			return;
		}
	}
	chunk = chunk_new(report, job, is_err);
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
		push_locked(report, late->out);
		push_locked(report, late->err);
		late->out = NULL;
		late->err = NULL;
	}
}

static bool wants_writer_locked(const struct weir_exec_report *report)
	WEIR_REQUIRES(report->mu);

static bool
wants_writer_locked(const struct weir_exec_report *report)
{
	return report->chunk_count > 0 ||
	       report->log.pending.len >= NOTIFY_AT ||
	       report->joblog.pending.len >= NOTIFY_AT;
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

static void add_record_locked(struct weir_exec_report *report, uint64_t seq,
			      const struct weir_buf *line)
	WEIR_REQUIRES(report->mu);

/* A line for the log and, with --json, for standard output. */
static void
add_record_locked(struct weir_exec_report *report, uint64_t seq,
		  const struct weir_buf *line)
{
	struct weir_spool text = {.budget = report->budget};

	if (line->failed)
		note_error_locked(report, ENOMEM);
	if (report->has_log)
		weir__buf_append(&report->log.pending, line->data, line->len);
	if (!report->json)
		return;
	note_error_locked(report,
			  weir__spool_append(&text, line->data, line->len));
	add_locked(report, NULL, seq, false, &text);
}

void
weir__exec_report_attempt(struct weir_exec_report *report,
			  const struct weir_exec_job *job,
			  const struct weir_exec_attempt *attempt)
{
	struct weir_buf line = {0};
	char why[WEIR_ERROR_MAX];
	bool told;

	weir__exec_why(why, sizeof(why), attempt);
	if (report->has_log || report->json)
		weir__exec_json_line(&line, job, attempt, why);
	weir__mutex_lock(&report->mu);
	told = wants_writer_locked(report);
	report->counts.retries += attempt->will_retry;
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
	struct weir_buf line = {0};
	bool told;

	/* One that never had a try has no record yet. */
	if (!result->last && (report->has_log || report->json))
		weir__exec_json_line(&line, job, NULL, result->error);
	weir__mutex_lock(&report->mu);
	told = wants_writer_locked(report);
	count_locked(report, result);
	if (!result->last)
		add_record_locked(report, job->seq, &line);
	if (report->has_joblog)
		weir__joblog_line(&report->joblog.pending, job, result->last);
	add_locked(report, job, job->seq, report->json, result->out);
	add_locked(report, job, job->seq, true, result->err);
	settle_locked(report, job->seq);
	unlock_and_tell(report, told);
	weir__buf_fini(&line);
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
	add_locked(report, NULL, seq, is_err, &spool);
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
		add_locked(report, job, job->seq, is_err || report->json,
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
	       report->log.pending.len < PENDING_MAX &&
	       report->joblog.pending.len < PENDING_MAX &&
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

static struct weir_exec_chunk *
pop_chunk(struct weir_exec_report *report)
{
	struct weir_list *link;

	weir__mutex_lock(&report->mu);
	link = weir__list_pop(&report->chunks);
	report->chunk_count -= link != NULL;
	weir__mutex_unlock(&report->mu);
	return link ? weir_container_of(link, struct weir_exec_chunk, link)
		    : NULL;
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

/* The next bytes of the chunk that is being written, or of the next one. */
static bool
refill(struct weir_exec_report *report)
{
	char piece[PIECE_SIZE];
	long got = 0;

	weir__buf_reset(&report->line);
	report->written = 0;
	for (;;) {
		if (report->current)
			got = weir__spool_read(&report->current->spool, piece,
					       sizeof(piece));
		if (got > 0)
			break;
		if (got < 0) {
			weir__mutex_lock(&report->mu);
			note_error_locked(report, errno);
			weir__mutex_unlock(&report->mu);
			got = 0;
		}
		chunk_free(report->current);
		report->mid_line = false;
		report->current = pop_chunk(report);
		if (!report->current)
			return false;
	}
	put_lines(report, piece, (size_t)got);
	return true;
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
	ret->is_err = report->current->is_err;
	return true;
}

void
weir__exec_report_wrote(struct weir_exec_report *report, size_t len)
{
	weir_assert(len <= report->line.len - report->written);
	report->written += len;
}

bool
weir__exec_report_take(struct weir_exec_report *report,
		       struct weir_exec_text *text)
{
	struct weir_buf empty;

	weir__buf_reset(&text->writing);
	empty = text->writing;
	weir__mutex_lock(&report->mu);
	if (text->pending.failed)
		note_error_locked(report, ENOMEM);
	text->writing = text->pending;
	text->pending = empty;
	weir__mutex_unlock(&report->mu);
	return text->writing.len > 0;
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
