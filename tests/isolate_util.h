/*
 * What the tests of isolated workers share.
 *
 * Each test runs in a process of its own, which has one thread when it begins:
 * it starts its own zygote.  At its end no process of it may be left.
 */
#ifndef WEIR_TESTS_ISOLATE_UTIL_H
#define WEIR_TESTS_ISOLATE_UTIL_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core_util.h"

/* What a job does in its process. */
enum deed {
	DEED_ECHO,
	DEED_FAIL,
	DEED_SEGV,
	DEED_ABORT,
	DEED_EXIT,
	DEED_HANG, /* deaf to signals */
	DEED_SLEEP,
	DEED_EAT,
	DEED_RECURSE,
	DEED_KILL,
	DEED_CPU,
	DEED_DEEDS
};

struct order {
	enum deed deed;
	int number;
};

static inline void
hang(void)
{
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	for (;;)
		pause();
}

/* Nobody may see that it is never used. */
static inline void
eat(void)
{
	static char *volatile eaten;

	for (;;) {
		eaten = malloc(1 << 20);
		memset(eaten, 1, 1 << 20);
	}
}

/* As far as a compiler can know, it may end. */
static int __attribute__((noinline, unused)) recurse(int const volatile *above)
{
	int volatile here[1024];

	here[0] = *above;
	return here[0] == -1 ? 0 : recurse(here) + here[1];
}

/* What a sanitizer would say is not asked for. */
static void __attribute__((noinline, unused, no_sanitize("undefined")))
__attribute__((no_sanitize("address"))) fault(int volatile *where)
{
	*where = 1;
}

static inline weir_status
order_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct order *order = in;
	int volatile *nowhere = NULL;

	(void)user;
	*(int *)out = order->number;
	switch (order->deed) {
	case DEED_ECHO:
	case DEED_DEEDS:
		break;
	case DEED_FAIL:
		return weir_job_fail(ctx, WEIR_FAILED, "order %d fails",
				     order->number);
	case DEED_SEGV:
		fault(nowhere);
		break;
	case DEED_ABORT:
		abort();
	case DEED_EXIT:
		exit(order->number);
	case DEED_HANG:
		hang();
		break;
	case DEED_SLEEP:
		return weir_ctx_sleep(ctx, WEIR_FOREVER);
	case DEED_EAT:
		eat();
		break;
	case DEED_RECURSE:
		return recurse(&order->number) ? WEIR_OK : WEIR_FAILED;
	case DEED_KILL:
		raise(SIGKILL);
		break;
	case DEED_CPU:
		for (int volatile i = 0;; i++)
			;
	}
	return WEIR_OK;
}

static inline weir_zygote *
zygote_make(void)
{
	weir_zygote *zygote = NULL;

	OK(weir_zygote_start(&zygote));
	return zygote;
}

static inline weir_pool_options
order_options(weir_zygote *zygote, uint32_t workers, uint32_t queue)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = workers;
	o.queue = queue;
	o.in_size = sizeof(struct order);
	o.out_size = sizeof(int);
	o.run = order_run;
	o.isolate = WEIR_ISOLATE_PROCESS;
	o.zygote = zygote;
	return o;
}

/* One job through a pool. */
static inline weir_result
one_order(weir_pool *pool, enum deed deed, int number, int *ret_out)
{
	struct order order = {deed, number};

	OK(weir_pool_submit(pool, &order, NULL, NULL));
	return next_result(pool, ret_out);
}

static inline weir_isolate_stats
isolate_stats(weir_pool *pool)
{
	weir_isolate_stats s = WEIR_ISOLATE_STATS_INIT;

	OK(weir_pool_get_isolate_stats(pool, &s));
	return s;
}

#define CHECK_HAS(text, part) \
	CHECK_MSG(strstr(text, part), "\"%s\" in \"%s\"", part, text)

#endif
