/*
 * The engine: an input, a pool of slots, transfers in them, records out.
 *
 *      input -> source -> pool slots = transfers -> sink -> hooks.record
 *
 * It prints nothing and ends nothing; what it has to say goes through hooks.
 *
 *      weir__fetch_engine_new(&engine, &options, &hooks, input, dir, &error);
 *      weir__fetch_engine_run(engine, ctx, &error);     waits
 *      weir__fetch_engine_free(engine);
 */
#ifndef WEIR_SRC_FETCH_ENGINE_H
#define WEIR_SRC_FETCH_ENGINE_H

#include "fetch/input.h"
#include "fetch/options.h"
#include "fetch/request.h"

#include <weir/pool.h>

struct weir_fetch_engine;

/* One line of the input, done.  All pointers are only lent. */
struct weir_fetch_record {
	uint64_t seq, line;
	enum weir_fetch_status status;
	const char *id; /* the user's, or NULL */
	const char *url;
	size_t url_len;
	const struct weir_fetch_request *request; /* NULL: the line is none */
	const struct weir_fetch_outcome *outcome; /* NULL: never started */
	uint32_t attempts;
	int64_t wait_ns, run_ns, total_ns;
	const char *error; /* "" when it is ok */
};

/* A try that has failed and will be followed by another. */
struct weir_fetch_retry {
	const char *url, *why;
	uint32_t attempt, attempts_max;
	int64_t delay_ns; /* that the server asked for; -1: by the policy */
};

/*
 * next        in place of an input, or NULL.  One thread at a time: give the
 *             next request, which is the engine's then.  WEIR_OK; WEIR_BUSY:
 *             not now, see hungry; WEIR_CLOSED: no more, for good; any other
 *             status ends the run with it.
 * hungry      with next; any reactor, after BUSY: a descriptor to watch for
 *             reading in *ret_fd (-1: none), and how long until asking again
 *             is worth while (WEIR_FOREVER: not before
 *             weir__fetch_engine_poke(), the descriptor, or an end).
 * record      any thread, several at a time: a line is done.
 * unstarted   the same: it was read and handed back; it is freed afterwards.
 * may_read    with an input: is there room for another record?  Asked before
 * each line with its number; after false, call weir__fetch_engine_poke() once
 *             there is.
 * retry       any thread: news.
 * None of them may wait.
 */
struct weir_fetch_hooks {
	weir_status (*next)(struct weir_fetch_request **ret, void *user);
	int64_t (*hungry)(int *ret_fd, void *user);
	void (*record)(const struct weir_fetch_record *record, void *user);
	void (*unstarted)(const struct weir_fetch_request *request, void *user);
	bool (*may_read)(uint64_t seq, void *user);
	void (*retry)(const struct weir_fetch_retry *retry, void *user);
	void *user;
};

/*
 * Make it.  dir is where bodies go, or NULL; input is lent, and NULL where
 * hooks->next gives the requests.  WEIR_OK, or WEIR_NOMEM, WEIR_SYSTEM,
 * WEIR_INVAL with the reason in *reterr.
 */
WEIR_NODISCARD weir_status weir__fetch_engine_new(
	struct weir_fetch_engine **out,
	const struct weir_fetch_options *options,
	const struct weir_fetch_hooks *hooks, struct weir_fetch_input *input,
	const char *dir, weir_error *reterr);
struct weir_fetch_engine *weir__fetch_engine_free(
	struct weir_fetch_engine *engine);

/*
 * Fetch everything.  WEIR_OK once all is done, after a stop too;
 * WEIR_TIMEDOUT or WEIR_CANCELED by ctx; WEIR_SYSTEM (reading the input or
 * writing a file has failed) and others with the reason in *reterr.
 */
WEIR_NODISCARD weir_status weir__fetch_engine_run(
	struct weir_fetch_engine *engine, weir_ctx *ctx, weir_error *reterr);

/* There may be room again; any thread. */
void weir__fetch_engine_poke(struct weir_fetch_engine *engine);

/*
 * Start nothing more; with now, cancel what runs as well.  Any thread; does
 * not wait for what runs.
 */
void weir__fetch_engine_stop(struct weir_fetch_engine *engine, bool now);

/*
 * Cancel one request, which is the engine's and neither record nor unstarted
 * has got: it ends as CANCELLED, without another try.  Any thread; does not
 * wait.
 */
void weir__fetch_engine_cancel(struct weir_fetch_engine *engine,
			       struct weir_fetch_request *request);

/* Any thread, while it runs. */
void weir__fetch_engine_stats(struct weir_fetch_engine *engine,
			      weir_pool_stats *ret, uint64_t *ret_bytes);

/* Descriptors needed for that many slots, besides what is open anyway. */
uint64_t weir__fetch_engine_descriptors(
	const struct weir_fetch_options *options, bool files);

/* How many reactors these options give. */
uint32_t weir__fetch_engine_threads(const struct weir_fetch_options *options);

/* "404 Not Found"'s second part, or "". */
const char *weir__fetch_http_text(int http_status);

#endif
