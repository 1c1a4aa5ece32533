/*
 * weir/chan.h - bounded channels of values.
 *
 * A channel is a queue of at most capacity elements of elem_size bytes each,
 * copied in and copied out, first in first out.  Any number of threads send
 * and receive at once.  A full channel makes senders wait, and that wait is
 * the point: it is how a slow consumer slows its producer down instead of
 * filling memory.
 *
 * Closing goes one way.  After weir_chan_close() nothing can be sent, what is
 * inside can still be received, and then receivers get WEIR_CLOSED.  Sending
 * to a closed channel is a status, not a crash; closing twice does nothing.
 *
 * Usage, a producer and a consumer:
 *
 *      weir_chan *ch;
 *
 *      status = weir_chan_new(&ch, sizeof(struct url), 64);
 *      ...
 *      while (read_url(&url) && weir_chan_send(ch, &url, ctx) == WEIR_OK)
 *              ;
 *      weir_chan_close(ch);
 *
 *      while (weir_chan_recv(ch, &url, ctx) == WEIR_OK)
 *              visit(&url);
 *
 * weir/typed.h puts types on top, so that sending the wrong struct does not
 * compile.
 */
#ifndef WEIR_CHAN_H
#define WEIR_CHAN_H

#include <stdbool.h>
#include <weir/base.h>
#include <weir/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_chan weir_chan;

/*
 * Make a channel.  There is no default capacity and no way to have an
 * unbounded one.  All memory is taken here; sending never runs out of it.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the caller owns *out and ends it with weir_chan_free().
 * Returns: WEIR_OK, WEIR_INVAL (a size of 0), WEIR_NOMEM.
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_new(weir_chan **out,
						  size_t elem_size,
						  size_t capacity);

/*
 * What to do with an element that nobody received.
 *
 * Waits:   as it likes; weir_chan_free() waits for it.
 * Threads: the one that frees the channel.
 * Owns:    *elem is lent, what it points to is the callback's.
 * Returns: nothing.
 */
typedef void weir_chan_drop_fn(void *elem, void *user);

/*
 * Free a channel, open or closed.  Elements still inside go to drop in order,
 * if there is one.  NULL is fine.
 *
 * Waits:   never.
 * Threads: no other call on ch may be in progress or follow.
 * Owns:    takes ch.
 * Returns: NULL.
 */
WEIR_API weir_chan *weir_chan_free(weir_chan *ch, weir_chan_drop_fn *drop,
				   void *user);

/*
 * Send one element, waiting while the channel is full.
 *
 * Anything but WEIR_OK means that nothing was sent: *elem, and whatever it
 * points to, is still the caller's.  There is room or not before ctx is
 * looked at: a send that can go through does, even with a ctx that is done.
 *
 * Waits:   for room, until the channel is closed or ctx is done.
 * Threads: any number may send and receive at once.
 * Owns:    copies *elem; on WEIR_OK what it points to goes to the receiver.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_send(weir_chan *ch,
						   const void *elem,
						   weir_ctx *ctx);

/*
 * Send count elements in order, waiting as often as needed.  *ret_sent says
 * how many went in; with WEIR_OK that is all of them.  Elements of two such
 * calls at the same time may mix.
 *
 * Waits:   for room, until the channel is closed or ctx is done.
 * Threads: any number may send and receive at once.
 * Owns:    copies the elements; the first *ret_sent go to the receiver.
 * Returns: WEIR_OK, WEIR_CLOSED, WEIR_CANCELED, WEIR_TIMEDOUT; *ret_sent is
 *          written with each of them.
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_send_many(weir_chan *ch,
							const void *elems,
							size_t count,
							size_t *ret_sent,
							weir_ctx *ctx);

/*
 * Send one element if there is room now.
 *
 * Waits:   never.
 * Threads: any number may send and receive at once.
 * Owns:    copies *elem; on WEIR_OK what it points to goes to the receiver.
 * Returns: WEIR_OK, WEIR_BUSY (full), WEIR_CLOSED.
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_try_send(weir_chan *ch,
						       const void *elem);

/*
 * Receive the oldest element, waiting while the channel is empty and open.
 * An element that is there is received even with a ctx that is done.
 *
 * Waits:   for an element, until the channel is closed or ctx is done.
 * Threads: any number may send and receive at once.
 * Owns:    *ret_elem is the caller's, with whatever it points to.
 * Returns: WEIR_OK, WEIR_CLOSED (and empty), WEIR_CANCELED, WEIR_TIMEDOUT.
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_recv(weir_chan *ch,
						   void *ret_elem,
						   weir_ctx *ctx);

/*
 * Receive at least one and at most max elements: waits for the first, then
 * takes what is there.
 *
 * Waits:   for one element, until the channel is closed or ctx is done.
 * Threads: any number may send and receive at once.
 * Owns:    the *ret_count elements at ret_elems are the caller's.
 * Returns: WEIR_OK, WEIR_CLOSED (and empty), WEIR_CANCELED, WEIR_TIMEDOUT,
 *          WEIR_INVAL (max is 0).
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_recv_many(weir_chan *ch,
							void *ret_elems,
							size_t max,
							size_t *ret_count,
							weir_ctx *ctx);

/*
 * Receive one element if one is there now.
 *
 * Waits:   never.
 * Threads: any number may send and receive at once.
 * Owns:    *ret_elem is the caller's, with whatever it points to.
 * Returns: WEIR_OK, WEIR_BUSY (empty), WEIR_CLOSED (and empty).
 */
WEIR_API WEIR_NODISCARD weir_status weir_chan_try_recv(weir_chan *ch,
						       void *ret_elem);

/*
 * Close it: senders, those waiting too, get WEIR_CLOSED; receivers drain what
 * is inside and then get WEIR_CLOSED.  Closing again does nothing.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nothing.
 */
WEIR_API void weir_chan_close(weir_chan *ch);

/*
 * How many elements are inside just now.  Other threads may change that
 * before the caller looks at the answer: good for gauges, not for decisions.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: a number from 0 to the capacity.
 */
WEIR_API size_t weir_chan_len(weir_chan *ch);

/*
 * How many elements fit.  Fixed when the channel was made.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: the capacity.
 */
WEIR_API size_t weir_chan_capacity(const weir_chan *ch);

#ifdef __cplusplus
}
#endif

#endif
