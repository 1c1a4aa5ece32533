/*
 * Limits of kinds that hold for all workers together; see limit.c.
 */
#ifndef WEIR_SRC_PG_LIMIT_H
#define WEIR_SRC_PG_LIMIT_H

#include "pg/turn.h"

/* The tokens that a row l of weir_limit has, if it has a rate; the time stands
 * between. */
#define PG_TOKENS                                                \
	"least(l.burst::float8, l.tokens + l.rate * greatest(0," \
	" extract(epoch FROM "
#define PG_TOKENS_END " - l.refilled_at)::float8))"

bool weir__pg_limits_new(struct weir_pg *store);
void weir__pg_limits_free(struct weir_pg *store);

/* Is a turn to look at what is limited? */
bool weir__pg_limits_look(struct weir_pg *store);
/* Even one that holds, which then has one statement more? */
bool weir__pg_limits_press(struct weir_pg *store);

/*
 * In a turn that looks: what goes before its claims, the statement in the
 * place of the usual one, and what has come of it.
 */
void weir__pg_limit_lock_send(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
void weir__pg_limit_params(struct pg_turn *t); /* from $14 on */
const struct pg_sql *weir__pg_limit_claim(bool alone);
void weir__pg_limit_read(struct pg_turn *t, const PGresult *result);
/* In one that does not: there are limits, so come again. */
void weir__pg_limit_seen(struct pg_turn *t);

/* For tests: a look that takes as long as that is slow; 0: every one is, but
 * only sweeps are thought of. */
void weir__pg_limits_allow(struct weir_pg *store, int64_t ns);

/* A parameter: kinds of which jobs wait. */
void weir__pg_limit_put_waiting(struct weir_pg *store, struct pg_params *p);
/* Has one of those come free?  It and the time stand between. */
#define PG_LIMIT_IS_FREE "EXISTS (SELECT 1 FROM unnest(string_to_array("
#define PG_LIMIT_IS_FREE_AT                                                \
	", E'\\x01')) k (kind) LEFT JOIN @weir_limit l ON l.kind = k.kind" \
	" WHERE l.kind IS NULL OR ((l.most IS NULL OR l.most >"            \
	" (SELECT count(*) FROM @river_job j WHERE j.state = 'running'"    \
	" AND j.kind || '' = l.kind)) AND (l.rate IS NULL OR " PG_TOKENS
#define PG_LIMIT_IS_FREE_END PG_TOKENS_END " >= 1)))"

/* limits.c: the operations of the store; see store.h. */
weir_status weir__pg_limit_put(weir_store *store, const weir_kind_limit *limit,
			       weir_error *reterr);
weir_status weir__pg_limit_delete(weir_store *store, const char *kind,
				  weir_error *reterr);
weir_status weir__pg_limit_list(weir_store *store, weir_kind_limit_fn *row,
				void *user, weir_error *reterr);

#endif
