/*
 * What a victim (queue_victim.c) has to know of the database that it uses, one
 * file for each kind: queue_victim_sqlite.c, queue_victim_pg.c.
 *
 * What cannot be done ends the process, but where a status is given.
 */
#ifndef WEIR_TESTS_QUEUE_VICTIM_H
#define WEIR_TESTS_QUEUE_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <weir/queue.h>

/* How wrong the clock of this process is to be, and whether it jumps. */
extern long victim_shift_ms, victim_jump;
/* The lane of a store that has two: held jobs or not. */
extern long victim_hold;

_Noreturn void victim_die(const char *what, weir_status status,
			  const weir_error *error);

/* As weir_store_open(), with the clock wrong. */
weir_status victim_open(weir_store **out, weir_store_options *options,
			weir_error *reterr);

/* May this happen to who has done nothing wrong? */
bool victim_may_fail(weir_status status);

/* A connection of the victim's own. */
struct victim_db;
struct victim_db *victim_db_open(const char *path);
void victim_db_close(struct victim_db *db);

/* A table of effects, and a journal written by triggers. */
void victim_db_init(struct victim_db *db);

/*
 * The effect and the completion of a job, in one transaction.  STALE: neither.
 * What may fail: both or neither.
 */
weir_status victim_db_effect(struct victim_db *db, const weir_job_row *job,
			     weir_error *reterr);

/* How often has it happened? */
int victim_db_effects(struct victim_db *db, int64_t job);

/* Is the database whole? */
void victim_db_check(struct victim_db *db);

/* Each line of the journal, in its order. */
void victim_db_journal(struct victim_db *db,
		       void (*line)(const char *line, void *user), void *user);

#endif
