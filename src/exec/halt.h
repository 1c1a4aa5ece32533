/*
 * --halt: when to stop because of what has come so far.
 *
 *      now|soon , fail|success|done = N | N%
 *
 * As in GNU parallel: soon starts nothing more, now ends what runs as well; a
 * percentage is of all jobs, which have to be known, and at least 3 must have
 * ended.  "never" is nothing.
 */
#ifndef WEIR_SRC_EXEC_HALT_H
#define WEIR_SRC_EXEC_HALT_H

#include <stdbool.h>
#include <stdint.h>

enum weir_halt_why {
	WEIR_HALT_NEVER,
	WEIR_HALT_FAIL,
	WEIR_HALT_SUCCESS,
	WEIR_HALT_DONE,
};

struct weir_halt {
	enum weir_halt_why why;
	bool now;
	bool percent;
	uint64_t count; /* of jobs, or per cent */
};

/* False: it is no such text. */
bool weir__halt_parse(struct weir_halt *ret, const char *text);

/* Is it time?  total 0: not known yet. */
bool weir__halt_is_due(const struct weir_halt *halt, uint64_t ok,
		       uint64_t failed, uint64_t total);

#endif
