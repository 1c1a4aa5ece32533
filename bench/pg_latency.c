/*
 * From the insert of a job to its start, in another process, on PostgreSQL.
 *
 *	tests/with-postgres pg_latency [JOBS]
 *
 * Design.  The child works the store, and its handler writes down when it was
 * begun into memory that both share.  The parent inserts one job at a time, and
 * the next one when that has begun, and a pause has passed, so that the worker
 * is asleep each time.  Both read CLOCK_MONOTONIC, which is one clock for all
 * of the machine.
 *
 * Two figures: from the call of the insert, with its commit in it; and from
 * when it has returned, which may be below zero, for the bell rings at the
 * commit.
 *
 * Locking.  One word that is written by the one and read by the other.
 */
#include "base/assert.h"
#include "pg/pg.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weir/work.h>

#define JOBS_MAX 100000

static struct weir_u64 *begun_ns; /* of the last job; shared */

static void
nap(long us)
{
	const struct timespec pause = {.tv_nsec = us * 1000};

	(void)nanosleep(&pause, NULL);
}

static weir_status
note(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	weir__u64_store(begun_ns, (uint64_t)weir_now_ns(), WEIR_RELEASE_ORDER);
	return WEIR_OK;
}

static weir_store *
open_store(void)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	const char *url = getenv("WEIR_TEST_PG_URL");
	weir_store *store = NULL;
	weir_error error = {0};

	options.create = options.migrate = true;
	if (!url || weir__pg_open(&store, url, &options, &error) != WEIR_OK) {
		fprintf(stderr, "pg_latency: %s\n", error.message);
		exit(1);
	}
	return store;
}

static void
work_for_ever(void)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "note", .run = note};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_store *store = open_store();
	weir_error error = {0};
	weir_work *work;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	options.handlers = &handler;
	options.handler_count = 1;
	if (weir_work_new(&work, store, &options, &error) != WEIR_OK ||
	    weir_work_run(work, NULL, &error) != WEIR_OK)
		fprintf(stderr, "pg_latency: %s\n", error.message);
	_exit(1);
}

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
tell(const char *what, int64_t *ns, size_t count)
{
	qsort(ns, count, sizeof(*ns), compare);
	printf("%-12s p50 %.3f  p90 %.3f  p99 %.3f  max %.3f ms\n", what,
	       (double)ns[count / 2] / 1e6, (double)ns[count * 9 / 10] / 1e6,
	       (double)ns[count * 99 / 100] / 1e6, (double)ns[count - 1] / 1e6);
}

static void
insert_one(weir_store *store, int64_t *ret_call, int64_t *ret_return)
{
	weir_insert job = WEIR_INSERT_INIT;
	int64_t call_ns, return_ns, at_ns;
	weir_error error = {0};
	weir_inserted inserted;

	job.kind = "note";
	weir__u64_store(begun_ns, 0, WEIR_RELEASE_ORDER);
	call_ns = weir_now_ns();
	if (weir_store_insert(store, &job, 1, &inserted, NULL, &error) !=
	    WEIR_OK) {
		fprintf(stderr, "pg_latency: %s\n", error.message);
		exit(1);
	}
	return_ns = weir_now_ns();
	while ((at_ns = (int64_t)weir__u64_load(begun_ns,
						WEIR_ACQUIRE_ORDER)) == 0)
		nap(50);
	*ret_call = at_ns - call_ns;
	*ret_return = at_ns - return_ns;
}

int
main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	int64_t *call, *ret, ignored;
	weir_store *store;
	pid_t worker;

	if (count < 100 || count > JOBS_MAX)
		return 2;
	begun_ns = mmap(NULL, sizeof(*begun_ns), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	call = calloc(count, sizeof(*call));
	ret = calloc(count, sizeof(*ret));
	if (begun_ns == MAP_FAILED || !call || !ret)
		return 1;
	weir_store_close(open_store()); /* its tables */
	worker = fork();
	if (worker == 0)
		work_for_ever();
	store = open_store();
	for (int i = 0; i < 20; i++)
		insert_one(store, &ignored, &ignored);
	for (size_t i = 0; i < count; i++) {
		nap(2000);
		insert_one(store, &call[i], &ret[i]);
	}
	tell("from call", call, count);
	tell("from return", ret, count);
	(void)kill(worker, SIGKILL);
	(void)waitpid(worker, NULL, 0);
	weir_store_close(store);
	free(call);
	free(ret);
	return 0;
}
