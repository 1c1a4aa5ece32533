/*
 * Inside the engine: what reactor.c, transfer.c and engine.c share.
 */
#ifndef WEIR_SRC_FETCH_REACTOR_H
#define WEIR_SRC_FETCH_REACTOR_H

#include "base/list.h"
#include "fetch/engine.h"
#include "fetch/folder.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <weir/job.h>

struct weir_fetch_reactor;

/* A few transfers that share a curl_multi; see reactor.c. */
struct weir_fetch_shard {
	CURLM *multi;
	struct weir_fetch_reactor *reactor;
	int64_t due_ns; /* when libcurl wants to be called; WEIR_FOREVER */
	struct weir_list idle; /* transfers, the warmest first */
	bool touched;          /* something may have ended */
};

/* An easy handle, and the job it does just now. */
struct weir_fetch_transfer {
	/* fixed at creation */
	CURL *easy;
	struct weir_fetch_shard *shard;
	struct weir_fetch_engine *engine;

	/* one job after the other */
	struct weir_list link; /* in shard->idle, or reactor->active */
	struct weir_list paused_link;
	weir_job *job; /* NULL: idle */
	weir_ctx *ctx;
	const struct weir_fetch_request *request;
	struct weir_fetch_outcome *outcome;
	int64_t started_ns;
	bool is_special; /* it differs from the options in more than its URL */

	/* this attempt */
	uint64_t headers, body; /* bytes */
	uint64_t seen;          /* headers + body at the last look */
	int64_t quiet_ns;       /* nothing has arrived since */
	bool answered;          /* the head of an answer has begun */
	bool body_begun;        /* and its body */
	bool keep_body;         /* which is worth something: 2xx */
	bool blocked;           /* an address was not public */
	bool is_narrow;         /* redirects may go to https only */
	int fatal;   /* errno of a file that cannot be written, or 0 */
	bool ranged; /* a continuation was asked for */
	uint64_t range_from;
	bool range_ok; /* and that is what came */
	/* Of the file's old part, bytes for the checksum, and those in it. */
	uint64_t digest_first, digested;
	struct weir_fetch_file file;
	struct curl_slist *range_headers;
	EVP_MD_CTX *digest; /* kept; NULL when no sums are wanted */
	char validator[WEIR_FETCH_VALIDATOR_MAX];
	bool validator_is_etag;
	/* Why we ended it ourselves: a reason for the tally, or "". */
	char reason[WEIR_FETCH_REASON_MAX];
	char why[WEIR_ERROR_MAX];
	char curl_error[CURL_ERROR_SIZE];
};

struct weir_fetch_socket {
	struct weir_fetch_shard *shard;
	uint32_t wanted;     /* epoll events that libcurl asks for */
	uint32_t registered; /* those the kernel was told of */
	bool is_ours;        /* opened by on_open(): closed by on_close() */
};

struct weir_fetch_reactor {
	struct weir_fetch_engine *engine;
	int epoll_fd, wake_fd;
	struct weir_fetch_shard *shards;
	size_t shard_count;
	struct weir_fetch_transfer *transfers;
	size_t transfer_count;
	CURLSH *share;
	struct weir_fetch_socket *sockets; /* by number */
	size_t socket_cap;
	struct weir_list active, paused;
	bool ended;        /* a job has ended since the wait began */
	int64_t tick_ns;   /* next look for what stands still */
	int64_t refill_ns; /* next try to resume what is paused */

	/* atomic: some request that may be here is to be cancelled */
	struct weir_u32 canceled;
};

struct weir_fetch_engine {
	/* fixed at creation */
	struct weir_fetch_options options;
	struct weir_fetch_hooks hooks;
	struct weir_fetch_folder folder;
	struct weir_fetch_input *input;
	weir_pool *pool;
	weir_limit *limit;
	weir_ctx *ctx;
	int64_t tick_ns; /* between two looks for what stands still */

	/* guarded by reactors_mu; entries come and go with the workers */
	struct weir_mutex reactors_mu;
	struct weir_fetch_reactor **reactors;

	/* guarded by bucket_mu: bytes that may still arrive just now */
	struct weir_mutex bucket_mu;
	int64_t bucket, bucket_ns;

	/* the source's, one thread at a time */
	uint64_t seq_done;
	weir_error input_error;

	/* atomic */
	struct weir_u64 bytes; /* received, for the progress line */
	struct weir_u32 fatal; /* errno of what cannot go on, or 0 */
};

/* transfer.c */
bool weir__fetch_transfer_init(struct weir_fetch_transfer *t,
			       struct weir_fetch_shard *shard);
void weir__fetch_transfer_fini(struct weir_fetch_transfer *t);
weir_status weir__fetch_transfer_begin(struct weir_fetch_transfer *t,
				       weir_ctx *ctx, weir_job *job,
				       const struct weir_fetch_request *request,
				       struct weir_fetch_outcome *outcome);
/* libcurl is done with it; the job is over. */
void weir__fetch_transfer_end(struct weir_fetch_transfer *t, CURLcode code);
/* End it from our side, with the verdict that was noted or ctx's. */
void weir__fetch_transfer_abort(struct weir_fetch_transfer *t);
/* Does somebody want this one, and not all of them, to end? */
bool weir__fetch_transfer_is_canceled(const struct weir_fetch_transfer *t);
/* End it if it has stood still for too long. */
void weir__fetch_transfer_look(struct weir_fetch_transfer *t, int64_t now_ns);

/* Feed up to most bytes of the old part to the checksum. False: reason. */
bool weir__fetch_transfer_digest_old(struct weir_fetch_transfer *t,
				     uint64_t most);

/* The first bytes of a body, or its end: what is it worth?  False: reason. */
bool weir__fetch_transfer_body_begins(struct weir_fetch_transfer *t);

/* verdict.c */
weir_status weir__fetch_verdict(struct weir_fetch_transfer *t, CURLcode code);

/* reactor.c: callbacks for the pool */
weir_status weir__fetch_reactor_init(uint32_t worker, void **ret_state,
				     void *user);
void weir__fetch_reactor_exit(uint32_t worker, void *state, void *user);
void weir__fetch_reactor_wait(void *state, int64_t deadline_ns, bool hungry,
			      void *user);
void weir__fetch_reactor_wake(void *state, void *user);
struct weir_fetch_transfer *weir__fetch_reactor_take(
	struct weir_fetch_reactor *reactor, uint64_t host_key);

/* engine.c: a file cannot be written, so that going on makes no sense. */
void weir__fetch_engine_fatal(struct weir_fetch_engine *engine,
			      int error_number);

/* Take len bytes out of the bucket of --limit-rate. False: it is empty. */
bool weir__fetch_bucket_take(struct weir_fetch_engine *engine, size_t len);

#endif
