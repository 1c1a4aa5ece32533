/*
 * Pieces of the statements that claim, as claim.c and limit.c have them.
 */
#ifndef WEIR_SRC_PG_CLAIM_H
#define WEIR_SRC_PG_CLAIM_H

#include "pg/row.h"
#include "pg/turn.h"

/*
 * $1, $2: wants; $3: the owner; $8: whether wants of this turn are mixed, and
 * so depend on what those before have claimed; $10 to $13: cursors of wants,
 * by priority.
 */
#define WANTS_UNLESS                                                       \
	"WITH w AS MATERIALIZED (SELECT * FROM unnest($1::text[],"         \
	" $2::integer[], $10::timestamptz[], $11::timestamptz[],"          \
	" $12::timestamptz[], $13::timestamptz[])"                         \
	" AS w(queue, most, from1, from2, from3, from4)"                   \
	" WHERE EXISTS (SELECT 1 FROM @weir_client WHERE id = $3)"         \
	" AND (NOT $8 OR coalesce(current_setting('weir.turn', true), '')" \
	" NOT IN ("
#define WANTS_END                                       \
	"))"                                            \
	" AND NOT EXISTS (SELECT 1 FROM @river_queue q" \
	" WHERE q.name = w.queue AND q.paused_at IS NOT NULL)),"

/* Each priority, and where it is begun. */
#define LINES                                                     \
	"(VALUES (1::smallint, w.from1), (2::smallint, w.from2)," \
	" (3::smallint, w.from3), (4::smallint, w.from4)) p (priority, first)"

/* $5, $6, $7: any kind; these; or all but these. */
#define KIND_FITS "($5 OR (j.kind = ANY($6::text[])) <> $7)"
#define NOW       "coalesce($4::timestamptz, now())"
#define IS_DUE    "j.scheduled_at <= " NOW
#define IN_ORDER  "ORDER BY j.priority, j.scheduled_at, j.id"

/*
 * $9: the owner's mark.
 *
 * By a list of ids and not by a join: a planner that does not know how few they
 * are may walk along the whole table for a join.
 */
/* The time is truncated once, and not for each row. */
#define CLAIM_AT PG_NEXT_AT_OF("j", "(SELECT " PG_WHOLE_MS(NOW) ")")
#define CLAIM_BY PG_NEXT_BY("j", "$9")
#define CLAIMED                                                   \
	" claimed AS (UPDATE @river_job j SET state = 'running'," \
	" attempt = j.attempt + 1, attempted_at = " CLAIM_AT ","  \
	" attempted_by = " CLAIM_BY                               \
	" WHERE j.id = ANY (ARRAY(SELECT id FROM picked))"        \
	" RETURNING " PG_JOB_COLUMNS ")"

/*
 * Kinds that have a limit for all workers together are passed over by whoever
 * does not look at limits; see limit.c.
 */
#define IS_UNLIMITED "j.kind <> ALL (ARRAY(SELECT kind FROM @weir_limit))"
#define HAS_LIMITS   "EXISTS (SELECT 1 FROM @weir_limit)"

/* Of a want: so many of what is due, locked, each priority from its cursor;
 * the columns stand between. */
#define PICK "SELECT y.* FROM " LINES ", LATERAL (SELECT "
#define PICK_END                                                         \
	" FROM @river_job j WHERE j.state = 'available'"                 \
	" AND j.queue = w.queue AND j.priority = p.priority AND " IS_DUE \
	" AND j.scheduled_at >= coalesce(p.first, '-infinity')"          \
	" AND " KIND_FITS " AND " IS_UNLIMITED                           \
	" AND NOT EXISTS (SELECT 1 FROM @weir_suspect s"                 \
	" WHERE s.job = j.id OFFSET 0) ORDER BY j.scheduled_at, j.id"    \
	" LIMIT w.most FOR UPDATE OF j SKIP LOCKED) y LIMIT w.most"

#define IS_WANTED                                              \
	" AND j.state::text = 'available'"                     \
	" AND j.queue IN (SELECT queue FROM w WHERE most > 0)" \
	" AND " IS_DUE " AND " KIND_FITS

/*
 * Is a job there that only is passed over because it is a suspect?  What is
 * asked of its kind stands between.  OFFSET 0 has each suspect looked up, and
 * no join made of it.
 */
#define SUSPECTS                                                   \
	"(SELECT EXISTS (SELECT 1 FROM @weir_suspect s, LATERAL (" \
	"SELECT 1 FROM @river_job j WHERE j.id = s.job" IS_WANTED " AND "
#define SUSPECTS_END " OFFSET 0) j) AS suspects) x"

/* One of the suspects that are wanted; the same of its kind. */
#define PICK_SUSPECT                                             \
	"SELECT x.id FROM w, LATERAL ("                          \
	"SELECT j.id FROM @river_job j WHERE j.id = ANY (ARRAY(" \
	"SELECT s.job FROM @weir_suspect s))"                    \
	" AND j.state::text = 'available'"                       \
	" AND j.queue = w.queue AND w.most > 0"                  \
	" AND " IS_DUE " AND " KIND_FITS " AND "
#define PICK_SUSPECT_END \
	" " IN_ORDER " LIMIT 1 FOR UPDATE OF j SKIP LOCKED) x LIMIT 1"

/* And what those behind it are told. */
#define TELL     "CASE WHEN $8 AND c.id IS NOT NULL THEN set_config('weir.turn', '"
#define TELL_END "', true) END"

#endif
