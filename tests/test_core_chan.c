/* Channels: order, capacity, closing, and no wake-up that gets lost. */
#include "core_util.h"

static weir_chan *
chan_make(size_t capacity)
{
	weir_chan *ch;

	OK(weir_chan_new(&ch, sizeof(uint64_t), capacity));
	return ch;
}

TEST(chan, refuses_sizes_of_nothing)
{
	weir_chan *ch = NULL;

	CHECK_EQ_INT(weir_chan_new(&ch, 0, 1), WEIR_INVAL);
	CHECK_EQ_INT(weir_chan_new(&ch, 1, 0), WEIR_INVAL);
	CHECK_EQ_INT(weir_chan_new(NULL, 1, 1), WEIR_INVAL);
	CHECK(!ch);
}

TEST(chan, more_than_fits_into_memory_is_a_status)
{
	weir_chan *ch = NULL;

	CHECK_EQ_INT(weir_chan_new(&ch, SIZE_MAX / 2, 4), WEIR_NOMEM);
	CHECK_EQ_INT(weir_chan_new(&ch, SIZE_MAX, 1), WEIR_NOMEM);
	CHECK(!ch);
}

TEST(chan, first_in_is_first_out)
{
	weir_chan *ch = chan_make(3);
	uint64_t in = 0, out = 0, got;

	CHECK_EQ_INT(weir_chan_capacity(ch), 3);
	for (int round = 0; round < 20; round++) {
		while (weir_chan_try_send(ch, &in) == WEIR_OK)
			in++;
		CHECK_EQ_INT(weir_chan_len(ch), 3);
		for (int i = 0; i <= round % 3; i++) {
			OK(weir_chan_recv(ch, &got, NULL));
			CHECK_EQ_INT(got, out++);
		}
	}
	weir_chan_free(ch, NULL, NULL);
}

TEST(chan, holds_its_capacity_and_no_more)
{
	weir_ctx *done = ctx_make(NULL, 0);
	weir_chan *ch = chan_make(2);
	uint64_t x = 7;

	CHECK_EQ_INT(weir_chan_send(ch, &x, done), WEIR_OK);
	CHECK_EQ_INT(weir_chan_try_send(ch, &x), WEIR_OK);
	CHECK_EQ_INT(weir_chan_try_send(ch, &x), WEIR_BUSY);
	CHECK_EQ_INT(weir_chan_send(ch, &x, done), WEIR_TIMEDOUT);
	CHECK_EQ_INT(weir_chan_len(ch), 2);
	CHECK_EQ_INT(weir_chan_recv(ch, &x, done), WEIR_OK);
	CHECK_EQ_INT(weir_chan_try_recv(ch, &x), WEIR_OK);
	CHECK_EQ_INT(weir_chan_try_recv(ch, &x), WEIR_BUSY);
	CHECK_EQ_INT(weir_chan_recv(ch, &x, done), WEIR_TIMEDOUT);
	weir_ctx_unref(done);
	weir_chan_free(ch, NULL, NULL);
}

TEST(chan, sending_after_close_is_a_status)
{
	weir_chan *ch = chan_make(2);
	size_t sent = 9;
	uint64_t x = 1;

	weir_chan_close(ch);
	weir_chan_close(ch);
	CHECK_EQ_INT(weir_chan_send(ch, &x, NULL), WEIR_CLOSED);
	CHECK_EQ_INT(weir_chan_try_send(ch, &x), WEIR_CLOSED);
	CHECK_EQ_INT(weir_chan_send_many(ch, &x, 1, &sent, NULL), WEIR_CLOSED);
	CHECK_EQ_INT(sent, 0);
	weir_chan_free(ch, NULL, NULL);
}

TEST(chan, what_is_inside_is_received_after_close)
{
	weir_chan *ch = chan_make(4);
	uint64_t x[4] = {1, 2, 3, 4}, got[4];
	size_t n;

	OK(weir_chan_send_many(ch, x, 4, &n, NULL));
	CHECK_EQ_INT(n, 4);
	weir_chan_close(ch);
	OK(weir_chan_recv(ch, got, NULL));
	CHECK_EQ_INT(got[0], 1);
	OK(weir_chan_try_recv(ch, got));
	CHECK_EQ_INT(got[0], 2);
	OK(weir_chan_recv_many(ch, got, 4, &n, NULL));
	CHECK_EQ_INT(n, 2);
	CHECK_EQ_INT(got[1], 4);
	CHECK_EQ_INT(weir_chan_recv(ch, got, NULL), WEIR_CLOSED);
	CHECK_EQ_INT(weir_chan_try_recv(ch, got), WEIR_CLOSED);
	CHECK_EQ_INT(weir_chan_recv_many(ch, got, 4, &n, NULL), WEIR_CLOSED);
	weir_chan_free(ch, NULL, NULL);
}

TEST(chan, receiving_at_most_nothing_is_refused)
{
	weir_chan *ch = chan_make(1);
	uint64_t x;
	size_t n;

	CHECK_EQ_INT(weir_chan_recv_many(ch, &x, 0, &n, NULL), WEIR_INVAL);
	weir_chan_free(ch, NULL, NULL);
}

TEST(chan, sending_many_says_how_many_went_in)
{
	weir_ctx *done = ctx_make(NULL, 0);
	uint64_t x[5] = {1, 2, 3, 4, 5};
	weir_chan *ch = chan_make(3);
	size_t sent;

	CHECK_EQ_INT(weir_chan_send_many(ch, x, 5, &sent, done), WEIR_TIMEDOUT);
	CHECK_EQ_INT(sent, 3);
	OK(weir_chan_send_many(ch, x, 0, &sent, done));
	CHECK_EQ_INT(sent, 0);
	weir_ctx_unref(done);
	weir_chan_free(ch, NULL, NULL);
}

struct dropped {
	uint64_t next;
	int count;
};

static void
drop(void *elem, void *user)
{
	struct dropped *dropped = user;

	CHECK_EQ_INT(*(uint64_t *)elem, dropped->next++);
	dropped->count++;
}

TEST(chan, free_drops_what_nobody_received_in_order)
{
	struct dropped dropped = {2, 0};
	weir_chan *ch = chan_make(4);
	uint64_t got;

	for (uint64_t i = 0; i < 4; i++)
		OK(weir_chan_send(ch, &i, NULL));
	OK(weir_chan_recv(ch, &got, NULL));
	OK(weir_chan_recv(ch, &got, NULL));
	OK(weir_chan_send(ch, &(uint64_t){4}, NULL));
	CHECK(!weir_chan_free(ch, drop, &dropped));
	CHECK_EQ_INT(dropped.count, 3);
	CHECK(!weir_chan_free(NULL, drop, &dropped));
}

TEST(chan, carries_elements_of_any_size)
{
	for (size_t size = 1; size <= 1000; size += size < 20 ? 1 : 97) {
		unsigned char in[1000], out[1002] = {0};
		weir_chan *ch;

		OK(weir_chan_new(&ch, size, 3));
		for (unsigned i = 0; i < 10; i++) {
			memset(in, (int)i + 1, sizeof(in));
			OK(weir_chan_send(ch, in, NULL));
			memset(out, 0xee, sizeof(out));
			OK(weir_chan_recv(ch, out + 1, NULL));
			CHECK(memcmp(out + 1, in, size) == 0);
			CHECK(out[0] == 0xee && out[size + 1] == 0xee);
		}
		weir_chan_free(ch, NULL, NULL);
	}
}

struct waiter {
	weir_chan *ch;
	weir_ctx *ctx;
	bool sends;
	weir_status status;
};

static void *
waiter_main(void *arg)
{
	struct waiter *w = arg;
	uint64_t x = 1;

	w->status = w->sends ? weir_chan_send(w->ch, &x, w->ctx)
			     : weir_chan_recv(w->ch, &x, w->ctx);
	return NULL;
}

enum { WAITERS = 8 };

/*
 * Waiters that cannot go on, and what ends their wait.  Whether they have
 * begun to wait when it comes makes no difference to what they get.
 */
static void
end_all_waits(bool sends, bool close, weir_status expected)
{
	weir_ctx *ctx = gate_make();
	weir_chan *ch = chan_make(1);
	struct waiter w[WAITERS];
	pthread_t threads[WAITERS];
	uint64_t x = 0;

	if (sends)
		OK(weir_chan_send(ch, &x, NULL));
	for (int i = 0; i < WAITERS; i++) {
		w[i] = (struct waiter){ch, ctx, sends, WEIR_OK};
		threads[i] = thread_run(waiter_main, &w[i]);
	}
	if (close)
		weir_chan_close(ch);
	else
		weir_ctx_cancel(ctx);
	for (int i = 0; i < WAITERS; i++) {
		thread_join(threads[i]);
		CHECK_EQ_INT(w[i].status, expected);
	}
	weir_ctx_unref(ctx);
	weir_chan_free(ch, NULL, NULL);
}

TEST(chan, closing_wakes_all_receivers)
{
	for (int i = 0; i < 50; i++)
		end_all_waits(false, true, WEIR_CLOSED);
}

TEST(chan, closing_wakes_all_senders)
{
	for (int i = 0; i < 50; i++)
		end_all_waits(true, true, WEIR_CLOSED);
}

TEST(chan, cancelling_wakes_all_receivers)
{
	for (int i = 0; i < 50; i++)
		end_all_waits(false, false, WEIR_CANCELED);
}

TEST(chan, cancelling_wakes_all_senders)
{
	for (int i = 0; i < 50; i++)
		end_all_waits(true, false, WEIR_CANCELED);
}

TEST(chan, whoever_takes_the_last_element_leaves_nobody_waiting)
{
	for (int round = 0; round < 100; round++) {
		weir_chan *ch = chan_make(2);
		struct waiter w[3];
		pthread_t threads[3];
		int ok = 0;

		for (int i = 0; i < 3; i++) {
			w[i] = (struct waiter){ch, NULL, false, WEIR_OK};
			threads[i] = thread_run(waiter_main, &w[i]);
		}
		OK(weir_chan_send(ch, &(uint64_t){1}, NULL));
		weir_chan_close(ch);
		for (int i = 0; i < 3; i++) {
			thread_join(threads[i]);
			ok += w[i].status == WEIR_OK;
			CHECK(w[i].status == WEIR_OK ||
			      w[i].status == WEIR_CLOSED);
		}
		CHECK_EQ_INT(ok, 1);
		weir_chan_free(ch, NULL, NULL);
	}
}

/* Many to many: what goes in comes out, once. */
struct party {
	weir_chan *ch;
	uint64_t from, count; /* of a sender */
	uint64_t seed;
	bool storms; /* with contexts that time out and are cancelled */
	uint64_t sum, many;
};

/* A context that ends any moment now, or NULL. */
static weir_ctx *
stormy_ctx(const struct party *p, struct weir_rng *rng)
{
	if (!p->storms || weir__rng_below(rng, 2))
		return NULL;
	return ctx_make(NULL, (int64_t)weir__rng_below(rng, 60) * WEIR_US);
}

static size_t
send_some(struct party *p, struct weir_rng *rng, uint64_t *x, size_t n)
{
	weir_ctx *ctx = stormy_ctx(p, rng);
	size_t sent = 0;
	weir_status status;

	if (weir__rng_below(rng, 4) == 0) {
		status = weir_chan_try_send(p->ch, x);
		sent = status == WEIR_OK;
		CHECK(status == WEIR_OK || status == WEIR_BUSY);
	} else {
		status = weir_chan_send_many(p->ch, x, n, &sent, ctx);
		CHECK(status == WEIR_OK ? sent == n : ctx && sent < n);
	}
	weir_ctx_unref(ctx);
	return sent;
}

static void *
sender_main(void *arg)
{
	struct party *p = arg;
	struct weir_rng rng;
	uint64_t x[8];

	weir__rng_seed(&rng, p->seed);
	while (p->many < p->count) {
		size_t n = 1 + weir__rng_below(&rng, 8);

		if (n > p->count - p->many)
			n = p->count - p->many;
		for (size_t i = 0; i < n; i++)
			x[i] = p->from + p->many + i;
		n = send_some(p, &rng, x, n);
		for (size_t i = 0; i < n; i++)
			p->sum += x[i];
		p->many += n;
	}
	return NULL;
}

static void *
receiver_main(void *arg)
{
	struct party *p = arg;
	weir_status status = WEIR_OK;
	struct weir_rng rng;
	uint64_t x[8];
	size_t n;

	weir__rng_seed(&rng, p->seed);
	while (status != WEIR_CLOSED) {
		weir_ctx *ctx = stormy_ctx(p, &rng);

		n = 1 + weir__rng_below(&rng, 8);
		if (weir__rng_below(&rng, 4) == 0) {
			n = 1;
			status = weir_chan_try_recv(p->ch, x);
		} else {
			status = weir_chan_recv_many(p->ch, x, n, &n, ctx);
		}
		for (size_t i = 0; status == WEIR_OK && i < n; i++)
			p->sum += x[i];
		p->many += status == WEIR_OK ? n : 0;
		weir_ctx_unref(ctx);
	}
	return NULL;
}

static void
many_to_many(int senders, int receivers, size_t capacity, bool storms,
	     uint64_t count, uint64_t seed)
{
	struct party in[8] = {{0}}, out[8] = {{0}};
	pthread_t in_threads[8], out_threads[8];
	uint64_t sum = 0, many = 0;
	weir_chan *ch = chan_make(capacity);

	for (int i = 0; i < receivers; i++) {
		out[i] = (struct party){
			.ch = ch, .seed = seed + (unsigned)i, .storms = storms};
		out_threads[i] = thread_run(receiver_main, &out[i]);
	}
	for (int i = 0; i < senders; i++) {
		in[i] = (struct party){.ch = ch,
				       .seed = ~seed - (unsigned)i,
				       .from = (uint64_t)i << 32,
				       .count = count,
				       .storms = storms};
		in_threads[i] = thread_run(sender_main, &in[i]);
	}
	for (int i = 0; i < senders; i++) {
		thread_join(in_threads[i]);
		sum += in[i].sum;
		many += in[i].many;
	}
	weir_chan_close(ch);
	for (int i = 0; i < receivers; i++) {
		thread_join(out_threads[i]);
		sum -= out[i].sum;
		many -= out[i].many;
	}
	CHECK_EQ_INT(sum, 0);
	CHECK_EQ_INT(many, 0);
	weir_chan_free(ch, NULL, NULL);
}

TEST_LIMIT(chan, nothing_is_lost_or_doubled_between_many_threads, 60)
{
	static const size_t capacities[] = {1, 2, 7, 64, 1024};

	for (unsigned i = 0; i < 5; i++)
		for (int n = 1; n <= 4; n++)
			many_to_many(n, 5 - n, capacities[i], false,
				     (uint64_t)SCALE(4000), test_seed() + i);
}

TEST_LIMIT(chan, no_wake_up_is_lost_in_storms_of_cancellations, 60)
{
	static const size_t capacities[] = {1, 2, 5};

	for (unsigned i = 0; i < 12; i++)
		many_to_many(4, 4, capacities[i % 3], true,
			     (uint64_t)SCALE(1500), test_seed() + 100 * i);
}
