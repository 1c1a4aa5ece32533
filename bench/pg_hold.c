/*
 * The two lanes of the PostgreSQL store: jobs that do nothing, through a work.
 *
 *	pg_hold CONNINFO JOBS ROUNDS [WORKERS [LIMITS]]
 *
 * Design.  In each round every combination of lane (claim, hold) and policy
 * (keep, drop) has a schema of its own, which is filled, vacuumed, and worked
 * until it is empty; only that is measured.  One line of JSON each: how long it
 * took, processor time of this process and, by /proc, of the server's sessions
 * of it, and how many turns there were.
 *
 * LIMITS: so many other kinds have a limit, so that turns look for those.
 *
 * tests/with-postgres gives a server: its conninfo is in WEIR_TEST_PG, which
 * "-" stands for.
 *
 * Locking.  What the handler counts is atomic.
 */
#include "pg/hold.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weir/work.h>

#define BATCH 1000

static atomic_ulong ran;
static unsigned long turns, claims;
static struct weir_store_ops counted;
static const struct weir_store_ops *real;

static _Noreturn void
die(const char *what, const weir_error *error)
{
	fprintf(stderr, "pg_hold: %s: %s\n", what, error->message);
	exit(1);
}

/* The loop's thread is the only one that comes here. */
static weir_status
count_turn(weir_store *store, struct weir_turn *turn, weir_error *reterr)
{
	weir_status status = real->turn(store, turn, reterr);

	turns++;
	claims += turn->batch != NULL;
	return status;
}

static weir_status
run(weir_ctx *ctx, const void *input, void *output, void *user)
{
	(void)ctx;
	(void)input;
	(void)output;
	(void)user;
	atomic_fetch_add_explicit(&ran, 1, memory_order_relaxed);
	return WEIR_OK;
}

static void
by_hand(const char *conninfo, const char *sql)
{
	PGconn *pg = PQconnectdb(conninfo);

	PQclear(PQexec(pg, "SET client_min_messages = warning"));
	PQclear(PQexec(pg, sql));
	if (*PQerrorMessage(pg))
		fprintf(stderr, "pg_hold: %s", PQerrorMessage(pg));
	PQfinish(pg);
}

/* Processor time of the server's processes, ended ones included, in s. */
static double
server_cpu(const char *conninfo)
{
	PGconn *pg = PQconnectdb(conninfo);
	PGresult *result = PQexec(
		pg, "SELECT pid FROM pg_stat_activity WHERE"
		    " application_name LIKE 'weir%' OR backend_type IN"
		    " ('walwriter', 'background writer', 'checkpointer')");
	unsigned long sum = 0;

	for (int i = 0; i < PQntuples(result); i++) {
		unsigned long user = 0, system = 0;
		char path[64];
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/stat",
			 PQgetvalue(result, i, 0));
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fscanf(file,
			   "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u"
			   " %*u %*u %lu %lu",
			   &user, &system) == 2)
			sum += user + system;
		fclose(file);
	}
	PQclear(result);
	PQfinish(pg);
	return (double)sum / (double)sysconf(_SC_CLK_TCK);
}

static double
own_cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
fill(weir_store *store, size_t jobs)
{
	static weir_insert all[BATCH];
	weir_error error = {0};

	for (size_t i = 0; i < BATCH; i++) {
		all[i] = (weir_insert)WEIR_INSERT_INIT;
		all[i].kind = "noop";
		all[i].args = "{\"to\":\"somebody@example.org\",\"n\":12345}";
	}
	for (size_t left = jobs; left > 0;) {
		size_t n = left < BATCH ? left : BATCH;

		if (weir_store_insert(store, all, n, NULL, NULL, &error) !=
		    WEIR_OK)
			die("insert", &error);
		left -= n;
	}
}

static void
work(weir_store *store, uint32_t workers)
{
	weir_handler handler = {
		.size = sizeof(handler), .kind = "noop", .run = run};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_work *w = NULL;
	weir_error error = {0};

	options.handlers = &handler;
	options.handler_count = 1;
	options.workers = workers;
	options.until_empty = true;
	if (weir_work_new(&w, store, &options, &error) != WEIR_OK ||
	    weir_work_run(w, NULL, &error) != WEIR_OK)
		die("work", &error);
	weir_work_free(w);
}

/* Of kinds that have no jobs. */
static void
limit(weir_store *store, unsigned limits)
{
	for (unsigned i = 0; i < limits; i++) {
		weir_kind_limit one;
		weir_error error = {0};
		char kind[32];

		snprintf(kind, sizeof(kind), "limited-%u", i);
		weir_kind_limit_init(&one);
		one.kind = kind;
		one.most = 3;
		if (weir_store_limit(store, &one, &error) != WEIR_OK)
			die("limit", &error);
	}
}

static void
measure(const char *conninfo, size_t jobs, bool holds, bool drops,
	uint32_t workers, unsigned limits)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};
	double wall, own, server;
	int64_t begin_ns;
	char url[512];

	by_hand(conninfo, "DROP SCHEMA IF EXISTS bench_hold CASCADE");
	snprintf(url, sizeof(url), "postgres:%s schema=bench_hold hold=%s",
		 conninfo, holds ? "on" : "off");
	options.create = true;
	if (weir__pg_open(&store, url, &options, &error) != WEIR_OK)
		die("open", &error);
	real = store->ops;
	counted = *real;
	counted.turn = count_turn;
	store->ops = &counted;
	if (drops &&
	    store->ops->queue_set(store, "default", -1, WEIR_FINISHED_DROP,
				  &error) != WEIR_OK)
		die("queue_set", &error);
	limit(store, limits);
	fill(store, jobs);
	by_hand(conninfo, "VACUUM ANALYZE bench_hold.river_job");
	by_hand(conninfo, "CHECKPOINT");
	atomic_store(&ran, 0);
	turns = claims = 0;
	own = own_cpu();
	server = server_cpu(conninfo);
	begin_ns = weir_now_ns();
	work(store, workers);
	wall = (double)(weir_now_ns() - begin_ns) / 1e9;
	own = own_cpu() - own;
	server = server_cpu(conninfo) - server;
	if (atomic_load(&ran) != jobs)
		fprintf(stderr, "pg_hold: %lu jobs ran of %zu\n",
			atomic_load(&ran), jobs);
	printf("{\"lane\": \"%s\", \"policy\": \"%s\", \"jobs\": %zu,"
	       " \"seconds\": %.3f, \"per_second\": %.0f,"
	       " \"client_us\": %.2f, \"server_us\": %.2f, \"turns\": %lu,"
	       " \"batches\": %lu}\n",
	       holds ? "hold" : "claim", drops ? "drop" : "keep", jobs, wall,
	       (double)jobs / wall, own * 1e6 / (double)jobs,
	       server * 1e6 / (double)jobs, turns, claims);
	fflush(stdout);
	weir_store_close(store);
}

int
main(int argc, char **argv)
{
	const char *conninfo = argc > 1 ? argv[1] : "-";
	size_t jobs = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	int rounds = argc > 3 ? atoi(argv[3]) : 3;
	uint32_t workers = argc > 4 ? (uint32_t)atoi(argv[4]) : 2;
	unsigned limits = argc > 5 ? (unsigned)atoi(argv[5]) : 0;

	if (strcmp(conninfo, "-") == 0)
		conninfo = getenv("WEIR_TEST_PG");
	if (!conninfo || jobs == 0 || rounds <= 0) {
		fprintf(stderr, "usage: pg_hold CONNINFO JOBS ROUNDS\n");
		return 2;
	}
	for (int i = 0; i < rounds; i++)
		for (int j = 0; j < 4; j++)
			measure(conninfo, jobs, j & 1, j & 2, workers, limits);
	return 0;
}
