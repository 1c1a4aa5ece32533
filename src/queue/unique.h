/*
 * What makes a job the same as another: River's unique key, byte for byte.
 *
 * The key is the SHA-256 of a text of the parts that count:
 *
 *   &kind=email&args={"to":"a@b.example"}&period=2026-01-02T03:00:00Z&queue=q
 *
 * Clients of other languages make the same text of the same job, and so find
 * each other's.
 */
#ifndef WEIR_SRC_QUEUE_UNIQUE_H
#define WEIR_SRC_QUEUE_UNIQUE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_UNIQUE_KEY_SIZE 32

/*
 * parts      WEIR_UNIQUE_...
 * args       a JSON object that weir__json_check() has let through.
 * base_ms    what is truncated to period_ns: when the job is to run.
 * fields     which members of args count, names or paths with dots; 0 of
 *            them: all.
 */
struct weir_unique {
	uint32_t parts;
	const char *kind, *queue, *args;
	size_t kind_len, queue_len, args_len;
	int64_t period_ns, base_ms;
	const char *const *fields;
	size_t field_count;
};

/*
 * Memory that one key after the other is made in.  Zeroed is empty; `text` is
 * what the last key is the hash of.
 */
struct weir_unique_room {
	struct weir_buf text;
	struct weir_buf sorted; /* members of args, or fields */
};

/* False: no memory. */
bool weir__unique_key(const struct weir_unique *unique,
		      struct weir_unique_room *room,
		      unsigned char ret[WEIR_UNIQUE_KEY_SIZE]);

void weir__unique_room_fini(struct weir_unique_room *room);

#endif
