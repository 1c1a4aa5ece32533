/*
 * Queues: how many jobs they have, whether they are paused, and what becomes
 * of their completed jobs.
 *
 * Design.  A queue is there if River has a row for it, or we have, or if it
 * has jobs: River makes rows for those that are worked only.  To be paused it
 * has to have River's row, as River has it; a policy of ours gives it one.
 *
 * Counts go along the index that leads with state and queue, without a look at
 * the jobs.
 */
#include "base/assert.h"
#include "pg/pg.h"

#include <string.h>

static const struct pg_sql list_queues = {
	"queues", "WITH counts AS (SELECT queue, state, count(*) AS jobs"
		  "  FROM @river_job GROUP BY state, queue),"
		  " names AS (SELECT name FROM @river_queue"
		  "  UNION SELECT name FROM @weir_queue"
		  "  UNION SELECT queue FROM counts)"
		  " SELECT n.name, q.created_at, q.paused_at, w.finished,"
		  "  c.state::text, c.jobs FROM names n"
		  " LEFT JOIN @river_queue q ON q.name = n.name"
		  " LEFT JOIN @weir_queue w ON w.name = n.name"
		  " LEFT JOIN counts c ON c.queue = n.name"
		  " ORDER BY n.name COLLATE \"C\""};

/* Of a row's time; 0: none. */
static int64_t
ms_at(const PGresult *result, int at, int column)
{
	int64_t ms = weir__pg_get_ms(result, at, column);

	return ms == PG_NO_TIME ? 0 : ms;
}

/* The number of a policy that is not known is that of a newer weir's. */
static weir_finished_policy
policy_of(int64_t number)
{
	if (number == WEIR_FINISHED_ARCHIVE)
		return WEIR_FINISHED_ARCHIVE;
	return number == WEIR_FINISHED_DROP ? WEIR_FINISHED_DROP
					    : WEIR_FINISHED_KEEP;
}

/* The rows of one queue, one for each state that it has jobs in. */
static int
read_queue(const PGresult *result, int at, weir_queue_row *ret)
{
	size_t len;

	memset(ret, 0, sizeof(*ret));
	ret->name = weir__pg_get_text(result, at, 0, &len);
	ret->created_at_ms = ms_at(result, at, 1);
	ret->paused_at_ms = ms_at(result, at, 2);
	ret->finished = policy_of(weir__pg_get_int(result, at, 3));
	do {
		weir_state state;

		if (weir_job_state_parse(weir__pg_get_text(result, at, 4, &len),
					 &state) == WEIR_OK)
			ret->counts[state] +=
				(uint64_t)weir__pg_get_int(result, at, 5);
	} while (++at < PQntuples(result) &&
		 strcmp(weir__pg_get_text(result, at, 0, &len), ret->name) ==
			 0);
	return at;
}

weir_status
weir__pg_queues(weir_store *store, weir_queue_row_fn *row, void *user,
		weir_error *reterr)
{
	struct pg_params none = {0};
	PGresult *result = NULL;
	weir_queue_row queue;
	weir_status status;
	int at = 0;

	status = weir__pg_ask(&weir__pg_of(store)->admin, &list_queues, &none,
			      &result, reterr);
	while (status == WEIR_OK && at < PQntuples(result)) {
		at = read_queue(result, at, &queue);
		if (!row(&queue, user))
			break;
	}
	PQclear(result);
	return status;
}

/*
 * 1 name or NULL for all, 2 pause, 3 now, 4 channel, 5 what River's clients
 * are told.  What is paused already stays paused since when it was, and who is
 * told twice has nothing to do.
 */
static const struct pg_sql pause_queue = {
	"queue_pause",
	"WITH done AS (UPDATE @river_queue SET"
	"  paused_at = CASE WHEN $2 THEN"
	"   coalesce(paused_at, $3::timestamptz, now()) END,"
	"  updated_at = coalesce($3::timestamptz, now())"
	"  WHERE $1::text IS NULL OR name = $1 RETURNING name),"
	" told AS (SELECT pg_notify($4::text, $5::text) FROM done LIMIT 1)"
	" SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM told)"};

static const struct pg_sql add_queue = {
	"queue_add",
	"INSERT INTO @river_queue (name, metadata, created_at, updated_at)"
	" VALUES ($1::text, '{}', coalesce($2::timestamptz, now()),"
	"  coalesce($2::timestamptz, now())) ON CONFLICT (name) DO NOTHING"};
static const struct pg_sql set_finished = {
	"queue_finished",
	"INSERT INTO @weir_queue (name, finished) VALUES ($1::text, $2)"
	" ON CONFLICT (name) DO UPDATE SET finished = excluded.finished"};
static const struct pg_sql unset_finished = {
	"queue_unfinished", "DELETE FROM @weir_queue WHERE name = $1::text"};

static void
put_text(struct pg_params *p, const char *text)
{
	weir__pg_text(p, text, strlen(text));
}

/* {"action":"pause","queue":"*"}; names have nothing to escape. */
static bool
put_order(struct pg_params *p, const struct weir_pg *store, const char *queue,
	  bool pause)
{
	struct weir_buf text = {0};
	bool ok;

	weir__buf_printf(&text, "%sriver_control", store->channel_prefix);
	weir__pg_text(p, weir__buf_str(&text), text.len);
	ok = !text.failed;
	weir__buf_reset(&text);
	weir__buf_printf(&text, "{\"action\":\"%s\",\"queue\":\"%s\"}",
			 pause ? "pause" : "resume", queue);
	weir__pg_text(p, weir__buf_str(&text), text.len);
	ok = ok && !text.failed;
	weir__buf_fini(&text);
	return ok;
}

static weir_status
set_pause(struct weir_pg *store, const char *queue, bool pause,
	  weir_error *reterr)
{
	bool all = strcmp(queue, "*") == 0;
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status = WEIR_NOMEM;

	weir__pg_begin(&p);
	weir__pg_text(&p, all ? NULL : queue, strlen(queue));
	weir__pg_bool(&p, pause);
	weir__pg_now(&p, store);
	if (put_order(&p, store, queue, pause))
		status = weir__pg_ask(&store->admin, &pause_queue, &p, &result,
				      reterr);
	else
		(void)weir__queue_error(reterr, status, 0, "out of memory");
	if (status == WEIR_OK && !all && weir__pg_get_int(result, 0, 0) == 0)
		status = weir__queue_error(reterr, WEIR_NOTFOUND, 0,
					   "no queue is called \"%s\"", queue);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

static weir_status
set_policy(struct weir_pg *store, const char *queue, int finished,
	   weir_error *reterr)
{
	struct pg_link *conn = &store->admin;
	PGresult *results[2] = {NULL, NULL};
	struct pg_params p = {0}, q = {0};
	bool keep = finished == WEIR_FINISHED_KEEP;
	weir_status status;

	weir__pg_begin(&p);
	put_text(&p, queue);
	weir__pg_now(&p, store);
	weir__pg_begin(&q);
	put_text(&q, queue);
	if (!keep)
		weir__pg_int2(&q, finished);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		weir__pg_send(conn, &add_queue, &p);
		weir__pg_send(conn, keep ? &unset_finished : &set_finished, &q);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	PQclear(results[0]);
	PQclear(results[1]);
	weir__pg_params_fini(&p);
	weir__pg_params_fini(&q);
	return status;
}

weir_status
weir__pg_queue_set(weir_store *store, const char *queue, int pause,
		   int finished, weir_error *reterr)
{
	weir_status status = WEIR_OK;

	weir_assert(queue);
	if (pause >= 0)
		status =
			set_pause(weir__pg_of(store), queue, pause > 0, reterr);
	if (status == WEIR_OK && finished >= 0)
		status =
			set_policy(weir__pg_of(store), queue, finished, reterr);
	return status;
}
