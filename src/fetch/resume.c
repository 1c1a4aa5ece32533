/*
 * An earlier run's records as a table of hashes; see resume.h and seen.h.
 *
 * Locking: none; one thread at a time.
 */
#include "fetch/resume.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct weir_fetch_resume {
	uint64_t key[2];
	struct weir_seen seen;
};

/* Bit 0 is not of the hash; see seen.h.  Set, so that 0 is no hash. */
uint64_t
weir__fetch_resume_key(const struct weir_fetch_resume *resume,
		       const char *shown, const char *id)
{
	uint64_t hash = weir__hash64(resume->key, shown, strlen(shown));

	if (id)
		hash ^= weir__hash64(resume->key, id, strlen(id) + 1) * 3;
	return hash | 1;
}

enum weir_fetch_before
weir__fetch_resume_find(const struct weir_fetch_resume *resume, uint64_t hash)
{
	switch (weir__seen_find(&resume->seen, hash)) {
	case WEIR_SEEN_NOT:
		return WEIR_FETCH_BEFORE_UNKNOWN;
	case WEIR_SEEN_OK:
		return WEIR_FETCH_BEFORE_OK;
	case WEIR_SEEN_FAILED:
		return WEIR_FETCH_BEFORE_FAILED;
	}
	weir_bug("an answer that is none");
}

void
weir__fetch_resume_settle(struct weir_fetch_resume *resume, uint64_t hash)
{
	weir__seen_settle(&resume->seen, hash);
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
			kept = weir__seen_note(&resume->seen, hash, true);
		else if (strcmp(status, "failed") == 0)
			kept = weir__seen_note(&resume->seen, hash, false);
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
		weir__seen_fini(&resume->seen);
	free(resume);
	return NULL;
}
