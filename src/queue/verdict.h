/*
 * What becomes of a job, decided: pure functions of what came of the attempt.
 *
 *   it says                          and            becomes
 *   cancel                                          CANCEL
 *   snooze                           was cancelled  CANCEL
 *                                                   SNOOZE
 *   WEIR_OK                                         COMPLETE
 *   WEIR_PERMANENT                                  DISCARD
 *   any other                        was cancelled  CANCEL
 *   WEIR_CANCELED                    we stop now    RELEASE
 *   any other                        last attempt   DISCARD
 *                                                   RETRY, by the policy
 *
 * "Was cancelled" means that somebody wanted it: a job that ends well in
 * spite of that is completed.
 */
#ifndef WEIR_SRC_QUEUE_VERDICT_H
#define WEIR_SRC_QUEUE_VERDICT_H

#include "queue/work.h"

/* What a verdict depends on besides the outcome. */
struct weir_case {
	const weir_job_row *row;
	const weir_retry *retry; /* NULL: River's curve */
	bool stopping;           /* running jobs were told to end */
	bool cancelled;          /* somebody wants it cancelled */
	int64_t now_ms;
	double unit; /* random, in [0, 1): jitter */
};

/* Fills in verdict and at_ms.  The texts are weir__verdict_texts()'s. */
void weir__verdict(const struct weir_outcome *outcome,
		   const struct weir_case *c, struct weir_finish *ret);

#define WEIR_JOB_ERROR_MAX (4 * 1024)  /* bytes of an error */
#define WEIR_JOB_TRACE_MAX (16 * 1024) /* and of a trace */

/*
 * The element of row.errors for this attempt, as River writes it, appended to
 * buf:
 *
 *      {"at":"2026-01-02T03:04:05.678Z","attempt":1,"error":"..","trace":""}
 *
 * Nothing is appended for verdicts that are no error.
 */
void weir__verdict_error(const struct weir_outcome *outcome,
			 const struct weir_case *c, enum weir_verdict verdict,
			 struct weir_buf *buf);

/* How many elements a JSON array has; 0 for anything else. */
uint64_t weir__count_errors(const char *json, size_t len);

#endif
