/*
 * Channels.  The elements are numbers; each that was sent is received once,
 * or is still there at the end.
 */
#include "scenario.h"

#include <string.h>

#define ELEMENTS 8

struct exchange {
	weir_chan *chan;
	weir_ctx *ctx;
	bool sent[ELEMENTS];
	uint32_t received[ELEMENTS], dropped[ELEMENTS];
	uint32_t last; /* the last one received, for the order */
	bool closed;   /* the call of close has begun */
	bool wrong_end;
};

static struct exchange x;

static bool
begin(size_t capacity)
{
	memset(&x, 0, sizeof(x));
	return weir_chan_new(&x.chan, sizeof(uint32_t), capacity) == WEIR_OK;
}

static void
drop(void *elem, void *user)
{
	(void)user;
	x.dropped[*(uint32_t *)elem]++;
}

/* Nothing is lost, nothing is doubled. */
static void
finish(void)
{
	x.chan = weir_chan_free(x.chan, drop, NULL);
	for (uint32_t i = 0; i < ELEMENTS; i++)
		sim_check(x.received[i] + x.dropped[i] == (x.sent[i] ? 1 : 0));
}

static weir_status
send_one(uint32_t i, weir_ctx *ctx)
{
	weir_status status = weir_chan_send(x.chan, &i, ctx);

	if (status == WEIR_OK)
		x.sent[i] = true;
	if (status == WEIR_CLOSED)
		sim_check(x.closed);
	return status;
}

static weir_status
receive_one(weir_ctx *ctx)
{
	uint32_t i = ELEMENTS;
	weir_status status = weir_chan_recv(x.chan, &i, ctx);

	if (status == WEIR_OK) {
		sim_check(i < ELEMENTS);
		x.received[i]++;
	}
	if (status == WEIR_CLOSED)
		sim_check(x.closed);
	return status;
}

/* Sends the element that arg points behind, and the next. */
static void
send_two(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg;

	if (send_one(first, NULL) == WEIR_OK)
		(void)!send_one(first + 1, NULL);
}

static void
send_first(void *arg)
{
	(void)!send_one((uint32_t)(uintptr_t)arg, NULL);
}

static void
receive_first(void *arg)
{
	(void)arg;
	(void)!receive_one(NULL);
}

static void
receive_all(void *arg)
{
	(void)arg;
	while (receive_one(NULL) == WEIR_OK)
		;
}

static void
close_it(void *arg)
{
	(void)arg;
	x.closed = true;
	weir_chan_close(x.chan);
}

/* Nobody closes, nobody else sends: a lost wake-up is not hidden. */
static void
chan_hand_over(void)
{
	int sender;

	if (!begin(1))
		return;
	sender = sim_spawn("sender", send_first, NULL);
	sim_check(receive_one(NULL) == WEIR_OK);
	sim_join(sender);
	finish();
}

/* The same where the sender would not wait. */
static void
chan_try_hand_over(void)
{
	uint32_t i = 0;
	int receiver;

	if (!begin(1))
		return;
	receiver = sim_spawn("receiver", receive_first, NULL);
	sim_check(weir_chan_try_send(x.chan, &i) == WEIR_OK);
	x.sent[i] = true;
	sim_join(receiver);
	sim_check(x.received[i] == 1);
	finish();
}

static void
chan_full(void)
{
	int sender;

	if (!begin(1))
		return;
	sender = sim_spawn("sender", send_two, NULL);
	sim_check(receive_one(NULL) == WEIR_OK);
	sim_check(receive_one(NULL) == WEIR_OK);
	sim_join(sender);
	sim_check(x.received[0] == 1 && x.received[1] == 1);
	finish();
}

static void
chan_two_receivers(void)
{
	int a, b;

	if (!begin(2))
		return;
	a = sim_spawn("receiver a", receive_first, NULL);
	b = sim_spawn("receiver b", receive_first, NULL);
	send_two(NULL);
	sim_join(a);
	sim_join(b);
	sim_check(x.received[0] == 1 && x.received[1] == 1);
	finish();
}

static void
chan_two_senders(void)
{
	int a, b;

	if (!begin(1))
		return;
	a = sim_spawn("sender a", send_first, (void *)(uintptr_t)0);
	b = sim_spawn("sender b", send_first, (void *)(uintptr_t)1);
	sim_check(receive_one(NULL) == WEIR_OK);
	sim_check(receive_one(NULL) == WEIR_OK);
	sim_join(a);
	sim_join(b);
	finish();
}

/* The ninth bug: close, then the last element, and a receiver sleeps on. */
static void
chan_close_wakes(void)
{
	int a, b, sender;

	if (!begin(2))
		return;
	a = sim_spawn("receiver a", receive_all, NULL);
	b = sim_spawn("receiver b", receive_all, NULL);
	sender = sim_spawn("sender", send_two, NULL);
	close_it(NULL);
	sim_join(sender);
	sim_join(a);
	sim_join(b);
	finish();
}

static void
chan_close_senders(void)
{
	int a, b;

	if (!begin(1))
		return;
	a = sim_spawn("sender a", send_two, (void *)(uintptr_t)0);
	b = sim_spawn("sender b", send_two, (void *)(uintptr_t)2);
	close_it(NULL);
	sim_join(a);
	sim_join(b);
	finish();
}

/* Somebody who gives up has not taken a wake-up along. */
static void
give_up(void *arg)
{
	(void)arg;
	(void)!receive_one(x.ctx);
}

static void
chan_give_up(void)
{
	int a, b;

	if (!begin(2))
		return;
	if (weir_ctx_new(&x.ctx, NULL,
			 sim_choice(2) ? WEIR_FOREVER : WEIR_MS) == WEIR_OK) {
		a = sim_spawn("who gives up", give_up, NULL);
		b = sim_spawn("receiver", receive_first, NULL);
		sim_check(send_one(0, NULL) == WEIR_OK);
		weir_ctx_cancel(x.ctx);
		sim_check(send_one(1, NULL) == WEIR_OK);
		sim_join(a);
		sim_join(b);
		x.ctx = weir_ctx_unref(x.ctx);
	}
	finish();
}

static void
chan_many(void)
{
	static const uint32_t elems[3] = {0, 1, 2};
	int receiver;
	size_t sent = 0;
	weir_status status;

	if (!begin(2))
		return;
	receiver = sim_spawn("receiver", receive_all, NULL);
	status = weir_chan_send_many(x.chan, elems, 3, &sent, NULL);
	sim_check(status == WEIR_OK && sent == 3);
	for (size_t i = 0; i < sent; i++)
		x.sent[i] = true;
	close_it(NULL);
	sim_join(receiver);
	sim_check(x.received[0] + x.received[1] + x.received[2] == 3);
	finish();
}

#define ALLOC ((unsigned)SIM_FAIL_ALLOC)

const struct scenario chan_scenarios[] = {
	{"chan_hand_over", "who waits for an element gets it", chan_hand_over,
	 ALLOC, 40},
	{"chan_try_hand_over", "who waits for an element gets one of try_send",
	 chan_try_hand_over, ALLOC, 40},
	{"chan_full", "who waits for room gets it", chan_full, ALLOC, 40},
	{"chan_two_receivers", "two elements end the waits of two receivers",
	 chan_two_receivers, ALLOC, 40},
	{"chan_two_senders", "two elements taken end the waits of two senders",
	 chan_two_senders, ALLOC, 40},
	{"chan_close_wakes",
	 "close ends every wait, and what was sent is received",
	 chan_close_wakes, ALLOC, 40},
	{"chan_close_senders",
	 "close ends the waits of senders; none of "
	 "theirs is lost that was taken",
	 chan_close_senders, ALLOC, 40},
	{"chan_give_up", "who gives up leaves the wake-up to the others",
	 chan_give_up, ALLOC, 40},
	{"chan_many", "send_many sends all, in parts if need be", chan_many,
	 ALLOC, 40},
	SCENARIOS_END,
};
