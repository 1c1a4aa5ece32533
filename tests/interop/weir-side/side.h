/*
 * What the files of weir's side share; see main.c.
 */
#ifndef WEIR_TESTS_INTEROP_SIDE_H
#define WEIR_TESTS_INTEROP_SIDE_H

#include "base/json.h"

#include <jansson.h>
#include <weir/queue.h>

extern const char *side_conninfo; /* what libpq takes */

_Noreturn void side_fail(const char *what, const weir_error *error);

/*
 * A line is written between these, by one thread at a time.  A NULL text is
 * "", and so is a NULL key; a key has 32 bytes.
 */
struct weir_json *side_begin(void);
void side_end(void);
void side_put_text(struct weir_json *j, const char *name, const char *text);
void side_put_int(struct weir_json *j, const char *name, int64_t value);
void side_put_key(struct weir_json *j, const unsigned char *key);

/* The commands that have files of their own; argv is what follows them. */
void side_insert(weir_store *store, char **argv);
void side_unique_key(weir_store *store, char **argv);
void side_work(weir_store *store, char **argv);

#endif
