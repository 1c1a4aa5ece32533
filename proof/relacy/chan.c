/*
 * Channels.  Elements are pointers to boxes; who receives one reads the box,
 * so that an element which arrives without what was written before is seen.
 */
#include "scenario.h"

#include "sync/atomic.h"

static weir_chan *ch;
static weir_ctx *ctx;
static int box[4];
/* How often each box was accepted and received. */
static struct weir_u32 accepted[4], received[4];

static void
setup(size_t capacity)
{
	CHECK(weir_chan_new(&ch, sizeof(int *), capacity) == WEIR_OK);
	CHECK(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	for (int i = 0; i < 4; i++) {
		box[i] = 0;
		weir__u32_store(&accepted[i], 0, WEIR_RELAXED);
		weir__u32_store(&received[i], 0, WEIR_RELAXED);
	}
}

static void
setup_one(void)
{
	setup(1);
}

static void
setup_two(void)
{
	setup(2);
}

static void
count_left(void *elem, void *user)
{
	int *at = *(int **)elem;

	(void)user;
	weir__u32_add(&received[at - box], 1, WEIR_RELAXED);
}

/* Each element that was accepted has left once, or is in there still. */
static void
tear_down(void)
{
	ch = weir_chan_free(ch, count_left, NULL);
	ctx = weir_ctx_unref(ctx);
	for (int i = 0; i < 4; i++)
		CHECK(weir__u32_load(&accepted[i], WEIR_RELAXED) ==
		      weir__u32_load(&received[i], WEIR_RELAXED));
}

static void
fill(int i)
{
	weir__data_write(&box[i]);
	box[i] = i + 1;
}

static void
unpack(const int *at)
{
	weir__data_read(at);
	CHECK(*at == at - box + 1);
	weir__u32_add(&received[at - box], 1, WEIR_RELAXED);
}

static weir_status
send_under(int i, weir_ctx *under)
{
	int *at = &box[i];
	weir_status status;

	fill(i);
	status = weir_chan_send(ch, &at, under);
	if (status == WEIR_OK)
		weir__u32_add(&accepted[i], 1, WEIR_RELAXED);
	return status;
}

static weir_status
receive_under(int **ret_at, weir_ctx *under)
{
	weir_status status = weir_chan_recv(ch, ret_at, under);

	if (status == WEIR_OK)
		unpack(*ret_at);
	return status;
}

static void
send_0(void)
{
	CHECK(send_under(0, NULL) == WEIR_OK);
}

static void
send_1(void)
{
	CHECK(send_under(1, NULL) == WEIR_OK);
}

static void
send_0_1(void)
{
	send_0();
	send_1();
}

static void
send_0_1_2(void)
{
	send_0_1();
	CHECK(send_under(2, NULL) == WEIR_OK);
}

static void
setup_full(void)
{
	setup_one();
	CHECK(send_under(3, NULL) == WEIR_OK);
}

static void
receive(void)
{
	int *at;

	CHECK(receive_under(&at, NULL) == WEIR_OK);
}

static void
receive_twice(void)
{
	receive();
	receive();
}

static void
receive_in_order(void)
{
	int *at;

	for (int i = 0; i < 3; i++) {
		CHECK(receive_under(&at, NULL) == WEIR_OK);
		CHECK(at == &box[i]);
	}
}

static void
receive_all(void)
{
	int *at;

	while (receive_under(&at, NULL) == WEIR_OK)
		;
}

static void
receive_nothing(void)
{
	int *at;

	CHECK(receive_under(&at, NULL) == WEIR_CLOSED);
}

static void
receive_or_find_closed(void)
{
	int *at;
	weir_status status = receive_under(&at, NULL);

	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
}

static void
close_it(void)
{
	weir_chan_close(ch);
}

static void
send_0_and_close(void)
{
	send_0();
	weir_chan_close(ch);
}

static void
send_in_vain_0(void)
{
	CHECK(send_under(0, NULL) == WEIR_CLOSED);
}

static void
send_in_vain_1(void)
{
	CHECK(send_under(1, NULL) == WEIR_CLOSED);
}

static void
send_or_find_closed(void)
{
	weir_status status = send_under(0, NULL);

	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
}

static void
cancel(void)
{
	weir_ctx_cancel(ctx);
}

static void
receive_cancelled(void)
{
	int *at;

	CHECK(receive_under(&at, ctx) == WEIR_CANCELED);
}

static void
receive_or_be_cancelled(void)
{
	int *at;
	weir_status status = receive_under(&at, ctx);

	CHECK(status == WEIR_OK || status == WEIR_CANCELED);
}

/* Has no use for it and puts it back; there is room, for it was full. */
static void
receive_and_return(void)
{
	int *at;

	if (receive_under(&at, ctx) == WEIR_OK)
		CHECK(send_under((int)(at - box), NULL) == WEIR_OK);
}

static void
send_0_and_cancel(void)
{
	send_0();
	weir_ctx_cancel(ctx);
}

static void
send_cancelled(void)
{
	CHECK(send_under(0, ctx) == WEIR_CANCELED);
}

/* Sends, and takes something out again; or gives up. */
static void
send_and_take_back(void)
{
	if (send_under(0, ctx) == WEIR_OK)
		receive();
}

static void
receive_and_cancel(void)
{
	receive();
	weir_ctx_cancel(ctx);
}

static void
receive_till_deadline(void)
{
	weir_ctx *mine;
	int *at;

	CHECK(weir_ctx_new(&mine, NULL, WEIR_US) == WEIR_OK);
	CHECK(receive_under(&at, mine) == WEIR_TIMEDOUT);
	weir_ctx_unref(mine);
}

static void
try_to_send(void)
{
	int *at = &box[0];
	weir_status status;

	fill(0);
	status = weir_chan_try_send(ch, &at);
	CHECK(status == WEIR_OK || status == WEIR_BUSY);
	if (status == WEIR_OK)
		weir__u32_add(&accepted[0], 1, WEIR_RELAXED);
}

static void
try_to_receive(void)
{
	int *at;
	weir_status status = weir_chan_try_recv(ch, &at);

	CHECK(status == WEIR_OK || status == WEIR_BUSY);
	if (status == WEIR_OK)
		unpack(at);
}

static void
send_two_at_once(void)
{
	int *both[] = {&box[0], &box[1]};
	size_t sent = 0;

	fill(0);
	fill(1);
	CHECK(weir_chan_send_many(ch, both, 2, &sent, NULL) == WEIR_OK);
	CHECK(sent == 2);
	weir__u32_add(&accepted[0], 1, WEIR_RELAXED);
	weir__u32_add(&accepted[1], 1, WEIR_RELAXED);
}

static void
send_two_or_find_closed(void)
{
	int *both[] = {&box[0], &box[1]};
	size_t sent = 0;

	fill(0);
	fill(1);
	(void)!weir_chan_send_many(ch, both, 2, &sent, NULL);
	for (size_t i = 0; i < sent; i++)
		weir__u32_add(&accepted[i], 1, WEIR_RELAXED);
}

static void
receive_many(size_t want)
{
	int *at[2];
	size_t count, seen = 0;

	while (seen < want) {
		CHECK(weir_chan_recv_many(ch, at, 2, &count, NULL) == WEIR_OK);
		CHECK(count > 0 && count <= 2);
		for (size_t i = 0; i < count; i++)
			unpack(at[i]);
		seen += count;
	}
}

static void
receive_two_at_once(void)
{
	receive_many(2);
}

static void
setup_two_full(void)
{
	setup_two();
	CHECK(send_under(2, NULL) == WEIR_OK);
	CHECK(send_under(3, NULL) == WEIR_OK);
}

const struct weir_scenario chan_scenarios[] = {
	{.name = "chan_one",
	 .promise =
		 "a receiver that waits gets the one element although nobody "
		 "closes",
	 .setup = setup_one,
	 .thread = {send_0, receive},
	 .finish = tear_down},
	{.name = "chan_two_receivers",
	 .promise = "two receivers that wait get an element each although "
		    "nobody closes",
	 .setup = setup_one,
	 .thread = {send_0_1, receive, receive},
	 .finish = tear_down},
	{.name = "chan_two_senders",
	 .promise = "two elements from two senders reach two receivers",
	 .setup = setup_one,
	 .thread = {send_0, send_1, receive, receive},
	 .finish = tear_down},
	{.name = "chan_room",
	 .promise = "a sender that waits for room gets it when one element is "
		    "taken",
	 .setup = setup_full,
	 .thread = {send_0, receive},
	 .finish = tear_down},
	{.name = "chan_room_two",
	 .promise = "two senders that wait for room get it one after the other",
	 .setup = setup_full,
	 .thread = {send_0, send_1, receive_twice},
	 .finish = tear_down},
	{.name = "chan_wrap",
	 .promise = "elements come in order and whole, around the end of the "
		    "ring as well",
	 .setup = setup_two,
	 .thread = {send_0_1_2, receive_in_order},
	 .finish = tear_down},
	{.name = "chan_close_receivers",
	 .promise = "close wakes every receiver",
	 .setup = setup_one,
	 .thread = {close_it, receive_nothing, receive_nothing},
	 .finish = tear_down},
	{.name = "chan_close_senders",
	 .promise = "close wakes every sender",
	 .setup = setup_full,
	 .thread = {close_it, send_in_vain_0, send_in_vain_1},
	 .finish = tear_down},
	{.name = "chan_close_last",
	 .promise = "after close the last element leaves no receiver asleep",
	 .setup = setup_one,
	 .thread = {send_0_and_close, receive_or_find_closed,
		    receive_or_find_closed},
	 .finish = tear_down},
	{.name = "chan_close_drain",
	 .promise = "what was sent before the close is received after it",
	 .setup = setup_one,
	 .thread = {send_0_and_close, receive_all},
	 .finish = tear_down},
	{.name = "chan_close_send",
	 .promise = "a send that crosses a close is refused, or received",
	 .setup = setup_one,
	 .thread = {send_or_find_closed, close_it, receive_all},
	 .finish = tear_down},
	{.name = "chan_close_two",
	 .promise = "a send that crosses a close leaves neither of two "
		    "receivers asleep",
	 .setup = setup_one,
	 .thread = {send_or_find_closed, close_it, receive_or_find_closed,
		    receive_or_find_closed},
	 .finish = tear_down},
	{.name = "chan_close_many",
	 .promise =
		 "of a batch that crosses a close as many are received as it "
		 "says",
	 .setup = setup_one,
	 .thread = {send_two_or_find_closed, close_it, receive_all},
	 .finish = tear_down},
	{.name = "chan_cancel_receiver",
	 .promise =
		 "a receiver returns when its context is cancelled, although "
		 "nobody sends",
	 .setup = setup_one,
	 .thread = {receive_cancelled, cancel},
	 .finish = tear_down},
	{.name = "chan_cancel_sender",
	 .promise = "a sender returns when its context is cancelled, although "
		    "nobody receives",
	 .setup = setup_full,
	 .thread = {send_cancelled, cancel},
	 .finish = tear_down},
	{.name = "chan_cancel_loses_nothing",
	 .promise = "a receive that crosses a cancel loses no element",
	 .setup = setup_one,
	 .thread = {send_0, receive_or_be_cancelled, cancel},
	 .finish = tear_down},
	{.name = "chan_cancel_passes_on",
	 .promise = "a cancelled receiver passes on the element it was woken "
		    "for",
	 .setup = setup_one,
	 .thread = {send_0_and_cancel, receive_and_return, receive},
	 .finish = tear_down},
	{.name = "chan_cancel_passes_room",
	 .promise = "a cancelled sender passes on the room it was woken for",
	 .setup = setup_full,
	 .thread = {receive_and_cancel, send_and_take_back, send_1},
	 .finish = tear_down},
	{.name = "chan_deadline",
	 .promise = "a receiver returns at its context's deadline, although "
		    "nobody sends",
	 .setup = setup_one,
	 .thread = {receive_till_deadline, cancel},
	 .finish = tear_down},
	{.name = "chan_try",
	 .promise = "what try_send accepts try_recv gets, and a receiver that "
		    "waits as well",
	 .setup = setup_one,
	 .thread = {try_to_send, try_to_receive, try_to_receive},
	 .finish = tear_down},
	{.name = "chan_try_room",
	 .promise = "try_recv makes room for a sender that waits",
	 .setup = setup_full,
	 .thread = {send_0, try_to_receive},
	 .finish = tear_down},
	{.name = "chan_send_many",
	 .promise = "a batch wakes as many receivers as it has elements",
	 .setup = setup_two,
	 .thread = {send_two_at_once, receive, receive},
	 .finish = tear_down},
	{.name = "chan_recv_many",
	 .promise = "taking several makes room for as many senders",
	 .setup = setup_two_full,
	 .thread = {send_0, send_1, receive_two_at_once},
	 .finish = tear_down},
	{.name = "chan_many_many",
	 .promise = "a batch larger than the channel arrives whole",
	 .setup = setup_one,
	 .thread = {send_two_at_once, receive_two_at_once},
	 .finish = tear_down},
	{.name = NULL},
};
