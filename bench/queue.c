/*
 * Durable jobs: what a program of a user makes of weir/queue.h and weir/work.h.
 *
 *	queue fill    DB JOBS [unchecked]
 *	queue life    DB JOBS [alone] [drop] [at-once] [workers N] [unchecked]
 *	queue durable DB JOBS THREADS
 *	queue start   DB JOBS GAP_US
 *
 * Design.  Each makes the database anew and ends with one line of JSON.  fill
 * inserts, a thousand jobs in a call, from two threads: the jobs of one call
 * are put together while those of the other are written.  life does that and
 * then runs them, with a handler that adds up ids, until none is left; with
 * at-once the first jobs run while the last are not inserted yet.  In durable
 * each of the threads inserts one job at a time and waits for it to be on the
 * disk.  start has two processes: one inserts a job, waits until the other has
 * begun it, stays quiet for the gap, and goes on; the job carries the time at
 * which its insert was called, and Linux has one monotonic clock for all
 * processes.
 *
 * Each result is checked: ids are added up, and the store is asked at the end
 * what is in which state, unless whoever counts instructions does not want to
 * count those of that.
 *
 * Locking.  The sum of ids is atomic; threads share nothing else.
 */
#include "measure.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/queue.h>
#include <weir/work.h>

#define BATCH       1000
#define PRODUCERS   2
#define ARGS_MAX    48
#define THREADS_MAX 1024

/* What the command line asks for. */
struct ask {
	const char *db;
	uint64_t jobs, threads, gap_us;
	uint32_t workers;
	bool alone, drop, at_once, unchecked;
};

struct sums {
	uint64_t ids, count;
};

static void
must(weir_status status, const weir_error *error, const char *what)
{
	if (status == WEIR_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, error->message);
	exit(1);
}

static void
remove_old(const char *db)
{
	static const char *const tails[] = {"", "-wal", "-shm", "-weir"};
	char path[4096];

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", db, tails[i]);
		unlink(path);
	}
}

static weir_store *
open_store(const struct ask *ask)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_store *store;

	options.url = ask->db;
	options.create = true;
	must(weir_store_open(&store, &options, &error), &error, "open");
	if (ask->drop)
		must(weir_store_set_finished(store, "default",
					     WEIR_FINISHED_DROP, &error),
		     &error, "drop");
	return store;
}

/* Who inserts so many of the jobs; numbers begin with first. */
struct producer {
	pthread_t thread;
	weir_store *store;
	uint64_t first, jobs;
	weir_insert inserts[BATCH];
	char args[BATCH][ARGS_MAX];
};

static void
insert_batch(struct producer *producer, uint64_t from, size_t count)
{
	weir_error error = {0};

	for (size_t i = 0; i < count; i++) {
		char *args = producer->args[i];
		weir_insert *insert = &producer->inserts[i];

		*insert = (weir_insert)WEIR_INSERT_INIT;
		insert->kind = "bench";
		insert->args = args;
		insert->args_len =
			(size_t)snprintf(args, ARGS_MAX, "{\"num\":%llu}",
					 (unsigned long long)(from + i));
	}
	must(weir_store_insert(producer->store, producer->inserts, count, NULL,
			       NULL, &error),
	     &error, "insert");
}

static void *
producer_thread(void *arg)
{
	struct producer *producer = arg;
	size_t count;

	for (uint64_t done = 0; done < producer->jobs; done += count) {
		uint64_t left = producer->jobs - done;

		count = left < BATCH ? (size_t)left : BATCH;
		insert_batch(producer, producer->first + done, count);
	}
	return NULL;
}

/* All jobs, in batches; each of the threads has its share. */
static void
insert_all(weir_store *store, uint64_t jobs)
{
	static struct producer producers[PRODUCERS];
	uint64_t share = jobs / PRODUCERS;

	for (uint64_t i = 0; i < PRODUCERS; i++) {
		struct producer *producer = &producers[i];

		producer->store = store;
		producer->first = i * share;
		producer->jobs = i < PRODUCERS - 1 ? share : jobs - i * share;
		if (pthread_create(&producer->thread, NULL, producer_thread,
				   producer) != 0)
			exit(1);
	}
	for (uint64_t i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i].thread, NULL);
}

struct counted {
	uint64_t by_state[8];
};

static bool
take_counts(const weir_queue_row *row, void *user)
{
	struct counted *counted = user;

	for (size_t i = 0; i < 8; i++)
		counted->by_state[i] += row->counts[i];
	return true;
}

/* True if that many jobs are in that state, and none in any other. */
static bool
all_are(const struct ask *ask, weir_store *store, weir_state state,
	uint64_t jobs)
{
	struct counted counted = {{0}};
	weir_error error = {0};
	uint64_t total = 0;

	if (ask->unchecked)
		return true;
	must(weir_store_queues(store, take_counts, &counted, &error), &error,
	     "queues");
	for (size_t i = 0; i < 8; i++)
		total += counted.by_state[i];
	return total == jobs && counted.by_state[state] == jobs;
}

static weir_status
add_up(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const weir_job_row *job = in;
	struct sums *sums = user;

	(void)ctx;
	(void)out;
	__atomic_fetch_add(&sums->ids, (uint64_t)job->id, __ATOMIC_RELAXED);
	__atomic_fetch_add(&sums->count, 1, __ATOMIC_RELAXED);
	return WEIR_OK;
}

static weir_work *
new_work(const struct ask *ask, weir_store *store, const weir_handler *handlers,
	 size_t count)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_error error = {0};
	weir_work *work;

	options.handlers = handlers;
	options.handler_count = count;
	options.workers = ask->workers;
	options.alone = ask->alone;
	options.until_empty = !ask->at_once;
	must(weir_work_new(&work, store, &options, &error), &error, "work");
	return work;
}

struct running {
	weir_work *work;
	struct sums *sums;
	uint64_t jobs;
};

/* Of at-once: the last job of all ends the work. */
static weir_status
add_up_to(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct running *running = user;

	(void)add_up(ctx, in, out, running->sums);
	if (__atomic_load_n(&running->sums->count, __ATOMIC_RELAXED) ==
	    running->jobs)
		weir_work_stop(running->work, false);
	return WEIR_OK;
}

static void *
work_thread(void *arg)
{
	weir_error error = {0};

	must(weir_work_run(arg, NULL, &error), &error, "run");
	return NULL;
}

static void
run_at_once(const struct ask *ask, weir_store *store, struct sums *sums)
{
	struct running running = {NULL, sums, ask->jobs};
	weir_handler handler = {.size = sizeof(handler),
				.kind = "bench",
				.run = add_up_to,
				.user = &running};
	pthread_t thread;

	running.work = new_work(ask, store, &handler, 1);
	if (pthread_create(&thread, NULL, work_thread, running.work) != 0)
		exit(1);
	insert_all(store, ask->jobs);
	pthread_join(thread, NULL);
	weir_work_free(running.work);
}

/* Gives the moment between the last insert and the first claim. */
static int64_t
run_in_turn(const struct ask *ask, weir_store *store, struct sums *sums)
{
	weir_handler handler = {.size = sizeof(handler),
				.kind = "bench",
				.run = add_up,
				.user = sums};
	weir_error error = {0};
	weir_work *work;
	int64_t between_ns;

	insert_all(store, ask->jobs);
	between_ns = bench_now_ns();
	work = new_work(ask, store, &handler, 1);
	must(weir_work_run(work, NULL, &error), &error, "run");
	weir_work_free(work);
	return between_ns;
}

static double
per_s(uint64_t jobs, int64_t ns)
{
	return (double)jobs * 1e9 / (double)ns;
}

static int
life(const struct ask *ask)
{
	weir_store *store = open_store(ask);
	struct bench_mark from = bench_mark_now(), to;
	struct sums sums = {0, 0};
	int64_t between_ns = 0;
	bool right;

	if (ask->at_once)
		run_at_once(ask, store, &sums);
	else
		between_ns = run_in_turn(ask, store, &sums);
	to = bench_mark_now();
	right = sums.count == ask->jobs &&
		sums.ids == ask->jobs * (ask->jobs + 1) / 2 &&
		all_are(ask, store, WEIR_JOB_COMPLETED,
			ask->drop ? 0 : ask->jobs);
	weir_store_close(store);
	printf("{");
	bench_print_between(&from, &to, ask->jobs);
	printf(", \"jobs_per_s\": %.0f", per_s(ask->jobs, to.ns - from.ns));
	if (between_ns)
		printf(", \"insert_per_s\": %.0f, \"work_per_s\": %.0f",
		       per_s(ask->jobs, between_ns - from.ns),
		       per_s(ask->jobs, to.ns - between_ns));
	printf(", \"right\": %s}\n", right ? "true" : "false");
	return !right;
}

static int
fill(const struct ask *ask)
{
	weir_store *store = open_store(ask);
	struct bench_mark from = bench_mark_now(), to;
	bool right;

	insert_all(store, ask->jobs);
	to = bench_mark_now();
	right = all_are(ask, store, WEIR_JOB_AVAILABLE, ask->jobs);
	weir_store_close(store);
	printf("{");
	bench_print_between(&from, &to, ask->jobs);
	printf(", \"insert_per_s\": %.0f, \"right\": %s}\n",
	       per_s(ask->jobs, to.ns - from.ns), right ? "true" : "false");
	return !right;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Members p50_ns and p99_ns; sorts took. */
static void
print_percentiles(int64_t *took_ns, uint64_t count)
{
	qsort(took_ns, count, sizeof(*took_ns), compare);
	printf(", \"p50_ns\": %lld, \"p99_ns\": %lld, \"max_ns\": %lld",
	       (long long)took_ns[count / 2],
	       (long long)took_ns[count * 99 / 100],
	       (long long)took_ns[count - 1]);
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

struct client {
	pthread_t thread;
	weir_store *store;
	int64_t *took_ns;
	uint64_t jobs;
};

static void *
client_thread(void *arg)
{
	struct client *client = arg;

	for (uint64_t i = 0; i < client->jobs; i++) {
		int64_t from_ns = bench_now_ns();

		insert_one(client->store, "bench", (int64_t)i);
		client->took_ns[i] = bench_now_ns() - from_ns;
	}
	return NULL;
}

static void
run_clients(struct client *clients, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (pthread_create(&clients[i].thread, NULL, client_thread,
				   &clients[i]) != 0)
			exit(1);
	for (uint64_t i = 0; i < count; i++)
		pthread_join(clients[i].thread, NULL);
}

static int
durable(const struct ask *ask)
{
	static struct client clients[THREADS_MAX];
	uint64_t each = ask->jobs / ask->threads, jobs = each * ask->threads;
	int64_t *took_ns = calloc(jobs, sizeof(*took_ns));
	struct bench_mark from, to;
	weir_store *store;
	bool right;

	if (!took_ns || jobs == 0)
		return 1;
	store = open_store(ask);
	for (uint64_t i = 0; i < ask->threads; i++)
		clients[i] =
			(struct client){0, store, took_ns + i * each, each};
	from = bench_mark_now();
	run_clients(clients, ask->threads);
	to = bench_mark_now();
	right = all_are(ask, store, WEIR_JOB_AVAILABLE, jobs);
	weir_store_close(store);
	printf("{");
	bench_print_between(&from, &to, jobs);
	printf(", \"jobs_per_s\": %.0f", per_s(jobs, to.ns - from.ns));
	print_percentiles(took_ns, jobs);
	printf(", \"right\": %s}\n", right ? "true" : "false");
	free(took_ns);
	return !right;
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

	(void)ctx;
	(void)out;
	ago_ns = now_ns - strtoll(job->args + strlen("{\"num\":"), NULL, 10);
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
	weir_error error = {0};

	other.work = new_work(ask, store, handlers, 2);
	must(weir_work_run(other.work, NULL, &error), &error, "run");
	weir_work_free(other.work);
	weir_store_close(store);
	return 0;
}

static void
time_starts(const struct ask *ask, weir_store *store, int fd, int64_t *took_ns)
{
	struct timespec gap = {.tv_sec = (time_t)(ask->gap_us / 1000000),
			       .tv_nsec = (long)(ask->gap_us % 1000000) * 1000};

	for (uint64_t i = 0; i < ask->jobs; i++) {
		nanosleep(&gap, NULL);
		insert_one(store, "bench", bench_now_ns());
		if (read(fd, &took_ns[i], sizeof(*took_ns)) != sizeof(*took_ns))
			exit(1);
	}
}

static int
start(const struct ask *ask)
{
	int64_t *took_ns = calloc(ask->jobs, sizeof(*took_ns)), warm_ns;
	struct ask one = *ask;
	weir_store *store;
	int fds[2], how;
	pid_t pid;

	if (!took_ns || pipe(fds) != 0)
		return 1;
	/* A store is not for both sides of a fork(), so this comes first. */
	pid = fork();
	if (pid == 0)
		_exit(work_other(ask, fds[1]));
	close(fds[1]);
	store = open_store(ask);
	one.jobs = 1;
	time_starts(&one, store, fds[0], &warm_ns);
	time_starts(ask, store, fds[0], took_ns);
	insert_one(store, "stop", 0);
	if (pid < 0 || waitpid(pid, &how, 0) != pid || how != 0)
		return 1;
	printf("{\"jobs\": %llu", (unsigned long long)ask->jobs);
	print_percentiles(took_ns, ask->jobs);
	printf(", \"right\": %s}\n",
	       all_are(ask, store, WEIR_JOB_COMPLETED, ask->jobs + 2)
		       ? "true"
		       : "false");
	weir_store_close(store);
	free(took_ns);
	return 0;
}

static void
parse_words(struct ask *ask, int argc, char **argv)
{
	for (int i = 4; i < argc; i++) {
		ask->alone |= strcmp(argv[i], "alone") == 0;
		ask->drop |= strcmp(argv[i], "drop") == 0;
		ask->at_once |= strcmp(argv[i], "at-once") == 0;
		ask->unchecked |= strcmp(argv[i], "unchecked") == 0;
		if (strcmp(argv[i], "workers") == 0 && i + 1 < argc)
			ask->workers = (uint32_t)bench_number(argv[++i]);
	}
}

int
main(int argc, char **argv)
{
	struct ask ask = {.workers = 2};
	const char *verb = argc >= 4 ? argv[1] : "";

	if (*verb) {
		ask.db = argv[2];
		ask.jobs = bench_number(argv[3]);
		remove_old(ask.db);
	}
	if (strcmp(verb, "fill") == 0 || strcmp(verb, "life") == 0) {
		parse_words(&ask, argc, argv);
		return *verb == 'f' ? fill(&ask) : life(&ask);
	}
	if (strcmp(verb, "durable") == 0 && argc == 5) {
		ask.threads = bench_number(argv[4]);
		if (ask.threads >= 1 && ask.threads <= THREADS_MAX)
			return durable(&ask);
	}
	if (strcmp(verb, "start") == 0 && argc == 5) {
		ask.gap_us = bench_number(argv[4]);
		/* Its last job ends it, and it may be empty before. */
		ask.at_once = true;
		return start(&ask);
	}
	fputs("usage: queue fill DB JOBS [unchecked]\n"
	      "       queue life DB JOBS [alone] [drop] [at-once] "
	      "[workers N] [unchecked]\n"
	      "       queue durable DB JOBS THREADS\n"
	      "       queue start DB JOBS GAP_US\n",
	      stderr);
	return 2;
}
