/*
 * Bounded channels: a ring of elements under one lock.
 *
 * Invariants, in every locked region's beginning and end:
 *
 *   1. 0 <= len <= capacity, and the elements are slots head .. head + len - 1,
 *      wrapping around at capacity.
 *   2. closed goes from false to true once.
 *   3. Nobody waits in `room` while there is room that no wake-up is under way
 *      for, nor in `data` while there is an element; nobody waits in either
 *      when closed.
 *
 * The third makes the rule "after close, whoever takes the last element wakes
 * every other receiver" hold without an action of its own: closing wakes all,
 * and a receiver of a closed channel never waits again.
 *
 * Locking.  mu guards everything that changes.  Nothing is called with it
 * held.  It comes after the locks of contexts.
 */
#include <weir/chan.h>

#include "base/assert.h"
#include "core/wait.h"

#include <stdlib.h>
#include <string.h>

struct weir_chan {
	/* fixed at creation */
	size_t elem_size, capacity;

	struct weir_mutex mu;

	/* guarded by mu */
	struct weir_waitq room; /* senders, until len < capacity || closed */
	struct weir_waitq data; /* receivers, until len > 0 || closed */
	size_t head, len;
	bool closed;
	_Alignas(max_align_t) unsigned char slots[];
};

static void chan_check_locked(const weir_chan *ch) WEIR_REQUIRES(ch->mu);

static void
chan_check_locked(const weir_chan *ch)
{
	weir_assert(ch->len <= ch->capacity);
	weir_assert(ch->head < ch->capacity);
	weir_assert_slow(!ch->closed || ch->room.len == 0);
	weir_assert_slow(!ch->closed || ch->data.len == 0);
}

weir_status
weir_chan_new(weir_chan **out, size_t elem_size, size_t capacity)
{
	weir_chan *ch;

	if (!out || elem_size == 0 || capacity == 0)
		return WEIR_INVAL;
	if (capacity > (SIZE_MAX - sizeof(*ch)) / elem_size)
		return WEIR_NOMEM;
	ch = malloc(sizeof(*ch) + capacity * elem_size);
	if (!ch)
		return WEIR_NOMEM;
	ch->elem_size = elem_size;
	ch->capacity = capacity;
	weir__mutex_init(&ch->mu);
	weir__waitq_init(&ch->room);
	weir__waitq_init(&ch->data);
	ch->head = 0;
	ch->len = 0;
	ch->closed = false;
	*out = ch;
	return WEIR_OK;
}

static unsigned char *
chan_slot(weir_chan *ch, size_t i)
{
	return ch->slots + i % ch->capacity * ch->elem_size;
}

weir_chan *
weir_chan_free(weir_chan *ch, weir_chan_drop_fn *drop, void *user)
{
	if (!ch)
		return NULL;
	weir_assert(ch->room.len == 0 && ch->data.len == 0);
	for (size_t i = 0; drop && i < ch->len; i++)
		drop(chan_slot(ch, ch->head + i), user);
	weir__mutex_fini(&ch->mu);
	free(ch);
	return NULL;
}

/* Copy elem behind the last element.  There must be room. */
static void chan_push_locked(weir_chan *ch, const void *elem)
	WEIR_REQUIRES(ch->mu);

static void
chan_push_locked(weir_chan *ch, const void *elem)
{
	weir_assert(ch->len < ch->capacity);
	memcpy(chan_slot(ch, ch->head + ch->len), elem, ch->elem_size);
	ch->len++;
}

/* Copy the first element out.  There must be one. */
static void chan_pop_locked(weir_chan *ch, void *ret_elem)
	WEIR_REQUIRES(ch->mu);

static void
chan_pop_locked(weir_chan *ch, void *ret_elem)
{
	weir_assert(ch->len > 0);
	memcpy(ret_elem, chan_slot(ch, ch->head), ch->elem_size);
	ch->head = (ch->head + 1) % ch->capacity;
	ch->len--;
}

/* Wait until there is room: OK, CLOSED, or the context's status. */
static weir_status chan_wait_room_locked(weir_chan *ch, weir_ctx *ctx)
	WEIR_REQUIRES(ch->mu);

static weir_status
chan_wait_room_locked(weir_chan *ch, weir_ctx *ctx)
{
	weir_status status;

	while (!ch->closed && ch->len == ch->capacity) {
		status =
			weir__waitq_wait(&ch->room, &ch->mu, ctx, WEIR_FOREVER);
		if (status != WEIR_OK)
			return status;
	}
	return ch->closed && !WEIR_MUTATED(CHAN_CLOSED_LOOK) ? WEIR_CLOSED
							     : WEIR_OK;
}

/* Wait until there is an element: OK, CLOSED, or the context's status. */
static weir_status chan_wait_data_locked(weir_chan *ch, weir_ctx *ctx)
	WEIR_REQUIRES(ch->mu);

static weir_status
chan_wait_data_locked(weir_chan *ch, weir_ctx *ctx)
{
	weir_status status;

	while (!ch->closed && ch->len == 0) {
		status =
			weir__waitq_wait(&ch->data, &ch->mu, ctx, WEIR_FOREVER);
		if (status != WEIR_OK)
			return status;
	}
	return ch->len == 0 ? WEIR_CLOSED : WEIR_OK;
}

weir_status
weir_chan_send(weir_chan *ch, const void *elem, weir_ctx *ctx)
{
	struct weir_park *wake = NULL;
	weir_status status;

	weir__mutex_lock(&ch->mu);
	chan_check_locked(ch);
	status = chan_wait_room_locked(ch, ctx);
	if (status == WEIR_OK) {
		chan_push_locked(ch, elem);
		if (!WEIR_MUTATED(CHAN_SEND_WAKE))
			wake = weir__waitq_wake_one(&ch->data);
	}
	chan_check_locked(ch);
	weir__mutex_unlock(&ch->mu);
	weir__kick(wake);
	return status;
}

weir_status
weir_chan_send_many(weir_chan *ch, const void *elems, size_t count,
		    size_t *ret_sent, weir_ctx *ctx)
{
	const unsigned char *next = elems;
	weir_status status = WEIR_OK;
	size_t sent = 0;

	weir__mutex_lock(&ch->mu);
	chan_check_locked(ch);
	while (sent < count) {
		status = chan_wait_room_locked(ch, ctx);
		if (status != WEIR_OK)
			break;
		chan_push_locked(ch, next + sent * ch->elem_size);
		sent++;
		if (!WEIR_MUTATED(CHAN_SEND_MANY_WAKE) || sent == 1)
			weir__kick(weir__waitq_wake_one(&ch->data));
	}
	chan_check_locked(ch);
	weir__mutex_unlock(&ch->mu);
	*ret_sent = sent;
	return status;
}

weir_status
weir_chan_try_send(weir_chan *ch, const void *elem)
{
	struct weir_park *wake = NULL;
	weir_status status = WEIR_OK;

	weir__mutex_lock(&ch->mu);
	chan_check_locked(ch);
	if (ch->closed)
		status = WEIR_CLOSED;
	else if (ch->len == ch->capacity)
		status = WEIR_BUSY;
	else {
		chan_push_locked(ch, elem);
		if (!WEIR_MUTATED(CHAN_TRY_SEND_WAKE))
			wake = weir__waitq_wake_one(&ch->data);
	}
	weir__mutex_unlock(&ch->mu);
	weir__kick(wake);
	return status;
}

weir_status
weir_chan_recv(weir_chan *ch, void *ret_elem, weir_ctx *ctx)
{
	size_t count;

	return weir_chan_recv_many(ch, ret_elem, 1, &count, ctx);
}

weir_status
weir_chan_recv_many(weir_chan *ch, void *ret_elems, size_t max,
		    size_t *ret_count, weir_ctx *ctx)
{
	struct weir_park *wake = NULL;
	weir_status status;
	size_t count = 0;

	if (max == 0)
		return WEIR_INVAL;
	weir__mutex_lock(&ch->mu);
	chan_check_locked(ch);
	status = chan_wait_data_locked(ch, ctx);
	while (status == WEIR_OK && count < max && ch->len > 0) {
		weir__kick(wake);
		chan_pop_locked(ch, (unsigned char *)ret_elems +
					    count * ch->elem_size);
		count++;
		wake = WEIR_MUTATED(CHAN_RECV_WAKE)
			       ? NULL
			       : weir__waitq_wake_one(&ch->room);
	}
	chan_check_locked(ch);
	weir__mutex_unlock(&ch->mu);
	weir__kick(wake);
	if (status == WEIR_OK)
		*ret_count = count;
	return status;
}

weir_status
weir_chan_try_recv(weir_chan *ch, void *ret_elem)
{
	struct weir_park *wake = NULL;
	weir_status status = WEIR_OK;

	weir__mutex_lock(&ch->mu);
	chan_check_locked(ch);
	if (ch->len > 0) {
		chan_pop_locked(ch, ret_elem);
		if (!WEIR_MUTATED(CHAN_TRY_RECV_WAKE))
			wake = weir__waitq_wake_one(&ch->room);
	} else {
		status = ch->closed ? WEIR_CLOSED : WEIR_BUSY;
	}
	weir__mutex_unlock(&ch->mu);
	weir__kick(wake);
	return status;
}

void
weir_chan_close(weir_chan *ch)
{
	weir__mutex_lock(&ch->mu);
	ch->closed = true;
	if (WEIR_MUTATED(CHAN_CLOSE_ROOM))
		weir__kick(weir__waitq_wake_one(&ch->room));
	else
		weir__waitq_wake_all(&ch->room);
	if (WEIR_MUTATED(CHAN_CLOSE_DATA))
		weir__kick(weir__waitq_wake_one(&ch->data));
	else
		weir__waitq_wake_all(&ch->data);
	chan_check_locked(ch);
	weir__mutex_unlock(&ch->mu);
}

size_t
weir_chan_len(weir_chan *ch)
{
	size_t len;

	weir__mutex_lock(&ch->mu);
	len = ch->len;
	weir__mutex_unlock(&ch->mu);
	return len;
}

size_t
weir_chan_capacity(const weir_chan *ch)
{
	return ch->capacity;
}
