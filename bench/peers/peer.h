/*
 * bench/peers/peer.h - what every peer in C and C++ needs besides its pool.
 *
 * Design.  A peer is one function that runs a load and adds up what came out;
 * peer_main() reads the command line, measures and checks it as bench/pool.c
 * does for weir.  Making and freeing the pool is inside the measured time,
 * for weir too.
 *
 * Locking.  None.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "../measure.h"

#include <getopt.h>
#include <stdbool.h>

/* Runs the load; false if it could not. */
typedef bool peer_fn(const struct bench_load *load, struct bench_tally *tally);

static inline int
peer_usage(void)
{
	fputs("usage: --workers N --capacity C --jobs J --steps S\n", stderr);
	return 2;
}

/* Reads the command line; false if it makes no sense. */
static inline bool
peer_load(struct bench_load *load, int argc, char **argv)
{
	static const struct option known[] = {
		{"workers", required_argument, NULL, 'w'},
		{"capacity", required_argument, NULL, 'c'},
		{"jobs", required_argument, NULL, 'j'},
		{"steps", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'w')
			load->workers = (uint32_t)bench_number(optarg);
		else if (option == 'c')
			load->capacity = (uint32_t)bench_number(optarg);
		else if (option == 'j')
			load->jobs = bench_number(optarg);
		else if (option == 's')
			load->steps = bench_number(optarg);
		else
			return false;
	}
	return load->workers > 0 && load->capacity > 0 && load->jobs > 0;
}

static inline int
peer_main(int argc, char **argv, const char *form, peer_fn *run)
{
	struct bench_load load = {4, 8, 100000, 0};
	struct bench_tally tally = {0, 0, 0, 0};
	struct bench_mark from, to;
	bool right;

	if (!peer_load(&load, argc, argv))
		return peer_usage();
	from = bench_mark_now();
	right = run(&load, &tally);
	to = bench_mark_now();
	right = right && bench_tally_is_right(&tally, load.jobs, load.steps);
	bench_report(form, &load, &from, &to, "", &tally, right);
	return right ? 0 : 1;
}

#endif
