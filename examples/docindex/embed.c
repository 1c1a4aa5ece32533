/*
 * The second stage: from text to chunks, and from chunks to vectors.
 *
 * Design.  The stage is asynchronous: one thread holds all requests, in a
 * curl_multi, whose own poll and wake-up are what a stage's wait and wake are
 * made for.  A document keeps its slot until its last chunk has a vector; of
 * its requests, of 64 chunks each, one is on its way at a time:
 *
 *      start ──> request ──wait──> answer ──> next request ... ──> done
 *                   ^                │
 *                   └──── retry ─────┘  from the chunk where it failed
 *
 * What has been embedded stays with the document, so that another attempt
 * asks only for the rest.
 *
 * Which failures deserve another attempt: those of the connection, an answer
 * that is cut or no answer, 408, 425, 429 and 5xx.  A Retry-After is obeyed.
 * 401, 403 and 404 mean the key, the model or the URL, which are the same for
 * all documents, so whoever runs the pipeline is told that it is hopeless.
 */
#include "embed.h"

#include "base/assert.h"
#include "doc.h"
#include "embed_json.h"
#include "wake.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX      (64 * 1024 * 1024)
#define RETRY_AFTER_MAX (3600 * WEIR_S)
#define CONNECT_MAX_MS  10000L
#define POLL_MAX_MS     3600000 /* then it is waited again */

/* One document, and its request. */
struct slot {
	const struct embed_options *options;
	weir_job *job; /* NULL: free */
	weir_ctx *ctx;
	struct doc *doc;
	CURL *easy;       /* kept, with its connection, for the next one */
	size_t asked;     /* chunks in the request */
	bool under_way;   /* in the multi */
	bool is_too_long; /* the answer */
	struct weir_buf request, answer;
	char error[CURL_ERROR_SIZE];
};

struct embedder {
	const struct embed_options *options;
	CURLM *multi;
	struct curl_slist *headers;
	struct weir_buf url;
	uint32_t dims; /* of this run's vectors; 0: none has come yet */
	struct slot *slots;
};

/* This attempt is over, and why; news if another follows. */
static weir_status
fail(struct slot *slot, weir_status status, const char *reason,
     const char *what, const char *why)
{
	const struct embed_options *o = slot->options;
	char message[WEIR_ERROR_MAX];

	snprintf(message, sizeof(message), "%.*s%s%s", WEIR_ERROR_MAX / 2, what,
		 *why != '\0' ? ": " : "", why);
	if (o->again && weir_job_will_retry(slot->ctx, status))
		o->again(slot->doc, message, weir_job_attempt(slot->ctx),
			 o->user);
	return doc_fail(slot->doc, slot->ctx, status, reason, "%s", message);
}

static size_t
on_answer(char *bytes, size_t size, size_t count, void *user)
{
	struct slot *slot = user;

	if (slot->answer.len + size * count > ANSWER_MAX) {
		slot->is_too_long = true;
		return 0;
	}
	weir__buf_append(&slot->answer, bytes, size * count);
	return slot->answer.failed ? 0 : size * count;
}

static void
take_off(struct embedder *e, struct slot *slot)
{
	if (slot->under_way)
		(void)curl_multi_remove_handle(e->multi, slot->easy);
	slot->under_way = false;
}

static void
finish(struct embedder *e, struct slot *slot, weir_status status)
{
	weir_job *job = slot->job;

	take_off(e, slot);
	slot->job = NULL;
	weir_job_done(job, status);
}

/* The next chunks that have no vector yet, as a request. */
static weir_status
send_request(struct embedder *e, struct slot *slot)
{
	struct doc *doc = slot->doc;

	slot->asked = doc->chunk_count - doc->embedded;
	if (slot->asked > EMBED_BATCH_MAX)
		slot->asked = EMBED_BATCH_MAX;
	weir__buf_reset(&slot->request);
	weir__buf_reset(&slot->answer);
	slot->error[0] = '\0';
	slot->is_too_long = false;
	embed_request(&slot->request, e->options, doc, doc->embedded,
		      slot->asked);
	if (slot->request.failed)
		return fail(slot, WEIR_NOMEM, "memory", "out of memory", "");
	(void)curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS,
			       weir__buf_str(&slot->request));
	(void)curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE,
			       (curl_off_t)slot->request.len);
	if (curl_multi_add_handle(e->multi, slot->easy) != CURLM_OK)
		return fail(slot, WEIR_NOMEM, "memory", "out of memory", "");
	slot->under_way = true;
	return WEIR_OK;
}

static void
hopeless(struct embedder *e, const char *why, const char *advice)
{
	if (e->options->hopeless)
		e->options->hopeless(why, advice, e->options->user);
}

/* The server wants to be left alone for so long. */
static void
obey_retry_after(struct slot *slot)
{
	curl_off_t seconds = 0;

	(void)curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds <= 0)
		return;
	if (seconds > RETRY_AFTER_MAX / WEIR_S)
		seconds = RETRY_AFTER_MAX / WEIR_S;
	weir_job_retry_after(slot->ctx, (int64_t)seconds * WEIR_S);
}

static bool
is_worth_a_retry(long http)
{
	return http == 408 || http == 425 || http == 429 || http >= 500;
}

/* A server may say which key it does not like. */
static void
hide_key(char *text, const char *key)
{
	char *at;

	while (key && *key != '\0' && (at = strstr(text, key)))
		memset(at, '*', strlen(key));
}

/* What an answer that is not 200 means. */
static weir_status
judge_http(struct embedder *e, struct slot *slot, long http)
{
	char reason[24], what[64], why[WEIR_ERROR_MAX],
		all[WEIR_ERROR_MAX + 96];

	embed_error_text(weir__buf_str(&slot->answer), slot->answer.len, why,
			 sizeof(why));
	hide_key(why, e->options->key);
	snprintf(reason, sizeof(reason), "API %ld", http);
	snprintf(what, sizeof(what), "the API answers %ld", http);
	if (is_worth_a_retry(http)) {
		obey_retry_after(slot);
		return fail(slot, WEIR_FAILED, reason, what, why);
	}
	if (http == 401 || http == 403 || http == 404) {
		snprintf(all, sizeof(all), "%s%s%s", what,
			 why[0] != '\0' ? ": " : "", why);
		hopeless(e, all,
			 http == 404 ? "--model NAME, or another --url"
				     : "OPENAI_API_KEY=... docindex ...");
	}
	return fail(slot, WEIR_PERMANENT, reason, what, why);
}

/*
 * Vectors of another length than the index has are of another model.  If some
 * have been right before it is the server that has slipped.
 */
static weir_status
judge_dims(struct embedder *e, struct slot *slot)
{
	uint32_t want = e->dims > 0 ? e->dims : e->options->dims;
	char why[96];

	if (want == 0 || slot->doc->dims == want) {
		e->dims = slot->doc->dims;
		return WEIR_OK;
	}
	snprintf(why, sizeof(why),
		 "its vectors have %u numbers, those of the index %u",
		 slot->doc->dims, want);
	if (e->dims > 0)
		return fail(slot, WEIR_FAILED, "dimensions", why, "");
	hopeless(e, why,
		 "another --db, or the model that the index was made with");
	return fail(slot, WEIR_PERMANENT, "dimensions", why, "");
}

/* Forget what the answers so far have brought, as its length is wrong. */
static void
forget_vectors(struct doc *doc)
{
	free(doc->vectors);
	doc->vectors = NULL;
	doc->dims = 0;
	doc->embedded = 0;
}

static weir_status
judge_answer(struct embedder *e, struct slot *slot)
{
	struct doc *doc = slot->doc;
	char why[96] = "";
	weir_status status = embed_answer(doc, doc->embedded, slot->asked,
					  weir__buf_str(&slot->answer),
					  slot->answer.len, why, sizeof(why));

	if (status == WEIR_OK)
		status = judge_dims(e, slot);
	else
		status = fail(slot, status, "bad answer", "the API", why);
	if (status == WEIR_OK)
		doc->embedded += slot->asked;
	else if (doc->embedded == 0 || doc->dims != e->dims)
		forget_vectors(doc);
	return status;
}

/* What libcurl says of it, but where that is long and says no more. */
static const char *
why_not(const struct slot *slot, CURLcode code)
{
	if (slot->is_too_long)
		return "its answer is longer than 64 MiB";
	if (code == CURLE_COULDNT_CONNECT)
		return "cannot connect to it";
	if (slot->error[0] != '\0')
		return slot->error;
	return curl_easy_strerror(code);
}

static weir_status
judge(struct embedder *e, struct slot *slot, CURLcode code)
{
	long http = 0;

	if (code != CURLE_OK)
		return fail(slot, WEIR_FAILED,
			    code == CURLE_OPERATION_TIMEDOUT ? "API timeout"
							     : "API gone",
			    "the API", why_not(slot, code));
	(void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &http);
	return http == 200 ? judge_answer(e, slot) : judge_http(e, slot, http);
}

/* A request is over: the next one, or the end. */
static void
take_answer(struct embedder *e, struct slot *slot, CURLcode code)
{
	weir_status status;

	take_off(e, slot);
	status = judge(e, slot, code);
	if (status == WEIR_OK && slot->doc->embedded < slot->doc->chunk_count)
		status = send_request(e, slot);
	if (status != WEIR_OK || !slot->under_way)
		finish(e, slot, status);
}

/*
 * One request that has ended.  False: there is none.
 *
 * Only one, though there may be many: the document that it ends may have to
 * wait for room in front of the next stage, and with it this thread.  Those
 * behind it keep their places meanwhile, and its own is taken at once by
 * another.  Were all of them ended here, no request would be on its way until
 * the last of them had found room.
 */
static bool
take_next_answer(struct embedder *e)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(e->multi, &left))) {
		struct slot *slot = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
					(char **)&slot);
		take_answer(e, slot, message->data.result);
		return true;
	}
	return false;
}

/*
 * The first perform is what sends the requests that were begun.  A time-out
 * that is negative is none to poll(2), and an error to curl_multi_poll(): it
 * would not wait at all.
 */
static void
embed_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	struct embedder *e = state;
	int running, timeout_ms;
	CURLMcode code;

	(void)hungry;
	(void)user;
	(void)curl_multi_perform(e->multi, &running);
	if (take_next_answer(e))
		return;
	timeout_ms = wake_timeout_ms(deadline_ns);
	code = curl_multi_poll(e->multi, NULL, 0,
			       timeout_ms < 0 ? POLL_MAX_MS : timeout_ms, NULL);
	weir_assert(code != CURLM_BAD_FUNCTION_ARGUMENT);
	(void)curl_multi_perform(e->multi, &running);
	(void)take_next_answer(e);
}

static void
embed_wake(void *state, void *user)
{
	const struct embedder *e = state;

	(void)user;
	(void)curl_multi_wakeup(e->multi);
}

static struct slot *
slot_of(struct embedder *e, const weir_job *job)
{
	for (uint32_t i = 0; i < e->options->width; i++)
		if (e->slots[i].job == job)
			return &e->slots[i];
	return NULL;
}

static void
embed_cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	struct embedder *e = weir_job_state(ctx);
	struct slot *slot = slot_of(e, job);

	(void)user;
	if (slot)
		finish(e, slot, weir_ctx_status(ctx));
}

static bool
add_chunks(struct doc *doc)
{
	size_t at = 0, room = 0;
	struct chunk chunk, *more;

	doc->chunk_count = 0;
	while (chunk_next(&doc->text, &at, &chunk)) {
		if (doc->chunk_count == room) {
			room = room > 0 ? 2 * room : 16;
			more = reallocarray(doc->chunks, room, sizeof(chunk));
			if (!more)
				return false;
			doc->chunks = more;
		}
		doc->chunks[doc->chunk_count++] = chunk;
	}
	return true;
}

/* Its chunks are made once, however often it is tried. */
static weir_status
make_chunks(struct slot *slot)
{
	struct doc *doc = slot->doc;

	if (doc->chunks)
		return WEIR_OK;
	if (!add_chunks(doc)) {
		/* Some of them must not pass for all. */
		free(doc->chunks);
		doc->chunks = NULL;
		doc->chunk_count = 0;
		return fail(slot, WEIR_NOMEM, "memory", "out of memory", "");
	}
	weir_assert(doc->chunk_count > 0); /* there is text: see extract.c */
	return WEIR_OK;
}

static weir_status
embed_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct embedder *e = weir_job_state(ctx);
	struct slot *slot = slot_of(e, NULL);
	weir_status status;

	(void)user;
	weir_assert(slot != NULL); /* the pool has as many */
	*(struct doc **)out = slot->doc = *(struct doc *const *)in;
	slot->ctx = ctx;
	status = make_chunks(slot);
	if (status == WEIR_OK)
		status = send_request(e, slot);
	if (status == WEIR_OK)
		slot->job = job;
	return status;
}

/* What all requests have in common. */
static bool
slot_init(struct embedder *e, struct slot *slot)
{
	CURL *easy = slot->easy = curl_easy_init();

	slot->options = e->options;
	return easy &&
	       curl_easy_setopt(easy, CURLOPT_URL, weir__buf_str(&e->url)) ==
		       CURLE_OK &&
	       !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, e->headers) &&
	       !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_POST, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_USERAGENT, "docindex") &&
	       !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
				 (long)(e->options->timeout_ns / WEIR_MS)) &&
	       !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
				 CONNECT_MAX_MS) &&
	       !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) &&
	       !curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot) &&
	       !curl_easy_setopt(easy, CURLOPT_PRIVATE, slot) &&
	       !curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
}

static bool
add_header(struct embedder *e, const char *header)
{
	struct curl_slist *more = curl_slist_append(e->headers, header);

	if (more)
		e->headers = more;
	return more != NULL;
}

/* The URL and the headers; without "Expect" there is no pause before a body. */
static bool
embedder_init(struct embedder *e)
{
	const struct embed_options *o = e->options;
	size_t url_len = strlen(o->url);
	struct weir_buf bearer = {0};
	bool ok = add_header(e, "Content-Type: application/json") &&
		  add_header(e, "Expect:");

	/* Many write it as a folder. */
	while (url_len > 0 && o->url[url_len - 1] == '/')
		url_len--;
	weir__buf_append(&e->url, o->url, url_len);
	weir__buf_puts(&e->url, "/embeddings");
	if (o->key && *o->key != '\0') {
		weir__buf_printf(&bearer, "Authorization: Bearer %s", o->key);
		ok = ok && !bearer.failed &&
		     add_header(e, weir__buf_str(&bearer));
		weir__buf_fini(&bearer);
	}
	e->multi = curl_multi_init();
	e->slots = calloc(o->width, sizeof(*e->slots));
	if (!ok || e->url.failed || !e->multi || !e->slots)
		return false;
	for (uint32_t i = 0; i < o->width; i++)
		if (!slot_init(e, &e->slots[i]))
			return false;
	(void)curl_multi_setopt(e->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
				(long)o->per_host);
	(void)curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)o->width);
	return true;
}

static void
embed_exit(uint32_t worker, void *state, void *user)
{
	struct embedder *e = state;

	(void)worker;
	(void)user;
	for (uint32_t i = 0; e->slots && i < e->options->width; i++) {
		struct slot *slot = &e->slots[i];

		weir_assert(slot->job == NULL);
		curl_easy_cleanup(slot->easy);
		weir__buf_fini(&slot->request);
		weir__buf_fini(&slot->answer);
	}
	(void)curl_multi_cleanup(e->multi);
	curl_slist_free_all(e->headers);
	weir__buf_fini(&e->url);
	free(e->slots);
	free(e);
}

static weir_status
embed_init(uint32_t worker, void **ret_state, void *user)
{
	struct embedder *e = calloc(1, sizeof(*e));

	if (!e)
		return WEIR_NOMEM;
	e->options = user;
	if (!embedder_init(e)) {
		embed_exit(worker, e, user);
		return WEIR_NOMEM;
	}
	*ret_state = e;
	return WEIR_OK;
}

void
embed_stage(weir_stage *ret, const struct embed_options *options)
{
	weir_stage_init(ret);
	ret->name = "embed";
	ret->workers = options->width;
	ret->queue = options->queue;
	ret->out_size = sizeof(struct doc *);
	ret->start = embed_start;
	ret->cancel = embed_cancel;
	ret->init = embed_init;
	ret->exit = embed_exit;
	ret->wait = embed_wait;
	ret->wake = embed_wake;
	ret->user = (void *)(uintptr_t)options;
	ret->retry = options->retry;
	ret->limit = options->limit;
}
