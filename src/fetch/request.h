/*
 * What is to be fetched, and what came of it.
 *
 * A request is one block of memory with all its texts inside, made by the
 * input and freed when its record has been written: nothing of a URL that is
 * done stays behind.  An outcome is what the attempts leave for the record.
 */
#ifndef WEIR_SRC_FETCH_REQUEST_H
#define WEIR_SRC_FETCH_REQUEST_H

#include "base/buf.h"
#include "sync/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weir/base.h>

struct curl_slist;

struct weir_fetch_request {
	uint64_t seq;  /* place in the input, from 1, bad lines included */
	uint64_t line; /* line number in its file */
	uint64_t host_key;
	uint64_t resume_key;
	const char *url;    /* as it is sent */
	const char *shown;  /* the same without a user's name and password */
	const char *id;     /* given by the user, or NULL */
	const char *method; /* NULL: as the options say */
	const char *out;    /* name of the file, or NULL: from the URL */
	const char *body;   /* NULL: as the options say */
	size_t body_len;
	struct curl_slist *headers; /* in place of the options', or NULL */
	int64_t timeout_ns;         /* 0: as the options say */
	void *user;                 /* the owner's */

	/* atomic; see weir__fetch_engine_cancel() */
	struct weir_u32 canceled;
};

enum weir_fetch_status {
	WEIR_FETCH_OK,
	WEIR_FETCH_FAILED,
	WEIR_FETCH_CANCELLED, /* alone, or with all */
	WEIR_FETCH_SKIPPED,
};

#define WEIR_FETCH_REASON_MAX 24
#define WEIR_FETCH_REMOTE_MAX 64

/* Zeroed before the first attempt; the texts are malloc()ed. */
struct weir_fetch_outcome {
	int http_status; /* 0: there was no answer */
	bool partial;    /* the attempt left the beginning of a file behind */
	bool has_sha256;
	unsigned char sha256[32];
	uint64_t bytes;
	long http_version; /* CURL_HTTP_VERSION_..., 0: unknown */
	int64_t dns_us, connect_us, tls_us, ttfb_us;
	char remote[WEIR_FETCH_REMOTE_MAX];
	char reason[WEIR_FETCH_REASON_MAX]; /* "404", "timeout", "tls" */
	char *final_url;                    /* NULL: that of the request */
	char *file;                         /* under the folder, or NULL */
	int64_t retry_after_ns; /* that the server asked for; 0: it did not */
	struct weir_buf body;   /* its beginning, as far as options.capture */
	bool body_cut;          /* and there was more */
};

void weir__fetch_request_free(struct weir_fetch_request *request);
void weir__fetch_outcome_fini(struct weir_fetch_outcome *outcome);

#endif
