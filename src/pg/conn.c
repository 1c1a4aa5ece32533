/*
 * A connection: made, set up, made again; statements in a pipeline.
 *
 * Design.  A connection is made when it is first needed, and anew when it was
 * lost; prepared statements go with it, and are prepared again as they are
 * used.  Statements are queued with what prepares them, and go out together
 * with the sync that ends their transaction.
 *
 * With listen=off nothing lasts longer than a transaction: statements are sent
 * as they are, behind one that sets what we need (session.c).
 *
 * In a pipeline both sides may write at once, and would wait for each other if
 * both buffers filled; so libpq does not block here, and we wait for both
 * directions at a time.
 *
 * Waiting for an answer has an end: a server that is there and does not
 * answer is as good as one that is not.
 *
 * Locking: mu of a connection, held by whoever uses it.
 */
#include "pg/pg.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An answer may take as long as the store may be busy, and this. */
#define ANSWER_NS (30 * WEIR_S)

/* Helpers that need the lock; clang checks that whoever calls them has it. */
static weir_status lost(struct pg_link *conn, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);
static void forget_prepared(struct pg_link *conn) WEIR_REQUIRES(conn->mu);
static void notice_end(struct pg_link *conn) WEIR_REQUIRES(conn->mu);
static void send_settings(struct pg_link *conn) WEIR_REQUIRES(conn->mu);
static bool send_statement(struct pg_link *conn, const struct pg_sql *sql,
			   const struct pg_params *p, const char *const *values,
			   const int *formats) WEIR_REQUIRES(conn->mu);

void
weir__pg_conn_init(struct pg_link *conn, struct weir_pg *store,
		   const char *what, const struct pg_setting *settings)
{
	*conn = (struct pg_link){
		.store = store, .what = what, .settings = settings};
	weir__mutex_init(&conn->mu);
}

void
weir__pg_conn_fini(struct pg_link *conn)
{
	weir__mutex_lock(&conn->mu);
	weir__pg_disconnect(conn);
	weir__mutex_unlock(&conn->mu);
	weir__mutex_fini(&conn->mu);
}

void
weir__pg_disconnect(struct pg_link *conn)
{
	PQfinish(conn->pg);
	conn->pg = NULL;
	conn->prepared_count = 0;
	conn->sent = conn->sent_count = 0;
	conn->send_failed = conn->is_pushed = false;
}

/* The first line, without what libpq puts in front of it. */
static void
take_line(weir_error *reterr, weir_status status, int native, const char *text)
{
	static const char *const prefixes[] = {"ERROR:  ", "FATAL:  "};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			text += strlen(prefixes[i]);
	(void)weir__queue_error(reterr, status, native, "%.*s",
				(int)strcspn(text, "\n"), text);
}

/* What a class of SQLSTATEs means: appendix A of the documentation. */
static weir_status
status_of(const char *state)
{
	if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 ||
	    strcmp(state, "55P03") == 0)
		return WEIR_BUSY;
	if (strcmp(state, "XX001") == 0 || strcmp(state, "XX002") == 0)
		return WEIR_CORRUPT;
	return WEIR_SYSTEM;
}

/* The errno that says the same, for those who look for a next step. */
static int
errno_of(const char *state)
{
	if (strcmp(state, "42501") == 0 || strncmp(state, "28", 2) == 0)
		return EACCES;
	if (strcmp(state, "25006") == 0)
		return EROFS;
	if (strcmp(state, "53100") == 0)
		return ENOSPC;
	if (strcmp(state, "53300") == 0 || strncmp(state, "57P", 3) == 0)
		return EAGAIN;
	return 0;
}

/*
 * The same of a connection that could not be made, for which libpq gives no
 * SQLSTATE: only words tell.
 */
static int
errno_of_words(PGconn *pg)
{
	static const char *const later[] = {"too many", "remaining connection",
					    "starting up", "shutting down",
					    "recovery"};
	const char *text = PQerrorMessage(pg);

	if (PQconnectionNeedsPassword(pg))
		return EACCES;
	if (!strstr(text, "FATAL"))
		return ECONNREFUSED;
	if (strstr(text, "database \"") && strstr(text, "\" does not exist"))
		return ENOENT;
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strstr(text, later[i]))
			return EAGAIN;
	return EACCES;
}

weir_status
weir__pg_failed(PGconn *pg, const PGresult *result, weir_error *reterr)
{
	const char *state =
		result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text =
		result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)
		       : NULL;
	weir_status status = state ? status_of(state) : WEIR_SYSTEM;

	if (!text)
		text = pg ? PQerrorMessage(pg) : "out of memory";
	if (*text == '\0')
		text = "the connection was lost";
	take_line(reterr, status, state ? errno_of(state) : 0, text);
	return status;
}

/* Notices are for people at a prompt. */
static void
ignore_notice(void *user, const char *message)
{
	(void)user;
	(void)message;
}

/* Once for all.  Not where the session is somebody else's in a moment. */
static bool
set_up(PGconn *pg, struct weir_pg *store, const struct pg_setting *more,
       weir_error *reterr)
{
	struct weir_buf text = {0};
	PGresult *result;
	bool ok;

	if (store->is_pooled)
		return true;
	weir__pg_put_session(&text, store, more);
	result = text.failed ? NULL : PQexec(pg, weir__buf_str(&text));
	ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	if (!ok)
		(void)weir__pg_failed(pg, result, reterr);
	PQclear(result);
	weir__buf_fini(&text);
	return ok;
}

PGconn *
weir__pg_connect(struct weir_pg *store, const char *what,
		 const struct pg_setting *more, weir_error *reterr)
{
	char name[32];
	/* What is behind wins, and dbname may be a whole conninfo. */
	const char *const keys[] = {"fallback_application_name",
				    "connect_timeout",
				    "keepalives_idle",
				    "keepalives_interval",
				    "keepalives_count",
				    "tcp_user_timeout",
				    "dbname",
				    "client_encoding",
				    NULL};
	const char *const values[] = {
		name,   "10", "5", "5", "3", "15000", store->conninfo,
		"UTF8", NULL};
	PGconn *pg;

	snprintf(name, sizeof(name), "weir %s", what);
	pg = PQconnectdbParams(keys, values, 1);
	if (!pg || PQstatus(pg) != CONNECTION_OK) {
		(void)weir__pg_failed(pg, NULL, reterr);
		reterr->native = pg ? errno_of_words(pg) : 0;
		PQfinish(pg);
		return NULL;
	}
	(void)PQsetNoticeProcessor(pg, ignore_notice, NULL);
	if (set_up(pg, store, more, reterr))
		return pg;
	PQfinish(pg);
	return NULL;
}

/*
 * A connection that the server has closed meanwhile is no loss, if that
 * is known before anything is sent: nothing that was sent is unanswered.
 */
static void
notice_end(struct pg_link *conn)
{
	struct pollfd fd = {.events = POLLIN};

	/* Its last words come first, and then the end. */
	for (int i = 0; i < 8 && conn->pg; i++) {
		fd.fd = PQsocket(conn->pg);
		if (fd.fd < 0 || poll(&fd, 1, 0) <= 0 ||
		    PQconsumeInput(conn->pg) != 1)
			return;
	}
}

weir_status
weir__pg_ready(struct pg_link *conn, weir_error *reterr)
{
	notice_end(conn);
	if (conn->pg && PQstatus(conn->pg) != CONNECTION_OK)
		weir__pg_disconnect(conn);
	if (conn->pg)
		return WEIR_OK;
	conn->pg = weir__pg_connect(conn->store, conn->what, conn->settings,
				    reterr);
	if (!conn->pg)
		return reterr->status;
	if (PQsetnonblocking(conn->pg, 1) == 0 &&
	    PQenterPipelineMode(conn->pg) == 1)
		return WEIR_OK;
	(void)weir__pg_failed(conn->pg, NULL, reterr);
	weir__pg_disconnect(conn);
	return reterr->status;
}

bool
weir__pg_expand(struct weir_buf *buf, const struct weir_pg *store,
		const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '@')
			weir__buf_puts(buf, store->prefix);
		else
			weir__buf_putc(buf, *text);
	}
	return !buf->failed;
}

static bool
is_prepared(const struct pg_link *conn, const struct pg_sql *sql)
{
	for (size_t i = 0; i < conn->prepared_count; i++)
		if (conn->prepared[i] == sql)
			return true;
	return false;
}

static void
note_sent(struct pg_link *conn, bool is_silent)
{
	weir_assert(conn->sent_count <
		    sizeof(conn->is_silent) / sizeof(conn->is_silent[0]));
	conn->is_silent[conn->sent_count++] = is_silent;
	conn->sent += !is_silent;
}

static bool
prepare(struct pg_link *conn, const struct pg_sql *sql,
	const struct pg_params *p)
{
	struct weir_buf text = {0};
	bool ok = weir__pg_expand(&text, conn->store, sql->text) &&
		  PQsendPrepare(conn->pg, sql->name, text.data, p->count,
				p->types) == 1;

	weir__buf_fini(&text);
	if (!ok)
		return false;
	weir_assert(conn->prepared_count < PG_PREPARED_MAX);
	conn->prepared[conn->prepared_count++] = sql;
	note_sent(conn, true);
	return true;
}

/* Where nothing lasts: what a transaction begins with, unless it goes on. */
static void
send_settings(struct pg_link *conn)
{
	struct weir_buf text = {0};

	if (!conn->store->is_pooled || conn->sent_count > 0 ||
	    PQtransactionStatus(conn->pg) != PQTRANS_IDLE)
		return;
	weir__pg_put_session(&text, conn->store, conn->settings);
	if (text.failed || PQsendQueryParams(conn->pg, weir__buf_str(&text), 0,
					     NULL, NULL, NULL, NULL, 1) != 1)
		conn->send_failed = true;
	else
		note_sent(conn, true);
	weir__buf_fini(&text);
}

/* The statement itself, prepared where that lasts. */
static bool
send_statement(struct pg_link *conn, const struct pg_sql *sql,
	       const struct pg_params *p, const char *const *values,
	       const int *formats)
{
	struct weir_buf text = {0};
	bool ok;

	if (!conn->store->is_pooled)
		return PQsendQueryPrepared(conn->pg, sql->name, p->count,
					   values, p->lengths, formats, 1) == 1;
	ok = weir__pg_expand(&text, conn->store, sql->text) &&
	     PQsendQueryParams(conn->pg, text.data, p->count, p->types, values,
			       p->lengths, formats, 1) == 1;
	weir__buf_fini(&text);
	return ok;
}

void
weir__pg_send(struct pg_link *conn, const struct pg_sql *sql,
	      const struct pg_params *p)
{
	const char *values[PG_PARAMS_MAX];
	int formats[PG_PARAMS_MAX];

	weir_assert(!p->in_array && conn->sent < PG_SENT_MAX);
	send_settings(conn);
	if (p->bytes.failed ||
	    (!conn->store->is_pooled && !is_prepared(conn, sql) &&
	     !prepare(conn, sql, p)))
		conn->send_failed = true;
	if (conn->send_failed)
		return;
	for (int i = 0; i < p->count; i++) {
		formats[i] = 1;
		/* Empty is not NULL, and there may be no bytes at all. */
		values[i] = p->nulls[i] ? NULL
					: weir__buf_str(&p->bytes) + p->at[i];
	}
	if (send_statement(conn, sql, p, values, formats))
		note_sent(conn, false);
	else
		conn->send_failed = true;
}

/* Wait until libpq can go on.  False: it took too long, or failed. */
static bool
wait_for(struct pg_link *conn, bool to_write, int64_t deadline_ns)
{
	struct pollfd fd = {.fd = PQsocket(conn->pg), .events = POLLIN};
	int64_t left_ns = deadline_ns - weir_now_ns();
	int ready;

	if (to_write)
		fd.events |= POLLOUT;
	if (left_ns <= 0)
		return false;
	ready = poll(&fd, 1, (int)(left_ns / WEIR_MS) + 1);
	if (ready < 0 && errno != EINTR)
		return false;
	return PQconsumeInput(conn->pg) == 1;
}

static bool
flush(struct pg_link *conn, int64_t deadline_ns)
{
	int left;

	while ((left = PQflush(conn->pg)) > 0)
		if (!wait_for(conn, true, deadline_ns))
			return false;
	return left == 0;
}

/* The next result.  NULL between statements; false: the connection is lost. */
static bool
next_result(struct pg_link *conn, int64_t deadline_ns, PGresult **ret)
{
	while (PQisBusy(conn->pg))
		if (!flush(conn, deadline_ns) ||
		    !wait_for(conn, false, deadline_ns))
			return false;
	*ret = PQgetResult(conn->pg);
	return PQstatus(conn->pg) == CONNECTION_OK;
}

/* One statement's: its result, which may be an error, and the NULL behind. */
static bool
take_result(struct pg_link *conn, int64_t deadline_ns, PGresult **ret)
{
	PGresult *end = NULL;

	if (!next_result(conn, deadline_ns, ret) || !*ret)
		return false;
	if (!next_result(conn, deadline_ns, &end) || end) {
		PQclear(end);
		return false;
	}
	return true;
}

static bool
is_fine(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/*
 * Those of all that was sent; what prepares goes no further.  *ret_status is
 * that of the first which failed: all behind it are only skipped.
 */
static bool
take_results(struct pg_link *conn, int64_t deadline_ns, PGresult **rets,
	     weir_status *ret_status, weir_error *reterr)
{
	size_t at = 0;

	for (size_t i = 0; i < conn->sent_count; i++) {
		PGresult *result = NULL;

		if (!take_result(conn, deadline_ns, &result)) {
			PQclear(result);
			return false;
		}
		if (*ret_status == WEIR_OK && !is_fine(result))
			*ret_status = weir__pg_failed(conn->pg, result, reterr);
		if (conn->is_silent[i])
			PQclear(result);
		else
			rets[at++] = result;
	}
	return true;
}

/* The one that says that the transaction is over. */
static bool
take_sync(struct pg_link *conn, int64_t deadline_ns, weir_status *ret_status,
	  weir_error *reterr)
{
	PGresult *result = NULL;
	bool ok = next_result(conn, deadline_ns, &result) && result;

	/* A constraint may fail at the commit. */
	if (ok && PQresultStatus(result) == PGRES_FATAL_ERROR) {
		if (*ret_status == WEIR_OK)
			*ret_status = weir__pg_failed(conn->pg, result, reterr);
		PQclear(result);
		while ((ok = next_result(conn, deadline_ns, &result)) &&
		       !result)
			;
	}
	ok = ok && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
	PQclear(result);
	return ok;
}

static weir_status
lost(struct pg_link *conn, weir_error *reterr)
{
	weir_status status = weir__pg_failed(conn->pg, NULL, reterr);

	conn->lost = true;
	weir__pg_disconnect(conn);
	return status;
}

/* A statement that was to be prepared may not be. */
static void
forget_prepared(struct pg_link *conn)
{
	/* Where nothing lasts nothing was prepared. */
	if (conn->store->is_pooled)
		return;
	for (size_t i = 0; i < conn->sent_count; i++)
		if (conn->is_silent[i]) {
			weir__pg_disconnect(conn);
			return;
		}
}

void
weir__pg_push(struct pg_link *conn)
{
	if (conn->send_failed)
		return;
	conn->is_pushed = PQpipelineSync(conn->pg) == 1;
	/* What does not go out at once does so with the sync. */
	if (conn->is_pushed)
		(void)PQflush(conn->pg);
}

weir_status
weir__pg_sync(struct pg_link *conn, PGresult **rets, weir_error *reterr)
{
	int64_t deadline_ns = weir_now_ns() + conn->store->busy_ns + ANSWER_NS;
	weir_status status = WEIR_OK;
	size_t count = conn->sent;
	bool ok;

	memset(rets, 0, count * sizeof(PGresult *));
	conn->lost = false;
	if (conn->send_failed) {
		(void)lost(conn, reterr);
		conn->lost = false; /* nothing was committed */
		return reterr->status;
	}
	ok = (conn->is_pushed || PQpipelineSync(conn->pg) == 1) &&
	     flush(conn, deadline_ns) &&
	     take_results(conn, deadline_ns, rets, &status, reterr) &&
	     take_sync(conn, deadline_ns, &status, reterr);
	if (!ok)
		status = lost(conn, reterr);
	else if (status != WEIR_OK)
		forget_prepared(conn);
	conn->sent = conn->sent_count = 0;
	conn->is_pushed = false;
	for (size_t i = 0; status != WEIR_OK && i < count; i++) {
		PQclear(rets[i]);
		rets[i] = NULL;
	}
	return status;
}

weir_status
weir__pg_query(struct pg_link *conn, const struct pg_sql *sql,
	       const struct pg_params *p, PGresult **ret, weir_error *reterr)
{
	PGresult *result = NULL;
	weir_status status;

	weir__pg_send(conn, sql, p);
	status = weir__pg_sync(conn, &result, reterr);
	if (status == WEIR_OK && ret)
		*ret = result;
	else
		PQclear(result);
	return status;
}

weir_status
weir__pg_ask(struct pg_link *conn, const struct pg_sql *sql,
	     const struct pg_params *p, PGresult **ret, weir_error *reterr)
{
	weir_status status;

	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK)
		status = weir__pg_query(conn, sql, p, ret, reterr);
	weir__mutex_unlock(&conn->mu);
	return status;
}

/* Outside of the pipeline, which takes one statement at a time. */
weir_status
weir__pg_run(struct pg_link *conn, const char *text, weir_error *reterr)
{
	struct weir_buf full = {0};
	weir_status status = WEIR_OK;
	PGresult *result = NULL;

	if (weir__pg_expand(&full, conn->store, text) &&
	    PQexitPipelineMode(conn->pg) == 1)
		result = PQexec(conn->pg, full.data);
	if (!result || !is_fine(result))
		status = weir__pg_failed(conn->pg, result, reterr);
	PQclear(result);
	weir__buf_fini(&full);
	if (status != WEIR_OK)
		weir__pg_disconnect(conn);
	else if (PQenterPipelineMode(conn->pg) != 1)
		status = lost(conn, reterr);
	return status;
}
