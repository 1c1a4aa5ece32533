/*
 * The options that a store is opened with, the same for all kinds.
 */
#ifndef WEIR_SRC_QUEUE_OPTIONS_H
#define WEIR_SRC_QUEUE_OPTIONS_H

#include <weir/queue.h>

/*
 * Copy them, with what is 0 filled in; or say what is wrong with them.  out is
 * where the store is to go.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    texts are lent, as they were.
 * Returns: WEIR_OK, WEIR_INVAL.
 */
WEIR_NODISCARD weir_status
weir__store_options_take(weir_store_options *ret, weir_store **out,
			 const weir_store_options *options, weir_error *reterr);

#endif
