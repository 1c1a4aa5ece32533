/*
 * The judge of histories (history.h).
 *
 * It knows nothing of stores: it reads who said what, in which order, and
 * names each broken promise.  test_queue_history.c plants each of them.
 */
#ifndef WEIR_TESTS_HISTORY_CHECK_H
#define WEIR_TESTS_HISTORY_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Each broken promise in one place: X(NAME, "what is wrong"). */
#define HISTORY_WRONG_TABLE(X)                                           \
	X(TORN, "a line that says nothing")                              \
	X(LOST, "acknowledged, and not there at the end")                \
	X(INVENTED, "there at the end, and nobody had asked for it")     \
	X(DOUBLED, "asked for once, and there twice")                    \
	X(EFFECTS, "its effect did not happen once")                     \
	X(OVERLAP, "claimed while somebody else had it")                 \
	X(UNCLAIMED, "a fence that nobody had claimed")                  \
	X(STALE_FINISH, "finished by somebody who had lost it")          \
	X(REFUSED, "an owner whom nobody had taken it from was refused") \
	X(CHANGED, "it was over, and became something else")             \
	X(STUCK, "nothing should be left to do, and it is not over")     \
	X(SUM, "the store's own sums are not those of its jobs")

enum history_wrong {
#define HISTORY_WRONG_ENUM(name, text) HISTORY_##name,
	HISTORY_WRONG_TABLE(HISTORY_WRONG_ENUM)
#undef HISTORY_WRONG_ENUM
		HISTORY_WRONGS
};

struct history_verdict {
	uint64_t lines, submitted, acked, claims, effects, completes, stales,
		rescues, unacked; /* unacked: there, and never acknowledged */
	/* At the end: what is over by its state, and what is not. */
	uint64_t completed, cancelled, discarded, pending, deleted;
	uint64_t wrong[HISTORY_WRONGS];
	uint64_t wrongs; /* their sum */
	bool ended;      /* there was an end: what is lost has been told */
};

/* "a line that says nothing" */
const char *history_wrong_text(enum history_wrong wrong);

/*
 * Judge what in holds.  True: no promise was broken.  Each wrong is told to
 * report, if that is not NULL, with the number of its line; the first fifty.
 */
bool history_check(FILE *in, FILE *report, struct history_verdict *ret);

/* One line with the counts. */
void history_print(const struct history_verdict *verdict, FILE *out);

#endif
