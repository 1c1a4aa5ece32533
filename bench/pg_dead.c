/*
 * A claim of a hundred jobs behind a million that are gone, on PostgreSQL.
 *
 *	tests/with-postgres pg_dead [JOBS]
 *
 * Design.  While another session holds an old snapshot nothing that was deleted
 * can be cleared away, and whoever walks along an index meets all of it.  So
 * JOBS are inserted, the snapshot is taken, they are deleted (which is what
 * becomes of completed jobs in a queue that drops them), and then new ones are
 * claimed, a hundred at a time; and at last one at a time, each as it comes.
 * As a work does it: a store may hold what it claims, and each batch is ended
 * before the next is wanted, which is not in the time.
 *
 * Locking.  None.
 */
#include "pg/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 100

static PGconn *
by_hand(void)
{
	PGconn *pg = PQconnectdb(getenv("WEIR_TEST_PG"));

	if (PQstatus(pg) == CONNECTION_OK)
		return pg;
	fprintf(stderr, "pg_dead: %s", PQerrorMessage(pg));
	exit(1);
}

static void
run(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
		fprintf(stderr, "pg_dead: %s", PQerrorMessage(pg));
		exit(1);
	}
	PQclear(result);
}

static void
put(PGconn *pg, unsigned long count)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO river_job (args, kind, max_attempts) SELECT '{}',"
		 " 'work', 25 FROM generate_series(1, %lu)",
		 count);
	run(pg, sql);
}

static void
make_turn(weir_store *store, struct weir_turn *turn)
{
	weir_error error = {0};

	if (store->ops->turn(store, turn, &error) == WEIR_OK)
		return;
	fprintf(stderr, "pg_dead: %s\n", error.message);
	exit(1);
}

static void
end_all(weir_store *store, struct weir_owner *owner, struct weir_batch *batch)
{
	struct weir_finish finishes[MOST] = {{0}};
	struct weir_finished finished[MOST];
	struct weir_turn turn = {.owner = owner,
				 .finishes = finishes,
				 .finish_count = batch->count,
				 .finished = finished,
				 .may_hold = true};

	for (size_t i = 0; i < batch->count; i++)
		finishes[i] =
			(struct weir_finish){.claim = &batch->claims[i],
					     .verdict = WEIR_VERDICT_COMPLETE};
	make_turn(store, &turn);
	for (size_t i = turn.finish_count; i-- > 0;)
		weir__claim_free(finishes[i].claim);
}

/* One turn; how many it claimed, and in how many ms. */
static size_t
claim(weir_store *store, struct weir_owner *owner, uint32_t most,
      double *ret_ms)
{
	struct weir_want want = {.queue = "default", .count = most};
	struct weir_turn turn = {.owner = owner,
				 .wants = &want,
				 .want_count = 1,
				 .may_hold = true};
	int64_t begin_ns = weir_now_ns();
	size_t count;

	make_turn(store, &turn);
	*ret_ms = (double)(weir_now_ns() - begin_ns) / 1e6;
	if (!turn.batch)
		return 0;
	count = turn.batch->count;
	end_all(store, owner, turn.batch);
	return count;
}

static void
claims(weir_store *store, struct weir_owner *owner, const char *what)
{
	double ms;

	printf("%s:", what);
	for (int i = 0; i < 10; i++) {
		size_t count = claim(store, owner, MOST, &ms);

		printf(" %.2f", ms);
		if (count != 100)
			printf(" (%zu)", count);
	}
	printf(" ms\n");
}

static void
trickle(weir_store *store, struct weir_owner *owner, PGconn *pg)
{
	double ms;

	printf("one at a time:");
	for (int i = 0; i < 10; i++) {
		put(pg, 1);
		printf(" %zu in", claim(store, owner, MOST, &ms));
		printf(" %.2f", ms);
	}
	printf(" ms\n");
}

int
main(int argc, char **argv)
{
	unsigned long jobs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	struct weir_owner owner = {.name = "bench"};
	PGconn *pg = by_hand(), *old = by_hand();
	weir_store *store = NULL;
	weir_error error = {0};

	options.create = options.migrate = true;
	if (weir__pg_open(&store, getenv("WEIR_TEST_PG_URL"), &options,
			  &error) != WEIR_OK ||
	    store->ops->enlist(store, &owner, &error) != WEIR_OK) {
		fprintf(stderr, "pg_dead: %s\n", error.message);
		return 1;
	}
	put(pg, 1100);
	claims(store, &owner, "before");
	put(pg, jobs);
	run(old, "BEGIN ISOLATION LEVEL REPEATABLE READ;"
		 "SELECT count(*) FROM river_job");
	run(pg, "DELETE FROM river_job WHERE state = 'available'");
	put(pg, 1500);
	claims(store, &owner, "behind them");
	while (claim(store, &owner, MOST, &(double){0}) > 0)
		;
	trickle(store, &owner, pg);
	store->ops->close(store);
	PQfinish(old);
	PQfinish(pg);
	return 0;
}
