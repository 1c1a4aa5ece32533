/*
 * A job as PostgreSQL gives it.
 *
 * PG_JOB_COLUMNS are those of the table river_job under the name j, so that
 * they can stand in a SELECT and in a RETURNING:
 *
 *      "SELECT " PG_JOB_COLUMNS " FROM @river_job j WHERE j.id = $1"
 *
 * and weir__pg_row() reads them.  What others wrote badly makes nothing fail:
 * no text is cast to anything that it might not be.
 */
#ifndef WEIR_SRC_PG_ROW_H
#define WEIR_SRC_PG_ROW_H

/* Ours in the metadata, which are shown as fields of their own. */
#define PG_OUTPUT_KEY  "output"
#define PG_CANCEL_KEY  "cancel_attempted_at"
#define PG_TIMEOUT_KEY "weir:timeout_ns"

/*
 * Something of the metadata of j, which are mostly "{}": that has 5 bytes in
 * the table, and then none of this is looked into.
 */
#define PG_IF_METADATA(what) \
	"CASE WHEN pg_column_size(j.metadata) > 5 THEN " what " END"

#define PG_COLUMN_CANCEL  PG_IF_METADATA("j.metadata ->> '" PG_CANCEL_KEY "'")
#define PG_COLUMN_TIMEOUT PG_IF_METADATA("j.metadata ->> '" PG_TIMEOUT_KEY "'")
#define PG_COLUMN_OUTPUT  PG_IF_METADATA("j.metadata -> '" PG_OUTPUT_KEY "'")
#define PG_COLUMN_METADATA                                                  \
	PG_IF_METADATA("CASE WHEN jsonb_typeof(j.metadata) = 'object' THEN" \
		       " nullif(j.metadata - '{" PG_OUTPUT_KEY              \
		       "," PG_CANCEL_KEY "," PG_TIMEOUT_KEY                 \
		       "}'::text[], '{}') END")

/* With what stands for the state, the crashes, and who has attempted it last.
 */
#define PG_JOB_COLUMNS_WITH(state, crashes, by)                              \
	"j.id, " state ", j.priority, j.attempt, j.max_attempts,"            \
	" " crashes ", j.created_at, j.scheduled_at, j.attempted_at,"        \
	" j.finalized_at, " PG_COLUMN_CANCEL ", " PG_COLUMN_TIMEOUT ","      \
	" j.queue, j.kind, " by ", " PG_COLUMN_METADATA ","                  \
	" CASE WHEN cardinality(j.tags) > 0 THEN to_json(j.tags)::text END," \
	" CASE WHEN cardinality(j.errors) > 0"                               \
	"  THEN to_json(array_remove(j.errors, NULL))::text END,"            \
	" " PG_COLUMN_OUTPUT ", j.args, j.unique_key, j.unique_states"

#define PG_COLUMN_CRASHES \
	"(SELECT s.crashes FROM @weir_suspect s WHERE s.job = j.id)"
#define PG_COLUMN_BY                                      \
	"regexp_replace("                                 \
	"j.attempted_by[array_upper(j.attempted_by, 1)]," \
	" '#[0-9]+$', '')"
#define PG_JOB_COLUMNS \
	PG_JOB_COLUMNS_WITH("j.state::text", PG_COLUMN_CRASHES, PG_COLUMN_BY)

/* Of a job j: who has attempted it last; does somebody want it cancelled? */
#define PG_ROW_LAST_BY      "j.attempted_by[array_upper(j.attempted_by, 1)]"
#define PG_ROW_IS_CANCELLED "(j.metadata ->> '" PG_CANCEL_KEY "') IS NOT NULL"
/* Its metadata, or an object in its place. */
#define PG_ROW_OBJECT                                   \
	"CASE WHEN jsonb_typeof(j.metadata) = 'object'" \
	" THEN j.metadata ELSE '{}'::jsonb END"
/* Does another job hold its unique key? */
#define PG_ROW_KEY_IS_TAKEN                                               \
	"(j.unique_key IS NOT NULL AND EXISTS (SELECT FROM @river_job h"  \
	" WHERE h.unique_key = j.unique_key AND h.unique_key IS NOT NULL" \
	" AND h.unique_states IS NOT NULL"                                \
	" AND @river_job_state_in_bitmask(h.unique_states, h.state)"      \
	" AND h.id <> j.id))"

#endif
