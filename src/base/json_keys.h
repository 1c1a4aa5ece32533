/*
 * The keys of the objects that a JSON text is in the middle of, to find one
 * that is there twice; a part of json_check.c.
 *
 * They are noted as they come, those of all open objects in one array, and are
 * compared within their object: one with each other while there are few of
 * them, and sorted when the object ends if there are many.  Sorted, because
 * the time for that has a bound whatever the keys are; that of a hash table
 * has none for somebody who knows the hash.
 */
#ifndef WEIR_SRC_BASE_JSON_KEYS_H
#define WEIR_SRC_BASE_JSON_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_JSON_KEYS_INLINE 32 /* so many need no memory */

/*
 * The first bytes of what a key stands for, which mostly decide, and where it
 * is: spelled as in the text, without its quotes.
 */
struct weir_json_key {
	uint64_t prefix; /* the first byte on top; 0 where there is none */
	uint32_t at, len;
};

struct weir_json_keys {
	const char *text;
	struct weir_json_key *keys;
	uint32_t count, room;
	struct weir_json_key few[WEIR_JSON_KEYS_INLINE];
};

enum weir_json_keys_verdict {
	WEIR_JSON_KEYS_GOOD,
	WEIR_JSON_KEYS_TWICE, /* *ret_second is the later one */
	WEIR_JSON_KEYS_NOMEM,
};

void weir__json_keys_init(struct weir_json_keys *keys, const char *text);
void weir__json_keys_fini(struct weir_json_keys *keys);

/*
 * Note a key of the innermost object, whose keys begin at `base`.  plain: it
 * has no escapes.
 */
enum weir_json_keys_verdict weir__json_keys_add(
	struct weir_json_keys *keys, uint32_t base, const char *at, size_t len,
	bool plain, struct weir_json_key *ret_second);

/* That object has ended, and its keys are forgotten. */
enum weir_json_keys_verdict weir__json_keys_close(
	struct weir_json_keys *keys, uint32_t base,
	struct weir_json_key *ret_second);

#endif
