/*
 * bench/trip.h - submit one job, wait for its result: how long is the way?
 *
 * Design.  One thread makes trip after trip.  First all of them with nothing
 * in between, which gives the mean; then as many with a look at the clock
 * after each, which gives the percentiles, each some 20 ns too long for every
 * peer alike.  Pools and threads are there before the clock starts.
 *
 * Locking.  None.
 */
#ifndef BENCH_TRIP_H
#define BENCH_TRIP_H

#include "peers/peer.h"

#define TRIPS_MAX 4000000

/* One trip; false if it could not be made. */
typedef bool trip_fn(void *pool, const struct bench_job *job,
		     uint64_t *ret_value);

static inline int
trip_compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static inline bool
trip_once(trip_fn *trip, void *pool, uint64_t id, struct bench_tally *tally)
{
	struct bench_job job = bench_job_make(id);
	uint64_t value;

	if (!trip(pool, &job, &value))
		return false;
	bench_tally_add(tally, id, value);
	return true;
}

static inline bool
trip_all(trip_fn *trip, void *pool, uint64_t trips, struct bench_tally *tally)
{
	for (uint64_t id = 1; id <= trips; id++) {
		if (!trip_once(trip, pool, id, tally))
			return false;
	}
	return true;
}

static inline bool
trip_all_timed(trip_fn *trip, void *pool, uint32_t *ret_ns, uint64_t trips)
{
	struct bench_tally tally = {0, 0, 0, 0};
	int64_t before_ns = bench_now_ns();

	for (uint64_t id = 1; id <= trips; id++) {
		int64_t now_ns;

		if (!trip_once(trip, pool, id, &tally))
			return false;
		now_ns = bench_now_ns();
		ret_ns[id - 1] = now_ns - before_ns > UINT32_MAX
					 ? UINT32_MAX
					 : (uint32_t)(now_ns - before_ns);
		before_ns = now_ns;
	}
	qsort(ret_ns, trips, sizeof(*ret_ns), trip_compare);
	return bench_tally_is_right(&tally, trips, 0);
}

/* Measures trips of the trivial job, and prints the line of JSON. */
static inline int
trip_measure(const char *form, const struct bench_load *load, trip_fn *trip,
	     void *pool)
{
	static uint32_t ns[TRIPS_MAX];
	struct bench_tally tally = {0, 0, 0, 0};
	struct bench_mark from, to;
	char more[128];
	bool right;

	from = bench_mark_now();
	right = trip_all(trip, pool, load->jobs, &tally);
	to = bench_mark_now();
	right = right && bench_tally_is_right(&tally, load->jobs, 0) &&
		trip_all_timed(trip, pool, ns, load->jobs);
	snprintf(more, sizeof(more),
		 ", \"p50_ns\": %u, \"p99_ns\": %u, \"p999_ns\": %u",
		 ns[load->jobs / 2], ns[load->jobs * 99 / 100],
		 ns[load->jobs * 999 / 1000]);
	bench_report(form, load, &from, &to, more, &tally, right);
	return right ? 0 : 1;
}

#endif
