/*
 * The third stage: into the index.
 *
 * Design.  The stage is asynchronous, though nothing in it is: start() only
 * notes the document, and wait(), which the worker calls when there is nothing
 * more to start, writes all that were noted in one transaction:
 *
 *      start, start, start ──> wait: one transaction ──> done, done, done
 *
 * While that runs the channel before the stage fills, and the next batch is
 * what has come meanwhile.  No timer, and no document waits for company.
 *
 * A document that the index refuses must not take its batch with it: after a
 * failed transaction each is tried alone.
 */
#include "store.h"

#include "base/assert.h"
#include "doc.h"
#include "wake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADVICE \
	"the same again, once that is mended; what is in the index is kept"

/* One that waits to be written. */
struct pending {
	weir_job *job;
	weir_ctx *ctx;
	struct doc *doc;
};

struct writer {
	const struct store_options *options;
	int wake_fd;
	struct pending *batch;
	size_t count;
	struct index_doc *docs; /* as many as the batch */
	const struct index_doc **pointers;
};

static bool
is_hopeless(const weir_error *error)
{
	return error->status == WEIR_SYSTEM || error->status == WEIR_CORRUPT ||
	       error->status == WEIR_FOREIGN;
}

/* A document as the index takes it; chunks has room for its chunks. */
static struct index_doc
describe(const struct doc *doc, struct index_chunk *chunks)
{
	for (size_t i = 0; i < doc->chunk_count; i++) {
		chunks[i].number = (uint32_t)i + 1;
		chunks[i].page = doc->chunks[i].page;
		chunks[i].text = doc->text.data.data + doc->chunks[i].at;
		chunks[i].len = doc->chunks[i].len;
		chunks[i].vector = doc->vectors + i * doc->dims;
	}
	return (struct index_doc){
		.path = doc->path,
		.hash = doc->hash,
		.bytes = doc->bytes,
		.kind = doc_kind_name(doc->kind),
		.chunks = chunks,
		.chunk_count = doc->chunk_count,
	};
}

static size_t
count_chunks(const struct pending *pending, size_t count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += pending[i].doc->chunk_count;
	return sum;
}

/* Write count documents of the batch, from first on, in one transaction. */
static weir_status
put(struct writer *w, size_t first, size_t count, weir_error *error)
{
	const struct store_options *o = w->options;
	const struct pending *pending = &w->batch[first];
	struct index_chunk *chunks, *next;
	weir_status status;

	next = chunks = calloc(count_chunks(pending, count), sizeof(*chunks));
	if (!chunks) {
		*error = (weir_error){WEIR_NOMEM, 0, "out of memory"};
		return WEIR_NOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		w->docs[i] = describe(pending[i].doc, next);
		w->pointers[i] = &w->docs[i];
		next += pending[i].doc->chunk_count;
	}
	status = index_put(o->index, w->pointers, count, o->model,
			   pending[0].doc->dims, error);
	free(chunks);
	return status;
}

static void
finish(struct writer *w, const struct pending *pending, weir_status status,
       const weir_error *error)
{
	const struct store_options *o = w->options;

	if (status != WEIR_OK) {
		status = doc_fail(pending->doc, pending->ctx, status, "index",
				  "%s", error->message);
		if (is_hopeless(error) && o->hopeless)
			o->hopeless(error->message, ADVICE, o->user);
	}
	weir_job_done(pending->job, status);
}

/* Vectors of one length go into one transaction. */
static bool
is_uniform(const struct writer *w)
{
	for (size_t i = 1; i < w->count; i++)
		if (w->batch[i].doc->dims != w->batch[0].doc->dims)
			return false;
	return true;
}

static void
write_batch(struct writer *w)
{
	weir_error error = {WEIR_OK, 0, ""};
	int64_t began_ns = weir_now_ns();
	size_t count = w->count;
	bool together = is_uniform(w) && put(w, 0, count, &error) == WEIR_OK;

	if (w->options->delay_ns > 0)
		(void)weir_ctx_sleep(NULL, began_ns + w->options->delay_ns -
						   weir_now_ns());
	w->count = 0;
	for (size_t i = 0; i < count; i++) {
		weir_status status = WEIR_OK;

		if (!together)
			status = put(w, i, 1, &error);
		finish(w, &w->batch[i], status, &error);
	}
}

static void
store_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	struct writer *w = state;
	struct pollfd wake = {.fd = w->wake_fd, .events = POLLIN};

	(void)hungry;
	(void)user;
	if (w->count > 0) {
		write_batch(w);
		return;
	}
	if (poll(&wake, 1, wake_timeout_ms(deadline_ns)) > 0)
		wake_clear(w->wake_fd);
}

static void
store_wake(void *state, void *user)
{
	const struct writer *w = state;

	(void)user;
	wake_up(w->wake_fd);
}

static weir_status
store_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct writer *w = weir_job_state(ctx);
	struct doc *doc = *(struct doc *const *)in;

	(void)user;
	*(struct doc **)out = doc;
	weir_assert(w->count < w->options->batch);
	w->batch[w->count++] =
		(struct pending){.job = job, .ctx = ctx, .doc = doc};
	return WEIR_OK;
}

static void
store_exit(uint32_t worker, void *state, void *user)
{
	struct writer *w = state;

	(void)worker;
	(void)user;
	weir_assert(w->count == 0);
	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
	free(w->batch);
	free(w->docs);
	free(w->pointers);
	free(w);
}

static weir_status
store_init(uint32_t worker, void **ret_state, void *user)
{
	const struct store_options *o = user;
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return WEIR_NOMEM;
	w->options = o;
	w->wake_fd = wake_new();
	w->batch = calloc(o->batch, sizeof(*w->batch));
	w->docs = calloc(o->batch, sizeof(*w->docs));
	w->pointers = calloc(o->batch, sizeof(*w->pointers));
	if (w->wake_fd < 0 || !w->batch || !w->docs || !w->pointers) {
		store_exit(worker, w, user);
		return WEIR_NOMEM;
	}
	*ret_state = w;
	return WEIR_OK;
}

void
store_stage(weir_stage *ret, const struct store_options *options)
{
	weir_stage_init(ret);
	ret->name = "store";
	ret->workers = options->batch;
	ret->queue = options->queue;
	ret->out_size = sizeof(struct doc *);
	ret->start = store_start;
	ret->init = store_init;
	ret->exit = store_exit;
	ret->wait = store_wait;
	ret->wake = store_wake;
	ret->user = (void *)(uintptr_t)options;
}
