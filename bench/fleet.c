/*
 * Jobs in PostgreSQL: what a program of a user makes of weir/fleet.h.
 *
 *	fleet create URL
 *	fleet work   URL JOBS [drop|archive] [workers N]
 *	fleet steady URL SECONDS [drop|archive] [workers N]
 *	fleet start  URL JOBS GAP_US
 *	fleet idle   URL
 *
 * Design.  The database is there, and empty.  work inserts, a thousand jobs in
 * a call, and then runs them, with a handler that counts, until none is left;
 * only that second part is measured.  steady does both at once, for so long,
 * with some thousands of jobs in between.  start has two processes: one inserts
 * a job, waits until the other has begun it, stays quiet for the gap, and goes
 * on; the job carries the time at which its insert was called.  idle works a
 * queue in which there is nothing, until its input ends.
 *
 * Whoever measures the server has to look at it at the right moments, while
 * our sessions are open: work and steady say "inserted" and "worked", and wait
 * for a line after each.  The last line is one of JSON.
 *
 * Locking.  Counts are atomic; threads share nothing else.
 */
#include "measure.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/fleet.h>

#define BATCH    1000
#define ARGS_MAX 48
#define BACKLOG  20000

/* What the command line asks for. */
struct ask {
	const char *url;
	uint64_t number, gap_us;
	weir_finished_policy finished;
	uint32_t workers;
};

struct counts {
	uint64_t jobs;
};

static void
must(weir_status status, const weir_error *error, const char *what)
{
	if (status == WEIR_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, error->message);
	exit(1);
}

static weir_store *
open_store(const struct ask *ask)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_store *store;

	options.url = ask->url;
	options.create = options.migrate = true;
	must(weir_fleet_open(&store, &options, &error), &error, "open");
	must(weir_store_set_finished(store, "default", ask->finished, &error),
	     &error, "finished");
	return store;
}

static void
insert_batch(weir_store *store, uint64_t from, size_t count)
{
	static weir_insert inserts[BATCH];
	static char args[BATCH][ARGS_MAX];
	weir_error error = {0};

	for (size_t i = 0; i < count; i++) {
		inserts[i] = (weir_insert)WEIR_INSERT_INIT;
		inserts[i].kind = "bench";
		inserts[i].args = args[i];
		inserts[i].args_len =
			(size_t)snprintf(args[i], ARGS_MAX, "{\"num\":%llu}",
					 (unsigned long long)(from + i));
	}
	must(weir_store_insert(store, inserts, count, NULL, NULL, &error),
	     &error, "insert");
}

static void
insert_all(weir_store *store, uint64_t jobs)
{
	for (uint64_t done = 0; done < jobs; done += BATCH)
		insert_batch(store, done,
			     jobs - done < BATCH ? (size_t)(jobs - done)
						 : BATCH);
}

struct counted {
	uint64_t by_state[8], total;
};

static bool
take_counts(const weir_queue_row *row, void *user)
{
	struct counted *counted = user;

	for (size_t i = 0; i < 8; i++) {
		counted->by_state[i] += row->counts[i];
		counted->total += row->counts[i];
	}
	return true;
}

/* True if what is left is what has to be. */
static bool
is_right(const struct ask *ask, weir_store *store, uint64_t completed)
{
	struct counted counted = {{0}, 0};
	weir_error error = {0};

	if (ask->finished != WEIR_FINISHED_KEEP)
		completed = 0;
	must(weir_store_queues(store, take_counts, &counted, &error), &error,
	     "queues");
	return counted.total == completed &&
	       counted.by_state[WEIR_JOB_COMPLETED] == completed;
}

static weir_status
count_one(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct counts *counts = user;

	(void)ctx;
	(void)in;
	(void)out;
	__atomic_fetch_add(&counts->jobs, 1, __ATOMIC_RELAXED);
	return WEIR_OK;
}

static weir_work *
new_work(const struct ask *ask, weir_store *store, const weir_handler *handlers,
	 size_t count, bool until_empty)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error = {0};
	weir_work *work;

	options.handlers = handlers;
	options.handler_count = count;
	options.workers = ask->workers;
	options.until_empty = until_empty;
	must(weir_work_new(&work, store, &options, &error), &error, "work");
	return work;
}

static void *
work_thread(void *arg)
{
	weir_error error = {0};

	must(weir_work_run(arg, NULL, &error), &error, "run");
	return NULL;
}

/* Say where we are, and wait until that was looked at. */
static void
mark(const char *what)
{
	char line[16];

	printf("%s\n", what);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
}

static int
report(uint64_t jobs, const struct bench_mark *from,
       const struct bench_mark *to, bool right)
{
	printf("{");
	bench_print_between(from, to, jobs);
	printf(", \"jobs_per_s\": %.0f, \"right\": %s}\n",
	       (double)jobs * 1e9 / (double)(to->ns - from->ns),
	       right ? "true" : "false");
	return !right;
}

static int
work_off(const struct ask *ask)
{
	struct counts counts = {0};
	weir_handler handler = {.size = sizeof(handler),
				.kind = "bench",
				.run = count_one,
				.user = &counts};
	weir_store *store = open_store(ask);
	struct bench_mark from, to;
	weir_work *work;
	bool right;

	insert_all(store, ask->number);
	mark("inserted");
	from = bench_mark_now();
	work = new_work(ask, store, &handler, 1, true);
	work_thread(work);
	weir_work_free(work);
	to = bench_mark_now();
	mark("worked");
	right = counts.jobs == ask->number && is_right(ask, store, ask->number);
	weir_store_close(store);
	return report(ask->number, &from, &to, right);
}

static uint64_t
insert_and_work(weir_store *store, const struct counts *counts,
		int64_t until_ns)
{
	struct timespec nap = {.tv_sec = 0, .tv_nsec = 1000000};
	uint64_t inserted = BACKLOG, done;

	while (bench_now_ns() < until_ns) {
		done = __atomic_load_n(&counts->jobs, __ATOMIC_RELAXED);
		if (inserted - done > BACKLOG) {
			nanosleep(&nap, NULL);
			continue;
		}
		insert_batch(store, inserted, BATCH);
		inserted += BATCH;
	}
	return __atomic_load_n(&counts->jobs, __ATOMIC_RELAXED);
}

static int
steady(const struct ask *ask)
{
	struct counts counts = {0};
	weir_handler handler = {.size = sizeof(handler),
				.kind = "bench",
				.run = count_one,
				.user = &counts};
	weir_store *store = open_store(ask);
	weir_work *work = new_work(ask, store, &handler, 1, false);
	struct bench_mark from, to;
	pthread_t thread;
	uint64_t done;

	insert_all(store, BACKLOG);
	mark("inserted");
	from = bench_mark_now();
	if (pthread_create(&thread, NULL, work_thread, work) != 0)
		return 1;
	done = insert_and_work(store, &counts,
			       from.ns + (int64_t)ask->number * 1000000000);
	to = bench_mark_now();
	mark("worked");
	weir_work_stop(work, false);
	pthread_join(thread, NULL);
	weir_work_free(work);
	weir_store_close(store);
	return report(done, &from, &to, true);
}

/* What the working process of start holds. */
struct other {
	weir_work *work;
	int fd;
};

/* A job with a time in it: tell how long ago that was. */
static weir_status
tell_ago(weir_ctx *ctx, const void *in, void *out, void *user)
{
	int64_t now_ns = bench_now_ns(), ago_ns;
	const weir_job_row *job = in;
	struct other *other = user;
	const char *digits = strpbrk(job->args, "0123456789");

	(void)ctx;
	(void)out;
	ago_ns = now_ns - strtoll(digits ? digits : "0", NULL, 10);
	return write(other->fd, &ago_ns, sizeof(ago_ns)) == sizeof(ago_ns)
		       ? WEIR_OK
		       : WEIR_PERMANENT;
}

static weir_status
stop_other(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct other *other = user;

	(void)ctx;
	(void)in;
	(void)out;
	weir_work_stop(other->work, false);
	return WEIR_OK;
}

static int
work_other(const struct ask *ask, int fd)
{
	struct other other = {NULL, fd};
	weir_handler handlers[] = {{.size = sizeof(weir_handler),
				    .kind = "bench",
				    .run = tell_ago,
				    .user = &other},
				   {.size = sizeof(weir_handler),
				    .kind = "stop",
				    .run = stop_other,
				    .user = &other}};
	weir_store *store = open_store(ask);

	other.work = new_work(ask, store, handlers, 2, false);
	work_thread(other.work);
	weir_work_free(other.work);
	weir_store_close(store);
	return 0;
}

static void
insert_one(weir_store *store, const char *kind, int64_t number)
{
	weir_insert insert = WEIR_INSERT_INIT;
	weir_error error = {0};
	char args[ARGS_MAX];

	snprintf(args, sizeof(args), "{\"num\":%lld}", (long long)number);
	insert.kind = kind;
	insert.args = args;
	must(weir_store_insert(store, &insert, 1, NULL, NULL, &error), &error,
	     "insert");
}

static void
time_starts(uint64_t jobs, uint64_t gap_us, weir_store *store, int fd,
	    int64_t *took_ns)
{
	struct timespec gap = {.tv_sec = (time_t)(gap_us / 1000000),
			       .tv_nsec = (long)(gap_us % 1000000) * 1000};

	for (uint64_t i = 0; i < jobs; i++) {
		nanosleep(&gap, NULL);
		insert_one(store, "bench", bench_now_ns());
		if (read(fd, &took_ns[i], sizeof(*took_ns)) != sizeof(*took_ns))
			exit(1);
	}
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int
start(const struct ask *ask)
{
	uint64_t jobs = ask->number;
	int64_t *took_ns = calloc(jobs, sizeof(*took_ns)), warm_ns[20];
	weir_store *store;
	int fds[2], how;
	pid_t pid;
	bool right;

	if (!took_ns || jobs == 0 || pipe(fds) != 0)
		return 1;
	/* A store is not for both sides of a fork(), so this comes first. */
	pid = fork();
	if (pid == 0)
		_exit(work_other(ask, fds[1]));
	close(fds[1]);
	store = open_store(ask);
	time_starts(20, ask->gap_us, store, fds[0], warm_ns);
	time_starts(jobs, ask->gap_us, store, fds[0], took_ns);
	insert_one(store, "stop", 0);
	if (pid < 0 || waitpid(pid, &how, 0) != pid || how != 0)
		return 1;
	right = is_right(ask, store, jobs + 21);
	weir_store_close(store);
	qsort(took_ns, jobs, sizeof(*took_ns), compare);
	printf("{\"jobs\": %llu, \"p50_ns\": %lld, \"p99_ns\": %lld,"
	       " \"max_ns\": %lld, \"right\": %s}\n",
	       (unsigned long long)jobs, (long long)took_ns[jobs / 2],
	       (long long)took_ns[jobs * 99 / 100],
	       (long long)took_ns[jobs - 1], right ? "true" : "false");
	free(took_ns);
	return !right;
}

static int
idle(const struct ask *ask)
{
	struct counts counts = {0};
	weir_handler handler = {.size = sizeof(handler),
				.kind = "bench",
				.run = count_one,
				.user = &counts};
	weir_store *store = open_store(ask);
	weir_work *work = new_work(ask, store, &handler, 1, false);
	struct bench_mark from = bench_mark_now(), to;
	pthread_t thread;

	if (pthread_create(&thread, NULL, work_thread, work) != 0)
		return 1;
	mark("works");
	to = bench_mark_now();
	weir_work_stop(work, false);
	pthread_join(thread, NULL);
	weir_work_free(work);
	weir_store_close(store);
	return report(1, &from, &to, true);
}

static void
parse_words(struct ask *ask, int argc, char **argv)
{
	for (int i = 4; i < argc; i++) {
		if (strcmp(argv[i], "drop") == 0)
			ask->finished = WEIR_FINISHED_DROP;
		if (strcmp(argv[i], "archive") == 0)
			ask->finished = WEIR_FINISHED_ARCHIVE;
		if (strcmp(argv[i], "workers") == 0 && i + 1 < argc)
			ask->workers = (uint32_t)bench_number(argv[++i]);
	}
}

int
main(int argc, char **argv)
{
	struct ask ask = {.workers = 2, .finished = WEIR_FINISHED_KEEP};
	const char *verb = argc >= 3 ? argv[1] : "";

	ask.url = argc >= 3 ? argv[2] : "";
	ask.number = argc >= 4 ? bench_number(argv[3]) : 0;
	parse_words(&ask, argc, argv);
	if (strcmp(verb, "create") == 0) {
		weir_store_close(open_store(&ask));
		return 0;
	}
	if (strcmp(verb, "work") == 0 && argc >= 4)
		return work_off(&ask);
	if (strcmp(verb, "steady") == 0 && argc >= 4)
		return steady(&ask);
	if (strcmp(verb, "start") == 0 && argc == 5) {
		ask.gap_us = bench_number(argv[4]);
		return start(&ask);
	}
	if (strcmp(verb, "idle") == 0)
		return idle(&ask);
	fputs("usage: fleet create|work|steady|start|idle URL ...\n", stderr);
	return 2;
}
