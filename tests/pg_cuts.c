/*
 * The frame of pg_cuts.h: a bench with a proxy, and a cut at each message.
 *
 * Design.  Before each try the tables are emptied and filled again.  A cut is
 * ordered right before what is tried, and undone right after; and nothing is
 * checked before every session is gone whose connection was cut.
 */
#include "pg_cuts.h"

#include "base/rng.h"
#include "pg/hold.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { STRIDE = SANITIZED ? 29 : 7, MESSAGES = 512 };

const struct verb *cuts_verb;
char cuts_where[96];

const char *
cuts_ask(struct bench *b, const char *sql)
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

__attribute__((format(printf, 3, 4))) bool
cuts_is(struct bench *b, const char *sql, const char *format, ...)
{
	char expected[256];
	const char *found = cuts_ask(b, sql);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	return CHECK_MSG(strcmp(found, expected) == 0, "%s: %s is %s, not %s",
			 cuts_where, sql, found, expected);
}

/* One of two. */
bool
cuts_is_either(struct bench *b, const char *sql, const char *one,
	       const char *two)
{
	const char *found = cuts_ask(b, sql);

	return CHECK_MSG(strcmp(found, one) == 0 || strcmp(found, two) == 0,
			 "%s: %s is %s, not %s or %s", cuts_where, sql, found,
			 one, two);
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
	(void)cuts_ask(b, sql);
}

static void
end(struct bench *b)
{
	char sql[128];

	b->via = weir_store_close(b->via);
	b->direct = weir_store_close(b->direct);
	(void)snprintf(sql, sizeof(sql), "DROP SCHEMA cut_%d CASCADE",
		       (int)getpid());
	(void)cuts_ask(b, sql);
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
		       cuts_verb->link);
	for (int i = 0; i < 5000; i++) {
		if (strcmp(cuts_ask(b, sql),
			   order(b, "live %s", cuts_verb->link)) == 0)
			return;
		pause_ms(1);
	}
	CHECK_MSG(false, "%s: a session does not end", cuts_where);
}

static void
wipe(struct bench *b)
{
	/* What is held cannot be deleted. */
	weir__pg_holds_drop(weir__pg_of(b->via), b->owner.id);
	(void)cuts_ask(b, "DELETE FROM river_job; DELETE FROM weir_suspect;"
			  "DELETE FROM weir_hold;"
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

	if (strcmp(cuts_verb->link, "work") == 0)
		return &pg->work;
	if (strcmp(cuts_verb->link, "insert") == 0)
		return &pg->insert;
	if (strcmp(cuts_verb->link, "hold") == 0)
		return &pg->holds->all[0].conn;
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
	cuts_verb->prepare(b);
	if (cold)
		disconnect(b);
	/* What was said before the first order is known by the second. */
	(void)order(b, "clear");
	(void)order(b, "count");
	if (cut)
		CHECK_STR(order(b, "%s", cut), "ok");
	b->error = (weir_error){WEIR_OK, 0, ""};
	b->status = cuts_verb->act(b, &b->error);
	(void)order(b, "clear");
}

static void
try_cut(struct bench *b, bool cold, const char *cut, bool late)
{
	if (!cold) /* on a connection that knows all statements */
		try_it(b, false, NULL);
	try_it(b, cold, cut);
	(void)snprintf(cuts_where, sizeof(cuts_where), "%s, %s, %s: %s",
		       cuts_verb->name, cold ? "cold" : "warm", cut,
		       weir_status_name(b->status));
	/* A work does not wait for what it has said to arrive. */
	b->hasty = b->status == WEIR_STALE && late;
	if (b->hasty)
		OK(b->via->ops->enlist(b->via, &b->owner, error));
	wait_for_quiet(b);
	b->cuts++;
	b->fired += strcmp(order(b, "fired"), "yes") == 0;
	b->answered += b->status == WEIR_OK;
	cuts_verb->check(b);
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
				       cuts_verb->link, dir, n,
				       i == 0 ? "before" : "after",
				       i == 2 ? " 15" : "");
			try_cut(b, cold, cut, i == 2);
		}
}

void
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
	cuts_verb = v;
	begin(&b);
	for (int cold = 1; cold >= 0; cold--) {
		char said[MESSAGES] = "", heard[MESSAGES] = "";
		const char *link = v->link;

		(void)snprintf(cuts_where, sizeof(cuts_where), "%s", v->name);
		/* What is done once in the life of a store is done by then. */
		try_it(&b, true, NULL);
		try_it(&b, cold, NULL);
		CHECK_MSG(b.status == WEIR_OK, "%s: %s", v->name,
			  b.error.message);
		(void)sscanf(order(&b, "counts %s", link), "c %511s s %511s",
			     said, heard);
		v->check(&b);
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
void
cuts_put(struct bench *b, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		weir_insert job = WEIR_INSERT_INIT;

		job.kind = "work";
		OK(weir_store_insert(b->direct, &job, 1, b->rets, NULL, error));
	}
}

void
cuts_enlist(struct bench *b, weir_store *store, struct weir_owner *owner)
{
	*owner = (struct weir_owner){.crashes_max = 9};
	(void)snprintf(owner->name, sizeof(owner->name), "me");
	OK(store->ops->enlist(store, owner, error));
	(void)b;
}

weir_status
cuts_turn(weir_store *store, struct bench *b, struct weir_owner *owner,
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

void
cuts_prepare_nothing(struct bench *b)
{
	(void)b;
}

void
cuts_check_one(struct bench *b)
{
	if (b->status == WEIR_OK)
		CHECK_EQ_INT(b->count, 1);
}
