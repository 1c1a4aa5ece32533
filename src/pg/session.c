/*
 * What holds in our sessions, or where there are none in each transaction.
 *
 * Design.  A list of settings is made a text in one of two ways.  In a session
 * of our own they are SET once, when it begins.  Behind a pooler that gives
 * each transaction another session (listen=off) they are local to a
 * transaction and the first statement of each: whatever we left behind would be
 * somebody else's.
 *
 * Plans: the statements know their index, and a planner without fresh
 * statistics must not think otherwise.  What it may not choose it prices so
 * high that it would compile such a plan first, which takes longer than to run
 * it.
 */
#include "pg/pg.h"

static const struct pg_setting common[] = {
	{"timezone", "UTC"},
	{"enable_seqscan", "off"},
	{"enable_bitmapscan", "off"},
	{"plan_cache_mode", "force_generic_plan"},
	{"jit", "off"},
	{"idle_in_transaction_session_timeout", "30s"},
	{"lock_timeout", "10s"},
	{NULL, NULL},
};

/* A session that cannot write, whatever we do; a transaction. */
static const struct pg_setting read_only[] = {
	{"default_transaction_read_only", "on"}, {NULL, NULL}};
static const struct pg_setting read_only_local[] = {
	{"transaction_read_only", "on"}, {NULL, NULL}};

/* Of others, too, a transaction has one isolation from its beginning. */
static const struct pg_setting whole_only[] = {
	{"default_transaction_isolation", "read committed"}, {NULL, NULL}};

static void
put_settings(struct weir_buf *buf, const struct pg_setting *s, bool is_local)
{
	for (; s && s->name; s++) {
		if (is_local)
			weir__buf_printf(buf, "%sset_config('%s', '%s', true)",
					 buf->len > 0 ? ", " : "SELECT ",
					 s->name, s->value);
		else
			weir__buf_printf(buf, "SET %s = '%s';", s->name,
					 s->value);
	}
}

void
weir__pg_put_session(struct weir_buf *buf, const struct weir_pg *store,
		     const struct pg_setting *more)
{
	bool is_local = store->is_pooled;

	put_settings(buf, common, is_local);
	put_settings(buf, more, is_local);
	if (!is_local)
		put_settings(buf, whole_only, false);
	if (store->base.read_only)
		put_settings(buf, is_local ? read_only_local : read_only,
			     is_local);
}
