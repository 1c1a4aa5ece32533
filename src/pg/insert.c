/*
 * Drafts made into rows of river_job.
 *
 * Design.  All that goes in together is one statement over parallel arrays,
 * or a few of them when it is much.  Most jobs are not unique, and for those
 * the statement is a plain INSERT, because ON CONFLICT makes each row be
 * written twice.
 *
 * Unique jobs meet the index river_job_unique_idx.  What is in the way is
 * touched by an update that changes nothing, so that it is locked and comes
 * back; that it was there before is seen by its xmax.  PostgreSQL refuses to
 * touch a row twice in one statement, so that of two with the same key the
 * second, its twin, is not sent at all: whatever comes of the first comes of
 * it.  Rows go in by key, because two batches with the same keys in different
 * orders would wait for each other.
 *
 * RETURNING has no order that is promised.  But ids are taken from the
 * sequence in the order of the drafts, so that those which are new, by id, are
 * those which were sent, in turn; and the others are known by their keys.
 *
 * Times that are those of the insert itself are left to the database: a job
 * that is to run at once must be due by the clock that claims it.
 */
#include "pg/insert.h"

#include "base/assert.h"
#include "pg/row.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_ROWS  2000
#define CHUNK_BYTES (8 * 1024 * 1024)

static const struct pg_sql add_queues = {
	"insert_queues",
	"INSERT INTO @river_queue (name, metadata, created_at, updated_at)"
	" SELECT u.name, '{}', coalesce($2::timestamptz, now()),"
	"  coalesce($2::timestamptz, now())"
	" FROM unnest($1::text[]) u (name) WHERE NOT EXISTS"
	"  (SELECT FROM @river_queue q WHERE q.name = u.name)"
	" ORDER BY u.name ON CONFLICT (name) DO NOTHING"};

#define INTO                                                           \
	"state, queue, kind, args, priority, max_attempts, created_at" \
	", scheduled_at, tags, metadata"

#define FIELDS                                                            \
	"u.state::@river_job_state, u.queue, u.kind, u.args, u.priority," \
	" u.max_attempts, coalesce(u.created_at, now()),"                 \
	" coalesce(u.scheduled_at, now()),"                               \
	" CASE WHEN u.tags IS NULL THEN '{}'::varchar[] ELSE ARRAY"       \
	"  (SELECT jsonb_array_elements_text(u.tags))::varchar[] END,"    \
	" CASE WHEN u.timeout IS NULL THEN coalesce(u.metadata, '{}')"    \
	"  ELSE coalesce(u.metadata, '{}') || jsonb_build_object"         \
	"  ('" PG_TIMEOUT_KEY "', u.timeout) END"

#define ARRAYS                                                            \
	"$1::text[], $2::text[], $3::text[], $4::jsonb[], $5::int2[],"    \
	" $6::int2[], $7::timestamptz[], $8::timestamptz[], $9::jsonb[]," \
	" $10::jsonb[], $11::int8[]"
#define NAMES                                                           \
	"state, queue, kind, args, priority, max_attempts, created_at," \
	" scheduled_at, tags, metadata, timeout"

static const struct pg_sql insert_plain = {
	"insert_plain", "INSERT INTO @river_job (" INTO ") SELECT " FIELDS
			" FROM unnest(" ARRAYS ") WITH ORDINALITY AS u (" NAMES
			", ord) ORDER BY u.ord RETURNING id"};

static const struct pg_sql insert_unique = {
	"insert_unique",
	"INSERT INTO @river_job AS j (id, unique_key, unique_states, " INTO
	") SELECT u.id, u.unique_key, u.unique_states, " FIELDS
	" FROM (SELECT nextval('@river_job_id_seq'::regclass) AS id, s.*"
	"  FROM unnest(" ARRAYS ", $12::bytea[], $13::bit(8)[])"
	"  WITH ORDINALITY AS s (" NAMES ", unique_key, unique_states, ord)"
	"  ORDER BY s.ord) u"
	" ORDER BY u.unique_key NULLS FIRST, u.ord"
	" ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL"
	"  AND unique_states IS NOT NULL"
	"  AND @river_job_state_in_bitmask(unique_states, state)"
	" DO UPDATE SET kind = j.kind"
	" RETURNING j.id, j.state::text, j.unique_key, j.xmax <> 0"};

/* Whoever waits for a time has to hear of an earlier one, too. */
static const struct pg_sql tell = {
	"insert_tell",
	"SELECT pg_current_xact_id()::text::int8, now(), " PG_TIMELINE
	", count(*) FILTER"
	" (WHERE pg_notify($1::text, '{\"queue\":' || to_json(q)::text || '}')"
	"  IS NULL) FROM unnest($2::text[]) q"};

const struct pg_sql weir__pg_begin_sql = {"begin", "BEGIN"};
const struct pg_sql weir__pg_commit_sql = {"commit", "COMMIT"};
static const struct pg_sql rollback_sql = {"rollback", "ROLLBACK"};

weir_status
weir__pg_rows_init(struct pg_rows *rows, const struct weir_pg *store,
		   size_t count, weir_error *reterr)
{
	*rows = (struct pg_rows){.store = store};
	weir_assert(count > 0);
	rows->all = calloc(count, sizeof(*rows->all));
	rows->keyed = calloc(count, sizeof(*rows->keyed));
	rows->queues = calloc(count, sizeof(*rows->queues));
	rows->heard = calloc(count, sizeof(*rows->heard));
	rows->ids = calloc(count, sizeof(*rows->ids));
	if (rows->all && rows->keyed && rows->queues && rows->heard &&
	    rows->ids)
		return WEIR_OK;
	weir__pg_rows_fini(rows);
	return weir__queue_error(reterr, WEIR_NOMEM, 0, "out of memory");
}

void
weir__pg_rows_fini(struct pg_rows *rows)
{
	free(rows->all);
	free(rows->keyed);
	free(rows->queues);
	free(rows->heard);
	free(rows->ids);
	weir__pg_params_fini(&rows->params);
}

void
weir__pg_rows_add(struct pg_rows *rows, const struct weir_draft *draft)
{
	rows->all[rows->count] =
		(struct pg_entry){.draft = draft, .twin = rows->count};
	rows->count++;
}

/* Is it in the index, in the state that it begins in? */
static bool
is_keyed(const struct weir_draft *draft)
{
	return draft->unique_key &&
	       (draft->unique_states & WEIR_JOB_STATE_BIT(draft->state));
}

static int
compare_keys(const void *a, const void *b, void *all)
{
	size_t i = *(const size_t *)a, j = *(const size_t *)b;
	const struct pg_entry *entries = all;
	int order = memcmp(entries[i].draft->unique_key,
			   entries[j].draft->unique_key, 32);

	return order != 0 ? order : (i > j) - (i < j);
}

static void
find_twins(struct pg_rows *rows)
{
	size_t kept = 0;

	for (size_t i = 0; i < rows->count; i++)
		if (is_keyed(rows->all[i].draft))
			rows->keyed[rows->keyed_count++] = i;
	qsort_r(rows->keyed, rows->keyed_count, sizeof(*rows->keyed),
		compare_keys, rows->all);
	for (size_t i = 0; i < rows->keyed_count; i++) {
		size_t at = rows->keyed[i];
		size_t last = kept > 0 ? rows->keyed[kept - 1] : at;

		if (last != at &&
		    memcmp(rows->all[last].draft->unique_key,
			   rows->all[at].draft->unique_key, 32) == 0)
			rows->all[at].twin = last;
		else
			rows->keyed[kept++] = at;
	}
	rows->keyed_count = kept;
}

static int
compare_texts(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_queues(const void *a, const void *b, void *all)
{
	const struct pg_entry *entries = all;
	const struct weir_draft *x = entries[*(const size_t *)a].draft;
	const struct weir_draft *y = entries[*(const size_t *)b].draft;

	return compare_texts(x->queue, x->queue_len, y->queue, y->queue_len);
}

/* Of entries by queue, one of each. */
static size_t
one_of_each(const struct pg_rows *rows, size_t *at, size_t count)
{
	size_t kept = 0;

	qsort_r(at, count, sizeof(*at), compare_queues, rows->all);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 ||
		    compare_queues(&at[kept - 1], &at[i], rows->all) != 0)
			at[kept++] = at[i];
	return kept;
}

static void
find_queues(struct pg_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		/* Mostly all are of one queue; the rest is sorted out. */
		if (i > 0 && rows->queue_count == 1 &&
		    compare_queues(&rows->queues[0], &i, rows->all) == 0 &&
		    rows->all[i].draft->state == rows->all[0].draft->state)
			continue;
		rows->queues[rows->queue_count++] = i;
		if (rows->all[i].draft->state != WEIR_JOB_PENDING)
			rows->heard[rows->heard_count++] = i;
	}
	rows->queue_count = one_of_each(rows, rows->queues, rows->queue_count);
	rows->heard_count = one_of_each(rows, rows->heard, rows->heard_count);
}

static size_t
bytes_of(const struct weir_draft *draft)
{
	return draft->args_len + draft->metadata_len + draft->tags_len + 256;
}

void
weir__pg_rows_plan(struct pg_rows *rows)
{
	const size_t most = PG_ROWS_STEPS / 2;
	size_t bytes = 0;

	find_twins(rows);
	find_queues(rows);
	for (size_t i = 0; i < rows->count; i++)
		bytes += bytes_of(rows->all[i].draft);
	/* However much it is, there is an end to the statements. */
	rows->chunk_rows = rows->count / most + 1;
	if (rows->chunk_rows < CHUNK_ROWS)
		rows->chunk_rows = CHUNK_ROWS;
	rows->chunk_bytes = bytes / most + 1;
	if (rows->chunk_bytes < CHUNK_BYTES)
		rows->chunk_bytes = CHUNK_BYTES;
}

/* The end of the chunk that begins at rows->at. */
static size_t
chunk_end(const struct pg_rows *rows)
{
	size_t end = rows->at, bytes = 0;

	while (end < rows->count && end - rows->at < rows->chunk_rows &&
	       bytes < rows->chunk_bytes)
		bytes += bytes_of(rows->all[end++].draft);
	return end;
}

static bool
is_sent(const struct pg_rows *rows, size_t i)
{
	return rows->all[i].twin == i;
}

/* An array of a field of each. */
#define PUT_ARRAY(rows, type, end, put)                                    \
	do {                                                               \
		struct pg_params *p = &(rows)->params;                     \
                                                                           \
		weir__pg_array_begin(p, type, sent);                       \
		for (size_t i = (rows)->at; i < (end); i++) {              \
			const struct weir_draft *d = (rows)->all[i].draft; \
                                                                           \
			if (is_sent(rows, i))                              \
				put;                                       \
		}                                                          \
		weir__pg_array_end(p);                                     \
	} while (0)

static void
put_text(struct pg_params *p, const char *text)
{
	weir__pg_text(p, text, strlen(text));
}

/* NULL: the database's time.  A clock of the caller's is not asked there. */
static int64_t
created_at(const struct pg_rows *rows, const struct weir_draft *draft)
{
	return rows->store->has_clock ? draft->created_at_ms : PG_NO_TIME;
}

static int64_t
scheduled_at(const struct pg_rows *rows, const struct weir_draft *draft)
{
	if (!rows->store->has_clock && draft->state != WEIR_JOB_SCHEDULED &&
	    draft->scheduled_at_ms == draft->created_at_ms)
		return PG_NO_TIME;
	return draft->scheduled_at_ms;
}

static void
put_timeout(struct pg_params *p, int64_t timeout_ns)
{
	if (timeout_ns > 0)
		weir__pg_int8(p, timeout_ns);
	else
		weir__pg_text(p, NULL, 0); /* a NULL is one of any type */
}

/* The parameters of FIELDS: what the job is, ... */
static void
put_what(struct pg_rows *rows, size_t end, size_t sent)
{
	PUT_ARRAY(rows, PG_TEXT, end,
		  put_text(p, weir_job_state_name(d->state)));
	PUT_ARRAY(rows, PG_TEXT, end, weir__pg_text(p, d->queue, d->queue_len));
	PUT_ARRAY(rows, PG_TEXT, end, weir__pg_text(p, d->kind, d->kind_len));
	PUT_ARRAY(rows, PG_JSONB, end, weir__pg_json(p, d->args, d->args_len));
	PUT_ARRAY(rows, PG_INT2, end, weir__pg_int2(p, (int)d->priority));
	PUT_ARRAY(rows, PG_INT2, end, weir__pg_int2(p, (int)d->max_attempts));
}

/* ... and when, and what else is known of it; with keys those two as well. */
static void
put_chunk(struct pg_rows *rows, size_t end, size_t sent, bool keys)
{
	put_what(rows, end, sent);
	PUT_ARRAY(rows, PG_TIMESTAMPTZ, end,
		  weir__pg_time(p, created_at(rows, d)));
	PUT_ARRAY(rows, PG_TIMESTAMPTZ, end,
		  weir__pg_time(p, scheduled_at(rows, d)));
	PUT_ARRAY(rows, PG_JSONB, end, weir__pg_json(p, d->tags, d->tags_len));
	PUT_ARRAY(rows, PG_JSONB, end,
		  weir__pg_json(p, d->metadata, d->metadata_len));
	PUT_ARRAY(rows, PG_INT8, end, put_timeout(p, d->timeout_ns));
	if (!keys)
		return;
	PUT_ARRAY(rows, PG_BYTEA, end, weir__pg_bytes(p, d->unique_key, 32));
	PUT_ARRAY(rows, PG_BIT, end,
		  weir__pg_bits(p, !d->unique_key, d->unique_states));
}

static const struct pg_sql *
next_chunk(struct pg_rows *rows)
{
	size_t end = chunk_end(rows), sent = 0;
	bool keys = false;

	for (size_t i = rows->at; i < end; i++) {
		sent += is_sent(rows, i);
		keys |= rows->all[i].draft->unique_key != NULL;
	}
	weir_assert(rows->chunk_count < PG_ROWS_STEPS);
	rows->chunks[rows->chunk_count++] = end;
	put_chunk(rows, end, sent, keys);
	rows->at = end;
	return keys ? &insert_unique : &insert_plain;
}

static void
put_queues(struct pg_rows *rows, const size_t *at, size_t count)
{
	weir__pg_array_begin(&rows->params, PG_TEXT, count);
	for (size_t i = 0; i < count; i++) {
		const struct weir_draft *draft = rows->all[at[i]].draft;

		weir__pg_text(&rows->params, draft->queue, draft->queue_len);
	}
	weir__pg_array_end(&rows->params);
}

/* The channel of River's topic, in this schema. */
static void
put_channel(struct pg_params *p, const struct weir_pg *store)
{
	char channel[sizeof(store->channel_prefix) + 16];
	size_t len = strlen(store->channel_prefix);

	memcpy(channel, store->channel_prefix, len);
	memcpy(channel + len, "river_insert", sizeof("river_insert"));
	put_text(p, channel);
}

const struct pg_sql *
weir__pg_rows_next(struct pg_rows *rows)
{
	weir__pg_begin(&rows->params);
	if (rows->step++ == 0 && !rows->no_queues) {
		put_queues(rows, rows->queues, rows->queue_count);
		weir__pg_now(&rows->params, rows->store);
		return &add_queues;
	}
	if (rows->at < rows->count)
		return next_chunk(rows);
	if (rows->told)
		return NULL;
	rows->told = true;
	put_channel(&rows->params, rows->store);
	put_queues(rows, rows->heard, rows->heard_count);
	return &tell;
}

static int
compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The entry that was sent with that key; NULL: none. */
static struct pg_entry *
find_key(const struct pg_rows *rows, const void *key)
{
	size_t low = 0, high = rows->keyed_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct pg_entry *entry = &rows->all[rows->keyed[middle]];
		int order = memcmp(key, entry->draft->unique_key, 32);

		if (order == 0)
			return entry;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* One that was there before. */
static bool
take_duplicate(struct pg_rows *rows, const PGresult *result, int at)
{
	size_t len;
	const char *key = weir__pg_get_text(result, at, 2, &len);
	struct pg_entry *entry = len == 32 ? find_key(rows, key) : NULL;
	const char *state = weir__pg_get_text(result, at, 1, &len);

	if (!entry || entry->taken ||
	    weir_job_state_parse(state, &entry->made.state) != WEIR_OK)
		return false;
	entry->made.id = weir__pg_get_int(result, at, 0);
	entry->made.duplicate = entry->taken = true;
	return true;
}

static bool
take_chunk(struct pg_rows *rows, const PGresult *result, size_t from,
	   size_t end)
{
	size_t count = 0, next = 0;

	for (int at = 0; at < PQntuples(result); at++)
		if (PQnfields(result) > 1 && weir__pg_get_bool(result, at, 3)) {
			if (!take_duplicate(rows, result, at))
				return false;
		} else if (count < rows->count) {
			rows->ids[count++] = weir__pg_get_int(result, at, 0);
		}
	qsort(rows->ids, count, sizeof(*rows->ids), compare_ids);
	for (size_t i = from; i < end; i++) {
		struct pg_entry *entry = &rows->all[i];

		if (!is_sent(rows, i) || entry->taken)
			continue;
		if (next == count)
			return false;
		entry->made = (weir_inserted){.id = rows->ids[next++],
					      .state = entry->draft->state};
		entry->taken = true;
	}
	return next == count;
}

bool
weir__pg_rows_take(struct pg_rows *rows, PGresult *const *results)
{
	size_t at = rows->no_queues ? 0 : 1, from = 0;

	for (size_t i = 0; i < rows->chunk_count; i++) {
		if (!take_chunk(rows, results[at++], from, rows->chunks[i]))
			return false;
		from = rows->chunks[i];
	}
	for (size_t i = 0; i < rows->count; i++)
		if (!is_sent(rows, i)) {
			rows->all[i].made = rows->all[rows->all[i].twin].made;
			rows->all[i].made.duplicate = true;
		}
	rows->xid = weir__pg_get_int(results[at], 0, 0);
	rows->at_ms = weir__pg_get_ms(results[at], 0, 1);
	rows->timeline = weir__pg_get_int(results[at], 0, 2);
	return true;
}

weir_status
weir__pg_rows_send(struct pg_link *conn, struct pg_rows *rows,
		   weir_error *reterr)
{
	PGresult *results[PG_SENT_MAX] = {NULL};
	const struct pg_sql *sql;
	weir_status status;
	size_t count = 0;

	/* What was queued before them, a BEGIN, has a result in front. */
	size_t before = conn->sent;

	while ((sql = weir__pg_rows_next(rows))) {
		weir__pg_send(conn, sql, &rows->params);
		count++;
	}
	weir_assert(before + count <= PG_SENT_MAX);
	status = weir__pg_sync(conn, results, reterr);
	if (status == WEIR_OK && !weir__pg_rows_take(rows, results + before))
		status = weir__queue_error(reterr, WEIR_CORRUPT, 0,
					   "other rows came back than were "
					   "inserted");
	for (size_t i = 0; i < before + count; i++)
		PQclear(results[i]);
	return status;
}

void
weir__pg_rollback(struct pg_link *conn)
{
	struct pg_params none = {0};
	weir_error error;

	/* If that fails the connection is gone, and its transaction too. */
	if (conn->pg &&
	    weir__pg_query(conn, &rollback_sql, &none, NULL, &error) != WEIR_OK)
		weir__pg_disconnect(conn);
}

/* One queue's, by itself. */
static const struct pg_sql notify_insert = {
	"notify_insert",
	"SELECT pg_notify($1::text, '{\"queue\":' || to_json($2::text)::text"
	" || '}')"};

void
weir__pg_notify_insert(struct pg_link *conn, const char *queue)
{
	struct pg_params p = {0};

	weir__pg_begin(&p);
	put_channel(&p, conn->store);
	put_text(&p, queue);
	weir__pg_send(conn, &notify_insert, &p);
	weir__pg_params_fini(&p);
}
