/*
 * The ledger of queue_ledger.h.
 *
 * Design: a judge opens the database twice: as plain SQLite, to have it checked
 * through and to count effects, and through the library, as its users do.
 *
 * Locking: none.  A job's fields but the atomic ones are its asker's; phase is
 * stored last when something is granted, and first when it is asked for, so a
 * judge on another thread sees a promise never too early.
 */
#include "queue_ledger.h"
#include "harness.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEEN_NOT = -1 };

/* What is in the database. */
struct finding {
	struct ledger *ledger;
	unsigned count;
	int state[LEDGER_JOBS]; /* or SEEN_NOT */
	unsigned attempt[LEDGER_JOBS];
	bool effect[LEDGER_JOBS];
	bool wrong[LEDGER_WRONGS];
	char why[300]; /* of the first wrong */
};

const char *
ledger_wrong_text(enum ledger_wrong wrong)
{
	static const char *const texts[] = {
#define LEDGER_WRONG_TEXT(name, text) text,
		LEDGER_WRONG_TABLE(LEDGER_WRONG_TEXT)
#undef LEDGER_WRONG_TEXT
	};

	return texts[wrong];
}

unsigned
ledger_insert(struct ledger *ledger, unsigned count)
{
	unsigned first = atomic_fetch_add(&ledger->count, count);

	REQUIRE(first + count <= LEDGER_JOBS);
	for (unsigned i = first; i < first + count; i++) {
		ledger->jobs[i].batch = first;
		atomic_store(&ledger->jobs[i].phase, LEDGER_INSERTING);
	}
	return first;
}

void
ledger_inserted(struct ledger *ledger, unsigned first, unsigned count,
		const weir_inserted *rets, weir_status status)
{
	for (unsigned i = 0; i < count; i++) {
		struct ledger_job *job = &ledger->jobs[first + i];

		if (status == WEIR_OK)
			job->id = rets[i].id;
		atomic_store(&job->phase,
			     status == WEIR_OK ? LEDGER_THERE : LEDGER_REFUSED);
	}
}

void
ledger_ask(struct ledger *ledger, unsigned job, bool deletes)
{
	struct ledger_job *j = &ledger->jobs[job];

	j->before = atomic_load(&j->phase);
	REQUIRE(j->before == LEDGER_THERE || j->before == LEDGER_OVER ||
		j->before == LEDGER_ASKED);
	atomic_store(&j->phase, deletes ? LEDGER_DELETING : LEDGER_ASKED);
}

void
ledger_denied(struct ledger *ledger, unsigned job)
{
	struct ledger_job *j = &ledger->jobs[job];

	atomic_store(&j->phase, j->before);
}

void
ledger_is(struct ledger *ledger, unsigned job, weir_state state,
	  unsigned attempt_min)
{
	struct ledger_job *j = &ledger->jobs[job];
	bool over = WEIR_JOB_STATES_FINAL & WEIR_JOB_STATE_BIT(state);

	atomic_store(&j->over, (int)state);
	atomic_store(&j->attempt_min, attempt_min);
	atomic_store(&j->phase, over ? LEDGER_OVER : LEDGER_THERE);
}

void
ledger_open(struct ledger *ledger, unsigned job)
{
	atomic_store(&ledger->jobs[job].phase, LEDGER_ASKED);
}

void
ledger_deleted(struct ledger *ledger, unsigned job)
{
	atomic_store(&ledger->jobs[job].phase, LEDGER_DELETED);
}

long
ledger_number(const char *args)
{
	char *end = NULL;
	long number;

	if (strncmp(args, "{\"n\":", 5) != 0)
		return -1;
	number = strtol(args + 5, &end, 10);
	return end > args + 5 && *end == '}' ? number : -1;
}

__attribute__((format(printf, 3, 4))) static void
complain(struct finding *f, enum ledger_wrong wrong, const char *format, ...)
{
	va_list args;

	f->wrong[wrong] = true;
	if (*f->why)
		return;
	va_start(args, format);
	(void)vsnprintf(f->why, sizeof(f->why), format, args);
	va_end(args);
}

static int
check_integrity(void *user, int columns, char **values, char **names)
{
	(void)columns;
	(void)names;
	if (strcmp(values[0], "ok") != 0)
		complain(user, LEDGER_DAMAGED, "%s", values[0]);
	return 0;
}

static int
find_effect(void *user, int columns, char **values, char **names)
{
	struct finding *f = user;
	long n = atol(values[0]);

	(void)columns;
	(void)names;
	if (n < 0 || (unsigned)n >= f->count || f->effect[n])
		complain(f, LEDGER_EFFECTS, "effect %ld", n);
	else
		f->effect[n] = true;
	return 0;
}

static void
look_as_sqlite(struct finding *f, const char *path)
{
	sqlite3 *db = NULL;
	char *message = NULL;
	int code;

	/* Whether it has to be there is for the jobs to say. */
	if (access(path, F_OK) < 0)
		return;
	code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

	REQUIRE(db);
	/* As our own: no checkpoints. */
	(void)sqlite3_wal_autocheckpoint(db, 0);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "PRAGMA integrity_check",
				    check_integrity, f, &message);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "PRAGMA foreign_key_check",
				    check_integrity, f, &message);
	if (code != SQLITE_OK)
		complain(f, LEDGER_DAMAGED, "%s",
			 message ? message : sqlite3_errmsg(db));
	/* It need not be there yet. */
	(void)sqlite3_exec(db, "SELECT n FROM effect", find_effect, f, NULL);
	sqlite3_free(message);
	(void)sqlite3_close(db);
}

static bool
find_job(const weir_job_row *row, void *user)
{
	struct finding *f = user;
	long n = ledger_number(row->args);

	if (n < 0 || (unsigned)n >= f->count || f->state[n] != SEEN_NOT) {
		complain(f, LEDGER_INVENTED, "job %jd: %s", (intmax_t)row->id,
			 row->args);
		return true;
	}
	f->state[n] = (int)row->state;
	f->attempt[n] = row->attempt;
	return true;
}

static void
look_as_weir(struct finding *f, const char *path)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	weir_error error = {0};
	weir_store *store = NULL;
	weir_status status;

	options.url = path;
	options.create = options.migrate = true;
	status = weir_store_open(&store, &options, &error);
	if (status == WEIR_OK)
		status = weir_store_list(store, &filter, find_job, f, &error);
	if (status != WEIR_OK)
		complain(f, LEDGER_UNOPENED, "%s: %s", weir_status_name(status),
			 error.message);
	weir_store_close(store);
}

/* Whoever only looks may be the first one to do so. */
static void
look_only(struct finding *f, const char *path)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_store *store = NULL;
	weir_status status;

	options.url = path;
	options.read_only = true;
	status = weir_store_open(&store, &options, &error);
	/* It may not be made yet, or not to its end. */
	if (status != WEIR_OK && status != WEIR_NOTFOUND && status != WEIR_OLD)
		complain(f, LEDGER_UNOPENED, "to look: %s: %s",
			 weir_status_name(status), error.message);
	weir_store_close(store);
}

static void
judge_over(struct finding *f, unsigned n)
{
	struct ledger_job *job = &f->ledger->jobs[n];
	int over = atomic_load(&job->over);

	if (f->state[n] != over)
		complain(f, LEDGER_UNDONE, "job %u is %s, not %s", n,
			 weir_job_state_name((weir_state)f->state[n]),
			 weir_job_state_name((weir_state)over));
}

static void
judge_there(struct finding *f, unsigned n)
{
	unsigned least = atomic_load(&f->ledger->jobs[n].attempt_min);

	if (f->attempt[n] < least)
		complain(f, LEDGER_UNDONE, "job %u has had %u attempts, not %u",
			 n, f->attempt[n], least);
	if (WEIR_JOB_STATES_FINAL & (1u << f->state[n]))
		complain(f, LEDGER_UNDONE, "job %u is %s, and nobody asked", n,
			 weir_job_state_name((weir_state)f->state[n]));
}

static void
judge_job(struct finding *f, unsigned n, bool lenient)
{
	struct ledger_job *job = &f->ledger->jobs[n];
	enum ledger_phase phase = atomic_load(&job->phase);
	bool there = f->state[n] != SEEN_NOT;

	if (phase == LEDGER_REFUSED && there && !lenient)
		complain(f, LEDGER_INVENTED, "job %u was refused", n);
	if (phase == LEDGER_DELETED && there)
		complain(f, LEDGER_REVIVED, "job %u was deleted", n);
	if (!there && (phase == LEDGER_THERE || phase == LEDGER_OVER ||
		       phase == LEDGER_ASKED))
		complain(f, LEDGER_LOST, "job %u", n);
	if ((phase == LEDGER_INSERTING || phase == LEDGER_REFUSED) &&
	    there != (f->state[job->batch] != SEEN_NOT))
		complain(f, LEDGER_SPLIT, "batch %u to %u", job->batch, n);
	if (there && phase == LEDGER_OVER)
		judge_over(f, n);
	if (there && phase == LEDGER_THERE)
		judge_there(f, n);
	/* A deleted job leaves its effect behind. */
	if (there && ledger_once(n) &&
	    f->effect[n] != (f->state[n] == WEIR_JOB_COMPLETED))
		complain(f, LEDGER_EFFECTS, "job %u is %s, %s effect", n,
			 weir_job_state_name((weir_state)f->state[n]),
			 f->effect[n] ? "with its" : "without its");
}

bool
ledger_judge(struct ledger *ledger, const char *path, bool lenient,
	     unsigned allowed, uint64_t wrongs[LEDGER_WRONGS])
{
	struct finding f = {.ledger = ledger,
			    .count = atomic_load(&ledger->count)};
	unsigned found = 0;

	for (unsigned i = 0; i < LEDGER_JOBS; i++)
		f.state[i] = SEEN_NOT;
	look_only(&f, path);
	look_as_sqlite(&f, path);
	look_as_weir(&f, path);
	for (unsigned i = 0; i < f.count; i++)
		judge_job(&f, i, lenient);
	for (unsigned i = 0; i < LEDGER_WRONGS; i++) {
		wrongs[i] += f.wrong[i];
		if (f.wrong[i])
			found |= 1u << i;
	}
	if (found & ~allowed)
		(void)fprintf(stderr, "# %s: %s\n", path, f.why);
	return !(found & ~allowed);
}
