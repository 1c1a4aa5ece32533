/*
 * A visit to the store, as turn.c, claim.c and finish.c share it; and pieces of
 * statements that others need as well.
 */
#ifndef WEIR_SRC_PG_TURN_H
#define WEIR_SRC_PG_TURN_H

#include "pg/pg.h"
#include "queue/gather.h"

/* NAME#ID: the last element of attempted_by, while it is ours. */
#define PG_OWNER_MAX (sizeof(((struct weir_owner *)0)->name) + 24)
void weir__pg_owner(char text[PG_OWNER_MAX], const char *name, int64_t id);

/* Who has attempted j, and does somebody want it cancelled? */
#define PG_LAST_BY(j) j ".attempted_by[array_upper(" j ".attempted_by, 1)]"
#define PG_IS_CANCELLED(j) \
	"(" j ".metadata ->> 'cancel_attempted_at') IS NOT NULL"

/* Does another job hold the unique key of j? */
#define PG_KEY_IS_TAKEN(j)                                                     \
	"(" j ".unique_key IS NOT NULL AND EXISTS (SELECT 1 FROM @river_job h" \
	" WHERE h.unique_key = " j ".unique_key AND h.unique_key IS NOT NULL"  \
	" AND h.unique_states IS NOT NULL AND "                                \
	"@river_job_state_in_bitmask(h.unique_states, h.state)"                \
	" AND h.id <> " j ".id))"

/*
 * Tell those who wait that queues have something: a value, and as a side effect
 * a notice for each queue of the rows that are available.  channel is a
 * parameter as weir__pg_channel() makes it.
 */
#define PG_TELL(rows, channel)                                           \
	"(SELECT count(pg_notify(coalesce(" channel                      \
	", current_schema() || '.') || 'river_insert',"                  \
	" json_build_object('queue', told.queue)::text)) FROM (SELECT"   \
	" DISTINCT queue FROM " rows " WHERE state::text = 'available')" \
	" told)"

/* For a job under the name j, and rows under the name done. */
#define LAST_BY      PG_LAST_BY("j")
#define IS_CANCELLED PG_IS_CANCELLED("j")
#define KEY_IS_TAKEN PG_KEY_IS_TAKEN("j")

/* The schema and a dot; NULL: the current one's. */
void weir__pg_channel(struct pg_params *p, const struct weir_pg *store);

/* attempted_by with one more behind, and no more than a hundred. */
#define PG_NEXT_BY(j, by)                                              \
	"array_append(CASE WHEN cardinality(" j ".attempted_by) < 100" \
	"  THEN " j ".attempted_by ELSE " j ".attempted_by["           \
	"array_upper(" j ".attempted_by, 1) - 98 :] END, " by ")"

/* When j is attempted, if the database's time is that. */
#define PG_WHOLE_MS(time) "date_trunc('milliseconds', " time ")"
#define PG_NEXT_AT_OF(j, whole)                            \
	"greatest(" whole                                  \
	", " PG_WHOLE_MS(j ".attempted_at") " + interval " \
					    "'1 millisecond')"
#define PG_NEXT_AT(j, time) PG_NEXT_AT_OF(j, PG_WHOLE_MS(time))

/* A finish on its way, in the order of ids. */
struct pg_ending {
	int64_t id;
	size_t at;    /* among the finishes of the turn */
	bool is_twin; /* another outcome of this claim came before it */
	bool is_simple;
	bool is_quoted; /* its output is no JSON to the database */
	bool is_locked; /* by somebody else: it is left out */
};

/* What was sent, by its place in the pipeline. */
struct pg_claim_sent {
	size_t result;
	size_t first, count; /* of turn->wants, those with a count */
	bool alone;
};

#define PG_CLAIMS_MAX 32

/* How jobs are claimed; see hold.h for the last two. */
enum pg_way {
	PG_WAY_CLAIM,
	PG_WAY_HOLD, /* lock them, and write nothing */
	PG_WAY_REST, /* what may not be held, and has its turn */
};

/* A place in the order of a queue. */
struct pg_place {
	int32_t priority;
	int64_t scheduled_at_ms, id;
};

struct pg_turn {
	struct weir_pg *store;
	struct weir_turn *turn;
	struct pg_link *conn;
	char owner[PG_OWNER_MAX];
	struct pg_params p;

	/* finish.c */
	struct pg_ending *endings;
	size_t simple_count, other_count; /* of those that are sent */
	bool puts_away;                   /* some of the others are completed */
	bool gives_keys_up; /* what does not hold its unique key */

	/* claim.c */
	struct pg_claim_sent claims[PG_CLAIMS_MAX];
	size_t claim_count;
	bool wants_alone;
	bool sweeps; /* cursor.c: and goes by no cursor */
	int64_t begun_ns;
	enum pg_way way;
	size_t ended; /* jobs of a hold that ended just before */
	/* HOLD: of all ids those of this part, by their last bits. */
	size_t part, parts;
	const char *const *long_kinds; /* HOLD: not these; REST: these */
	size_t long_kind_count;
	const struct pg_place *before; /* REST: of each want */
	struct weir_gather *gathered;  /* what was claimed goes there */

	/* turn.c */
	bool looks;                  /* limit.c: claim what has a limit, too */
	bool others_look;            /* another visit of the turn does */
	bool sweeps_limits;          /* from the beginning */
	bool missed;                 /* ask who is to be cancelled */
	const struct pg_note *notes; /* of holds */
	size_t note_count;

	/* Statements sent so far, and what came of them. */
	size_t sent;
	PGresult *results[PG_SENT_MAX];
	size_t simple_result, other_result;
};

/* Make the visit.  The rows that were claimed are in t->gathered with OK. */
weir_status weir__pg_visit(struct pg_turn *t, weir_error *reterr);
/* All finishes are STALE, as is the turn. */
weir_status weir__pg_all_stale(struct weir_turn *turn, weir_error *reterr,
			       const char *why);

/* One more statement, with t->p.  Its place. */
size_t weir__pg_turn_send(struct pg_turn *t, const struct pg_sql *sql)
	WEIR_REQUIRES(t->conn->mu);

/* False: no memory. */
bool weir__pg_finish_begin(struct pg_turn *t);
void weir__pg_finish_send(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
void weir__pg_finish_read(struct pg_turn *t);
/* It was refused: for an output?  True: so it was, and will not be again. */
bool weir__pg_finish_mend(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
/* Leave out what somebody else has locked, which is BUSY then.  True: there was
 * some. */
bool weir__pg_finish_leave_locked(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);

/* Completed, and there is nothing to say about it? */
bool weir__pg_finish_is_simple(const struct weir_finish *finish);

void weir__pg_claim_send(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
/*
 * Append them to t->gathered.  With PG_WAY_HOLD policies has room for what was
 * wanted, and gets what becomes of each when it is completed.  False: no
 * memory.
 */
bool weir__pg_claim_read(struct pg_turn *t, int *policies);

/* A unique index has refused what was sent. */
bool weir__pg_is_clash(const weir_error *error);

#endif
