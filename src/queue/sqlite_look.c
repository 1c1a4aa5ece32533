/*
 * Looking at jobs.
 *
 * Design.  A list is read in pages, by id, and between two pages nothing of
 * the database is held: however long somebody takes to look at ten million
 * jobs, checkpoints go on and the WAL does not grow.  So a list is not of one
 * moment; a job is given at most once, because ids only rise or only fall.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "base/json.h"

#define PAGE 256

/*
 * 1 smallest id, 2 largest id, 3 states, 4 queue, 5 kind, 6 tag, 7 since,
 * 8 ids as JSON, 9 how many.
 */
#define LIST(order)                                                     \
	"SELECT " SQLITE_JOB_COLUMNS " FROM job"                        \
	" WHERE id BETWEEN ?1 AND ?2 AND (?3 >> state) & 1"             \
	" AND (?4 IS NULL OR queue = ?4) AND (?5 IS NULL OR kind = ?5)" \
	" AND (?6 IS NULL OR EXISTS"                                    \
	"  (SELECT 1 FROM json_each(tags) WHERE value = ?6))"           \
	" AND (?7 = 0 OR created_at >= ?7)"                             \
	" ORDER BY id " order " LIMIT ?9"

static const char list_down[] = LIST("DESC");
static const char list_up[] = LIST("ASC");
static const char list_ids[] =
	"SELECT " SQLITE_JOB_COLUMNS " FROM job"
	" WHERE id IN (SELECT value FROM json_each(?8))"
	" AND id BETWEEN ?1 AND ?2 AND (?3 >> state) & 1"
	" AND (?4 IS NULL OR queue = ?4) AND (?5 IS NULL OR kind = ?5)"
	" AND (?6 IS NULL OR EXISTS"
	"  (SELECT 1 FROM json_each(tags) WHERE value = ?6))"
	" AND (?7 = 0 OR created_at >= ?7)"
	" ORDER BY CASE WHEN ?10 THEN id ELSE -id END LIMIT ?9";

struct list {
	const weir_job_filter *filter;
	weir_job_row_fn *row;
	void *user;
	struct weir_buf ids; /* JSON */
	int64_t low, high;   /* ids that are left */
	uint64_t left;
	bool on;
};

static sqlite3_stmt *
statement(struct sqlite_conn *conn, const struct list *list)
{
	if (list->filter->ids)
		return weir__sql(conn, SQL_LIST_ONE, list_ids);
	if (list->filter->oldest_first)
		return weir__sql(conn, SQL_LIST_UP, list_up);
	return weir__sql(conn, SQL_LIST_DOWN, list_down);
}

static void
bind(sqlite3_stmt *stmt, const struct list *list, uint64_t count)
{
	const weir_job_filter *filter = list->filter;
	const char *const texts[] = {filter->queue, filter->kind, filter->tag};

	(void)sqlite3_bind_int64(stmt, 1, list->low);
	(void)sqlite3_bind_int64(stmt, 2, list->high);
	(void)sqlite3_bind_int64(
		stmt, 3, filter->states ? filter->states : WEIR_JOB_STATES_ALL);
	for (int i = 0; i < 3; i++)
		weir__sql_bind_text(stmt, 4 + i, texts[i],
				    texts[i] ? strlen(texts[i]) : 0);
	(void)sqlite3_bind_int64(stmt, 7, filter->since_ms);
	if (filter->ids) {
		weir__sql_bind_text(stmt, 8, list->ids.data, list->ids.len);
		(void)sqlite3_bind_int(stmt, 10, filter->oldest_first);
	}
	(void)sqlite3_bind_int64(stmt, 9, (int64_t)count);
}

/* One page; *ret_full says whether there may be another. */
static int
list_page(struct sqlite_conn *conn, struct list *list, bool *ret_full)
{
	sqlite3_stmt *stmt = statement(conn, list);
	uint64_t most = list->left < PAGE ? list->left : PAGE, count = 0;
	weir_job_row row;
	int code = SQLITE_DONE;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	bind(stmt, list, most);
	while (list->on && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		weir__sqlite_row(stmt, &row);
		count++;
		if (list->filter->oldest_first)
			list->low = row.id + 1;
		else
			list->high = row.id - 1;
		list->on = list->row(&row, list->user);
	}
	(void)sqlite3_reset(stmt);
	list->left -= count;
	*ret_full = count == most && list->left > 0;
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool
put_ids(struct weir_buf *buf, const weir_job_filter *filter)
{
	struct weir_json json;

	weir__json_init(&json, buf);
	weir__json_begin_array(&json);
	for (size_t i = 0; i < filter->id_count; i++)
		weir__json_int(&json, filter->ids[i]);
	weir__json_end_array(&json);
	return !buf->failed;
}

weir_status
weir__sqlite_list(weir_store *store, const weir_job_filter *filter,
		  weir_job_row_fn *row, void *user, weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct list list = {
		.filter = filter,
		.row = row,
		.user = user,
		.low = filter->after_id < INT64_MAX ? filter->after_id + 1
						    : INT64_MAX,
		.high = filter->before_id > 0 ? filter->before_id - 1
					      : INT64_MAX,
		.left = filter->limit ? filter->limit : UINT64_MAX,
		.on = true,
	};
	weir_status status = WEIR_OK;
	int code = SQLITE_OK;
	bool full = true;

	weir_assert(row);
	if (filter->ids && !put_ids(&list.ids, filter)) {
		weir__buf_fini(&list.ids);
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	}
	while (code == SQLITE_OK && full && list.on && list.low <= list.high) {
		weir__mutex_lock(&sqlite->read_mu);
		code = list_page(&sqlite->reader, &list, &full);
		if (code != SQLITE_OK)
			status = weir__sqlite_failed(&sqlite->reader, code,
						     "cannot read", reterr);
		weir__mutex_unlock(&sqlite->read_mu);
	}
	weir__buf_fini(&list.ids);
	return code == SQLITE_OK ? WEIR_OK : status;
}
