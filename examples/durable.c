/*
 * Jobs that survive: three are put into a file, and worked until nothing is
 * left to do.
 *
 *      insert ──> durable.db ──> 2 workers: send_email() ──> durable.db
 *
 * One is sent, one fails at first and is sent by its second attempt, one is
 * given up.  The two halves could as well be two programs, on different days.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <weir/queue.h>
#include <weir/weir.h>
#include <weir/work.h>

/* One attempt.  The args are JSON; a real program would parse them. */
static weir_status
send_email(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;

	(void)out;
	(void)user;
	if (strstr(job->args, "nobody"))
		return weir_job_fail(ctx, WEIR_PERMANENT, "no such address");
	if (strstr(job->args, "brian") && job->attempt == 1) {
		weir_job_retry_in(job, 0); /* else in about a second */
		return weir_job_fail(ctx, WEIR_FAILED, "mailbox is full");
	}
	printf("sent by attempt %u: %s\n", (unsigned)job->attempt, job->args);
	return WEIR_OK;
}

static weir_status
insert(weir_store *store, weir_error *error)
{
	static const char *const args[] = {
		"{\"to\":\"ada@example.org\"}",
		"{\"to\":\"brian@example.org\"}",
		"{\"to\":\"nobody@example.org\"}",
	};
	weir_insert jobs[3] = {WEIR_INSERT_INIT, WEIR_INSERT_INIT,
			       WEIR_INSERT_INIT};

	for (int i = 0; i < 3; i++) {
		jobs[i].kind = "email";
		jobs[i].args = args[i];
	}
	/* One commit.  With WEIR_OK all three survive whatever comes. */
	return weir_store_insert(store, jobs, 3, NULL, NULL, error);
}

static weir_status
work_until_empty(weir_store *store, weir_error *error)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "email", .run = send_email};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work *work;
	weir_status status;

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = 2;
	options.until_empty = true; /* a service leaves this out */
	status = weir_work_new(&work, store, &options, error);
	if (status == WEIR_OK) {
		status = weir_work_run(work, NULL, error);
		weir_work_free(work);
	}
	return status;
}

static bool
show(const weir_job_row *row, void *user)
{
	(void)user;
	printf("job %" PRId64 " is %s\n", row->id,
	       weir_job_state_name(row->state));
	return true;
}

int
main(int argc, char **argv)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {WEIR_OK, 0, ""};
	weir_status status;

	options.url = argc > 1 ? argv[1] : "durable.db";
	options.create = true;
	status = weir_store_open(&store, &options, &error);
	if (status == WEIR_OK)
		status = insert(store, &error);
	if (status == WEIR_OK)
		status = work_until_empty(store, &error);
	if (status == WEIR_OK)
		status = weir_store_list(store, NULL, show, NULL, &error);
	if (status != WEIR_OK)
		fprintf(stderr, "durable: %s: %s\n", options.url,
			error.message);
	weir_store_close(store);
	return status == WEIR_OK ? 0 : 1;
}
