/*
 * Threads that a scenario starts itself, because its first thread has to make
 * the pool before.  They count among its workers.
 */
#ifndef WEIR_PROOF_RELACY_CREW_H
#define WEIR_PROOF_RELACY_CREW_H

/* Start fn on a thread; at most three at a time. */
void crew_start(void (*fn)(void));
/* An execution that failed may have left some behind: forget them. */
void crew_reset(void);
/* Wait for all of them. */
void crew_join(void);

#endif
