/*
 * What is not there yet: a function for each of a file that is missing, so
 * that the others can be linked.  It goes when the last of them has come.
 */
#include "pg/pg.h"

#define WEAK __attribute__((weak))

#define ABSENT                                   \
	weir__queue_error(reterr, WEIR_INVAL, 0, \
			  "the PostgreSQL store cannot do that yet")

WEAK weir_status
weir__pg_insert(weir_store *store, const struct weir_draft *drafts,
		size_t count, weir_inserted *rets, weir_ctx *ctx,
		weir_error *reterr)
{
	(void)store;
	(void)drafts;
	(void)count;
	(void)rets;
	(void)ctx;
	return ABSENT;
}

WEAK bool
weir__pg_inserts_new(struct weir_pg *store)
{
	(void)store;
	return true;
}

WEAK void
weir__pg_inserts_free(struct weir_pg *store)
{
	(void)store;
}

WEAK weir_status
weir__pg_insert_tx(weir_store *store, void *db, const struct weir_draft *drafts,
		   size_t count, weir_inserted *rets, weir_error *reterr)
{
	(void)store;
	(void)db;
	(void)drafts;
	(void)count;
	(void)rets;
	return ABSENT;
}

WEAK weir_status
weir__pg_complete_tx(weir_store *store, const struct weir_owner *owner,
		     const struct weir_claim *claim, void *db,
		     const char *output, size_t output_len, weir_error *reterr)
{
	(void)store;
	(void)owner;
	(void)claim;
	(void)db;
	(void)output;
	(void)output_len;
	return ABSENT;
}

WEAK const char weir__pg_job_columns[] = "id";

WEAK bool
weir__pg_row(const PGresult *result, int at, struct weir_buf *buf,
	     weir_job_row *ret)
{
	(void)result;
	(void)at;
	(void)buf;
	(void)ret;
	return false;
}

WEAK weir_status
weir__pg_list(weir_store *store, const weir_job_filter *filter,
	      weir_job_row_fn *row, void *user, weir_error *reterr)
{
	(void)store;
	(void)filter;
	(void)row;
	(void)user;
	return ABSENT;
}

WEAK weir_status
weir__pg_change(weir_store *store, weir_job_action action, const int64_t *ids,
		size_t count, weir_job_changed *rets, weir_ctx *ctx,
		weir_error *reterr)
{
	(void)store;
	(void)action;
	(void)ids;
	(void)count;
	(void)rets;
	(void)ctx;
	return ABSENT;
}

WEAK weir_status
weir__pg_queues(weir_store *store, weir_queue_row_fn *row, void *user,
		weir_error *reterr)
{
	(void)store;
	(void)row;
	(void)user;
	return ABSENT;
}

WEAK weir_status
weir__pg_queue_set(weir_store *store, const char *queue, int pause,
		   int finished, weir_error *reterr)
{
	(void)store;
	(void)queue;
	(void)pause;
	(void)finished;
	return ABSENT;
}

WEAK weir_status
weir__pg_schedule_put(weir_store *store, const weir_schedule *schedule,
		      const struct weir_draft *draft, weir_error *reterr)
{
	(void)store;
	(void)schedule;
	(void)draft;
	return ABSENT;
}

WEAK weir_status
weir__pg_schedule_delete(weir_store *store, const char *name,
			 weir_error *reterr)
{
	(void)store;
	(void)name;
	return ABSENT;
}

WEAK weir_status
weir__pg_schedule_pause(weir_store *store, const char *name, bool pause,
			weir_error *reterr)
{
	(void)store;
	(void)name;
	(void)pause;
	return ABSENT;
}

WEAK weir_status
weir__pg_schedules(weir_store *store, weir_schedule_fn *row, void *user,
		   weir_error *reterr)
{
	(void)store;
	(void)row;
	(void)user;
	return ABSENT;
}

WEAK weir_status
weir__pg_fire(weir_store *store, uint32_t limit, uint32_t *ret_count,
	      int64_t *ret_next_ms, weir_error *reterr)
{
	(void)store;
	(void)limit;
	(void)ret_count;
	(void)ret_next_ms;
	return ABSENT;
}

WEAK weir_status
weir__pg_enlist(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	(void)store;
	(void)owner;
	return ABSENT;
}

WEAK weir_status
weir__pg_leave(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	(void)store;
	(void)owner;
	return ABSENT;
}

WEAK weir_status
weir__pg_extend(weir_store *store, const struct weir_owner *owner,
		weir_error *reterr)
{
	(void)store;
	(void)owner;
	return ABSENT;
}

WEAK weir_status
weir__pg_clients(weir_store *store, weir_client_fn *row, void *user,
		 weir_error *reterr)
{
	(void)store;
	(void)row;
	(void)user;
	return ABSENT;
}

WEAK weir_status
weir__pg_turn(weir_store *store, struct weir_turn *turn, weir_error *reterr)
{
	(void)store;
	(void)turn;
	return ABSENT;
}

WEAK weir_status
weir__pg_promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
		 int64_t *ret_next_ms, weir_error *reterr)
{
	(void)store;
	(void)limit;
	(void)ret_count;
	(void)ret_next_ms;
	return ABSENT;
}

WEAK weir_status
weir__pg_rescue(weir_store *store, int64_t client, int64_t beat,
		uint32_t crashes_max, uint32_t limit, uint32_t *ret_count,
		weir_error *reterr)
{
	(void)store;
	(void)client;
	(void)beat;
	(void)crashes_max;
	(void)limit;
	(void)ret_count;
	return ABSENT;
}

WEAK weir_status
weir__pg_clean(weir_store *store, const struct weir_retention *retention,
	       uint32_t limit, uint32_t *ret_count, weir_error *reterr)
{
	(void)store;
	(void)retention;
	(void)limit;
	(void)ret_count;
	return ABSENT;
}

WEAK int
weir__pg_wake_fd(weir_store *store)
{
	(void)store;
	return -1;
}

WEAK void
weir__pg_hush(weir_store *store, int fd)
{
	(void)store;
	(void)fd;
}

WEAK void
weir__pg_wake(weir_store *store)
{
	(void)store;
}

WEAK void
weir__pg_listener_free(struct weir_pg *store)
{
	(void)store;
}

WEAK bool
weir__pg_take_cancels(struct weir_pg *store, int64_t *seq, struct weir_buf *ids)
{
	(void)store;
	(void)seq;
	(void)ids;
	return true;
}

WEAK void
weir__pg_notify_insert(struct pg_conn *conn, const char *queue)
{
	(void)conn;
	(void)queue;
}
