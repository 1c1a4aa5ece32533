/*
 * What the command may do and programs may not: insert jobs of kinds that begin
 * with "weir.".
 *
 * What is in the args of such a job is run, as a command or a transfer, by
 * whoever works the queue with `weir work`.  A program that passes kinds on
 * from elsewhere must not become a way to run commands by accident, so the
 * public calls refuse them.  This is no fence against who can write to the
 * file.
 */
#ifndef WEIR_SRC_QUEUE_OURS_H
#define WEIR_SRC_QUEUE_OURS_H

#include <weir/queue.h>

/* weir_store_insert() and weir_store_schedule(), and any kind is fine. */
WEIR_NODISCARD weir_status weir__store_insert_ours(
	weir_store *store, const weir_insert *inserts, size_t count,
	weir_inserted *rets, weir_ctx *ctx, weir_error *reterr);
WEIR_NODISCARD weir_status weir__store_schedule_ours(
	weir_store *store, const weir_schedule *schedule, weir_error *reterr);

#endif
