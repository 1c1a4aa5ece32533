/*
 * Jobs on their way through a process.
 *
 * Design.  One message a job, numbered.  The parent keeps the end open that
 * the process takes jobs from, and can so take back what the process has not:
 * a job is taken by exactly one of the two.  What was sent, not taken back and
 * not answered has begun.
 *
 * Small jobs go through a pair of pipes, as records of one size: a batch is
 * one system call each way on this side, and a job takes a fourth of the time
 * that a message on a socket takes.  Larger ones go through the socket, one at
 * a time.
 *
 * An answer is copied out of the cell's own memory only after it has been
 * found to be one: of the right size, to a job that is on its way, with a
 * status there is.
 *
 * Locking.  None; see cell.h.
 */
#include "isolate/cell.h"

#include "isolate/payload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The bytes that go along with a call, and where they are. */
static size_t
payload_pieces(const struct weir_cell *cell, const struct weir_call *call,
	       struct iovec *pieces)
{
	pieces[0] =
		(struct iovec){(void *)(uintptr_t)call->in, cell->spec.in_size};
	pieces[1] = (struct iovec){call->out,
				   call->attempt > 1 ? cell->spec.out_size : 0};
	return pieces[0].iov_len + pieces[1].iov_len;
}

static void
frame_fill(struct weir_job_frame *frame, const struct weir_call *call,
	   uint32_t seq, bool last)
{
	*frame = (struct weir_job_frame){
		.kind = WEIR_FRAME_JOB,
		.seq = seq,
		.id = call->id,
		.attempt = call->attempt,
		.flags = last ? WEIR_FRAME_LAST : 0,
		.timeout_ns = call->timeout_ns,
		.deadline_ns = call->deadline_ns,
		.retry = *call->retry,
	};
}

/* A job that may be too large for a frame. */
static bool
send_alone(struct weir_cell *cell, const struct weir_call *call, uint32_t seq)
{
	struct weir_job_frame frame;
	struct iovec pieces[3] = {{&frame, sizeof(frame)}};
	size_t size = payload_pieces(cell, call, pieces + 1);
	size_t count = 3;
	ssize_t n;
	int fd = -1;

	frame_fill(&frame, call, seq, true);
	if (size > WEIR_INLINE_MAX) {
		fd = weir__payload_seal(pieces + 1, 2);
		if (fd < 0)
			return false;
		frame.flags |= WEIR_FRAME_MEMFD;
		count = 1;
		size = 0;
	}
	n = weir__payload_send(cell->socket, pieces, count, fd, MSG_DONTWAIT);
	weir__fd_close(&fd);
	return n == (ssize_t)(sizeof(frame) + size);
}

static bool
send_together(struct weir_cell *cell, const struct weir_call *calls,
	      size_t *count)
{
	size_t in = cell->spec.in_size, out = cell->spec.out_size;
	char *at = cell->records;
	ssize_t n;

	weir_assert(cell->record > 0);

	for (size_t i = 0; i < *count; i++, at += cell->record) {
		struct weir_job_frame *frame = (void *)at;

		frame_fill(frame, &calls[i], cell->seq + (uint32_t)i,
			   i + 1 == *count);
		if (in > 0)
			memcpy(frame + 1, calls[i].in, in);
		if (out > 0)
			memcpy((char *)(frame + 1) + in, calls[i].out, out);
	}
	do
		n = write(cell->jobs, cell->records, *count * cell->record);
	while (n < 0 && errno == EINTR);
	/* Part of a record: nobody could read on after it. */
	if (n > 0 && (size_t)n % cell->record != 0)
		cell->blame = WEIR_BLAME_GARBAGE;
	if (n < (ssize_t)cell->record || cell->blame != WEIR_BLAME_NONE)
		return false;
	*count = (size_t)n / cell->record;
	return true;
}

bool
weir__flight_send(struct weir_cell *cell, struct weir_flight *flight,
		  struct weir_call *calls, size_t count)
{
	if (count > cell->batch_now)
		count = cell->batch_now;
	flight->calls = calls;
	flight->ended = 0;
	flight->first = cell->seq;
	memset(flight->back, 0, sizeof(flight->back));
	if (cell->small ? !send_together(cell, calls, &count)
			: !send_alone(cell, &calls[0], cell->seq))
		return false;
	flight->count = count;
	cell->seq += (uint32_t)count;
	return true;
}

/* Which call a frame is about, if it may be about one; or count. */
static size_t
call_of(const struct weir_flight *flight, uint32_t seq)
{
	size_t i = seq - flight->first;

	if (i >= flight->count || flight->back[i] || flight->calls[i].ended)
		return flight->count;
	return i;
}

static bool
status_is_known(uint32_t status)
{
	return strcmp(weir_status_name((weir_status)status), "UNKNOWN") != 0;
}

/* The output of a job; false: it is not what it should be. */
static bool
output_take(const struct weir_cell *cell, struct weir_call *call,
	    const struct weir_answer_frame *frame, int fd)
{
	size_t size = cell->spec.out_size;

	if (size <= WEIR_INLINE_MAX) {
		if (size > 0)
			memcpy(call->out, frame + 1, size);
		return !(frame->flags & WEIR_FRAME_MEMFD);
	}
	return (frame->flags & WEIR_FRAME_MEMFD) &&
	       weir__payload_is_sound(fd, size) &&
	       weir__payload_read(fd, 0, call->out, size);
}

static bool
answer_take(struct weir_cell *cell, struct weir_flight *flight,
	    const void *bytes, size_t size, int fd)
{
	const struct weir_answer_frame *frame = bytes;
	size_t inside =
		cell->spec.out_size > WEIR_INLINE_MAX ? 0 : cell->spec.out_size;
	size_t least = sizeof(*frame) + inside, i;
	struct weir_call *call;

	if (size < least || frame->kind != WEIR_FRAME_ANSWER ||
	    frame->text_len != size - least ||
	    size - least >= sizeof(call->error) ||
	    !status_is_known(frame->status))
		return false;
	i = call_of(flight, frame->seq);
	if (i == flight->count)
		return false;
	call = &flight->calls[i];
	if (!output_take(cell, call, frame, fd))
		return false;
	memcpy(call->error, (const char *)bytes + least, size - least);
	call->error[size - least] = '\0';
	call->status = (weir_status)frame->status;
	call->retry_after_ns = frame->retry_after_ns;
	call->ended = true;
	flight->ended++;
	cell->answered++;
	return true;
}

/* An answer, or the note of a process that is dying. */
static bool
frame_take(struct weir_cell *cell, struct weir_flight *flight,
	   const void *bytes, size_t size, int fd)
{
	uint32_t kind = 0;

	if (size >= sizeof(kind))
		memcpy(&kind, bytes, sizeof(kind));
	if (kind == WEIR_FRAME_NOTE && size == sizeof(cell->note)) {
		memcpy(&cell->note, bytes, size);
		return true;
	}
	return answer_take(cell, flight, bytes, size, fd);
}

/* One frame at a time, where descriptors come along. */
static bool
collect_alone(struct weir_cell *cell, struct weir_flight *flight)
{
	bool good = true;
	ssize_t n;
	int fd;

	while (good && (n = weir__payload_receive(cell->socket, cell->answers,
						  cell->answer_max, &fd,
						  MSG_DONTWAIT)) > 0) {
		good = frame_take(cell, flight, cell->answers, (size_t)n, fd);
		weir__fd_close(&fd);
	}
	return good;
}

/*
 * Records out of the pipe.  What is not all there yet is kept, at the front;
 * an answer that claims to be longer than any is none.
 */
static bool
collect_records(struct weir_cell *cell, struct weir_flight *flight)
{
	_Alignas(max_align_t) char answer[sizeof(struct weir_answer_frame) +
					  WEIR_RECORD_MAX + WEIR_ERROR_MAX];
	const struct weir_answer_frame *frame = (const void *)answer;
	size_t room = cell->batch_max * cell->answer_max, at = 0, len;
	ssize_t n = read(cell->heard, cell->answers + cell->answers_len,
			 room - cell->answers_len);

	if (n <= 0)
		return true;
	cell->answers_len += (size_t)n;
	while (cell->answers_len - at >= sizeof(*frame)) {
		memcpy(answer, cell->answers + at, sizeof(*frame));
		len = sizeof(*frame) + cell->spec.out_size + frame->text_len;
		if (frame->text_len >= WEIR_ERROR_MAX)
			return false;
		if (cell->answers_len - at < len)
			break;
		memcpy(answer, cell->answers + at, len);
		if (!answer_take(cell, flight, answer, len, -1))
			return false;
		at += len;
	}
	cell->answers_len -= at;
	memmove(cell->answers, cell->answers + at, cell->answers_len);
	return true;
}

bool
weir__flight_collect(struct weir_cell *cell, struct weir_flight *flight)
{
	return cell->small ? collect_records(cell, flight)
			   : collect_alone(cell, flight);
}

static void
mark_back(struct weir_flight *flight, const void *bytes)
{
	struct weir_job_frame frame;
	size_t i;

	memcpy(&frame, bytes, sizeof(frame));
	i = call_of(flight, frame.seq);
	if (i < flight->count)
		flight->back[i] = true;
}

static void
take_back_alone(struct weir_cell *cell, struct weir_flight *flight)
{
	struct weir_job_frame frame = {0};
	ssize_t n;
	int fd;

	while ((n = weir__payload_receive(cell->far, &frame, sizeof(frame), &fd,
					  MSG_DONTWAIT)) > 0) {
		weir__fd_close(&fd);
		if (n == sizeof(frame))
			mark_back(flight, &frame);
	}
}

/* If the process has read parts of records, nothing here is one either. */
static void
take_back_records(struct weir_cell *cell, struct weir_flight *flight)
{
	ssize_t n =
		read(cell->far, cell->records, cell->batch_max * cell->record);

	if (n <= 0 || (size_t)n % cell->record != 0)
		return;
	for (size_t at = 0; at < (size_t)n; at += cell->record)
		mark_back(flight, cell->records + at);
}

void
weir__flight_take_back(struct weir_cell *cell, struct weir_flight *flight)
{
	if (cell->small)
		take_back_records(cell, flight);
	else
		take_back_alone(cell, flight);
}

uint32_t
weir__flight_running(const struct weir_flight *flight)
{
	size_t i = 0;

	while (i + 1 < flight->count &&
	       (flight->back[i] || flight->calls[i].ended))
		i++;
	return flight->first + (uint32_t)i;
}

static void
swap_calls(struct weir_flight *flight, size_t a, size_t b)
{
	struct weir_call call = flight->calls[a];
	bool back = flight->back[a];

	flight->calls[a] = flight->calls[b];
	flight->back[a] = flight->back[b];
	flight->calls[b] = call;
	flight->back[b] = back;
}

size_t
weir__flight_sort(struct weir_flight *flight)
{
	size_t begun = 0;

	/* The order among those that were not begun is kept. */
	for (size_t i = 0; i < flight->count; i++) {
		if (flight->back[i])
			continue;
		for (size_t j = i; j > begun; j--)
			swap_calls(flight, j, j - 1);
		begun++;
	}
	for (size_t i = 0; i + 1 < begun; i++)
		if (!flight->calls[i].ended)
			swap_calls(flight, i, begun - 1);
	return begun;
}

void
weir__flight_blame(struct weir_flight *flight, struct weir_cause *cause)
{
	for (size_t i = 0; i < flight->count; i++) {
		struct weir_call *call = &flight->calls[i];

		if (flight->back[i] || call->ended)
			continue;
		cause->timeout_ns = call->timeout_ns;
		weir__cause_describe(cause, call->attempt, call->error,
				     sizeof(call->error));
		call->status = WEIR_CRASHED;
		call->ended = true;
		call->died = true;
		flight->ended++;
	}
}
