/*
 * Jobs on their way through a process.
 *
 * Design.  One message a job, numbered.  The parent keeps the process's end of
 * the socket open and can so take back, by receiving there, what the process
 * has not received: a message is taken by exactly one of the two.  What was
 * sent, not taken back and not answered has begun.
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
	struct mmsghdr messages[WEIR_BATCH_MAX];
	struct weir_job_frame frames[WEIR_BATCH_MAX];
	struct iovec pieces[WEIR_BATCH_MAX][3];
	int sent;

	memset(messages, 0, *count * sizeof(messages[0]));
	for (size_t i = 0; i < *count; i++) {
		frame_fill(&frames[i], &calls[i], cell->seq + (uint32_t)i,
			   i + 1 == *count);
		pieces[i][0] = (struct iovec){&frames[i], sizeof(frames[i])};
		payload_pieces(cell, &calls[i], pieces[i] + 1);
		messages[i].msg_hdr.msg_iov = pieces[i];
		messages[i].msg_hdr.msg_iovlen = 3;
	}
	do
		sent = sendmmsg(cell->socket, messages, (unsigned)*count,
				MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent <= 0)
		return false;
	*count = (size_t)sent;
	return true;
}

bool
weir__flight_send(struct weir_cell *cell, struct weir_flight *flight,
		  struct weir_call *calls, size_t count)
{
	if (count > cell->batch_max)
		count = cell->batch_max;
	flight->calls = calls;
	flight->ended = 0;
	flight->first = cell->seq;
	memset(flight->back, 0, sizeof(flight->back));
	if (cell->batch_max == 1 ? !send_alone(cell, &calls[0], cell->seq)
				 : !send_together(cell, calls, &count))
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

static bool
collect_together(struct weir_cell *cell, struct weir_flight *flight)
{
	struct mmsghdr messages[WEIR_BATCH_MAX];
	struct iovec pieces[WEIR_BATCH_MAX];
	size_t room = cell->batch_max;
	bool good = true;
	int n;

	memset(messages, 0, room * sizeof(messages[0]));
	for (size_t i = 0; i < room; i++) {
		pieces[i].iov_base = cell->answers + i * cell->answer_max;
		pieces[i].iov_len = cell->answer_max;
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	do {
		n = recvmmsg(cell->socket, messages, (unsigned)room,
			     MSG_DONTWAIT, NULL);
		for (int i = 0; good && i < n; i++)
			good = frame_take(cell, flight, pieces[i].iov_base,
					  messages[i].msg_len, -1);
		/* All are there, but for a note. */
	} while (good && n > 0 && flight->ended < flight->count);
	return good;
}

bool
weir__flight_collect(struct weir_cell *cell, struct weir_flight *flight)
{
	return cell->batch_max == 1 ? collect_alone(cell, flight)
				    : collect_together(cell, flight);
}

void
weir__flight_take_back(struct weir_cell *cell, struct weir_flight *flight)
{
	struct weir_job_frame frame;
	ssize_t n;
	size_t i;
	int fd;

	while ((n = weir__payload_receive(cell->far, &frame, sizeof(frame), &fd,
					  MSG_DONTWAIT)) > 0) {
		weir__fd_close(&fd);
		i = call_of(flight, frame.seq);
		if (n == sizeof(frame) && i < flight->count)
			flight->back[i] = true;
	}
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
