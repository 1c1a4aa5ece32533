/*
 * How long a claim takes, of a store with however many waiting jobs.
 *
 *	claim DB COUNT TIMES [alone]
 *
 * Design.  The public library gives nobody a claim without running it, so this
 * is the one program here that looks inside: it takes the place of the loop
 * and pays TIMES visits to the store, each of which claims COUNT jobs and
 * finishes none.  In the end everything goes back, which leaves the database
 * as it was, to be used again.  One visit more, before, is not counted: it
 * finds the file's pages for the first time.
 *
 * The caller and the store's thread are kept on one processor, where the way
 * from one to the other is always the same few microseconds; to wake another
 * processor takes as long as it likes, which is many times what a claim takes.
 *
 * Prints one line of JSON.
 *
 * Locking.  None: one thread, and the store's own.
 */
#include "measure.h"

#include "queue/store.h"

#include <sched.h>
#include <stdbool.h>
#include <string.h>

static void
must(weir_status status, const weir_error *error, const char *what)
{
	if (status == WEIR_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, error->message);
	exit(1);
}

/* Claim, and forget what was claimed; gives how much that was. */
static size_t
visit(weir_store *store, struct weir_owner *owner, uint32_t count)
{
	struct weir_want want = {.queue = "default", .count = count};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};
	weir_error error = {0};
	size_t claimed = 0;

	must(store->ops->turn(store, &turn, &error), &error, "turn");
	if (turn.batch) {
		claimed = turn.batch->count;
		/* The last one takes the batch with it. */
		for (size_t i = 0; i < claimed; i++)
			weir__claim_free(&turn.batch->claims[i]);
	}
	return claimed;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool
time_visits(weir_store *store, struct weir_owner *owner, uint32_t count,
	    int64_t *took_ns, uint64_t times)
{
	bool right = visit(store, owner, count) == count;

	for (uint64_t i = 0; i < times; i++) {
		int64_t from_ns = bench_now_ns();

		right &= visit(store, owner, count) == count;
		took_ns[i] = bench_now_ns() - from_ns;
	}
	return right;
}

/* Threads that are made later stay there, too. */
static void
stay_here(void)
{
	int here = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(here >= 0 ? (size_t)here : 0, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		perror("sched_setaffinity");
}

static weir_store *
open_store(const char *db)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_store *store;

	options.url = db;
	must(weir_store_open(&store, &options, &error), &error, "open");
	return store;
}

int
main(int argc, char **argv)
{
	struct weir_owner owner = {.crashes_max = 3, .name = "bench:1"};
	weir_error error = {0};
	uint64_t times;
	int64_t *took_ns;
	weir_store *store;
	uint32_t count;
	bool right;

	if (argc < 4) {
		fputs("usage: claim DB COUNT TIMES [alone]\n", stderr);
		return 2;
	}
	count = (uint32_t)bench_number(argv[2]);
	times = bench_number(argv[3]);
	took_ns = calloc(times, sizeof(*took_ns));
	if (!took_ns || times == 0)
		return 1;
	owner.alone = argc > 4 && strcmp(argv[4], "alone") == 0;
	stay_here();
	store = open_store(argv[1]);
	must(store->ops->enlist(store, &owner, &error), &error, "enlist");
	right = time_visits(store, &owner, count, took_ns, times);
	must(store->ops->leave(store, &owner, &error), &error, "leave");
	weir_store_close(store);
	qsort(took_ns, times, sizeof(*took_ns), compare);
	printf("{\"jobs\": %llu, \"p50_ns\": %lld, \"p99_ns\": %lld, "
	       "\"right\": %s}\n",
	       (unsigned long long)(times * count),
	       (long long)took_ns[times / 2],
	       (long long)took_ns[times * 99 / 100], right ? "true" : "false");
	free(took_ns);
	return !right;
}
