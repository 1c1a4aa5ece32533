/*
 * The PostgreSQL store: what is inserted and read where it can go wrong in
 * ways that SQLite does not have - connections that are lost, callers that are
 * sent together, transactions of the caller's, rows that others have written.
 *
 * Each test has a schema of its own in the database of with-postgres.
 */
#include "harness.h"
#include "pg/pg.h"
#include "sync/thread.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char schema[32];
static PGconn *hand; /* what is done by hand */
static weir_store *store;

/* The first field of what it gives on that connection, until the next one. */
static const char *
ask(PGconn *pg, const char *text)
{
	static _Thread_local PGresult *result;

	PQclear(result);
	result = PQexec(pg, text);
	CHECK_STR(PQresultErrorMessage(result), "");
	if (PQntuples(result) > 0)
		return PQgetvalue(result, 0, 0);
	PQclear(result);
	result = NULL;
	return "";
}

__attribute__((format(printf, 1, 2))) static const char *
sql(const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	REQUIRE(vsnprintf(text, sizeof(text), format, args) <
		(int)sizeof(text));
	va_end(args);
	return ask(hand, text);
}

static PGconn *
connect_by_hand(void)
{
	const char *conninfo = getenv("WEIR_TEST_PG");
	char text[64];
	PGconn *pg;

	if (!conninfo)
		SKIP("there is no WEIR_TEST_PG; see tests/with-postgres");
	pg = PQconnectdb(conninfo);
	REQUIRE(PQstatus(pg) == CONNECTION_OK);
	snprintf(text, sizeof(text), "SET search_path = %s", schema);
	ask(pg, "SET client_min_messages = warning");
	ask(pg, text);
	return pg;
}

static weir_store *
open_store(const char *more)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *ret = NULL;
	char url[512];

	snprintf(url, sizeof(url), "postgres:%s schema=%s %s",
		 getenv("WEIR_TEST_PG"), schema, more);
	options.create = true;
	CHECK_MSG(weir__pg_open(&ret, url, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(ret);
	return ret;
}

static void
begin(void)
{
	snprintf(schema, sizeof(schema), "i_%d", (int)getpid());
	hand = connect_by_hand();
	store = open_store("");
}

static void
end(void)
{
	store = weir_store_close(store);
	sql("DROP SCHEMA IF EXISTS %s CASCADE", schema);
	PQfinish(hand);
}

#define PG_TEST(suite, name)                   \
	static void on_##suite##_##name(void); \
	TEST_LIMIT(suite, name, 60)            \
	{                                      \
		begin();                       \
		on_##suite##_##name();         \
		end();                         \
	}                                      \
	static void on_##suite##_##name(void)

static weir_status
insert(weir_store *to, const char *kind, weir_inserted *ret)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	weir_status status;

	job.kind = kind;
	status = weir_store_insert(to, &job, 1, ret, NULL, &error);
	CHECK_MSG(status == WEIR_OK, "%s", error.message);
	return status;
}

static int
jobs(void)
{
	return atoi(sql("SELECT count(*) FROM river_job"));
}

/* Wait until that is true. */
static void
await(const char *condition)
{
	while (strcmp(sql("SELECT %s", condition), "t") != 0)
		(void)poll(NULL, 0, 2);
}

/*
 * The database's clock.
 */
PG_TEST(inserted, jobs_are_due_by_the_clock_of_the_database)
{
	weir_inserted ret;

	for (int i = 0; i < 50; i++) {
		insert(store, "work", &ret);
		CHECK_STR(sql("SELECT scheduled_at <= now() AND scheduled_at = "
			      "created_at FROM river_job WHERE id = %lld",
			      (long long)ret.id),
			  "t");
	}
}

PG_TEST(inserted, jobs_are_rows_as_river_writes_them)
{
	weir_insert job = WEIR_INSERT_INIT;
	const char *tags[] = {"one", "two"};
	weir_error error;

	job.kind = "work";
	CHECK_EQ_INT(weir_store_insert(store, &job, 1, NULL, NULL, &error),
		     WEIR_OK);
	CHECK_STR(sql("SELECT (id, state, attempt, max_attempts, attempted_at,"
		      " finalized_at, priority, args, attempted_by, errors,"
		      " kind, metadata, queue, tags, unique_key, unique_states)"
		      "::text FROM river_job"),
		  "(1,available,0,25,,,1,{},,,work,{},default,{},,)");
	job.tags = tags;
	job.tag_count = 2;
	job.timeout_ns = 5 * WEIR_S;
	job.metadata = "{\"a\":1}";
	job.delay_ns = 3600 * WEIR_S;
	job.unique = WEIR_UNIQUE_KIND;
	CHECK_EQ_INT(weir_store_insert(store, &job, 1, NULL, NULL, &error),
		     WEIR_OK);
	CHECK_STR(sql("SELECT (state, tags, metadata, length(unique_key),"
		      " unique_states, scheduled_at > now())::text"
		      " FROM river_job WHERE id = 2"),
		  "(scheduled,\"{one,two}\",\"{\"\"a\"\": 1, "
		  "\"\"weir:timeout_ns\"\": 5000000000}\",32,11110101,t)");
	CHECK_STR(sql("SELECT (name, metadata, paused_at)::text"
		      " FROM river_queue"),
		  "(default,{},)");
}

PG_TEST(inserted, jobs_of_many_queues_and_keys_come_back_in_their_order)
{
	enum { COUNT = 5000 };

	weir_insert *all = calloc(COUNT, sizeof(*all));
	weir_inserted *rets = calloc(COUNT, sizeof(*rets));
	char(*texts)[2][32] = calloc(COUNT, sizeof(*texts));
	weir_error error = {WEIR_OK, 0, ""};

	REQUIRE(all && rets && texts);
	for (int i = 0; i < COUNT; i++) {
		all[i] = (weir_insert)WEIR_INSERT_INIT;
		snprintf(texts[i][0], 32, "kind%d", i % 4000);
		snprintf(texts[i][1], 32, "queue%d", i % 77);
		all[i].kind = texts[i][0];
		all[i].queue = texts[i][1];
		all[i].unique = i % 3 ? WEIR_UNIQUE_KIND : 0;
	}
	REQUIRE(weir_store_insert(store, all, COUNT, rets, NULL, &error) ==
		WEIR_OK);
	for (int i = 0; i < COUNT; i++) {
		bool twin = i >= 4000 && i % 3 && (i - 4000) % 3;

		CHECK_EQ_INT(rets[i].duplicate, twin);
		if (twin)
			CHECK_EQ_INT(rets[i].id, rets[i - 4000].id);
		if (i % 500 == 0)
			CHECK_STR(sql("SELECT kind FROM river_job WHERE id = "
				      "%lld",
				      (long long)rets[i].id),
				  texts[i][0]);
	}
	CHECK_STR(sql("SELECT count(*) FROM river_queue"), "77");
	free(all);
	free(rets);
	free(texts);
}

/*
 * Callers that are sent together.
 */
struct caller {
	weir_insert job;
	weir_inserted ret;
	weir_status status;
	weir_error error;
	struct weir_thread thread;
};

static void
call(void *arg)
{
	struct caller *caller = arg;

	caller->status = weir_store_insert(store, &caller->job, 1, &caller->ret,
					   NULL, &caller->error);
}

/* The first one waits for a lock, and the others for it. */
static void
call_together(struct caller *callers, int count)
{
	PGconn *other = connect_by_hand();

	ask(other, "BEGIN; LOCK TABLE river_job");
	for (int i = 0; i < count; i++) {
		REQUIRE(weir__thread_start(&callers[i].thread, "caller", 0,
					   call, &callers[i]) == WEIR_OK);
		if (i == 0)
			await("EXISTS (SELECT FROM pg_stat_activity WHERE"
			      " application_name = 'weir insert'"
			      " AND wait_event_type = 'Lock')");
	}
	(void)poll(NULL, 0,
		   100); /* a bad guess does no harm but to what is tried */
	ask(other, "COMMIT");
	PQfinish(other);
	for (int i = 0; i < count; i++)
		weir__thread_join(&callers[i].thread);
}

PG_TEST(callers, that_come_together_share_a_commit)
{
	struct caller callers[20] = {{.status = WEIR_OK}};

	for (int i = 0; i < 20; i++) {
		callers[i].job = (weir_insert)WEIR_INSERT_INIT;
		callers[i].job.kind = "work";
	}
	call_together(callers, 20);
	for (int i = 0; i < 20; i++)
		CHECK_EQ_INT(callers[i].status, WEIR_OK);
	CHECK_EQ_INT(jobs(), 20);
	CHECK(atoi(sql("SELECT count(DISTINCT xmin::text) FROM river_job")) <
	      10);
}

PG_TEST(callers, that_come_together_fail_each_for_its_own_reason)
{
	struct caller callers[5] = {{.status = WEIR_OK}};

	for (int i = 0; i < 5; i++) {
		callers[i].job = (weir_insert)WEIR_INSERT_INIT;
		callers[i].job.kind = "work";
	}
	/* A number that JSON can write and PostgreSQL cannot hold. */
	callers[3].job.args = "{\"n\":1e200000}";
	call_together(callers, 5);
	for (int i = 0; i < 5; i++)
		CHECK_EQ_INT(callers[i].status == WEIR_OK, i != 3);
	CHECK(strstr(callers[3].error.message, "numeric"));
	CHECK_EQ_INT(jobs(), 4);
}

PG_TEST(callers, that_come_together_with_one_key_get_one_job)
{
	struct caller callers[6] = {{.status = WEIR_OK}};
	int duplicates = 0;

	for (int i = 0; i < 6; i++) {
		callers[i].job = (weir_insert)WEIR_INSERT_INIT;
		callers[i].job.kind = "work";
		callers[i].job.unique = WEIR_UNIQUE_KIND;
	}
	call_together(callers, 6);
	for (int i = 0; i < 6; i++) {
		CHECK_EQ_INT(callers[i].status, WEIR_OK);
		CHECK_EQ_INT(callers[i].ret.id, callers[0].ret.id);
		duplicates += callers[i].ret.duplicate;
	}
	CHECK_EQ_INT(duplicates, 5);
	CHECK_EQ_INT(jobs(), 1);
}

/*
 * Connections that are lost.
 */

/* Inserts sleep there as long as there is the table's row. */
static void
make_sleepy(const char *trigger)
{
	sql("CREATE TABLE sleepy (); INSERT INTO sleepy DEFAULT VALUES;"
	    "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS"
	    " 'BEGIN IF EXISTS (SELECT FROM %s.sleepy) THEN"
	    " PERFORM pg_sleep(50); END IF; RETURN NEW; END'",
	    schema);
	sql("CREATE %s EXECUTE FUNCTION doze()", trigger);
}

/* Have a caller's session ended while it sleeps, and what becomes of it. */
static void
end_while_asleep(struct caller *caller)
{
	caller->job = (weir_insert)WEIR_INSERT_INIT;
	caller->job.kind = "work";
	REQUIRE(weir__thread_start(&caller->thread, "caller", 0, call,
				   caller) == WEIR_OK);
	await("EXISTS (SELECT FROM pg_stat_activity"
	      " WHERE application_name = 'weir insert'"
	      " AND wait_event = 'PgSleep')");
	sql("DELETE FROM sleepy");
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
	    " WHERE application_name = 'weir insert'"
	    " AND wait_event = 'PgSleep'");
	weir__thread_join(&caller->thread);
	CHECK_MSG(caller->status == WEIR_OK, "%s", caller->error.message);
	CHECK_EQ_INT(jobs(), 1);
	CHECK_EQ_INT(atoll(sql("SELECT id FROM river_job")), caller->ret.id);
}

PG_TEST(lost, before_the_commit_it_is_sent_again)
{
	struct caller caller;

	make_sleepy("TRIGGER t BEFORE INSERT ON river_job FOR EACH ROW");
	end_while_asleep(&caller);
}

PG_TEST(lost, in_the_commit_and_rolled_back_it_is_sent_again)
{
	struct caller caller;

	make_sleepy("CONSTRAINT TRIGGER t AFTER INSERT ON river_job"
		    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW");
	end_while_asleep(&caller);
}

PG_TEST(lost, while_it_was_idle_nobody_notices)
{
	weir_inserted ret;

	insert(store, "work", &ret);
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
	    " WHERE application_name = 'weir insert'");
	await("NOT EXISTS (SELECT FROM pg_stat_activity"
	      " WHERE application_name = 'weir insert')");
	insert(store, "work", &ret);
	CHECK_EQ_INT(jobs(), 2);
}

/*
 * A relay that passes everything on until it sees a COMMIT while it is armed:
 * that is passed on, and its answer is not.
 */
static struct {
	char folder[64];
	int listener;
	struct weir_u32 armed;
	const char *then; /* done by hand between the two */
} relay;

static int
unix_socket(const char *folder, struct sockaddr_un *ret)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	REQUIRE(snprintf(ret->sun_path, sizeof(ret->sun_path),
			 "%s/.s.PGSQL.5432",
			 folder) < (int)sizeof(ret->sun_path));
	return fd;
}

static bool
pass_on(int from, int to, bool *ret_commit)
{
	char bytes[65536];
	ssize_t len = read(from, bytes, sizeof(bytes));

	if (len <= 0)
		return false;
	*ret_commit = memmem(bytes, (size_t)len, "commit", 7) != NULL;
	return write(to, bytes, (size_t)len) == len;
}

static void
relay_one(void *arg)
{
	int client = (int)(intptr_t)arg;
	struct sockaddr_un address;
	char bytes[4096];
	const char *at = strstr(getenv("WEIR_TEST_PG"), "host=") + 5;
	char folder[100];
	int server;
	bool commit;

	snprintf(folder, sizeof(folder), "%.*s", (int)strcspn(at, " "), at);
	server = unix_socket(folder, &address);
	REQUIRE(connect(server, (struct sockaddr *)&address, sizeof(address)) ==
		0);
	for (;;) {
		struct pollfd fds[2] = {{client, POLLIN, 0},
					{server, POLLIN, 0}};

		poll(fds, 2, -1);
		if (fds[1].revents && !pass_on(server, client, &commit))
			break;
		if (fds[0].revents && !pass_on(client, server, &commit))
			break;
		if (fds[0].revents && commit &&
		    weir__u32_exchange(&relay.armed, 0, WEIR_ACQ_REL)) {
			CHECK(read(server, bytes, sizeof(bytes)) > 0);
			if (relay.then) {
				PGconn *pg = connect_by_hand();

				ask(pg, relay.then);
				PQfinish(pg);
			}
			break;
		}
	}
	close(server);
	close(client);
}

static void
relay_all(void *arg)
{
	static struct weir_thread threads[16];
	int count = 0, fd;

	(void)arg;
	while (count < 16 && (fd = accept(relay.listener, NULL, NULL)) >= 0)
		REQUIRE(weir__thread_start(&threads[count++], "relay", 0,
					   relay_one,
					   (void *)(intptr_t)fd) == WEIR_OK);
	while (count > 0)
		weir__thread_join(&threads[--count]);
}

static void
lose_the_answer(const char *then)
{
	static struct weir_thread thread;
	struct sockaddr_un address;
	char more[100];
	weir_store *far;
	weir_inserted ret;

	snprintf(relay.folder, sizeof(relay.folder), "/tmp/weir-relay-XXXXXX");
	REQUIRE(mkdtemp(relay.folder));
	relay.listener = unix_socket(relay.folder, &address);
	REQUIRE(bind(relay.listener, (struct sockaddr *)&address,
		     sizeof(address)) == 0);
	REQUIRE(listen(relay.listener, 16) == 0);
	REQUIRE(weir__thread_start(&thread, "relays", 0, relay_all, NULL) ==
		WEIR_OK);
	snprintf(more, sizeof(more), "host=%s", relay.folder);
	far = open_store(more);
	relay.then = then;
	weir__u32_store(&relay.armed, 1, WEIR_RELEASE_ORDER);
	CHECK_EQ_INT(insert(far, "work", &ret), WEIR_OK);
	CHECK(!weir__u32_load(&relay.armed, WEIR_ACQUIRE_ORDER));
	CHECK_EQ_INT(ret.id, 1);
	/* And it goes on as if nothing had been. */
	CHECK_EQ_INT(insert(far, "work", &ret), WEIR_OK);
	CHECK_EQ_INT(ret.id, 2);
	weir_store_close(far);
	shutdown(relay.listener, SHUT_RDWR);
	weir__thread_join(&thread);
	close(relay.listener);
	unlink(address.sun_path);
	rmdir(relay.folder);
}

PG_TEST(lost, after_the_commit_it_is_not_sent_again)
{
	lose_the_answer(NULL);
	CHECK_EQ_INT(jobs(), 2);
}

PG_TEST(lost, after_the_commit_it_is_not_sent_again_though_it_was_run)
{
	lose_the_answer("DELETE FROM river_job");
	CHECK_EQ_INT(jobs(), 1);
}

/*
 * Transactions of the caller's.
 */
static weir_status
insert_tx(PGconn *pg, weir_inserted *ret, weir_error *reterr)
{
	weir_insert job = WEIR_INSERT_INIT;

	job.kind = "work";
	job.queue = "other";
	job.unique = WEIR_UNIQUE_KIND;
	return weir_store_insert_tx(store, (struct sqlite3 *)(void *)pg, &job,
				    1, ret, reterr);
}

PG_TEST(transactions, of_the_callers_have_their_jobs_when_they_are_committed)
{
	PGconn *other = connect_by_hand();
	weir_error error = {WEIR_OK, 0, ""};
	weir_inserted ret, again;

	/* Whatever the caller's search_path may be. */
	ask(other, "SET search_path = pg_catalog");
	ask(other, "BEGIN");
	CHECK_EQ_INT(insert_tx(other, &ret, &error), WEIR_OK);
	CHECK_EQ_INT(insert_tx(other, &again, &error), WEIR_OK);
	CHECK(!ret.duplicate && again.duplicate && again.id == ret.id);
	CHECK_EQ_INT(jobs(), 0);
	ask(other, "ROLLBACK");
	CHECK_EQ_INT(jobs(), 0);
	ask(other, "BEGIN");
	CHECK_EQ_INT(insert_tx(other, &ret, &error), WEIR_OK);
	CHECK(!ret.duplicate);
	ask(other, "COMMIT");
	CHECK_EQ_INT(jobs(), 1);
	CHECK_STR(sql("SELECT name FROM river_queue"), "other");
	PQfinish(other);
}

static void
check_refused(PGconn *pg, const char *why)
{
	weir_error error = {WEIR_OK, 0, ""};
	weir_inserted ret;

	CHECK_EQ_INT(insert_tx(pg, &ret, &error), WEIR_INVAL);
	CHECK_STR(error.message, why);
}

PG_TEST(transactions, have_to_be_there_and_in_this_database)
{
	PGconn *other = connect_by_hand();
	char conninfo[256];

	check_refused(other, "the connection has no transaction");
	PQenterPipelineMode(other);
	check_refused(other, "the connection is in pipeline mode");
	PQfinish(other);
	snprintf(conninfo, sizeof(conninfo), "%s dbname=template1",
		 getenv("WEIR_TEST_PG"));
	other = PQconnectdb(conninfo);
	ask(other, "BEGIN");
	check_refused(other, "the connection is to another database");
	PQfinish(other);
}

/* Insert one of that queue and claim it. */
static struct weir_batch *
claim(struct weir_owner *owner, const char *queue)
{
	weir_insert job = WEIR_INSERT_INIT;
	struct weir_want want = {.queue = queue, .count = 1};
	struct weir_turn turn = {
		.owner = owner, .wants = &want, .want_count = 1};
	weir_error error = {WEIR_OK, 0, ""};

	job.kind = "work";
	job.queue = queue;
	REQUIRE(weir_store_insert(store, &job, 1, NULL, NULL, &error) ==
		WEIR_OK);
	CHECK_MSG(store->ops->turn(store, &turn, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(turn.batch && turn.batch->count == 1);
	return turn.batch;
}

static weir_status
complete_tx(const struct weir_owner *owner, const struct weir_batch *batch,
	    PGconn *pg)
{
	weir_error error = {WEIR_OK, 0, ""};
	weir_status status = store->ops->complete_tx(
		store, owner, &batch->claims[0], pg, "{\"o\":1}", 7, &error);

	CHECK_MSG(status == WEIR_OK || status == WEIR_STALE, "%s",
		  error.message);
	return status;
}

PG_TEST(transactions, complete_a_job_with_what_it_did)
{
	struct weir_owner me = {.name = "me"};
	PGconn *other = connect_by_hand();
	weir_error error;
	struct weir_batch *batch;

	ask(other, "BEGIN"); /* before the job was claimed */
	REQUIRE(store->ops->enlist(store, &me, &error) == WEIR_OK);
	batch = claim(&me, "default");
	CHECK_EQ_INT(complete_tx(&me, batch, other), WEIR_OK);
	ask(other, "ROLLBACK");
	CHECK_STR(sql("SELECT state FROM river_job"), "running");
	ask(other, "BEGIN");
	CHECK_EQ_INT(complete_tx(&me, batch, other), WEIR_OK);
	CHECK_EQ_INT(complete_tx(&me, batch, other), WEIR_STALE);
	ask(other, "COMMIT");
	CHECK_STR(sql("SELECT (state, metadata, finalized_at >= attempted_at)"
		      "::text FROM river_job"),
		  "(completed,\"{\"\"output\"\": {\"\"o\"\": 1}}\",t)");
	weir__claim_free(&batch->claims[0]);
	PQfinish(other);
}

PG_TEST(transactions, do_not_complete_a_job_that_is_somebody_elses)
{
	struct weir_owner me = {.name = "me"};
	PGconn *other = connect_by_hand();
	weir_error error;
	struct weir_batch *batch;

	REQUIRE(store->ops->enlist(store, &me, &error) == WEIR_OK);
	batch = claim(&me, "default");
	sql("UPDATE river_job SET attempted_by = array_append(attempted_by,"
	    " 'go_1'), attempt = attempt + 1");
	ask(other, "BEGIN");
	CHECK_EQ_INT(complete_tx(&me, batch, other), WEIR_STALE);
	ask(other, "COMMIT");
	CHECK_STR(sql("SELECT state FROM river_job"), "running");
	weir__claim_free(&batch->claims[0]);
	PQfinish(other);
}

PG_TEST(transactions, do_with_completed_jobs_what_their_queue_says)
{
	struct weir_owner me = {.name = "me"};
	PGconn *other = connect_by_hand();
	weir_error error;
	struct weir_batch *batch;

	REQUIRE(store->ops->enlist(store, &me, &error) == WEIR_OK);
	for (int i = WEIR_FINISHED_ARCHIVE; i <= WEIR_FINISHED_DROP; i++) {
		const char *queue = i == WEIR_FINISHED_DROP ? "drop" : "keep";

		REQUIRE(weir_store_set_finished(store, queue,
						(weir_finished_policy)i,
						&error) == WEIR_OK);
		batch = claim(&me, queue);
		ask(other, "BEGIN");
		CHECK_EQ_INT(complete_tx(&me, batch, other), WEIR_OK);
		ask(other, "COMMIT");
		weir__claim_free(&batch->claims[0]);
	}
	CHECK_EQ_INT(jobs(), 0);
	CHECK_STR(sql("SELECT (queue, attempted_by, output)::text"
		      " FROM weir_archive"),
		  "(keep,me,\"{\"\"o\"\": 1}\")");
	CHECK_STR(sql("SELECT count(*) FROM weir_archive"), "1");
	PQfinish(other);
}

/*
 * Rows that others have written.
 */
static bool
keep_row(const weir_job_row *row, void *user)
{
	struct weir_buf *b = user;

	weir__buf_printf(b, "%s %s|%s|%s|%s|%s|%lld %lld;",
			 weir_job_state_name(row->state), row->attempted_by,
			 row->metadata, row->tags, row->errors, row->output,
			 (long long)row->cancel_at_ms,
			 (long long)row->timeout_ns);
	return true;
}

static void
check_rows(const char *expected)
{
	struct weir_buf b = {0};
	weir_error error = {WEIR_OK, 0, ""};

	CHECK_MSG(weir_store_list(store, NULL, keep_row, &b, &error) == WEIR_OK,
		  "%s", error.message);
	CHECK_STR(weir__buf_str(&b), expected);
	weir__buf_fini(&b);
	sql("DELETE FROM river_job");
}

static void
put_row(const char *columns, const char *values)
{
	sql("INSERT INTO river_job (kind, args, %s) VALUES ('k', '[7]', %s)",
	    columns, values);
}

PG_TEST(rows, that_others_wrote_are_shown_as_what_they_are)
{
	put_row("metadata, state",
		"'{\"a\":1,\"output\":[1],\"weir:timeout_ns\":5,"
		"\"cancel_attempted_at\":\"2026-01-02T03:04:05.678901234Z\"}',"
		" 'running'");
	check_rows("running |{\"a\": 1}|||[1]|1767323045678 5;");
	put_row("metadata", "'{\"cancel_attempted_at\":"
			    "\"2026-01-02T05:04:05+02:00\"}'");
	check_rows("available |||||1767323045000 0;");
	put_row("attempted_by, tags",
		"'{go_1,me:7#12}', '{\"a b\",\"c\\\"d\"}'");
	check_rows("available me:7||[\"a b\",\"c\\\"d\"]|||0 0;");
	put_row("attempted_by, errors",
		"'{}', ARRAY['{\"at\":1}', NULL, '7']::jsonb[]");
	check_rows("available |||[{\"at\": 1},7]||0 0;");
}

PG_TEST(rows, that_others_wrote_badly_are_shown_nevertheless)
{
	put_row("metadata", "'null'");
	check_rows("available |||||0 0;");
	put_row("metadata", "'[\"output\"]'");
	check_rows("available |||||0 0;");
	put_row("metadata", "'{\"cancel_attempted_at\":\"yesterday\","
			    "\"weir:timeout_ns\":\"soon\",\"output\":null}'");
	check_rows("available ||||null|0 0;");
	put_row("metadata",
		"'{\"cancel_attempted_at\":7,\"weir:timeout_ns\":-1.5}'");
	check_rows("available |||||0 0;");
	put_row("attempted_by, errors, tags",
		"'[0:1]={a,b}', '[5:5]={\"7\"}', '[3:3]={x}'");
	check_rows("available b||[\"x\"]|[7]||0 0;");
	put_row("unique_key, unique_states", "'\\x0102', '11111111'");
	check_rows("available |||||0 0;");
}

/*
 * What River's clients hear.
 */
static void
listen_to(const char *topic)
{
	sql("LISTEN \"%s.%s\"", schema, topic);
}

static void
check_heard(const char *expected)
{
	struct weir_buf b = {0};
	PGnotify *notify;

	sql("SELECT 1");
	while ((notify = PQnotifies(hand)) != NULL) {
		weir__buf_printf(&b, "%s;", notify->extra);
		PQfreemem(notify);
	}
	CHECK_STR(weir__buf_str(&b), expected);
	weir__buf_fini(&b);
}

PG_TEST(notices, of_inserts_come_once_for_each_queue)
{
	weir_insert all[5];
	weir_error error;

	listen_to("river_insert");
	for (int i = 0; i < 5; i++) {
		all[i] = (weir_insert)WEIR_INSERT_INIT;
		all[i].kind = "work";
		all[i].queue = i % 2 ? "odd" : "even";
	}
	all[4].pending = true;
	all[4].queue = "pending";
	REQUIRE(weir_store_insert(store, all, 5, NULL, NULL, &error) ==
		WEIR_OK);
	check_heard("{\"queue\":\"even\"};{\"queue\":\"odd\"};");
	REQUIRE(weir_store_insert(store, &all[4], 1, NULL, NULL, &error) ==
		WEIR_OK);
	check_heard("");
}

PG_TEST(notices, of_changes_are_rivers)
{
	weir_error error;
	weir_inserted ret;

	listen_to("river_control");
	insert(store, "work", &ret);
	for (int i = 0; i < 2; i++)
		REQUIRE(weir_store_change(store, WEIR_JOB_CANCEL, &ret.id, 1,
					  NULL, NULL, &error) == WEIR_OK);
	check_heard("{\"action\":\"cancel\",\"job_id\":1,\"queue\":\"default\"}"
		    ";");
	CHECK_STR(sql("SELECT (metadata ->> 'cancel_attempted_at')::timestamptz"
		      " = finalized_at AND metadata ->> 'cancel_attempted_at'"
		      " ~ '^[0-9-]{10}T[0-9:]{8}([.][0-9]*[1-9])?Z$'"
		      " FROM river_job"),
		  "t");
	REQUIRE(weir_store_pause(store, "default", true, &error) == WEIR_OK);
	REQUIRE(weir_store_pause(store, "*", false, &error) == WEIR_OK);
	check_heard("{\"action\":\"pause\",\"queue\":\"default\"};"
		    "{\"action\":\"resume\",\"queue\":\"*\"};");
	CHECK_EQ_INT(weir_store_pause(store, "nowhere", true, &error),
		     WEIR_NOTFOUND);
	check_heard("");
}

PG_TEST(retries, of_two_jobs_with_one_key_let_one_through)
{
	weir_job_changed rets[2];
	int64_t ids[2] = {1, 2};
	weir_error error;

	for (int i = 0; i < 2; i++)
		put_row("state, finalized_at, unique_key, unique_states",
			"'discarded', now(), '\\x01', '11110101'");
	REQUIRE(weir_store_change(store, WEIR_JOB_RETRY, ids, 2, rets, NULL,
				  &error) == WEIR_OK);
	CHECK_EQ_INT(rets[0].status, WEIR_OK);
	CHECK_EQ_INT(rets[1].status, WEIR_INVAL);
	CHECK_EQ_INT(rets[1].state, WEIR_JOB_DISCARDED);
}

/*
 * Sessions are ended at any moment, and each job is there once.
 */
#define HANDS 4

struct hand {
	weir_store *store;
	int number, count;
	struct weir_u32 *stop;
	struct weir_thread thread;
};

static void
insert_on(void *arg)
{
	struct hand *me = arg;

	while (!weir__u32_load(me->stop, WEIR_ACQUIRE_ORDER)) {
		weir_insert job = WEIR_INSERT_INIT;
		weir_inserted ret;
		weir_error error = {WEIR_OK, 0, ""};
		char args[64];

		snprintf(args, sizeof(args), "{\"hand\":%d,\"n\":%d}",
			 me->number, me->count++);
		job.kind = "work";
		job.args = args;
		/* What was refused is not there, and may be asked for again. */
		for (int i = 0; i < 20; i++)
			if (weir_store_insert(me->store, &job, 1, &ret, NULL,
					      &error) == WEIR_OK)
				break;
			else
				CHECK_EQ_INT(error.status, WEIR_SYSTEM);
	}
}

PG_TEST(lost, at_any_moment_each_job_is_inserted_once)
{
	struct hand hands[HANDS];
	weir_store *far = open_store("");
	struct weir_u32 stop;
	int count = 0, ended = 0;

	weir__u32_store(&stop, 0, WEIR_RELAXED);
	for (int i = 0; i < HANDS; i++) {
		hands[i] = (struct hand){.store = i % 2 ? store : far,
					 .number = i,
					 .stop = &stop};
		REQUIRE(weir__thread_start(&hands[i].thread, "hand", 0,
					   insert_on, &hands[i]) == WEIR_OK);
	}
	for (int i = 0; i < 60; i++) {
		(void)poll(NULL, 0, (int)(test_seed() >> (i % 40) & 31));
		ended += atoi(sql("SELECT count(pg_terminate_backend(pid))"
				  " FROM pg_stat_activity WHERE"
				  " application_name = 'weir insert'"));
	}
	weir__u32_store(&stop, 1, WEIR_RELEASE_ORDER);
	for (int i = 0; i < HANDS; i++) {
		weir__thread_join(&hands[i].thread);
		count += hands[i].count;
	}
	CHECK(ended > 10);
	CHECK_EQ_INT(jobs(), count);
	CHECK_EQ_INT(atoi(sql("SELECT count(DISTINCT args) FROM river_job")),
		     count);
	weir_store_close(far);
}

/* The same keys in another order each time. */
static void
insert_keys(void *arg)
{
	struct hand *me = arg;
	weir_insert all[40];
	char kinds[40][16];

	for (int round = 0; round < me->count; round++) {
		weir_error error = {WEIR_OK, 0, ""};

		for (int i = 0; i < 40; i++) {
			snprintf(kinds[i], sizeof(kinds[i]), "kind%d",
				 round * 7 +
					 (i * (me->number * 2 + 1) + round) %
						 40);
			all[i] = (weir_insert)WEIR_INSERT_INIT;
			all[i].kind = kinds[i];
			all[i].unique = WEIR_UNIQUE_KIND;
		}
		CHECK_MSG(weir_store_insert(me->store, all, 40, NULL, NULL,
					    &error) == WEIR_OK,
			  "%s", error.message);
	}
}

PG_TEST(inserted, jobs_with_the_same_keys_do_not_wait_in_a_circle)
{
	struct hand hands[HANDS];

	for (int i = 0; i < HANDS; i++) {
		hands[i] = (struct hand){
			.store = open_store(""), .number = i, .count = 50};
		REQUIRE(weir__thread_start(&hands[i].thread, "hand", 0,
					   insert_keys, &hands[i]) == WEIR_OK);
	}
	for (int i = 0; i < HANDS; i++) {
		weir__thread_join(&hands[i].thread);
		weir_store_close(hands[i].store);
	}
	CHECK_EQ_INT(jobs(), 49 * 7 + 40);
	CHECK_STR(sql("SELECT deadlocks FROM pg_stat_database"
		      " WHERE datname = current_database()"),
		  "0");
}
