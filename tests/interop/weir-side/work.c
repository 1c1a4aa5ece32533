/*
 * weir-side work [FLAGS]: work the store until stdin says "stop" or "cancel",
 * or ends.  The flags and kinds are those of work.go:
 *
 *      --queues NAME:WIDTH,...  --kinds KIND,...  --known-only
 *      --retry-ms N  --timeout-ms N  --until-empty  --no-leader (main.c)
 *
 * and --beat-ms N, --dead-ms N, which River does not have.  Others are passed
 * over, so that tests may give the same to both sides.
 *
 * Design: a handler does what the args of its job say.  Outcomes are for the
 * tests to find in the table; what is printed is that an attempt begins.
 */
#include "side.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/ctx.h>
#include <weir/job.h>
#include <weir/work.h>

enum { KINDS_MAX = 16 };

static const char all_kinds[] =
	"ok,fail,panic,snooze,cancel,output,slow,deaf,complete_tx";

/* What a job is told by its args. */
struct orders {
	json_t *args;
	const char *text;
	int64_t ms;
};

static weir_status
snooze(const weir_job_row *job, const struct orders *orders)
{
	/* It may have numbers that are larger than any integer. */
	json_t *metadata = json_loadb(job->metadata, job->metadata_len,
				      JSON_DECODE_INT_AS_REAL, NULL);
	json_int_t times =
		json_integer_value(json_object_get(orders->args, "times"));
	double snoozes =
		json_number_value(json_object_get(metadata, "snoozes"));

	json_decref(metadata);
	return snoozes >= (double)times
		       ? WEIR_OK
		       : weir_job_snooze(job, orders->ms * WEIR_MS);
}

static weir_status
output(const weir_job_row *job, const struct orders *orders)
{
	char *text = json_dumps(json_object_get(orders->args, "output"),
				JSON_ENCODE_ANY);
	weir_status status = WEIR_OK;

	if (text)
		status = weir_job_output(job, text, 0);
	free(text);
	return status;
}

static weir_status
complete_tx(const weir_job_row *job)
{
	PGconn *pg = PQconnectdb(side_conninfo);
	weir_status status;
	weir_error error;

	PQclear(PQexec(pg, "BEGIN"));
	status = weir_job_complete_tx(job, (struct sqlite3 *)pg, &error);
	PQclear(PQexec(pg, status == WEIR_OK ? "COMMIT" : "ROLLBACK"));
	PQfinish(pg);
	return status;
}

static weir_status
obey(weir_ctx *ctx, const weir_job_row *job, const struct orders *orders)
{
	if (strcmp(job->kind, "fail") == 0 || strcmp(job->kind, "panic") == 0)
		return weir_job_fail(ctx, WEIR_FAILED, "%s", orders->text);
	if (strcmp(job->kind, "snooze") == 0)
		return snooze(job, orders);
	if (strcmp(job->kind, "cancel") == 0)
		return weir_job_cancel(job, orders->text);
	if (strcmp(job->kind, "output") == 0)
		return output(job, orders);
	if (strcmp(job->kind, "slow") == 0)
		return weir_ctx_sleep(ctx, orders->ms * WEIR_MS);
	if (strcmp(job->kind, "deaf") == 0)
		return weir_ctx_sleep(NULL, orders->ms * WEIR_MS);
	if (strcmp(job->kind, "complete_tx") == 0)
		return complete_tx(job);
	return WEIR_OK;
}

static weir_status
run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	struct weir_json *j = side_begin();
	struct orders orders = {.text = NULL};
	weir_status status;

	(void)out;
	(void)user;
	weir__json_key(j, "event");
	weir__json_puts(j, "start");
	weir__json_key(j, "id");
	weir__json_int(j, job->id);
	weir__json_key(j, "kind");
	weir__json_puts(j, job->kind);
	weir__json_key(j, "attempt");
	weir__json_uint(j, job->attempt);
	side_end();
	orders.args = json_loadb(job->args, job->args_len, 0, NULL);
	orders.text = json_string_value(json_object_get(orders.args, "text"));
	orders.ms = json_integer_value(json_object_get(orders.args, "ms"));
	if (!orders.text)
		orders.text = "boom";
	status = obey(ctx, job, &orders);
	json_decref(orders.args);
	return status;
}

/* All of it, with what the options point to. */
struct side_options {
	weir_work_options work;
	weir_work_queue queues[KINDS_MAX];
	weir_handler handlers[KINDS_MAX];
	weir_retry retry;
	char *kinds;
};

static void
parse_queues(struct side_options *o, char *text)
{
	char *rest, *name = strtok_r(text, ",", &rest);

	o->work.queue_count = 0;
	for (; name && o->work.queue_count < KINDS_MAX;
	     name = strtok_r(NULL, ",", &rest)) {
		weir_work_queue *queue = &o->queues[o->work.queue_count++];
		char *width = strchr(name, ':');

		queue->name = name;
		queue->width = 10;
		if (width) {
			*width = '\0';
			queue->width = (uint32_t)atoi(width + 1);
		}
	}
	o->work.queues = o->queues;
}

static void
parse_kinds(struct side_options *o)
{
	char *rest, *kind = strtok_r(o->kinds, ",", &rest);

	for (; kind && o->work.handler_count < KINDS_MAX;
	     kind = strtok_r(NULL, ",", &rest)) {
		weir_handler *h = &o->handlers[o->work.handler_count++];

		h->size = sizeof(*h);
		h->kind = kind;
		h->run = run;
		if (o->retry.attempts_max > 0)
			h->retry = &o->retry;
	}
	o->work.handlers = o->handlers;
}

/* Whether the flag took a value. */
static bool
parse_flag(struct side_options *o, const char *flag, char *value)
{
	if (strcmp(flag, "--known-only") == 0)
		o->work.unknown = WEIR_UNKNOWN_LEAVE;
	else if (strcmp(flag, "--until-empty") == 0)
		o->work.until_empty = true;
	if (strchr(flag, '=') || !value || value[0] == '-')
		return false;
	if (strcmp(flag, "--queues") == 0)
		parse_queues(o, value);
	else if (strcmp(flag, "--kinds") == 0)
		o->kinds = value;
	else if (strcmp(flag, "--retry-ms") == 0)
		o->retry = (weir_retry){.attempts_max = UINT32_MAX,
					.delay_ns = atoll(value) * WEIR_MS,
					.factor = 1};
	else if (strcmp(flag, "--timeout-ms") == 0)
		o->work.timeout_ns = atoll(value) * WEIR_MS;
	else if (strcmp(flag, "--beat-ms") == 0)
		o->work.beat_ns = atoll(value) * WEIR_MS;
	else if (strcmp(flag, "--dead-ms") == 0)
		o->work.dead_ns = atoll(value) * WEIR_MS;
	return true;
}

static void
parse(struct side_options *o, char **argv)
{
	weir_work_options_init(&o->work);
	o->work.workers = 16;
	o->work.unknown = WEIR_UNKNOWN_FAIL; /* as River does */
	for (; *argv; argv++)
		if (parse_flag(o, *argv, argv[1]))
			argv++;
	if (!o->kinds)
		o->kinds = strdup(all_kinds);
	parse_kinds(o);
}

static void
print_event(const char *event)
{
	struct weir_json *j = side_begin();

	weir__json_key(j, "event");
	weir__json_puts(j, event);
	side_end();
}

static void *
take_orders(void *arg)
{
	char text[64];
	bool now = false;

	if (fgets(text, sizeof(text), stdin))
		now = strncmp(text, "cancel", 6) == 0;
	weir_work_stop(arg, now);
	return NULL;
}

void
side_work(weir_store *store, char **argv)
{
	static struct side_options options;
	weir_work *work;
	weir_error error;
	pthread_t thread;

	parse(&options, argv);
	if (weir_work_new(&work, store, &options.work, &error) != WEIR_OK)
		side_fail("work", &error);
	print_event("ready");
	if (pthread_create(&thread, NULL, take_orders, work) != 0)
		side_fail("no thread", NULL);
	if (weir_work_run(work, NULL, &error) != WEIR_OK)
		side_fail("run", &error);
	if (!options.work.until_empty) {
		(void)pthread_join(thread, NULL);
		weir_work_free(work);
	}
	print_event("stopped");
}
