/*
 * The connection is cut at each message of each thing that is asked of the
 * PostgreSQL store, and what was promised is held against what is there.
 *
 * Design.  A store is used through pg_proxy, another one directly.  What is
 * tried is done once to count the messages, on a connection that is made for
 * it and on one that is there; and then again for each of them, which is where
 * the proxy cuts:
 *
 *      before it     the other side never gets it
 *      after it      it gets it, and what it answers is lost
 *      late          it gets it when we have long been cut off, and maybe
 *                    have come back
 *
 * What was answered with WEIR_OK is there, once.  After an error an insert is
 * not there, unless it says that this is not known; a turn is STALE, and what
 * its owner had is back when that has enlisted again, or it has not happened;
 * and everything else is there wholly or not at all, and doing it again makes
 * it so.
 *
 * WEIR_TEST_CUTS=N tries each N-th message; 1 is all of them.
 */
#include "harness.h"

#include "base/rng.h"
#include "pg/pg.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STRIDE = SANITIZED ? 29 : 7, MESSAGES = 512, LIMIT_S = 240 };

/* All that a test has. */
struct bench {
	PGconn *hand;
	weir_store *direct, *via;
	FILE *orders, *answers; /* of the proxy */
	char folder[64], via_conninfo[128];

	/* what is tried, for the one that checks it */
	struct weir_owner owner, other;
	struct weir_batch *batch;
	struct weir_finished finished;
	weir_inserted rets[2];
	weir_status status;
	weir_error error;
	uint32_t count;
	bool hasty; /* it came back while what it had said was on its way */
	unsigned long cuts, fired, answered;
};

struct verb {
	const char *name, *link;
	void (*prepare)(struct bench *b);
	weir_status (*act)(struct bench *b, weir_error *error);
	void (*check)(struct bench *b);
	/* NULL, or with what prepare and act and check have to do */
	enum weir_verdict verdict;
	const char *expected; /* the state that it makes */
};

static const struct verb *verb;
/* What was cut, for messages. */
static char where[96];

#define OK(call)                                                           \
	do {                                                               \
		weir_error e_ = {WEIR_OK, 0, ""};                          \
		weir_error *error = &e_;                                   \
		CHECK_MSG((call) == WEIR_OK, "%s: %s", where, e_.message); \
	} while (0)

static const char *
ask(struct bench *b, const char *sql)
{
	static char answer[256];
	PGresult *result = PQexec(b->hand, sql);

	CHECK_STR(PQresultErrorMessage(result), "");
	answer[0] = '\0';
	if (PQntuples(result) > 0)
		(void)snprintf(answer, sizeof(answer), "%s",
			       PQgetvalue(result, 0, 0));
	PQclear(result);
	return answer;
}

__attribute__((format(printf, 3, 4))) static bool
is(struct bench *b, const char *sql, const char *format, ...)
{
	char expected[256];
	const char *found = ask(b, sql);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	return CHECK_MSG(strcmp(found, expected) == 0, "%s: %s is %s, not %s",
			 where, sql, found, expected);
}

/* One of two. */
static bool
is_either(struct bench *b, const char *sql, const char *one, const char *two)
{
	const char *found = ask(b, sql);

	return CHECK_MSG(strcmp(found, one) == 0 || strcmp(found, two) == 0,
			 "%s: %s is %s, not %s or %s", where, sql, found, one,
			 two);
}

/* Give an order, and take the answer. */
__attribute__((format(printf, 2, 3))) static const char *
order(struct bench *b, const char *format, ...)
{
	static char line[4096];
	va_list args;

	va_start(args, format);
	(void)vfprintf(b->orders, format, args);
	va_end(args);
	(void)fputc('\n', b->orders);
	(void)fflush(b->orders);
	REQUIRE(fgets(line, sizeof(line), b->answers));
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void
start_proxy(struct bench *b)
{
	const char *conninfo = getenv("WEIR_TEST_PG");
	char target[108] = "", program[512];
	int in[2], out[2];

	(void)snprintf(b->folder, sizeof(b->folder), "/tmp/weir-cuts-XXXXXX");
	REQUIRE(mkdtemp(b->folder));
	REQUIRE(sscanf(conninfo, "host=%107s", target) == 1);
	(void)snprintf(program, sizeof(program), "%s/tests/pg_proxy",
		       getenv("WEIR_BUILD"));
	REQUIRE(pipe(in) == 0 && pipe(out) == 0);
	if (fork() == 0) {
		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		for (int fd = 3; fd < 64; fd++)
			(void)close(fd);
		(void)execl(program, program, b->folder, target, (char *)NULL);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	b->orders = fdopen(in[1], "w");
	b->answers = fdopen(out[0], "r");
	{
		char line[16] = "";

		REQUIRE(fgets(line, sizeof(line), b->answers) &&
			strcmp(line, "ready\n") == 0);
	}
	(void)snprintf(b->via_conninfo, sizeof(b->via_conninfo),
		       "host=%s dbname=postgres user=postgres", b->folder);
}

static weir_store *
open_store(const char *conninfo, const char *more)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = NULL;
	char url[512];

	(void)snprintf(url, sizeof(url),
		       "postgres:%s%s leader=off schema=cut_%d", conninfo, more,
		       (int)getpid());
	options.create = true;
	CHECK_MSG(weir__pg_open(&store, url, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	return store;
}

static void
begin(struct bench *b)
{
	const char *conninfo = getenv("WEIR_TEST_PG");
	char sql[256];

	if (!conninfo || !getenv("WEIR_BUILD"))
		SKIP("there is no WEIR_TEST_PG; see tests/with-postgres");
	b->hand = PQconnectdb(conninfo);
	REQUIRE(PQstatus(b->hand) == CONNECTION_OK);
	start_proxy(b);
	b->direct = open_store(conninfo, " application_name=direct");
	b->via = open_store(b->via_conninfo, "");
	(void)snprintf(sql, sizeof(sql),
		       "SET client_min_messages = warning;"
		       "SET search_path = cut_%d;"
		       "CREATE TABLE effect (n bigint)",
		       (int)getpid());
	(void)ask(b, sql);
}

static void
end(struct bench *b)
{
	char sql[128];

	b->via = weir_store_close(b->via);
	b->direct = weir_store_close(b->direct);
	(void)snprintf(sql, sizeof(sql), "DROP SCHEMA cut_%d CASCADE",
		       (int)getpid());
	(void)ask(b, sql);
	PQfinish(b->hand);
	(void)fclose(b->orders);
	(void)fclose(b->answers);
	(void)snprintf(sql, sizeof(sql), "%s/.s.PGSQL.5432", b->folder);
	(void)unlink(sql);
	(void)rmdir(b->folder);
}

static void
pause_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

/* Until there are no other sessions than those of whole connections. */
static void
wait_for_quiet(struct bench *b)
{
	char sql[160];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT count(*) FROM pg_stat_activity WHERE"
		       " application_name LIKE '%%%s'",
		       verb->link);
	for (int i = 0; i < 5000; i++) {
		if (strcmp(ask(b, sql), order(b, "live %s", verb->link)) == 0)
			return;
		pause_ms(1);
	}
	CHECK_MSG(false, "%s: a session does not end", where);
}

static void
wipe(struct bench *b)
{
	(void)ask(b, "DELETE FROM river_job; DELETE FROM weir_suspect;"
		     "DELETE FROM weir_client; DELETE FROM weir_schedule;"
		     "DELETE FROM weir_queue; DELETE FROM effect;"
		     "UPDATE river_queue SET paused_at = NULL");
	if (b->batch)
		for (size_t i = b->batch->count; i-- > 0;)
			weir__claim_free(&b->batch->claims[i]);
	b->batch = NULL;
}

static struct pg_link *
link_of(struct bench *b)
{
	struct weir_pg *pg = weir__pg_of(b->via);

	if (strcmp(verb->link, "work") == 0)
		return &pg->work;
	if (strcmp(verb->link, "insert") == 0)
		return &pg->insert;
	return &pg->admin;
}

static void
disconnect(struct bench *b)
{
	struct pg_link *link = link_of(b);

	weir__mutex_lock(&link->mu);
	weir__pg_disconnect(link);
	weir__mutex_unlock(&link->mu);
}

/* Do it, with all that stands there before. */
static void
try_it(struct bench *b, bool cold, const char *cut)
{
	wipe(b);
	verb->prepare(b);
	if (cold)
		disconnect(b);
	/* What was said before the first order is known by the second. */
	(void)order(b, "clear");
	(void)order(b, "count");
	if (cut)
		CHECK_STR(order(b, "%s", cut), "ok");
	b->error = (weir_error){WEIR_OK, 0, ""};
	b->status = verb->act(b, &b->error);
	(void)order(b, "clear");
}

static void
try_cut(struct bench *b, bool cold, const char *cut, bool late)
{
	if (!cold) /* on a connection that knows all statements */
		try_it(b, false, NULL);
	try_it(b, cold, cut);
	(void)snprintf(where, sizeof(where), "%s, %s, %s: %s", verb->name,
		       cold ? "cold" : "warm", cut,
		       weir_status_name(b->status));
	/* A work does not wait for what it has said to arrive. */
	b->hasty = b->status == WEIR_STALE && late;
	if (b->hasty)
		OK(b->via->ops->enlist(b->via, &b->owner, error));
	wait_for_quiet(b);
	b->cuts++;
	b->fired += strcmp(order(b, "fired"), "yes") == 0;
	b->answered += b->status == WEIR_OK;
	verb->check(b);
}

/* Each message of a direction; types are theirs. */
static void
cut_all(struct bench *b, bool cold, char dir, const char *types,
	unsigned stride, unsigned *at)
{
	for (size_t n = 1; n <= strlen(types); n++)
		for (size_t i = 0; i < (dir == 'c' ? 3 : 2); i++) {
			char cut[64];

			if ((*at)++ % stride != 0)
				continue;
			(void)snprintf(cut, sizeof(cut), "cut %s %c * %zu %s%s",
				       verb->link, dir, n,
				       i == 0 ? "before" : "after",
				       i == 2 ? " 15" : "");
			try_cut(b, cold, cut, i == 2);
		}
}

static void
cut_everywhere(const struct verb *v)
{
	const char *given = getenv("WEIR_TEST_CUTS");
	unsigned stride = given ? (unsigned)atoi(given) : STRIDE;
	struct bench b = {0};
	struct weir_rng rng;
	unsigned at;

	weir__rng_seed(&rng, test_seed());
	stride = stride ? stride : 1;
	at = (unsigned)weir__rng_below(&rng, stride);
	verb = v;
	begin(&b);
	for (int cold = 1; cold >= 0; cold--) {
		char said[MESSAGES] = "", heard[MESSAGES] = "";
		const char *link = v->link;

		(void)snprintf(where, sizeof(where), "%s", v->name);
		/* What is done once in the life of a store is done by then. */
		try_it(&b, true, NULL);
		try_it(&b, cold, NULL);
		CHECK_MSG(b.status == WEIR_OK, "%s: %s", v->name,
			  b.error.message);
		v->check(&b);
		(void)sscanf(order(&b, "counts %s", link), "c %511s s %511s",
			     said, heard);
		CHECK_MSG(*said && *heard, "%s says nothing", v->name);
		cut_all(&b, cold, 'c', said, stride, &at);
		cut_all(&b, cold, 's', heard, stride, &at);
	}
	printf("# %s: %lu cuts, %lu came to pass, %lu answered well\n", v->name,
	       b.cuts, b.fired, b.answered);
	CHECK(b.fired * 10 >= b.cuts * 9);
	wipe(&b);
	end(&b);
}

/* Jobs, inserted directly. */
static void
put(struct bench *b, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		weir_insert job = WEIR_INSERT_INIT;

		job.kind = "work";
		OK(weir_store_insert(b->direct, &job, 1, b->rets, NULL, error));
	}
}

static void
enlist(struct bench *b, weir_store *store, struct weir_owner *owner)
{
	*owner = (struct weir_owner){.crashes_max = 9};
	(void)snprintf(owner->name, sizeof(owner->name), "me");
	OK(store->ops->enlist(store, owner, error));
	(void)b;
}

static weir_status
turn(weir_store *store, struct bench *b, struct weir_owner *owner,
     const struct weir_finish *finish, unsigned want, weir_error *error)
{
	static const struct weir_want none;
	struct weir_want wants = {.queue = "default", .count = want};
	struct weir_turn t = {
		.owner = owner,
		.finishes = finish,
		.finish_count = finish ? 1 : 0,
		.finished = &b->finished,
		.wants = want ? &wants : &none,
		.want_count = want ? 1 : 0,
	};
	weir_status status;

	b->finished = (struct weir_finished){WEIR_INVAL, WEIR_JOB_PENDING};
	status = store->ops->turn(store, &t, error);
	if (t.batch)
		b->batch = t.batch;
	return status;
}

#define STATES                                                \
	"SELECT string_agg(state || ':' || attempt || ':' ||" \
	" coalesce(cardinality(errors), 0), ' ' ORDER BY id)" \
	" FROM river_job"
#define COUNT "SELECT count(*) FROM river_job"

/* Inserts. */

static void
prepare_nothing(struct bench *b)
{
	(void)b;
}

static weir_status
act_insert(struct bench *b, weir_error *error)
{
	weir_insert jobs[2] = {WEIR_INSERT_INIT, WEIR_INSERT_INIT};

	jobs[0].kind = jobs[1].kind = "work";
	jobs[1].queue = "other";
	return weir_store_insert(b->via, jobs, 2, b->rets, NULL, error);
}

static bool
is_known(const struct bench *b)
{
	return !strstr(b->error.message, "not known");
}

static void
check_insert(struct bench *b)
{
	if (b->status == WEIR_OK)
		is(b, COUNT, "2");
	else if (is_known(b))
		is(b, COUNT, "0");
	else
		is_either(b, COUNT, "0", "2");
}

static weir_status
insert_unique(weir_store *store, const char *first, size_t count,
	      weir_inserted *rets, weir_error *error)
{
	weir_insert jobs[2] = {WEIR_INSERT_INIT, WEIR_INSERT_INIT};

	jobs[0].kind = first;
	jobs[1].kind = "second";
	jobs[0].unique = jobs[1].unique = WEIR_UNIQUE_ARGS;
	return weir_store_insert(store, jobs, count, rets, NULL, error);
}

static void
prepare_unique(struct bench *b)
{
	OK(insert_unique(b->direct, "first", 1, b->rets, error));
}

static weir_status
act_unique(struct bench *b, weir_error *error)
{
	return insert_unique(b->via, "first", 2, b->rets, error);
}

static void
check_unique(struct bench *b)
{
	if (b->status == WEIR_OK) {
		is(b, COUNT, "2");
		CHECK_MSG(b->rets[0].duplicate && !b->rets[1].duplicate, "%s",
			  where);
	} else if (is_known(b)) {
		is(b, COUNT, "1");
	} else {
		is_either(b, COUNT, "1", "2");
	}
}

/* Turns. */

static void
prepare_claim(struct bench *b)
{
	put(b, 3);
	enlist(b, b->via, &b->owner);
}

static weir_status
act_claim(struct bench *b, weir_error *error)
{
	return turn(b->via, b, &b->owner, NULL, 5, error);
}

/* After a turn that says STALE; what else may be wrong is as before. */
static void
come_back(struct bench *b)
{
	OK(b->via->ops->enlist(b->via, &b->owner, error));
	is(b, "SELECT count(*) FROM river_job WHERE state = 'running'", "0");
	is(b, "SELECT count(*) FROM weir_client", "1");
}

static void
check_claim(struct bench *b)
{
	if (b->status == WEIR_STALE) {
		come_back(b);
		is(b, STATES, "available:0:0 available:0:0 available:0:0");
	}
	if (b->status != WEIR_OK) {
		is(b, STATES, "available:0:0 available:0:0 available:0:0");
		OK(act_claim(b, error));
	}
	is(b, STATES, "running:1:0 running:1:0 running:1:0");
	CHECK_MSG(b->batch && b->batch->count == 3, "%s", where);
}

static void
prepare_held(struct bench *b)
{
	put(b, 1);
	enlist(b, b->via, &b->owner);
	OK(turn(b->via, b, &b->owner, NULL, 1, error));
	REQUIRE(b->batch && b->batch->count == 1);
}

static weir_status
act_finish(struct bench *b, weir_error *error)
{
	static const char why[] =
		"{\"at\":\"2026-01-02T03:04:05Z\",\"attempt\":1,\"error\":"
		"\"no\",\"trace\":\"\"}";
	bool fails = verb->verdict == WEIR_VERDICT_RETRY ||
		     verb->verdict == WEIR_VERDICT_DISCARD;
	struct weir_finish finish = {
		.claim = &b->batch->claims[0],
		.verdict = verb->verdict,
		.at_ms = weir__store_now_ms(b->via) + 3600 * 1000,
		.error = fails ? why : NULL,
		.error_len = fails ? strlen(why) : 0,
	};
	struct weir_batch *held = b->batch;
	weir_status status;

	status = turn(b->via, b, &b->owner, &finish, 0, error);
	b->batch = held;
	return status;
}

static void
check_finish(struct bench *b)
{
	if (b->status == WEIR_STALE) {
		CHECK_EQ_INT(b->finished.status, WEIR_STALE);
		if (!b->hasty)
			is_either(b, STATES, verb->expected, "running:1:0");
		come_back(b);
		is_either(b, STATES, verb->expected, "available:0:0");
		return;
	}
	if (b->status != WEIR_OK) {
		is(b, STATES, "running:1:0");
		OK(act_finish(b, error));
	}
	CHECK_EQ_INT(b->finished.status, WEIR_OK);
	is(b, STATES, "%s", verb->expected);
}

/* Both at once. */
static void
prepare_both(struct bench *b)
{
	prepare_held(b);
	put(b, 1);
}

static weir_status
act_both(struct bench *b, weir_error *error)
{
	struct weir_finish finish = {.claim = &b->batch->claims[0],
				     .verdict = WEIR_VERDICT_COMPLETE};
	struct weir_batch *held = b->batch;
	weir_status status = turn(b->via, b, &b->owner, &finish, 1, error);

	if (b->batch != held)
		weir__claim_free(&held->claims[0]);
	return status;
}

static void
check_both(struct bench *b)
{
	if (b->status == WEIR_STALE) {
		if (!b->hasty)
			is_either(b, STATES, "completed:1:0 running:1:0",
				  "running:1:0 available:0:0");
		come_back(b);
		is_either(b, STATES, "completed:1:0 available:0:0",
			  "available:0:0 available:0:0");
		return;
	}
	if (b->status != WEIR_OK) {
		is(b, STATES, "running:1:0 available:0:0");
		OK(act_both(b, error));
	}
	is(b, STATES, "completed:1:0 running:1:0");
}

/* Clients. */

static void
prepare_enlisted(struct bench *b)
{
	enlist(b, b->via, &b->owner);
}

static weir_status
act_extend(struct bench *b, weir_error *error)
{
	return b->via->ops->extend(b->via, &b->owner, error);
}

static void
check_extend(struct bench *b)
{
	CHECK_MSG(b->status != WEIR_STALE, "%s", where);
	if (b->status != WEIR_OK)
		OK(act_extend(b, error));
	is_either(b, "SELECT beat FROM weir_client", "1", "2");
}

static weir_status
act_enlist(struct bench *b, weir_error *error)
{
	b->owner = (struct weir_owner){.name = "me", .crashes_max = 9};
	return b->via->ops->enlist(b->via, &b->owner, error);
}

/* A row of nobody may stay; it has nothing, and dies with the process. */
static void
check_enlist(struct bench *b)
{
	if (b->status != WEIR_OK) {
		is_either(b, "SELECT count(*) FROM weir_client", "0", "1");
		OK(act_enlist(b, error));
		is_either(b, "SELECT count(*) FROM weir_client", "1", "2");
	}
	is(b, "SELECT max(id) FROM weir_client", "%" PRId64, b->owner.id);
}

static weir_status
act_come_back(struct bench *b, weir_error *error)
{
	return b->via->ops->enlist(b->via, &b->owner, error);
}

static void
check_come_back(struct bench *b)
{
	if (b->status != WEIR_OK) {
		is_either(b, STATES, "available:0:0", "running:1:0");
		OK(act_come_back(b, error));
	}
	is(b, STATES, "available:0:0");
	is(b, "SELECT max(id) FROM weir_client", "%" PRId64, b->owner.id);
}

static weir_status
act_leave(struct bench *b, weir_error *error)
{
	return b->via->ops->leave(b->via, &b->owner, error);
}

static void
check_leave(struct bench *b)
{
	if (b->status != WEIR_OK) {
		is_either(b, STATES, "available:0:0", "running:1:0");
		OK(act_leave(b, error));
	}
	is(b, STATES, "available:0:0");
	is(b, "SELECT count(*) FROM weir_client", "0");
}

static bool
count_client(const struct weir_client_row *row, void *user)
{
	struct bench *b = user;

	(void)row;
	b->count++;
	return true;
}

static weir_status
act_clients(struct bench *b, weir_error *error)
{
	b->count = 0;
	return b->via->ops->clients(b->via, count_client, b, error);
}

static void
check_one(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 1);
}

/* Upkeep. */

static void
prepare_due(struct bench *b)
{
	put(b, 2);
	(void)ask(b, "UPDATE river_job SET state = 'scheduled',"
		     " scheduled_at = now() - interval '1 minute'");
}

static weir_status
promote(weir_store *store, struct bench *b, weir_error *error)
{
	int64_t next_ms;

	return store->ops->promote(store, 10, &b->count, &next_ms, error);
}

static weir_status
act_promote(struct bench *b, weir_error *error)
{
	return promote(b->via, b, error);
}

static void
check_promote(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 2);
	else
		is_either(b, STATES, "available:0:0 available:0:0",
			  "scheduled:0:0 scheduled:0:0");
	OK(promote(b->direct, b, error));
	is(b, STATES, "available:0:0 available:0:0");
}

static void
prepare_dead(struct bench *b)
{
	put(b, 2);
	enlist(b, b->direct, &b->other);
	OK(turn(b->direct, b, &b->other, NULL, 5, error));
}

static weir_status
rescue(weir_store *store, struct bench *b, weir_error *error)
{
	return store->ops->rescue(store, b->other.id, 0, 9, 10, &b->count,
				  error);
}

static weir_status
act_rescue(struct bench *b, weir_error *error)
{
	return rescue(b->via, b, error);
}

static void
check_rescue(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 2);
	else
		is_either(b, STATES, "available:1:1 available:1:1",
			  "running:1:0 running:1:0");
	OK(rescue(b->direct, b, error));
	is(b, STATES, "available:1:1 available:1:1");
	is(b, "SELECT string_agg(crashes::text, ' ') FROM weir_suspect", "1 1");
	is(b, "SELECT count(*) FROM weir_client", "0");
}

static void
prepare_old(struct bench *b)
{
	put(b, 2);
	(void)ask(b, "UPDATE river_job SET state = 'completed',"
		     " finalized_at = now() - interval '3 days'");
}

static weir_status
clean(weir_store *store, struct bench *b, weir_error *error)
{
	static const struct weir_retention day = {
		.keep_ms = {-1, 86400000, 86400000, 86400000, -1, -1, -1, -1}};

	return store->ops->clean(store, &day, 10, &b->count, error);
}

static weir_status
act_clean(struct bench *b, weir_error *error)
{
	return clean(b->via, b, error);
}

static void
check_clean(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 2);
	else
		is_either(b, COUNT, "0", "2");
	OK(clean(b->direct, b, error));
	is(b, COUNT, "0");
}

static weir_status
put_schedule(weir_store *store, weir_error *error)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_schedule schedule = {.size = sizeof(schedule)};

	job.kind = "tick";
	schedule.name = "hourly";
	schedule.spec = "0 * * * *";
	schedule.job = &job;
	return weir_store_schedule(store, &schedule, error);
}

static void
prepare_schedule(struct bench *b)
{
	OK(put_schedule(b->direct, error));
	(void)ask(b, "UPDATE weir_schedule SET next_at = now()"
		     " - interval '1 minute'");
}

static weir_status
fire(weir_store *store, struct bench *b, weir_error *error)
{
	int64_t next_ms;

	return store->ops->fire(store, 10, &b->count, &next_ms, error);
}

static weir_status
act_fire(struct bench *b, weir_error *error)
{
	return fire(b->via, b, error);
}

static void
check_fire(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 1);
	else
		is_either(b, COUNT, "0", "1");
	OK(fire(b->direct, b, error));
	is(b, COUNT, "1");
}

/* Schedules. */

static weir_status
act_schedule_put(struct bench *b, weir_error *error)
{
	return put_schedule(b->via, error);
}

static void
check_schedule_put(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_schedule_put(b, error));
	is(b, "SELECT count(*) FROM weir_schedule", "1");
}

static weir_status
act_schedule_pause(struct bench *b, weir_error *error)
{
	return b->via->ops->schedule_pause(b->via, "hourly", true, error);
}

static bool
note_paused(const weir_schedule *row, void *user)
{
	struct bench *b = user;

	b->count = 1 + row->paused;
	return true;
}

static void
check_schedule_pause(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_schedule_pause(b, error));
	OK(b->direct->ops->schedules(b->direct, note_paused, b, error));
	CHECK_EQ_INT(b->count, 2);
}

static weir_status
act_schedule_delete(struct bench *b, weir_error *error)
{
	return b->via->ops->schedule_delete(b->via, "hourly", error);
}

static void
check_schedule_delete(struct bench *b)
{
	weir_error error = {WEIR_OK, 0, ""};

	if (b->status != WEIR_OK) {
		weir_status again = act_schedule_delete(b, &error);

		CHECK(again == WEIR_OK || again == WEIR_NOTFOUND);
	}
	is(b, "SELECT count(*) FROM weir_schedule", "0");
}

static weir_status
act_schedules(struct bench *b, weir_error *error)
{
	b->count = 0;
	return b->via->ops->schedules(b->via, note_paused, b, error);
}

/* Looking and changing. */

static weir_status
change(struct bench *b, weir_job_action action, weir_error *error)
{
	return weir_store_change(b->via, action, &b->rets[0].id, 1, NULL, NULL,
				 error);
}

static void
prepare_job(struct bench *b)
{
	put(b, 1);
}

static void
prepare_over(struct bench *b)
{
	put(b, 1);
	(void)ask(b, "UPDATE river_job SET state = 'discarded', attempt = 25,"
		     " finalized_at = now()");
}

static weir_status
act_cancel(struct bench *b, weir_error *error)
{
	return change(b, WEIR_JOB_CANCEL, error);
}

static void
check_cancel(struct bench *b)
{
	if (b->status != WEIR_OK) {
		is_either(b, STATES, "available:0:0", "cancelled:0:0");
		OK(act_cancel(b, error));
	}
	is(b, STATES, "cancelled:0:0");
}

static weir_status
act_retry(struct bench *b, weir_error *error)
{
	return change(b, WEIR_JOB_RETRY, error);
}

static void
check_retry(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_retry(b, error));
	is(b, "SELECT state || ' ' || max_attempts FROM river_job",
	   "available 26");
}

static weir_status
act_delete(struct bench *b, weir_error *error)
{
	return change(b, WEIR_JOB_DELETE, error);
}

static void
check_delete(struct bench *b)
{
	weir_error error;

	if (b->status != WEIR_OK)
		(void)!act_delete(b, &error);
	is(b, COUNT, "0");
}

static weir_status
act_pause(struct bench *b, weir_error *error)
{
	return b->via->ops->queue_set(b->via, "default", 1, -1, error);
}

static void
check_pause(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_pause(b, error));
	is(b, "SELECT count(*) FROM river_queue WHERE paused_at IS NOT NULL",
	   "1");
}

static weir_status
act_policy(struct bench *b, weir_error *error)
{
	return b->via->ops->queue_set(b->via, "default", -1,
				      WEIR_FINISHED_ARCHIVE, error);
}

static void
check_policy(struct bench *b)
{
	if (b->status != WEIR_OK)
		OK(act_policy(b, error));
	is(b, "SELECT finished FROM weir_queue", "1");
}

static bool
count_job(const weir_job_row *row, void *user)
{
	struct bench *b = user;

	(void)row;
	b->count++;
	return true;
}

static weir_status
act_list(struct bench *b, weir_error *error)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;

	b->count = 0;
	return weir_store_list(b->via, &filter, count_job, b, error);
}

static bool
count_queue(const weir_queue_row *row, void *user)
{
	struct bench *b = user;

	(void)row;
	b->count++;
	return true;
}

static weir_status
act_queues(struct bench *b, weir_error *error)
{
	b->count = 0;
	return weir_store_queues(b->via, count_queue, b, error);
}

/* Inside a transaction of the caller's. */

static PGconn *
connect_by_hand(struct bench *b)
{
	char conninfo[256];
	PGconn *pg;

	(void)snprintf(conninfo, sizeof(conninfo),
		       "%s application_name=by_hand", b->via_conninfo);
	pg = PQconnectdb(conninfo);
	(void)PQsetNoticeProcessor(pg, NULL, NULL);
	return pg;
}

static bool
run(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Begin, an effect, ours, commit. */
static weir_status
act_tx(struct bench *b, weir_error *error)
{
	weir_insert job = WEIR_INSERT_INIT;
	PGconn *pg = connect_by_hand(b);
	weir_status status = WEIR_SYSTEM;
	char sql[96];
	void *db = pg;

	(void)snprintf(sql, sizeof(sql), "INSERT INTO cut_%d.effect VALUES (1)",
		       (int)getpid());
	job.kind = "work";
	if (run(pg, "BEGIN") && run(pg, sql))
		status =
			b->batch
				? b->via->ops->complete_tx(b->via, &b->owner,
							   &b->batch->claims[0],
							   db, NULL, 0, error)
				: weir_store_insert_tx(b->via, db, &job, 1,
						       b->rets, error);
	if (status == WEIR_OK && !run(pg, "COMMIT"))
		status = WEIR_SYSTEM;
	PQfinish(pg);
	return status;
}

static void
check_insert_tx(struct bench *b)
{
	is(b,
	   "SELECT (SELECT count(*) FROM river_job) ="
	   " (SELECT count(*) FROM effect)",
	   "t");
	if (b->status == WEIR_OK)
		is(b, COUNT, "1");
	else
		is_either(b, COUNT, "0", "1");
}

static void
check_complete_tx(struct bench *b)
{
	is(b,
	   "SELECT (SELECT count(*) FROM river_job WHERE"
	   " state = 'completed') = (SELECT count(*) FROM effect)",
	   "t");
	if (b->status == WEIR_OK)
		is(b, STATES, "completed:1:0");
	else
		is_either(b, STATES, "running:1:0", "completed:1:0");
	/* Whatever it was, once more makes it so once. */
	if (b->status != WEIR_OK) {
		weir_error error = {WEIR_OK, 0, ""};
		weir_status again = act_tx(b, &error);

		CHECK_MSG(again == WEIR_OK || again == WEIR_STALE, "%s: %s",
			  where, error.message);
	}
	is(b, STATES, "completed:1:0");
	is(b, "SELECT count(*) FROM effect", "1");
}

#define CUT(name, link, prepare, act, check)                                  \
	TEST_LIMIT(cut, name, LIMIT_S)                                        \
	{                                                                     \
		static const struct verb v = {#name,   link,                  \
					      prepare, act,                   \
					      check,   WEIR_VERDICT_COMPLETE, \
					      NULL};                          \
		cut_everywhere(&v);                                           \
	}

#define CUT_FINISH(name, verdict, expected)                              \
	TEST_LIMIT(cut, name, LIMIT_S)                                   \
	{                                                                \
		static const struct verb v = {                           \
			#name,        "work",  prepare_held, act_finish, \
			check_finish, verdict, expected};                \
		cut_everywhere(&v);                                      \
	}

CUT(insert, "insert", prepare_nothing, act_insert, check_insert)
CUT(insert_of_unique_ones, "insert", prepare_unique, act_unique, check_unique)
CUT(claim, "work", prepare_claim, act_claim, check_claim)
CUT_FINISH(finish_complete, WEIR_VERDICT_COMPLETE, "completed:1:0")
CUT_FINISH(finish_retry, WEIR_VERDICT_RETRY, "retryable:1:1")
CUT_FINISH(finish_snooze, WEIR_VERDICT_SNOOZE, "scheduled:0:0")
CUT_FINISH(finish_release, WEIR_VERDICT_RELEASE, "available:0:0")
CUT_FINISH(finish_discard, WEIR_VERDICT_DISCARD, "discarded:1:1")
CUT_FINISH(finish_cancel, WEIR_VERDICT_CANCEL, "cancelled:1:0")
CUT(finish_and_claim, "work", prepare_both, act_both, check_both)
CUT(extend, "work", prepare_enlisted, act_extend, check_extend)
CUT(enlist, "work", prepare_nothing, act_enlist, check_enlist)
CUT(enlist_again, "work", prepare_held, act_come_back, check_come_back)
CUT(leave, "work", prepare_held, act_leave, check_leave)
CUT(clients, "work", prepare_enlisted, act_clients, check_one)
CUT(promote, "upkeep", prepare_due, act_promote, check_promote)
CUT(rescue, "upkeep", prepare_dead, act_rescue, check_rescue)
CUT(clean, "upkeep", prepare_old, act_clean, check_clean)
CUT(fire, "upkeep", prepare_schedule, act_fire, check_fire)
CUT(schedule_put, "admin", prepare_nothing, act_schedule_put,
    check_schedule_put)
CUT(schedule_pause, "admin", prepare_schedule, act_schedule_pause,
    check_schedule_pause)
CUT(schedule_delete, "admin", prepare_schedule, act_schedule_delete,
    check_schedule_delete)
CUT(schedules, "admin", prepare_schedule, act_schedules, check_one)
CUT(cancel, "admin", prepare_job, act_cancel, check_cancel)
CUT(retry, "admin", prepare_over, act_retry, check_retry)
CUT(delete, "admin", prepare_job, act_delete, check_delete)
CUT(queue_pause, "admin", prepare_job, act_pause, check_pause)
CUT(queue_policy, "admin", prepare_job, act_policy, check_policy)
CUT(list, "admin", prepare_job, act_list, check_one)
CUT(queues, "admin", prepare_job, act_queues, check_one)
CUT(insert_tx, "by_hand", prepare_nothing, act_tx, check_insert_tx)
CUT(complete_tx, "by_hand", prepare_held, act_tx, check_complete_tx)
