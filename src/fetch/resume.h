/*
 * What an earlier run has done, from its records.
 *
 * Kept are eight bytes for each URL; base/seen.h says what may go wrong.
 *
 * A URL that was fetched once counts as fetched, whatever came before or
 * after.  Lines that cannot be read, such as a last one that was torn when
 * the machine went down, are passed over.
 */
#ifndef WEIR_SRC_FETCH_RESUME_H
#define WEIR_SRC_FETCH_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/base.h>

struct weir_fetch_resume;

enum weir_fetch_before {
	WEIR_FETCH_BEFORE_UNKNOWN, /* not fetched, and not failed either */
	WEIR_FETCH_BEFORE_OK,
	WEIR_FETCH_BEFORE_FAILED,
};

/* WEIR_OK, WEIR_NOMEM, WEIR_SYSTEM (reterr says why). */
WEIR_NODISCARD weir_status
weir__fetch_resume_load(struct weir_fetch_resume **out, const char *path,
			const uint64_t key[2], weir_error *reterr);
struct weir_fetch_resume *weir__fetch_resume_free(
	struct weir_fetch_resume *resume);

/* The hash for a URL without its secrets, and the user's id or NULL. */
uint64_t weir__fetch_resume_key(const struct weir_fetch_resume *resume,
				const char *shown, const char *id);

enum weir_fetch_before weir__fetch_resume_find(
	const struct weir_fetch_resume *resume, uint64_t hash);

/* From now on it counts as fetched: so that it is given out once. */
void weir__fetch_resume_settle(struct weir_fetch_resume *resume, uint64_t hash);

#endif
