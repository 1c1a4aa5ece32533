/*
 * queue_victim ROLE DB HISTORY [NAME=VALUE...]: who is killed in the tests of
 * durable jobs, and who cleans up after.  tests/long-queue-kill starts it.
 * fleet_victim is the same on PostgreSQL; queue_victim.h is between the two.
 *
 *      init    make the store, the table of effects, and a journal that is
 *              written by triggers
 *      run     insert, work and meddle, until killed
 *      drain   work until there is nothing left to do
 *      judge   tell the history what is there at the end, and write the
 *              journal out as a history of its own, HISTORY.journal
 *
 *      seed=N        of what it does
 *      insert=N      it inserts N jobs      work=N     it works, N at once
 *      meddle=1      it cancels and looks   alone=1    it works alone
 *      beat=MS dead=MS                      as in weir_work_options
 *      shift=MS      its clock is wrong by so much
 *      jump=1        its clock jumps by an hour, forward and back
 *      poison=1      some jobs kill whoever runs them
 *      slow=MS       jobs take up to so long, some twenty times that
 *      crashes=N     crashes_max
 *      hold=0        its store holds no jobs (PostgreSQL)
 *
 * Design.  Jobs of kind "once" have an effect, a row in `effect`, that is
 * committed together with their completion; those of kind "some" end as
 * handlers usually do.  What is about to happen is noted before it can, what
 * has happened after it has (history.h).
 *
 * The journal needs no such caution: a trigger writes each change of a job's
 * state in the transaction that makes it.  In it a fence is what is in the
 * row, so it shows two live fences, and outcomes that change, to the letter.
 * It cannot know who has written; that a stale one did is for the history to
 * show.
 */
#include "history.h"
#include "queue_victim.h"

#include "base/rng.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/work.h>

enum { BATCH = 6, LOOK = 10 };

static const char *path, *history_path;
static int history;
static weir_store *store;
static atomic_long handlers; /* each has a seed of its own */
static long seed, inserts, work, meddle, alone, beat_ms, dead_ms, poison,
	slow_ms, crashes = 30000;
long victim_shift_ms, victim_jump, victim_hold = 1;

static const struct setting {
	const char *name;
	long *value;
} settings[] = {
	{"seed", &seed},        {"insert", &inserts},
	{"work", &work},        {"meddle", &meddle},
	{"alone", &alone},      {"beat", &beat_ms},
	{"dead", &dead_ms},     {"shift", &victim_shift_ms},
	{"jump", &victim_jump}, {"poison", &poison},
	{"crashes", &crashes},  {"slow", &slow_ms},
	{"hold", &victim_hold},
};

void
victim_die(const char *what, weir_status status, const weir_error *error)
{
	(void)fprintf(stderr, "queue_victim %d: %s: %s: %s\n", getpid(), what,
		      weir_status_name(status), error ? error->message : "");
	exit(1);
}

static void
set(const char *word)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		size_t len = strlen(settings[i].name);

		if (!strncmp(word, settings[i].name, len) && word[len] == '=') {
			*settings[i].value = strtol(word + len + 1, NULL, 10);
			return;
		}
	}
	victim_die(word, WEIR_INVAL, NULL);
}

static void
open_store(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_status status;

	options.url = path;
	options.create = options.migrate = true;
	status = victim_open(&store, &options, &error);
	if (status != WEIR_OK)
		victim_die("open", status, &error);
}

static void
init(void)
{
	struct victim_db *db;

	open_store();
	db = victim_db_open(path);
	victim_db_init(db);
	victim_db_close(db);
	store = weir_store_close(store);
}

/* Not faster than others can follow; nobody waits for this. */
static void
pace(int ms)
{
	(void)poll(NULL, 0, ms);
}

/* Jobs, a few at a time.  Their keys are in their args. */
static void *
insert_main(void *arg)
{
	struct weir_rng rng;

	(void)arg;
	weir__rng_seed(&rng, (uint64_t)seed);
	for (unsigned n = 0; n < (unsigned long)inserts;) {
		unsigned count = 1 + (unsigned)weir__rng_below(&rng, BATCH);
		weir_insert jobs[BATCH];
		weir_inserted rets[BATCH];
		char args[BATCH][60];
		weir_error error = {0};
		weir_status status;

		for (unsigned i = 0; i < count; i++) {
			bool once = weir__rng_below(&rng, 3) > 0;

			(void)snprintf(args[i], sizeof(args[i]),
				       "{\"key\":\"%d-%u\"}", getpid(), n + i);
			jobs[i] = (weir_insert)WEIR_INSERT_INIT;
			jobs[i].kind = once ? "once" : "some";
			jobs[i].args = args[i];
			jobs[i].max_attempts = WEIR_MAX_ATTEMPTS_MAX;
			if (poison && weir__rng_below(&rng, 50) == 0)
				jobs[i].kind = "poison";
			history_note(history, "submit %d-%u%s", getpid(), n + i,
				     once ? " once" : "");
		}
		status = weir_store_insert(store, jobs, count, rets, NULL,
					   &error);
		if (status != WEIR_OK && !victim_may_fail(status))
			victim_die("insert", status, &error);
		for (unsigned i = 0; i < count && status != WEIR_OK; i++)
			if (!strstr(error.message, "not known"))
				history_note(history, "refuse %d-%u", getpid(),
					     n + i);
		for (unsigned i = 0; i < count && status == WEIR_OK; i++)
			history_note(history, "ack %d-%u %" PRId64, getpid(),
				     n + i, rets[i].id);
		n += count;
		pace(2);
	}
	return NULL;
}

/* A fence as the history has it; we are its owner. */
struct fence {
	char text[48];
};

static struct fence
fence_of(const weir_job_row *job)
{
	struct fence fence;

	(void)snprintf(fence.text, sizeof(fence.text), "%u.%" PRId64 "@%d",
		       job->attempt, job->attempted_at_ms, getpid());
	return fence;
}

static struct weir_rng
handler_rng(void)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, (uint64_t)(seed * 1000003 +
					atomic_fetch_add(&handlers, 1)));
	return rng;
}

/* Give it back in one of the usual ways. */
static weir_status
give(const weir_job_row *job, struct weir_rng *rng)
{
	history_note(history, "give %" PRId64 " %s", job->id,
		     fence_of(job).text);
	if (weir__rng_below(rng, 3) == 0)
		return weir_job_snooze(job, WEIR_MS);
	weir_job_retry_in(job, (int64_t)weir__rng_below(rng, 3) * WEIR_MS);
	return WEIR_FAILED;
}

static pthread_key_t db_key;

static void
close_db(void *db)
{
	victim_db_close(db);
}

/* A connection for each thread, which is closed when that ends. */
static struct victim_db *
thread_db(void)
{
	struct victim_db *db = pthread_getspecific(db_key);

	if (!db) {
		db = victim_db_open(path);
		if (pthread_setspecific(db_key, db) != 0)
			victim_die("thread", WEIR_NOMEM, NULL);
	}
	return db;
}

static weir_status
once(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct weir_rng rng = handler_rng();
	const weir_job_row *job = in;
	struct fence fence = fence_of(job);
	weir_error error = {0};
	struct victim_db *db = thread_db();
	weir_status status;

	(void)ctx;
	(void)out;
	(void)user;
	history_note(history, "claim %" PRId64 " %s", job->id, fence.text);
	/* Some so long that two would be at it when the first wakes up. */
	if (slow_ms)
		pace((int)weir__rng_below(
			&rng, (uint64_t)slow_ms *
				      (weir__rng_below(&rng, 10) ? 1 : 20)));
	if (weir__rng_below(&rng, 5) == 0)
		return give(job, &rng);
	status = victim_db_effect(db, job, &error);
	if (status == WEIR_OK) {
		history_note(history, "effect %" PRId64 " %s", job->id,
			     fence.text);
		history_note(history, "complete %" PRId64 " %s", job->id,
			     fence.text);
		return WEIR_OK;
	}
	if (status == WEIR_STALE) {
		history_note(history, "stale %" PRId64 " %s", job->id,
			     fence.text);
		return WEIR_FAILED;
	}
	if (!victim_may_fail(status))
		victim_die("complete_tx", status, &error);
	/* It may have been committed; then this comes too late. */
	return give(job, &rng);
}

static weir_status
some(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct weir_rng rng = handler_rng();
	const weir_job_row *job = in;

	(void)ctx;
	(void)out;
	(void)user;
	history_note(history, "claim %" PRId64 " %s", job->id,
		     fence_of(job).text);
	if (weir__rng_below(&rng, 5) == 0)
		return give(job, &rng);
	history_note(history, "give %" PRId64 " %s", job->id,
		     fence_of(job).text);
	return WEIR_OK;
}

/* The end of whoever runs it. */
static weir_status
poisonous(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;

	(void)ctx;
	(void)out;
	(void)user;
	history_note(history, "doom %d", getpid());
	history_note(history, "claim %" PRId64 " %s", job->id,
		     fence_of(job).text);
	(void)kill(getpid(), SIGKILL);
	return WEIR_OK;
}

static void
on_trouble(const weir_error *error, void *user)
{
	(void)user;
	if (error)
		(void)fprintf(stderr, "queue_victim %d: trouble: %s\n",
			      getpid(), error->message);
}

static void
work_on(bool until_empty)
{
	weir_handler all[] = {
		{.size = sizeof(weir_handler), .kind = "once", .run = once},
		{.size = sizeof(weir_handler), .kind = "some", .run = some},
		{.size = sizeof(weir_handler),
		 .kind = "poison",
		 .run = poisonous},
	};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error = {0};
	weir_work *w = NULL;
	weir_status status;

	options.handlers = all;
	options.handler_count = sizeof(all) / sizeof(*all);
	options.workers = (uint32_t)(work > 0 ? work : 4);
	options.until_empty = until_empty;
	options.alone = alone;
	options.beat_ns = beat_ms * WEIR_MS;
	options.dead_ns = dead_ms * WEIR_MS;
	options.crashes_max = (uint32_t)crashes;
	options.completed_ns = options.cancelled_ns = options.discarded_ns =
		WEIR_FOREVER;
	options.trouble = on_trouble;
	while ((status = weir_work_new(&w, store, &options, &error)) !=
		       WEIR_OK &&
	       ((status == WEIR_BUSY && alone) || victim_may_fail(status)))
		pace(alone ? 0 : 20);
	if (status != WEIR_OK)
		victim_die("work anew", status, &error);
	status = weir_work_run(w, NULL, &error);
	if (status != WEIR_OK)
		victim_die("work", status, &error);
	weir_work_free(w);
}

static bool
note_seen(const weir_job_row *row, void *user)
{
	history_note(history, "seen %" PRId64 " %s %s", row->id,
		     weir_job_state_name(row->state), (const char *)user);
	return true;
}

/* Cancel a job, and look at some others. */
static void *
meddle_main(void *arg)
{
	struct weir_rng rng;

	(void)arg;
	weir__rng_seed(&rng, (uint64_t)seed + 1);
	for (unsigned n = 0;; n++) {
		weir_job_filter filter = WEIR_JOB_FILTER_INIT;
		int64_t id = 1 + (int64_t)weir__rng_below(&rng, 3000);
		weir_error error = {0};
		weir_status status;
		char look[40];

		history_note(history, "ask %" PRId64 " cancel", id);
		status = weir_store_change(store, WEIR_JOB_CANCEL, &id, 1, NULL,
					   NULL, &error);
		if (status != WEIR_OK && !victim_may_fail(status))
			victim_die("cancel", status, &error);
		(void)snprintf(look, sizeof(look), "%d-%u", getpid(), n);
		filter.after_id = id;
		filter.oldest_first = true;
		filter.limit = LOOK;
		history_note(history, "look %s", look);
		status = weir_store_list(store, &filter, note_seen, look,
					 &error);
		if (status != WEIR_OK && !victim_may_fail(status))
			victim_die("list", status, &error);
		pace(5);
	}
	return NULL;
}

static void
run(void)
{
	pthread_t thread;

	open_store();
	if (inserts && pthread_create(&thread, NULL, insert_main, NULL) != 0)
		victim_die("thread", WEIR_SYSTEM, NULL);
	if (meddle && pthread_create(&thread, NULL, meddle_main, NULL) != 0)
		victim_die("thread", WEIR_SYSTEM, NULL);
	if (work)
		work_on(false);
	else
		(void)pause();
}

static bool
add_left(const weir_queue_row *row, void *user)
{
	uint64_t *left = user;

	for (unsigned i = 0; i < 8; i++)
		if (!(WEIR_JOB_STATES_FINAL & 1u << i))
			*left += row->counts[i];
	return true;
}

/* Again, as those that are to be tried later are left at first. */
static void
drain(void)
{
	weir_error error = {0};
	uint64_t left = 0;

	open_store();
	do {
		weir_status status;

		pace(left > 0);
		work_on(true);
		left = 0;
		status = weir_store_queues(store, add_left, &left, &error);
		if (status != WEIR_OK)
			victim_die("drain", status, &error);
	} while (left > 0);
	store = weir_store_close(store);
}

/* One job and how often its effect has happened. */
static bool
note_final(const weir_job_row *row, void *user)
{
	const char *key = strchr(row->args, ':');
	char word[40];

	/* Nothing else is ever discarded. */
	if ((row->state == WEIR_JOB_DISCARDED) != !strcmp(row->kind, "poison"))
		(void)fprintf(stderr, "job %" PRId64 ", %s, is %s\n", row->id,
			      row->kind, weir_job_state_name(row->state));
	if (!key || sscanf(key, ": \"%39[^\"]\"", word) != 1)
		(void)snprintf(word, sizeof(word), "?");
	history_note(history, "final %" PRId64 " %s %s %d", row->id,
		     weir_job_state_name(row->state), word,
		     victim_db_effects(user, row->id));
	return true;
}

static bool
note_counts(const weir_queue_row *row, void *user)
{
	(void)user;
	for (unsigned i = 0; i < 8; i++)
		history_note(history, "count %s %" PRIu64,
			     weir_job_state_name((weir_state)i),
			     row->counts[i]);
	return true;
}

static void
note_journal(const char *line, void *user)
{
	history_note(*(int *)user, "%s", line);
}

/* The history as the store has kept it, without the caution of the other. */
static void
write_journal(struct victim_db *db)
{
	char name[1024];
	int out;

	(void)snprintf(name, sizeof(name), "%s.journal", history_path);
	out = history_open(name);
	victim_db_journal(db, note_journal, &out);
	(void)close(out);
}

static void
judge(void)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	weir_error error = {0};
	struct victim_db *db;
	weir_status status;

	open_store();
	db = victim_db_open(path);
	victim_db_check(db);
	history_note(history, "drained");
	status = weir_store_list(store, &filter, note_final, db, &error);
	if (status == WEIR_OK)
		status = weir_store_queues(store, note_counts, NULL, &error);
	if (status != WEIR_OK)
		victim_die("judge", status, &error);
	history_note(history, "end");
	write_journal(db);
	victim_db_close(db);
	store = weir_store_close(store);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} roles[] = {{"init", init},
		     {"run", run},
		     {"drain", drain},
		     {"judge", judge}};

	if (argc < 4)
		victim_die(
			"usage: queue_victim ROLE DB HISTORY [NAME=VALUE...]",
			WEIR_INVAL, NULL);
	path = argv[2];
	history_path = argv[3];
	for (int i = 4; i < argc; i++)
		set(argv[i]);
	history = history_open(history_path);
	if (pthread_key_create(&db_key, close_db) != 0)
		victim_die("thread", WEIR_NOMEM, NULL);
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (!strcmp(roles[i].name, argv[1])) {
			roles[i].run();
			return 0;
		}
	victim_die(argv[1], WEIR_INVAL, NULL);
}
