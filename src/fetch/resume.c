/*
 * An earlier run's records as a table of hashes; see resume.h.
 *
 * Design: open addressing with linear probing over words of 64 bits, of which
 * the lowest says "ok" and the rest are the hash; 0 is an empty place.  The
 * table doubles when it is two thirds full.
 *
 *      | hash, 63 bits | ok |
 *
 * Locking: none; one thread at a time.
 */
#include "fetch/resume.h"

#include "base/buf.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK_BIT UINT64_C(1)

struct weir_fetch_resume {
	uint64_t key[2];
	uint64_t *words;
	size_t len, cap; /* cap is a power of two */
};

/* The place of hash: where it stands, or where it would go. */
static size_t
place_of(const struct weir_fetch_resume *resume, uint64_t hash)
{
	size_t i = (size_t)(hash >> 1) & (resume->cap - 1);

	while (resume->words[i] && (resume->words[i] | OK_BIT) != hash)
		i = (i + 1) & (resume->cap - 1);
	return i;
}

static bool
grow(struct weir_fetch_resume *resume)
{
	uint64_t *old = resume->words;
	size_t old_cap = resume->cap;

	resume->words = calloc(old_cap * 2, sizeof(*old));
	if (!resume->words) {
		resume->words = old;
		return false;
	}
	resume->cap = old_cap * 2;
	for (size_t i = 0; i < old_cap; i++)
		if (old[i])
			resume->words[place_of(resume, old[i] | OK_BIT)] =
				old[i];
	free(old);
	return true;
}

static bool
note(struct weir_fetch_resume *resume, uint64_t hash, bool ok)
{
	size_t i;

	if (resume->len * 3 >= resume->cap * 2 && !grow(resume))
		return false;
	i = place_of(resume, hash);
	if (resume->words[i] == 0) {
		resume->words[i] = hash & ~OK_BIT;
		resume->len++;
	}
	if (ok)
		resume->words[i] |= OK_BIT;
	return true;
}

/* Hash and bit share a word, so hashes have that bit set and are never 0. */
uint64_t
weir__fetch_resume_key(const struct weir_fetch_resume *resume,
		       const char *shown, const char *id)
{
	uint64_t hash = weir__hash64(resume->key, shown, strlen(shown));

	if (id)
		hash ^= weir__hash64(resume->key, id, strlen(id) + 1) * 3;
	hash |= OK_BIT;
	return hash == OK_BIT ? 3 : hash;
}

enum weir_fetch_before
weir__fetch_resume_find(const struct weir_fetch_resume *resume, uint64_t hash)
{
	uint64_t word = resume->words[place_of(resume, hash)];

	if (!word)
		return WEIR_FETCH_BEFORE_UNKNOWN;
	return word & OK_BIT ? WEIR_FETCH_BEFORE_OK : WEIR_FETCH_BEFORE_FAILED;
}

void
weir__fetch_resume_settle(struct weir_fetch_resume *resume, uint64_t hash)
{
	size_t i = place_of(resume, hash);

	if (resume->words[i])
		resume->words[i] |= OK_BIT;
}

/* One record. What is none is passed over. False: no memory. */
static bool
take_line(struct weir_fetch_resume *resume, const char *line, size_t len)
{
	json_t *record = json_loadb(line, len, 0, NULL);
	const char *url = json_string_value(json_object_get(record, "url"));
	const char *id = json_string_value(json_object_get(record, "id"));
	const char *status =
		json_string_value(json_object_get(record, "status"));
	bool kept = true;

	if (url && status) {
		uint64_t hash = weir__fetch_resume_key(resume, url, id);

		if (strcmp(status, "ok") == 0 || strcmp(status, "skipped") == 0)
			kept = note(resume, hash, true);
		else if (strcmp(status, "failed") == 0)
			kept = note(resume, hash, false);
	}
	json_decref(record);
	return kept;
}

static weir_status
read_all(struct weir_fetch_resume *resume, FILE *file)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	bool kept = true;

	while (kept && (len = getline(&line, &cap, file)) > 0)
		kept = take_line(resume, line, (size_t)len);
	free(line);
	if (!kept)
		return WEIR_NOMEM;
	return ferror(file) ? WEIR_SYSTEM : WEIR_OK;
}

static weir_status
failed(weir_error *reterr, weir_status status)
{
	reterr->status = status;
	reterr->native = errno;
	snprintf(reterr->message, sizeof(reterr->message), "%s",
		 status == WEIR_NOMEM ? "out of memory" : strerror(errno));
	return status;
}

weir_status
weir__fetch_resume_load(struct weir_fetch_resume **out, const char *path,
			const uint64_t key[2], weir_error *reterr)
{
	struct weir_fetch_resume *resume = calloc(1, sizeof(*resume));
	weir_status status;
	FILE *file;

	if (!resume)
		return failed(reterr, WEIR_NOMEM);
	resume->key[0] = key[0];
	resume->key[1] = key[1];
	resume->cap = 1024;
	resume->words = calloc(resume->cap, sizeof(*resume->words));
	if (!resume->words) {
		weir__fetch_resume_free(resume);
		return failed(reterr, WEIR_NOMEM);
	}
	file = fopen(path, "re");
	status = file ? read_all(resume, file) : WEIR_SYSTEM;
	if (status != WEIR_OK)
		failed(reterr, status);
	if (file)
		(void)fclose(file);
	if (status != WEIR_OK) {
		weir__fetch_resume_free(resume);
		return status;
	}
	*out = resume;
	return WEIR_OK;
}

struct weir_fetch_resume *
weir__fetch_resume_free(struct weir_fetch_resume *resume)
{
	if (resume)
		free(resume->words);
	free(resume);
	return NULL;
}
