/*
 * One transfer after another on one easy handle.
 *
 * Design.  What all requests share is set on a handle once; for most jobs only
 * the URL differs, and only that is set.  A job with a method, a body or
 * headers of its own marks the handle as special, and the next job that has
 * none puts it right again.
 *
 *      begin -> on_header ... -> on_body ... -> end      libcurl is done
 *                                            -> abort    we are: too large,
 *                                                        too slow, cancelled
 *
 * All caps are counted here: libcurl 7.88 enforces none of them while a body
 * of unknown length arrives.
 *
 * Locking: a transfer belongs to its reactor's thread.
 */
#include "fetch/reactor.h"

#include "base/assert.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* How much of an old part is read at once: some milliseconds' worth. */
#define DIGEST_PIECE (8 * 1024 * 1024)

/* Note why we end it. The first reason is the one that counts. */
static void __attribute__((format(printf, 3, 4)))
blame(struct weir_fetch_transfer *t, const char *reason, const char *format,
      ...)
{
	va_list args;

	if (t->reason[0])
		return;
	snprintf(t->reason, sizeof(t->reason), "%s", reason);
	va_start(args, format);
	vsnprintf(t->why, sizeof(t->why), format, args);
	va_end(args);
}

static bool
has_prefix(const char *line, size_t len, const char *prefix, size_t prefix_len)
{
	return len >= prefix_len && strncasecmp(line, prefix, prefix_len) == 0;
}

#define HAS_PREFIX(line, len, text) \
	has_prefix(line, len, text, sizeof(text) - 1)

/* Another answer begins: the last one was a redirect, or "100 Continue". */
static void
head_begins(struct weir_fetch_transfer *t)
{
	const char *scheme = NULL;

	t->answered = true;
	t->range_ok = false;
	t->validator[0] = '\0';
	t->validator_is_etag = false;
	/* Once on https, redirects stay there. */
	if (!t->is_narrow &&
	    curl_easy_getinfo(t->easy, CURLINFO_SCHEME, &scheme) == CURLE_OK &&
	    scheme && strcasecmp(scheme, "https") == 0) {
		curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
		t->is_narrow = true;
	}
}

/* The validator for If-Range: a strong ETag or, without one, the date. */
static void
take_validator(struct weir_fetch_transfer *t, const char *line, size_t len)
{
	bool is_etag = HAS_PREFIX(line, len, "etag:");
	size_t skip = is_etag ? strlen("etag:") : strlen("last-modified:");

	if (!is_etag &&
	    (!HAS_PREFIX(line, len, "last-modified:") || t->validator_is_etag))
		return;
	while (skip < len && (line[skip] == ' ' || line[skip] == '\t'))
		skip++;
	while (len > skip && strchr("\r\n \t", line[len - 1]))
		len--;
	if (is_etag && (skip == len || line[skip] != '"'))
		return;
	if (len == skip || len - skip >= sizeof(t->validator) ||
	    memchr(line + skip, '\0', len - skip))
		return;
	memcpy(t->validator, line + skip, len - skip);
	t->validator[len - skip] = '\0';
	t->validator_is_etag = is_etag;
}

/* Is what comes the part that was asked for? */
static void
take_range(struct weir_fetch_transfer *t, const char *line, size_t len)
{
	char text[64], *end;
	const char *at;

	if (!HAS_PREFIX(line, len, "content-range:") || len >= sizeof(text))
		return;
	memcpy(text, line, len);
	text[len] = '\0';
	at = text + strlen("content-range:");
	at += strspn(at, " \t");
	t->range_ok = false;
	if (strncmp(at, "bytes ", strlen("bytes ")) == 0) {
		at += strlen("bytes ");
		t->range_ok = strtoull(at, &end, 10) == t->range_from &&
			      end != at && *end == '-';
	}
}

static size_t
on_header(char *line, size_t size, size_t count, void *user)
{
	struct weir_fetch_transfer *t = user;
	size_t len = size * count;

	t->headers += len;
	if (t->headers > WEIR_FETCH_HEADERS_MAX) {
		blame(t, "headers", "headers of more than 256 KiB");
		return 0;
	}
	if (HAS_PREFIX(line, len, "http/"))
		head_begins(t);
	else if (t->engine->folder.fd >= 0) {
		take_validator(t, line, len);
		if (t->ranged)
			take_range(t, line, len);
	}
	return len;
}

static void
file_failed(struct weir_fetch_transfer *t, int failed)
{
	blame(t, "file", "cannot write the file: %s", strerror(failed));
	t->fatal = failed;
}

bool
weir__fetch_transfer_digest_old(struct weir_fetch_transfer *t, uint64_t most)
{
	char part[16 * 1024];
	uint64_t done = 0;

	while (t->digested < t->digest_first && done < most) {
		ssize_t got = pread(t->file.fd, part, sizeof(part),
				    (off_t)t->digested);

		if (got <= 0) {
			file_failed(t, EIO);
			return false;
		}
		EVP_DigestUpdate(t->digest, part, (size_t)got);
		t->digested += (uint64_t)got;
		done += (uint64_t)got;
	}
	return true;
}

/* The file for a body that is worth keeping. False: it cannot be written. */
static bool
open_file(struct weir_fetch_transfer *t, bool resume)
{
	int failed;

	if (t->file.fd >= 0)
		return true;
	failed = weir__fetch_file_open(&t->engine->folder, &t->file, t->request,
				       resume);
	if (failed != 0)
		file_failed(t, failed);
	return failed == 0;
}

/* A continuation was asked for: is that what comes? */
static bool
check_range(struct weir_fetch_transfer *t, long http_status)
{
	int failed;

	if (!t->ranged)
		return true;
	if (http_status == 206 && t->range_ok) {
		if (t->digest)
			t->digest_first = t->file.size;
		t->body = t->file.size;
		return true;
	}
	failed = weir__fetch_file_truncate(&t->file);
	if (failed != 0)
		file_failed(t, failed);
	if (http_status == 206)
		blame(t, "range", "the server sent another range");
	return failed == 0 && http_status != 206;
}

bool
weir__fetch_transfer_body_begins(struct weir_fetch_transfer *t)
{
	long http_status = 0;

	t->body_begun = true;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http_status);
	t->keep_body = http_status >= 200 && http_status < 300;
	if (!t->keep_body || t->engine->folder.fd < 0)
		return true;
	if (!open_file(t, false) || !check_range(t, http_status))
		return false;
	/* The part need not say again what the whole has said. */
	if (t->validator[0] || !t->ranged || http_status != 206)
		memcpy(t->file.validator, t->validator, sizeof(t->validator));
	return true;
}

static bool
body_fits(struct weir_fetch_transfer *t)
{
	const struct weir_fetch_options *options = &t->engine->options;
	char size[WEIR_FORMAT_SIZE];
	curl_off_t received = 0;

	if (options->body_max > 0 && t->body > options->body_max) {
		blame(t, "too large", "a body of more than %s",
		      weir__format_bytes(size, sizeof(size),
					 options->body_max));
		return false;
	}
	if (!options->compressed || t->body < WEIR_FETCH_RATIO_FREE)
		return true;
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
	if (t->body / WEIR_FETCH_RATIO_MAX <= (uint64_t)received)
		return true;
	blame(t, "bomb", "the body grows more than %d times when unpacked",
	      WEIR_FETCH_RATIO_MAX);
	return false;
}

/*
 * Must these bytes come again later?  That is so while --limit-rate has none
 * left, and while the old part of a file is being read for its checksum: a
 * piece of it at a time, for the other transfers of this thread wait.
 */
static bool
must_pause(struct weir_fetch_transfer *t, size_t len)
{
	struct weir_fetch_engine *engine = t->engine;

	if (t->digested < t->digest_first)
		return true;
	return engine->options.limit_rate > 0 &&
	       !weir__fetch_bucket_take(engine, len);
}

/* The beginning of the body, whatever it is worth. */
static void
capture(struct weir_fetch_transfer *t, const char *data, size_t len)
{
	struct weir_buf *body = &t->outcome->body;
	size_t room = t->engine->options.capture - body->len;

	if (t->engine->options.capture == 0)
		return;
	t->outcome->body_cut |= len > room;
	weir__buf_append(body, data, len < room ? len : room);
}

static size_t
on_body(char *data, size_t size, size_t count, void *user)
{
	struct weir_fetch_transfer *t = user;
	struct weir_fetch_reactor *reactor = t->shard->reactor;
	size_t len = size * count;
	int failed;

	if (!t->body_begun && !weir__fetch_transfer_body_begins(t))
		return 0;
	if (!weir__fetch_transfer_digest_old(t, DIGEST_PIECE))
		return 0;
	if (must_pause(t, len)) {
		weir__list_remove(&t->paused_link);
		weir__list_append(&reactor->paused, &t->paused_link);
		return CURL_WRITEFUNC_PAUSE;
	}
	t->body += len;
	weir__u64_add(&reactor->engine->bytes, len, WEIR_RELAXED);
	if (!body_fits(t))
		return 0;
	capture(t, data, len);
	if (!t->keep_body)
		return len;
	if (t->digest)
		EVP_DigestUpdate(t->digest, data, len);
	if (t->file.fd >= 0) {
		failed = weir__fetch_file_write(&t->file, data, len);
		if (failed != 0) {
			file_failed(t, failed);
			return 0;
		}
	}
	return len;
}

/* What is the same for all jobs, and who is to be trusted. */
static void
set_trust(CURL *easy, const struct weir_fetch_options *options)
{
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION,
			 options->no_redirects ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS,
			 (long)WEIR_FETCH_REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION,
			 (long)CURL_SSLVERSION_TLSv1_2);
	if (options->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
	if (options->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	/* NULL would mean: as the environment says. */
	if (options->proxy)
		curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy);
	else if (!options->env_proxy)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static void
set_constants(struct weir_fetch_transfer *t)
{
	const struct weir_fetch_options *options = &t->engine->options;
	CURL *easy = t->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16L * 1024);
	/* Or ending would wait for a resolver that does not answer. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
	if (options->compressed)
		curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	if (options->http == WEIR_FETCH_HTTP_1)
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
				 (long)CURL_HTTP_VERSION_1_1);
	else if (options->http == WEIR_FETCH_HTTP_2)
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
				 (long)CURL_HTTP_VERSION_2TLS);
	if (options->ip != WEIR_FETCH_IP_ANY)
		curl_easy_setopt(easy, CURLOPT_IPRESOLVE,
				 options->ip == WEIR_FETCH_IP_4
					 ? (long)CURL_IPRESOLVE_V4
					 : (long)CURL_IPRESOLVE_V6);
	set_trust(easy, options);
}

/*
 * Method, body and headers.  libcurl does not copy them: those of a job live
 * as long as it, and end() leaves the handle special.
 */
static void
set_request(struct weir_fetch_transfer *t, const char *method, const char *body,
	    size_t body_len, struct curl_slist *headers)
{
	CURL *easy = t->easy;
	bool head = method ? strcmp(method, "HEAD") == 0 && !body
			   : t->engine->options.head && !body;

	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
	/* This order: it means POST even when there is nothing to post. */
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
	curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	if (body) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)body_len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	} else if (head) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	if (method && !head && strcmp(method, body ? "POST" : "GET") != 0)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
}

static void
set_default_request(struct weir_fetch_transfer *t)
{
	const struct weir_fetch_options *options = &t->engine->options;

	set_request(t, options->method, options->body, options->body_len,
		    options->headers);
	t->is_special = false;
}

bool
weir__fetch_transfer_init(struct weir_fetch_transfer *t,
			  struct weir_fetch_shard *shard)
{
	weir__list_init(&t->link);
	weir__list_init(&t->paused_link);
	t->file.fd = -1;
	t->shard = shard;
	t->easy = curl_easy_init();
	if (!t->easy)
		return false;
	if (t->engine->options.checksum) {
		t->digest = EVP_MD_CTX_new();
		if (!t->digest)
			return false;
	}
	set_constants(t);
	set_default_request(t);
	return true;
}

void
weir__fetch_transfer_fini(struct weir_fetch_transfer *t)
{
	weir_assert(!t->job);
	EVP_MD_CTX_free(t->digest);
	t->digest = NULL;
}

static bool
is_plain_get(const struct weir_fetch_transfer *t)
{
	const struct weir_fetch_request *request = t->request;
	const struct weir_fetch_options *options = &t->engine->options;
	const char *method =
		request->method ? request->method : options->method;

	return !request->body && !options->body &&
	       (request->method || !options->head) &&
	       (!method || strcmp(method, "GET") == 0);
}

/* Ask for the rest of a file whose beginning is there. */
static bool
ask_for_rest(struct weir_fetch_transfer *t, struct curl_slist *headers)
{
	char text[WEIR_FETCH_VALIDATOR_MAX + 16];
	struct curl_slist *list = NULL, *longer;

	if (!open_file(t, true))
		return false;
	if (t->file.size == 0)
		return true;
	snprintf(text, sizeof(text), "If-Range: %s", t->file.validator);
	list = curl_slist_append(NULL, text);
	for (; list && headers; headers = headers->next) {
		longer = curl_slist_append(list, headers->data);
		if (!longer) {
			curl_slist_free_all(list);
			list = NULL;
		}
	}
	if (!list) {
		blame(t, "memory", "out of memory");
		return false;
	}
	t->range_headers = list;
	t->ranged = true;
	t->range_from = t->file.size;
	snprintf(text, sizeof(text), "%" PRIu64 "-", t->file.size);
	curl_easy_setopt(t->easy, CURLOPT_RANGE, text);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->range_headers);
	t->is_special = true;
	return true;
}

static void
clear_attempt(struct weir_fetch_transfer *t)
{
	t->headers = 0;
	t->body = 0;
	t->seen = 0;
	t->answered = false;
	t->body_begun = false;
	t->keep_body = false;
	t->blocked = false;
	t->ranged = false;
	t->range_ok = false;
	t->digest_first = 0;
	t->digested = 0;
	t->fatal = 0;
	t->validator[0] = '\0';
	t->validator_is_etag = false;
	t->reason[0] = '\0';
	t->curl_error[0] = '\0';
	weir__buf_reset(&t->outcome->body);
	t->outcome->body_cut = false;
	t->outcome->retry_after_ns = 0;
}

/* Make the handle fit for this job. False: see reason. */
static bool
prepare(struct weir_fetch_transfer *t)
{
	const struct weir_fetch_request *request = t->request;
	const struct weir_fetch_options *options = &t->engine->options;
	struct curl_slist *headers =
		request->headers ? request->headers : options->headers;

	if (t->is_narrow) {
		curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR,
				 "http,https");
		t->is_narrow = false;
	}
	if (request->method || request->body || request->headers) {
		set_request(
			t, request->method ? request->method : options->method,
			request->body ? request->body : options->body,
			request->body ? request->body_len : options->body_len,
			headers);
		t->is_special = true;
	} else if (t->is_special) {
		set_default_request(t);
	}
	if (t->engine->folder.fd >= 0 && is_plain_get(t) &&
	    (options->resume_parts || t->outcome->partial) &&
	    !ask_for_rest(t, headers))
		return false;
	if (t->digest)
		EVP_DigestInit_ex(t->digest, EVP_sha256(), NULL);
	if (curl_easy_setopt(t->easy, CURLOPT_URL, request->url) == CURLE_OK)
		return true;
	blame(t, "memory", "out of memory");
	return false;
}

/* Give the handle back to its shard, without a trace of the job. */
static void
put_back(struct weir_fetch_transfer *t)
{
	if (t->ranged || t->range_headers) {
		curl_easy_setopt(t->easy, CURLOPT_RANGE, NULL);
		curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
		curl_slist_free_all(t->range_headers);
		t->range_headers = NULL;
	}
	t->job = NULL;
	t->ctx = NULL;
	t->request = NULL;
	t->outcome = NULL;
	weir__list_remove(&t->paused_link);
	weir__list_remove(&t->link);
	weir__list_prepend(&t->shard->idle, &t->link);
}

bool
weir__fetch_transfer_is_canceled(const struct weir_fetch_transfer *t)
{
	return weir__u32_load(&t->request->canceled, WEIR_SEQ_CST) != 0;
}

weir_status
weir__fetch_transfer_begin(struct weir_fetch_transfer *t, weir_ctx *ctx,
			   weir_job *job,
			   const struct weir_fetch_request *request,
			   struct weir_fetch_outcome *outcome)
{
	weir_status status;

	weir_assert(!t->job);
	t->job = job;
	t->ctx = ctx;
	t->request = request;
	t->outcome = outcome;
	clear_attempt(t);
	weir__list_append(&t->shard->reactor->active, &t->link);
	if (weir__fetch_transfer_is_canceled(t)) {
		blame(t, "cancelled", "cancelled");
	} else if (prepare(t)) {
		t->started_ns = weir_now_ns();
		t->quiet_ns = t->started_ns;
		if (curl_multi_add_handle(t->shard->multi, t->easy) == CURLM_OK)
			return WEIR_OK;
		blame(t, "memory", "out of memory");
	}
	status = weir__fetch_verdict(t, CURLE_WRITE_ERROR);
	put_back(t);
	return status;
}

void
weir__fetch_transfer_end(struct weir_fetch_transfer *t, CURLcode code)
{
	weir_job *job = t->job;
	weir_status status;

	weir_assert(job);
	status = weir__fetch_verdict(t, code);
	(void)curl_multi_remove_handle(t->shard->multi, t->easy);
	t->shard->reactor->ended = true;
	put_back(t);
	weir_job_done(job, status);
}

void
weir__fetch_transfer_abort(struct weir_fetch_transfer *t)
{
	weir_status status = weir_ctx_status(t->ctx);
	int64_t timeout_ns = t->request->timeout_ns
				     ? t->request->timeout_ns
				     : t->engine->options.timeout_ns;
	char text[WEIR_FORMAT_SIZE];

	if (weir_ctx_status(t->engine->ctx) != WEIR_OK ||
	    status == WEIR_CANCELED || weir__fetch_transfer_is_canceled(t))
		blame(t, "cancelled", "cancelled");
	else if (status == WEIR_TIMEDOUT)
		blame(t, "timeout", "not complete after %s",
		      weir__format_duration(text, sizeof(text), timeout_ns));
	weir__fetch_transfer_end(t, CURLE_ABORTED_BY_CALLBACK);
}

/* Is the connection made, TLS and all? */
static bool
is_connected(const struct weir_fetch_transfer *t)
{
	curl_off_t at_us = 0;

	curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &at_us);
	return at_us > 0;
}

void
weir__fetch_transfer_look(struct weir_fetch_transfer *t, int64_t now_ns)
{
	const struct weir_fetch_options *options = &t->engine->options;
	char text[WEIR_FORMAT_SIZE];
	curl_off_t sent = 0;
	uint64_t seen;
	int64_t quiet_ns;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	seen = t->headers + t->body + (uint64_t)sent;
	/* One that we hold back ourselves does not stand still. */
	if (seen != t->seen || !weir__list_empty(&t->paused_link)) {
		t->seen = seen;
		t->quiet_ns = now_ns;
		return;
	}
	quiet_ns = now_ns - t->quiet_ns;
	if (!t->answered && !is_connected(t)) {
		if (quiet_ns < options->connect_ns)
			return;
		blame(t, "connect", "no connection after %s",
		      weir__format_duration(text, sizeof(text),
					    options->connect_ns));
	} else if (!t->body_begun && !t->answered) {
		if (quiet_ns < options->first_byte_ns)
			return;
		blame(t, "timeout", "no answer after %s",
		      weir__format_duration(text, sizeof(text),
					    options->first_byte_ns));
	} else {
		if (quiet_ns < options->stall_ns)
			return;
		blame(t, "stalled", "nothing arrived for %s",
		      weir__format_duration(text, sizeof(text),
					    options->stall_ns));
	}
	weir__fetch_transfer_abort(t);
}
