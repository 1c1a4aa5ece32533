/*
 * Counting, ordering and buffering of records; see report.h.
 *
 * Design: in input order, a record that comes early waits in a window, a ring
 * indexed by its number:
 *
 *      written | . | x | x | . | x |        x: done, waits for those before
 *               next                 next + window: not read yet
 *
 * Locking: mu guards everything that is marked so, and is a leaf: with it held
 * nothing is called but `failed`, which must not call back.
 */
#include "fetch/report.h"

#include "base/assert.h"
#include "fetch/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The writer is told when so much has come together; it looks by itself, too */
#define NOTIFY_AT (32 * 1024)
/* Above this no more input is read. */
#define PENDING_MAX (1024 * 1024)

bool
weir__fetch_report_init(struct weir_fetch_report *report, size_t window)
{
	weir__mutex_init(&report->mu);
	report->window = window;
	report->next = 1;
	if (!report->ordered)
		return true;
	report->late = calloc(window, sizeof(*report->late));
	return report->late != NULL;
}

static void
stream_fini(struct weir_fetch_stream *stream)
{
	weir__buf_fini(&stream->pending);
	weir__buf_fini(&stream->writing);
}

void
weir__fetch_report_fini(struct weir_fetch_report *report)
{
	for (size_t i = 0; report->late && i < report->window; i++)
		free(report->late[i].text);
	free(report->late);
	stream_fini(&report->out);
	stream_fini(&report->file);
	weir__mutex_fini(&report->mu);
}

static void count_locked(struct weir_fetch_report *report,
			 const struct weir_fetch_record *record)
	WEIR_REQUIRES(report->mu);

static void
count_locked(struct weir_fetch_report *report,
	     const struct weir_fetch_record *record)
{
	struct weir_fetch_counts *counts = &report->counts;

	if (record->attempts > 1)
		counts->retries += record->attempts - 1;
	switch (record->status) {
	case WEIR_FETCH_OK:
		counts->ok++;
		counts->bytes += record->outcome->bytes;
		weir__hist_add(&report->latency, record->run_ns);
		break;
	case WEIR_FETCH_FAILED:
		counts->failed++;
		if (report->failed)
			report->failed(record, report->user);
		break;
	case WEIR_FETCH_CANCELLED:
		counts->cancelled++;
		break;
	case WEIR_FETCH_SKIPPED:
		counts->skipped++;
		break;
	}
}

static void
format(const struct weir_fetch_report *report, struct weir_buf *buf,
       const struct weir_fetch_record *record)
{
	if (report->format == WEIR_FETCH_FORMAT_JSON)
		weir__fetch_record_json(buf, record);
	else if (report->format == WEIR_FETCH_FORMAT_LINES &&
		 record->status != WEIR_FETCH_SKIPPED)
		weir__fetch_record_line(buf, record);
}

/* Number seq is done, with this text or none: write what is complete. */
static void settle_locked(struct weir_fetch_report *report, uint64_t seq,
			  char *text) WEIR_REQUIRES(report->mu);

static void
settle_locked(struct weir_fetch_report *report, uint64_t seq, char *text)
{
	struct weir_fetch_late *late = &report->late[seq % report->window];

	weir_assert(seq >= report->next && seq - report->next < report->window);
	weir_assert(!late->done);
	late->text = text;
	late->done = true;
	while ((late = &report->late[report->next % report->window])->done) {
		if (late->text)
			weir__buf_puts(&report->out.pending, late->text);
		free(late->text);
		late->text = NULL;
		late->done = false;
		report->next++;
	}
}

static void order_locked(struct weir_fetch_report *report,
			 const struct weir_fetch_record *record)
	WEIR_REQUIRES(report->mu);

static void
order_locked(struct weir_fetch_report *report,
	     const struct weir_fetch_record *record)
{
	struct weir_buf text = {0};

	if (record->seq == report->next) {
		format(report, &report->out.pending, record);
		settle_locked(report, record->seq, NULL);
		return;
	}
	format(report, &text, record);
	settle_locked(report, record->seq, text.data);
}

static void
notify(struct weir_fetch_report *report)
{
	uint64_t one = 1;

	while (write(report->notify_fd, &one, sizeof(one)) < 0 &&
	       errno == EINTR)
		;
}

/* Bytes that came together, from which on the writer is told, once. */
static bool
crosses(size_t before, size_t after)
{
	return before < NOTIFY_AT && after >= NOTIFY_AT;
}

void
weir__fetch_report_record(struct weir_fetch_report *report,
			  const struct weir_fetch_record *record)
{
	size_t out_before, file_before;
	bool tell;

	weir__mutex_lock(&report->mu);
	out_before = report->out.pending.len;
	file_before = report->file.pending.len;
	count_locked(report, record);
	/* What was skipped stands in the records already. */
	if (report->records && record->status != WEIR_FETCH_SKIPPED)
		weir__fetch_record_json(&report->file.pending, record);
	if (report->ordered)
		order_locked(report, record);
	else
		format(report, &report->out.pending, record);
	tell = crosses(out_before, report->out.pending.len) ||
	       crosses(file_before, report->file.pending.len);
	weir__mutex_unlock(&report->mu);
	if (tell)
		notify(report);
}

void
weir__fetch_report_unstarted(struct weir_fetch_report *report, uint64_t seq)
{
	weir__mutex_lock(&report->mu);
	report->counts.unstarted++;
	if (report->ordered)
		settle_locked(report, seq, NULL);
	weir__mutex_unlock(&report->mu);
}

bool
weir__fetch_report_has_room(struct weir_fetch_report *report, uint64_t seq)
{
	bool has_room;

	weir__mutex_lock(&report->mu);
	has_room = report->out.pending.len < PENDING_MAX &&
		   report->file.pending.len < PENDING_MAX &&
		   (!report->ordered || seq - report->next < report->window);
	if (!has_room)
		weir__u32_store(&report->full, 1, WEIR_SEQ_CST);
	weir__mutex_unlock(&report->mu);
	return has_room;
}

bool
weir__fetch_report_was_full(struct weir_fetch_report *report)
{
	return weir__u32_exchange(&report->full, 0, WEIR_SEQ_CST) != 0;
}

bool
weir__fetch_report_take(struct weir_fetch_report *report,
			struct weir_fetch_stream *stream)
{
	struct weir_buf empty = stream->writing;

	if (stream->written < stream->writing.len)
		return true;
	weir__mutex_lock(&report->mu);
	weir__buf_reset(&empty);
	stream->writing = stream->pending;
	stream->pending = empty;
	weir__mutex_unlock(&report->mu);
	stream->written = 0;
	return stream->writing.len > 0;
}

struct weir_fetch_counts
weir__fetch_report_counts(struct weir_fetch_report *report)
{
	struct weir_fetch_counts counts;

	weir__mutex_lock(&report->mu);
	counts = report->counts;
	weir__mutex_unlock(&report->mu);
	return counts;
}
