/*
 * The driver of queue_driver.h.
 *
 * Design: one thread works the store, through its table of functions, as the
 * loop does; the inserters are threads of their own, so that group commits
 * have something to group.
 */
#include "queue_driver.h"
#include "harness.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 4 };

static bool
chance(struct weir_rng *rng, unsigned in_100)
{
	return weir__rng_below(rng, 100) < in_100;
}

/* Count an answer.  Was it good? */
static bool
answered(struct driver *d, weir_status status)
{
	atomic_fetch_add(&d->answers, 1);
	atomic_fetch_or(&d->statuses, 1u << status);
	if (status == WEIR_OK)
		return true;
	atomic_fetch_add(&d->failures, 1);
	return false;
}

static weir_status
insert_some(struct driver *d, struct weir_rng *rng, weir_error *error)
{
	unsigned count = 1 + (unsigned)weir__rng_below(rng, BATCH), first;
	weir_insert inserts[BATCH];
	weir_inserted rets[BATCH];
	char args[BATCH][40];
	weir_status status;

	first = ledger_insert(&d->ledger, count);
	for (unsigned i = 0; i < count; i++) {
		bool once = ledger_once(first + i);

		(void)snprintf(args[i], sizeof(args[i]), "{\"n\":%u}",
			       first + i);
		inserts[i] = (weir_insert)WEIR_INSERT_INIT;
		inserts[i].kind = once ? "once" : "some";
		inserts[i].args = args[i];
		inserts[i].max_attempts = WEIR_MAX_ATTEMPTS_MAX;
		inserts[i].pending = chance(rng, 5);
		if (chance(rng, 10))
			inserts[i].delay_ns = WEIR_MS;
	}
	status = weir_store_insert(d->store, inserts, count, rets, NULL, error);
	ledger_inserted(&d->ledger, first, count, rets, status);
	return status;
}

static bool
has_room(struct driver *d)
{
	return atomic_load(&d->ledger.count) < d->jobs_max;
}

static void *
inserter_main(void *arg)
{
	struct driver *d = arg;
	struct weir_rng rng;
	weir_error error;

	weir__rng_seed(&rng, (uint64_t)atomic_load(&d->ledger.count) + 77);
	while (!atomic_load(&d->closing) && has_room(d))
		(void)answered(d, insert_some(d, &rng, &error));
	return NULL;
}

static void
forget(struct driver *d, unsigned i)
{
	weir__claim_free(d->held[i]);
	d->held[i] = d->held[--d->held_count];
}

static unsigned
number_of(const struct weir_claim *claim)
{
	long n = ledger_number(claim->row.args);

	REQUIRE(n >= 0 && n < LEDGER_JOBS);
	return (unsigned)n;
}

static struct weir_finish
some_finish(struct driver *d, const struct weir_claim *claim)
{
	struct weir_finish finish = {.claim = claim};
	bool once = ledger_once(number_of(claim));

	/* Those are completed by complete_tx only. */
	do
		finish.verdict = (enum weir_verdict)weir__rng_below(&d->rng, 6);
	while (once && finish.verdict == WEIR_VERDICT_COMPLETE);
	finish.at_ms = weir__store_now_ms(d->store) +
		       (int64_t)weir__rng_below(&d->rng, 3);
	if (finish.verdict == WEIR_VERDICT_RETRY) {
		finish.error =
			"{\"at\":\"now\",\"attempt\":1,\"error\":\"no\"}";
		finish.error_len = strlen(finish.error);
	}
	if (finish.verdict == WEIR_VERDICT_COMPLETE && chance(&d->rng, 30)) {
		finish.output = "[1]";
		finish.output_len = 3;
	}
	return finish;
}

/* A finish of that job was answered. */
static void
note_finished(struct driver *d, const struct weir_finish *finish,
	      const struct weir_finished *finished, bool good)
{
	unsigned n = number_of(finish->claim);
	unsigned attempts = atomic_load(&d->ledger.jobs[n].attempt_min);

	if (!good || finished->status != WEIR_OK) {
		ledger_denied(&d->ledger, n);
		return;
	}
	if (finish->verdict != WEIR_VERDICT_SNOOZE &&
	    finish->verdict != WEIR_VERDICT_RELEASE)
		attempts = finish->claim->row.attempt;
	ledger_is(&d->ledger, n, finished->state, attempts);
}

/* Finish some of what is held, and claim. */
static void
turn(struct driver *d)
{
	struct weir_finish finishes[DRIVER_HELD];
	struct weir_finished finished[DRIVER_HELD];
	struct weir_want want = {.queue = "default"};
	struct weir_buf cancels = {0};
	struct weir_turn turn = {.owner = &d->owner,
				 .finishes = finishes,
				 .finished = finished,
				 .wants = &want,
				 .want_count = 1,
				 .cancel_seq = d->cancel_seq,
				 .cancels = &cancels};
	bool good;

	turn.finish_count = weir__rng_below(&d->rng, d->held_count + 1);
	for (size_t i = 0; i < turn.finish_count; i++) {
		finishes[i] = some_finish(d, d->held[i]);
		ledger_ask(&d->ledger, number_of(d->held[i]), false);
	}
	want.count = (uint32_t)weir__rng_below(&d->rng,
					       DRIVER_HELD + 1 - d->held_count);
	/* Suspects come one by one, with nothing else held. */
	want.alone = want.count > 0 && d->held_count == 0;
	good = answered(d, d->store->ops->turn(d->store, &turn, &d->error));
	for (size_t i = 0; i < turn.finish_count; i++)
		note_finished(d, &finishes[i], &finished[i], good);
	/* Those that were finished are the first. */
	for (size_t i = turn.finish_count; good && i-- > 0;)
		forget(d, (unsigned)i);
	for (size_t i = 0; good && turn.batch && i < turn.batch->count; i++)
		d->held[d->held_count++] = &turn.batch->claims[i];
	if (good)
		d->cancel_seq = turn.cancel_seq;
	weir__buf_fini(&cancels);
}

static bool
run(struct driver *d, const char *sql)
{
	return answered(d,
			sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK
				? WEIR_OK
				: WEIR_SYSTEM);
}

/* The effect and the completion of one that is held, or neither. */
static void
complete_tx(struct driver *d)
{
	unsigned i = 0, n;
	weir_status status;
	char sql[80];

	while (i < d->held_count && !ledger_once(number_of(d->held[i])))
		i++;
	if (i == d->held_count || !run(d, "BEGIN IMMEDIATE"))
		return;
	n = number_of(d->held[i]);
	ledger_ask(&d->ledger, n, false);
	(void)snprintf(sql, sizeof(sql), "INSERT INTO effect VALUES (%u)", n);
	status = run(d, sql) ? d->store->ops->complete_tx(d->store, &d->owner,
							  d->held[i], d->db,
							  NULL, 0, &d->error)
			     : WEIR_SYSTEM;
	if (status == WEIR_OK && !run(d, "COMMIT"))
		status = WEIR_SYSTEM;
	if (status != WEIR_OK) {
		(void)sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
		ledger_denied(&d->ledger, n);
	} else {
		ledger_is(&d->ledger, n, WEIR_JOB_COMPLETED,
			  d->held[i]->row.attempt);
	}
	if (status == WEIR_OK || status == WEIR_STALE)
		forget(d, i);
}

static bool
is_held(const struct driver *d, int64_t id)
{
	for (unsigned i = 0; i < d->held_count; i++)
		if (d->held[i]->row.id == id)
			return true;
	return false;
}

/* Cancel, retry or delete one of the jobs. */
static void
change(struct driver *d)
{
	unsigned count = atomic_load(&d->ledger.count), n;
	weir_job_action action = (weir_job_action)weir__rng_below(&d->rng, 3);
	struct ledger_job *job;
	weir_job_changed ret;
	enum ledger_phase phase;

	if (count == 0)
		return;
	n = (unsigned)weir__rng_below(&d->rng, count);
	job = &d->ledger.jobs[n];
	phase = atomic_load(&job->phase);
	if (phase != LEDGER_THERE && phase != LEDGER_OVER)
		return;
	/* A retry would have the effect of those twice, as it should. */
	if (action == WEIR_JOB_RETRY && ledger_once(n))
		return;
	ledger_ask(&d->ledger, n, action == WEIR_JOB_DELETE);
	if (!answered(d, weir_store_change(d->store, action, &job->id, 1, &ret,
					   NULL, &d->error)) ||
	    ret.status != WEIR_OK) {
		ledger_denied(&d->ledger, n);
		return;
	}
	if (action == WEIR_JOB_CANCEL && ret.state == WEIR_JOB_RUNNING)
		ledger_open(&d->ledger, n);
	else if (action == WEIR_JOB_DELETE)
		ledger_deleted(&d->ledger, n);
	else
		ledger_is(&d->ledger, n, ret.state,
			  is_held(d, job->id) ? atomic_load(&job->attempt_min)
					      : 0);
}

bool
driver_step(struct driver *d)
{
	const struct weir_store_ops *ops = d->store->ops;
	unsigned what = (unsigned)weir__rng_below(&d->rng, 100);
	uint32_t count;
	int64_t next_ms;

	if (!has_room(d))
		return false;
	if (what < 30)
		(void)answered(d, insert_some(d, &d->rng, &d->error));
	else if (what < 60)
		turn(d);
	else if (what < 75)
		complete_tx(d);
	else if (what < 93)
		change(d);
	else if (what < 95)
		d->beat += answered(
			d, ops->extend(d->store, &d->owner, &d->error));
	else
		(void)answered(d, ops->promote(d->store, 100, &count, &next_ms,
					       &d->error));
	return true;
}

void
driver_begin(struct driver *d, uint64_t seed)
{
	weir__rng_seed(&d->rng, seed);
}

static bool
open_effects(struct driver *d)
{
	if (sqlite3_open_v2(d->path, &d->db, SQLITE_OPEN_READWRITE, NULL) !=
	    SQLITE_OK)
		return answered(d, WEIR_SYSTEM);
	(void)sqlite3_busy_timeout(d->db, 10000);
	(void)sqlite3_wal_autocheckpoint(d->db, 0);
	(void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
				NULL);
	return (d->durability == WEIR_DURABLE_POWER ||
		run(d, "PRAGMA synchronous=NORMAL")) &&
	       run(d, "CREATE TABLE IF NOT EXISTS effect (n INTEGER PRIMARY "
		      "KEY)");
}

bool
driver_open(struct driver *d)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.url = d->path;
	options.create = options.migrate = true;
	options.durability = d->durability;
	if (!answered(d, weir_store_open(&d->store, &options, &d->error)))
		return false;
	d->owner = (struct weir_owner){.alone = d->alone};
	d->beat = 0;
	d->cancel_seq = 0;
	(void)snprintf(d->owner.name, sizeof(d->owner.name), "driver");
	if (!answered(d,
		      d->store->ops->enlist(d->store, &d->owner, &d->error))) {
		d->store = weir_store_close(d->store);
		return false;
	}
	if (!open_effects(d)) {
		driver_close(d, false);
		return false;
	}
	atomic_store(&d->closing, false);
	while (d->running < d->inserters) {
		REQUIRE(pthread_create(&d->threads[d->running], NULL,
				       inserter_main, d) == 0);
		d->running++;
	}
	return true;
}

/*
 * Abrupt: as if this process were gone, for the store; the next one to open
 * it rescues.  What is held is not asked about any more.
 */
void
driver_close(struct driver *d, bool abrupt)
{
	uint32_t count;

	atomic_store(&d->closing, true);
	while (d->running > 0)
		(void)pthread_join(d->threads[--d->running], NULL);
	while (d->held_count > 0)
		forget(d, d->held_count - 1);
	(void)sqlite3_close(d->db);
	d->db = NULL;
	if (abrupt && !d->alone)
		(void)answered(d, d->store->ops->rescue(d->store, d->owner.id,
							d->beat, 100, 1000,
							&count, &d->error));
	(void)answered(d, d->store->ops->leave(d->store, &d->owner, &d->error));
	d->store = weir_store_close(d->store);
}
