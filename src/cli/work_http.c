/*
 * Jobs of a store as HTTP calls: the lane of weir work in weir-fetch.
 *
 * Design.  The engine of weir fetch, with a hook in place of a list, and
 * without tries of its own: the store knows when to try again, also after we
 * are gone.  With --http each job is a POST to one place, which has to be told
 * apart from a GET that a redirect makes of it, so redirects are not followed.
 * With --fetch a job is a line of weir fetch.
 *
 *      2xx ──> completed       410 ──> discarded       others ──> again, later
 *
 * That other answers of 4xx are tried again is on purpose: most of them say
 * that the service is wrong just now (a route that is not deployed, a token
 * that has run out), and a job that is given up for that is lost work.  With
 * --fetch it is the URL that is wrong, and they are given up.
 *
 * Locking: see work_run.h.
 */
#include "cli/work_run.h"

#include "base/json_check.h"
#include "cli/nofile.h"
#include "fetch/draft.h"
#include "fetch/engine.h"
#include "fetch/record.h"
#include "fetch/url.h"
#include "sync/clock.h"
#include "sync/random.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_NS         (300 * WEIR_S)
#define CONNECT_NS         (10 * WEIR_S)
#define QUIET_NS           (30 * WEIR_S)
#define NO_MEMORY_NS       WEIR_S
#define RETRY_AFTER_NS_MAX (INT64_C(86400) * WEIR_S)
#define BODY_MAX           (UINT64_C(64) << 20)
#define GONE               410

struct http_lane {
	struct weir_fetch_options options;
	struct weir_fetch_engine *engine;
	uint64_t key[2]; /* of the hash of hosts */
	/* atomic: there was no memory for the last job */
	struct weir_u32 no_memory;
};

static struct http_lane *
lane_of(const struct work_run *run)
{
	return run->lane;
}

static bool
add_header(struct curl_slist **list, const char *header)
{
	struct curl_slist *longer = curl_slist_append(*list, header);

	if (longer)
		*list = longer;
	return longer != NULL;
}

static bool __attribute__((format(printf, 2, 3)))
put_header(struct curl_slist **list, const char *format, ...)
{
	char header[512];
	va_list args;

	va_start(args, format);
	vsnprintf(header, sizeof(header), format, args);
	va_end(args);
	return add_header(list, header);
}

/* What tells the job, and, so that it comes first, what the user wants. */
static bool
put_headers(const struct work_run *run, const weir_job_row *row,
	    struct curl_slist **list)
{
	const struct weir_option_list *given = &run->options->headers;
	bool typed = false, ok = true;

	for (size_t i = 0; i < given->count; i++) {
		typed |= strncasecmp(given->items[i], "content-type:", 13) == 0;
		ok &= add_header(list, given->items[i]);
	}
	if (!typed)
		ok &= add_header(list, "Content-Type: application/json");
	return ok && put_header(list, "Weir-Job-Id: %" PRId64, row->id) &&
	       put_header(list, "Weir-Job-Kind: %s", row->kind) &&
	       put_header(list, "Weir-Job-Queue: %s", row->queue) &&
	       put_header(list, "Weir-Job-Attempt: %" PRIu32, row->attempt) &&
	       put_header(list, "Idempotency-Key: %" PRId64, row->id) &&
	       /* Nor wait a second for leave to send a long body. */
	       add_header(list, "Expect:");
}

static weir_status
make_post(const struct work_run *run, const weir_job_row *row,
	  struct weir_fetch_request **ret)
{
	struct weir_fetch_request *request = calloc(1, sizeof(*request));

	if (!request)
		return WEIR_NOMEM;
	request->url = run->options->http;
	request->shown = run->options->http;
	request->method = "POST";
	/* The claim outlives the request. */
	request->body = row->args;
	request->body_len = row->args_len;
	if (!put_headers(run, row, &request->headers)) {
		weir__fetch_request_free(request);
		return WEIR_NOMEM;
	}
	*ret = request;
	return WEIR_OK;
}

/* Args that are no request: another try is no use. */
static void
refuse(struct work_run *run, struct work_job *job, const char *why)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;

	outcome.status = WEIR_PERMANENT;
	outcome.error = why;
	job->begun = true;
	snprintf(job->error, sizeof(job->error), "%s", why);
	snprintf(job->reason, sizeof(job->reason), "bad args");
	weir__work_over(run, job, &outcome);
}

static weir_status
make_request(struct work_run *run, struct work_job *job,
	     struct weir_fetch_request **ret)
{
	const weir_job_row *row = &job->claim->row;
	char why[WEIR_ERROR_MAX] = "";
	weir_status status;

	if (run->options->http)
		status = make_post(run, row, ret);
	else
		status = weir__fetch_draft(ret, row->args, row->args_len,
					   lane_of(run)->key, why, sizeof(why));
	if (status == WEIR_INVAL)
		refuse(run, job, why);
	else if (status != WEIR_OK)
		weir__work_back(run, job);
	if (status != WEIR_OK)
		return status;
	(*ret)->seq = job->seq;
	(*ret)->user = job;
	(*ret)->timeout_ns = row->timeout_ns;
	if (run->options->fetch)
		snprintf(job->shown, sizeof(job->shown), "%s", (*ret)->shown);
	return WEIR_OK;
}

static weir_status
next(struct weir_fetch_request **ret, void *user)
{
	struct work_run *run = user;
	struct http_lane *lane = lane_of(run);
	struct work_job *job;
	weir_status status;

	weir__u32_store(&lane->no_memory, 0, WEIR_SEQ_CST);
	do {
		status = weir__work_next(run, &job);
		if (status == WEIR_OK)
			status = make_request(run, job, ret);
	} while (status == WEIR_INVAL);
	if (status == WEIR_NOMEM) {
		weir__u32_store(&lane->no_memory, 1, WEIR_SEQ_CST);
		return WEIR_BUSY;
	}
	if (status == WEIR_OK)
		weir__work_enter(run, job, *ret);
	return status;
}

static int64_t
hungry(int *ret_fd, void *user)
{
	struct work_run *run = user;

	*ret_fd = -1;
	return weir__u32_load(&lane_of(run)->no_memory, WEIR_SEQ_CST)
		       ? NO_MEMORY_NS
		       : WEIR_FOREVER;
}

/* Is it the URL that is wrong, so that another try gives the same? */
static bool
is_final(const struct weir_fetch_outcome *o)
{
	static const char *const reasons[] = {"not public", "too large", "bomb",
					      "redirects",  "redirect",  "url",
					      "headers",    "encoding"};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strcmp(o->reason, reasons[i]) == 0)
			return true;
	return o->http_status >= 300 && o->http_status < 500 &&
	       o->http_status != 408 && o->http_status != 425 &&
	       o->http_status != 429;
}

/* What the answer, or that there is none, is to a job. */
static void
judge(const struct work_run *run, const struct weir_fetch_record *record,
      struct weir_outcome *outcome)
{
	const struct weir_fetch_outcome *o = record->outcome;
	bool final = run->options->http ? o->http_status == GONE : is_final(o);

	switch (record->status) {
	case WEIR_FETCH_OK:
	case WEIR_FETCH_SKIPPED:
		outcome->status = WEIR_OK;
		break;
	case WEIR_FETCH_CANCELLED:
		outcome->status = WEIR_CANCELED;
		break;
	case WEIR_FETCH_FAILED:
		outcome->status = final ? WEIR_PERMANENT : WEIR_FAILED;
		if (o->retry_after_ns > 0)
			outcome->retry_in_ns = o->retry_after_ns;
		break;
	}
}

/* "503 Service Unavailable: we are closed" */
static void
say_error(struct work_job *job, const struct weir_fetch_record *record)
{
	const struct weir_fetch_outcome *o = record->outcome;
	const char *body = weir__buf_str(&o->body);
	size_t len = strcspn(body, "\r\n");
	struct weir_buf clean = {0};

	snprintf(job->error, sizeof(job->error), "%s", record->error);
	snprintf(job->reason, sizeof(job->reason), "%s",
		 o->reason[0] ? o->reason : "timeout");
	if (len == 0 || o->http_status == 0)
		return;
	weir__term_clean(&clean, body, len, true);
	snprintf(job->error, sizeof(job->error), "%s: %s", record->error,
		 weir__buf_str(&clean));
	weir__buf_fini(&clean);
}

/* The body, if all of it is there and is one JSON value. */
static void
take_output(const struct weir_fetch_outcome *o, struct weir_outcome *outcome)
{
	struct weir_json_fault fault;

	if (o->body_cut || o->body.len == 0 || o->body.len > WEIR_ARGS_MAX ||
	    !weir__json_check(o->body.data, o->body.len, WEIR_JSON_ANY, &fault))
		return;
	outcome->output = o->body.data;
	outcome->output_len = o->body.len;
}

/* With --fetch, what weir fetch prints for people. */
static void
print_line(struct work_run *run, const struct weir_fetch_record *record)
{
	if (!run->options->fetch || run->options->json)
		return;
	weir__mutex_lock(&run->mu);
	weir__fetch_record_line(&run->records_out.pending, record);
	weir__mutex_unlock(&run->mu);
}

static void
on_record(const struct weir_fetch_record *record, void *user)
{
	struct work_run *run = user;
	struct work_job *job = record->request->user;
	const struct weir_fetch_outcome *o = record->outcome;
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;

	weir__work_leave(run, job);
	job->begun = true;
	job->http_status = o->http_status;
	job->wall_ns = record->run_ns;
	job->started_unix_ns = weir__unix_ns() - record->run_ns;
	judge(run, record, &outcome);
	if (outcome.status != WEIR_OK) {
		say_error(job, record);
		outcome.error = job->error;
		weir__buf_append(&job->tail, weir__buf_str(&o->body),
				 o->body.len < WORK_TRACE_MAX ? o->body.len
							      : WORK_TRACE_MAX);
		outcome.trace = job->tail.len > 0 ? job->tail.data : NULL;
	} else if (run->options->output) {
		take_output(o, &outcome);
	}
	print_line(run, record);
	weir__work_over(run, job, &outcome);
}

static void
on_unstarted(const struct weir_fetch_request *request, void *user)
{
	struct work_run *run = user;
	struct work_job *job = request->user;

	weir__work_leave(run, job);
	weir__work_back(run, job);
}

/* There are no tries after the first. */
static void
on_retry(const struct weir_fetch_retry *retry, void *user)
{
	(void)retry;
	(void)user;
}

static void
set_options(struct work_run *run)
{
	const struct work_cli_options *o = run->options;
	int64_t quiet_ns = o->http ? WEIR_FOREVER : QUIET_NS;

	lane_of(run)->options = (struct weir_fetch_options){
		.jobs = run->jobs,
		/* One place may get all there is at once. */
		.per_host = o->http ? 0 : (uint32_t)o->per_host,
		.rate = o->rate,
		.timeout_ns = o->timeout_ns > 0 ? o->timeout_ns : TIMEOUT_NS,
		.connect_ns = CONNECT_NS,
		.first_byte_ns = quiet_ns,
		.stall_ns = quiet_ns,
		.retry_after_ns_max = RETRY_AFTER_NS_MAX,
		.body_max = o->fetch_dir ? 0 : BODY_MAX,
		.user_agent = "weir/0.1.0",
		.no_redirects = o->http != NULL,
		.insecure = o->insecure,
		.public_only = o->public_only,
		.ca_file = o->ca_file,
		.details = true,
		.checksum = o->fetch_dir != NULL,
		.capture = o->output ? WEIR_ARGS_MAX + 1
			   : o->http ? WORK_TRACE_MAX
				     : 0,
	};
}

static int
check_url(struct work_run *run)
{
	const char *url = run->options->http;
	struct weir_fetch_url parts;
	const char *why =
		url ? weir__fetch_url_check(url, strlen(url), &parts) : NULL;

	if (!why)
		return -1;
	weir__cli_error(run->cli, "--http", "%s", why);
	return WEIR_EXIT_USAGE;
}

static int
take_headers(struct work_run *run)
{
	const struct weir_option_list *headers = &run->options->headers;
	struct weir_fetch_options *options = &lane_of(run)->options;

	for (size_t i = 0; i < headers->count; i++) {
		const char *header = headers->items[i];
		const char *why =
			weir__fetch_header_check(header, strlen(header));

		if (why) {
			/* The value may be a secret: say which, not what. */
			weir__cli_error(run->cli, "--header",
					"number %zu is %s", i + 1, why);
			return WEIR_EXIT_USAGE;
		}
		if (run->options->fetch &&
		    !add_header(&options->headers, header))
			return weir__work_no_memory(run);
	}
	return -1;
}

/* Make sure that -j transfers can have their descriptors. */
static int
raise_limit(struct work_run *run)
{
	/* The store has some of its own. */
	uint64_t need = weir__fetch_engine_descriptors(
				&lane_of(run)->options,
				run->options->fetch_dir != NULL) +
			32;
	struct weir_nofile found;

	return weir__cli_raise_nofile(run->cli, run->jobs, need, &found)
		       ? -1
		       : WEIR_EXIT_FAILURE;
}

static int
open_lane(struct work_run *run)
{
	struct weir_fetch_hooks hooks = {.next = next,
					 .hungry = hungry,
					 .record = on_record,
					 .unstarted = on_unstarted,
					 .retry = on_retry,
					 .user = run};
	struct http_lane *lane = calloc(1, sizeof(*lane));
	const char *dir = run->options->fetch_dir;
	int status;

	if (!lane)
		return weir__work_no_memory(run);
	run->lane = lane;
	lane->key[0] = weir__random_seed();
	lane->key[1] = weir__random_seed();
	set_options(run);
	status = check_url(run);
	if (status < 0)
		status = take_headers(run);
	if (status < 0)
		status = raise_limit(run);
	if (status >= 0)
		return status;
	if (run->options->insecure)
		weir__cli_error(run->cli, NULL,
				"warning: certificates are not checked "
				"(--insecure)");
	if (weir__fetch_engine_new(&lane->engine, &lane->options, &hooks, NULL,
				   dir, &run->error) == WEIR_OK)
		return -1;
	weir__cli_error(run->cli, NULL, "%s%s%s%s", run->error.message,
			dir ? " (" : "", dir ? dir : "", dir ? ")" : "");
	return WEIR_EXIT_FAILURE;
}

static weir_status
run_lane(struct work_run *run, weir_error *reterr)
{
	return weir__fetch_engine_run(lane_of(run)->engine, NULL, reterr);
}

static void
poke_lane(struct work_run *run)
{
	weir__fetch_engine_poke(lane_of(run)->engine);
}

static void
stop_lane(struct work_run *run, bool now)
{
	weir__fetch_engine_stop(lane_of(run)->engine, now);
}

static void
cancel_job(struct work_run *run, struct work_job *job)
{
	weir__fetch_engine_cancel(lane_of(run)->engine, job->inside);
}

static void
kill_lane(struct work_run *run)
{
	(void)run;
}

static void
get_stats(struct work_run *run, weir_pool_stats *ret)
{
	uint64_t bytes;

	weir__fetch_engine_stats(lane_of(run)->engine, ret, &bytes);
}

/* All that is written goes through the run's own texts. */
static int
write_lane(struct work_run *run)
{
	(void)run;
	return -1;
}

static void
take_news(struct work_run *run)
{
	(void)run;
}

static void
close_lane(struct work_run *run)
{
	struct http_lane *lane = lane_of(run);

	if (!lane)
		return;
	weir__fetch_engine_free(lane->engine);
	curl_slist_free_all(lane->options.headers);
	free(lane);
	run->lane = NULL;
}

const struct work_lane weir__work_lane = {
	.name = "http",
	.open = open_lane,
	.run = run_lane,
	.poke = poke_lane,
	.stop = stop_lane,
	.cancel = cancel_job,
	.kill = kill_lane,
	.stats = get_stats,
	.write = write_lane,
	.news = take_news,
	.close = close_lane,
};
