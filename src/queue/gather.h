/*
 * Rows on their way into a batch: texts are offsets until all are there.
 * A zeroed struct is empty.  Kept from turn to turn it hardly takes memory.
 */
#ifndef WEIR_SRC_QUEUE_GATHER_H
#define WEIR_SRC_QUEUE_GATHER_H

#include "queue/store.h"

struct weir_gather {
	weir_job_row *rows;
	size_t count, cap;
	struct weir_buf texts;
};

void weir__gather_begin(struct weir_gather *gather);
/* A copy of the row; false: no memory. */
bool weir__gather_add(struct weir_gather *gather, const weir_job_row *row);
/* NULL: no memory, or no rows. */
struct weir_batch *weir__gather_batch(struct weir_gather *gather);
void weir__gather_fini(struct weir_gather *gather);

#endif
