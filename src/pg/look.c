/*
 * Looking at jobs.
 *
 * Design.  A list is read in pages, by id, and between two pages nothing of
 * the database is held: however long somebody takes to look at ten million
 * jobs, vacuum goes on.  So a list is not of one moment; a job is given at
 * most once, because ids only rise or only fall.  A page is as many rows as
 * the last one says will take a few megabytes.
 *
 * Locking: none.  A page is whole before its first row is given, so that a
 * callback holds up nobody.
 */
#include "base/assert.h"
#include "pg/pg.h"
#include "pg/row.h"

#include <string.h>

#define PAGE_FIRST 32
#define PAGE_MAX   1000
#define PAGE_BYTES (4 * 1024 * 1024)

/* 1, 2: ids between; 3: states; 4 to 6: queue, kind, tag; 7: since; 8: limit */
#define MATCH                                                          \
	" j.id BETWEEN $1 AND $2 AND j.state::text = ANY ($3::text[])" \
	" AND ($4::text IS NULL OR j.queue = $4)"                      \
	" AND ($5::text IS NULL OR j.kind = $5)"                       \
	" AND ($6::text IS NULL OR $6 = ANY (j.tags))"                 \
	" AND ($7::timestamptz IS NULL OR j.created_at >= $7)"
#define LIST(order)                                               \
	"SELECT " PG_JOB_COLUMNS " FROM @river_job j WHERE" MATCH \
	" ORDER BY j.id " order " LIMIT $8"
#define LIST_IDS(order)                                              \
	"SELECT " PG_JOB_COLUMNS                                     \
	" FROM @river_job j WHERE j.id = ANY ($9::int8[]) AND" MATCH \
	" ORDER BY j.id " order " LIMIT $8"

static const struct pg_sql list_down = {"list_down", LIST("DESC")};
static const struct pg_sql list_up = {"list_up", LIST("ASC")};
static const struct pg_sql ids_down = {"list_ids_down", LIST_IDS("DESC")};
static const struct pg_sql ids_up = {"list_ids_up", LIST_IDS("ASC")};

struct list {
	const weir_job_filter *filter;
	weir_job_row_fn *row;
	void *user;
	int64_t low, high; /* ids that are left */
	uint64_t left, page;
	bool on;
	struct pg_params params;
};

static const struct pg_sql *
statement(const struct list *list)
{
	if (list->filter->ids)
		return list->filter->oldest_first ? &ids_up : &ids_down;
	return list->filter->oldest_first ? &list_up : &list_down;
}

static void
put_states(struct pg_params *p, uint32_t states)
{
	size_t count = 0;

	if (states == 0)
		states = WEIR_JOB_STATES_ALL;
	for (int i = 0; i < 8; i++)
		count += states >> i & 1;
	weir__pg_array_begin(p, PG_TEXT, count);
	for (int i = 0; i < 8; i++)
		if (states >> i & 1) {
			const char *name = weir_job_state_name((weir_state)i);

			weir__pg_text(p, name, strlen(name));
		}
	weir__pg_array_end(p);
}

static void
put_filter(struct list *list, uint64_t most)
{
	const weir_job_filter *filter = list->filter;
	const char *const texts[] = {filter->queue, filter->kind, filter->tag};
	struct pg_params *p = &list->params;

	weir__pg_begin(p);
	weir__pg_int8(p, list->low);
	weir__pg_int8(p, list->high);
	put_states(p, filter->states);
	for (int i = 0; i < 3; i++)
		weir__pg_text(p, texts[i], texts[i] ? strlen(texts[i]) : 0);
	weir__pg_time(p, filter->since_ms ? filter->since_ms : PG_NO_TIME);
	weir__pg_int8(p, (int64_t)most);
	if (!filter->ids)
		return;
	weir__pg_array_begin(p, PG_INT8, filter->id_count);
	for (size_t i = 0; i < filter->id_count; i++)
		weir__pg_int8(p, filter->ids[i]);
	weir__pg_array_end(p);
}

static void
give_rows(struct list *list, const PGresult *result)
{
	struct weir_buf buf = {0};
	weir_job_row row;

	for (int at = 0; list->on && at < PQntuples(result); at++) {
		(void)weir__pg_row(result, at, &buf, &row);
		if (list->filter->oldest_first)
			list->low = row.id + 1;
		else
			list->high = row.id - 1;
		list->on = list->row(&row, list->user);
	}
	weir__buf_fini(&buf);
}

/* So many rows would have been a few megabytes. */
static uint64_t
next_page(uint64_t rows, uint64_t bytes)
{
	uint64_t page = bytes > 0 ? rows * PAGE_BYTES / bytes : PAGE_MAX;

	if (page < 1)
		return 1;
	return page < PAGE_MAX ? page : PAGE_MAX;
}

static weir_status
list_page(struct weir_pg *store, struct list *list, bool *ret_full,
	  weir_error *reterr)
{
	uint64_t most = list->left < list->page ? list->left : list->page;
	PGresult *result = NULL;
	weir_status status;
	uint64_t count;

	put_filter(list, most);
	status = weir__pg_ask(&store->admin, statement(list), &list->params,
			      &result, reterr);
	if (status != WEIR_OK)
		return status;
	count = (uint64_t)PQntuples(result);
	give_rows(list, result);
	list->page = next_page(count, PQresultMemorySize(result));
	list->left -= count;
	*ret_full = count == most && list->left > 0;
	PQclear(result);
	return WEIR_OK;
}

weir_status
weir__pg_list(weir_store *store, const weir_job_filter *filter,
	      weir_job_row_fn *row, void *user, weir_error *reterr)
{
	struct list list = {
		.filter = filter,
		.row = row,
		.user = user,
		.low = filter->after_id < INT64_MAX ? filter->after_id + 1
						    : INT64_MAX,
		.high = filter->before_id > 0 ? filter->before_id - 1
					      : INT64_MAX,
		.left = filter->limit ? filter->limit : UINT64_MAX,
		.page = PAGE_FIRST,
		.on = true,
	};
	weir_status status = WEIR_OK;
	bool full = true;

	weir_assert(row);
	while (status == WEIR_OK && full && list.on && list.low <= list.high)
		status = list_page(weir__pg_of(store), &list, &full, reterr);
	weir__pg_params_fini(&list.params);
	return status;
}
