/*
 * The pool that everybody writes first: one mutex and two condition
 * variables a queue, a signal for each item, N threads.
 *
 *	c-mutex --workers N --capacity C --jobs J --steps S [--trip]
 *
 * Design.  Two bounded rings, jobs and results, of C items each.  Threads wait
 * in pthread_cond_wait() and nothing is tuned, for this stands for what a
 * mutex pool costs, not for the best that can be made of one.
 *
 * Locking.  Each ring has one mutex over all of its fields; no thread holds
 * two of them.
 */
#include "../../trip.h"

#include <pthread.h>
#include <string.h>

struct item {
	uint64_t id, value;
};

struct ring {
	pthread_mutex_t mu;
	pthread_cond_t room; /* senders: len < capacity */
	pthread_cond_t data; /* receivers: len > 0 || closed */
	struct item *items;
	uint32_t head, len, capacity;
	bool closed;
};

struct pool {
	struct ring jobs, results;
	uint64_t steps;
	uint32_t workers;
	pthread_t *threads;
};

static bool
ring_init(struct ring *ring, uint32_t capacity)
{
	memset(ring, 0, sizeof(*ring));
	pthread_mutex_init(&ring->mu, NULL);
	pthread_cond_init(&ring->room, NULL);
	pthread_cond_init(&ring->data, NULL);
	ring->capacity = capacity;
	ring->items = calloc(capacity, sizeof(*ring->items));
	return ring->items != NULL;
}

static void
ring_fini(struct ring *ring)
{
	pthread_cond_destroy(&ring->room);
	pthread_cond_destroy(&ring->data);
	pthread_mutex_destroy(&ring->mu);
	free(ring->items);
}

static void
ring_send(struct ring *ring, uint64_t id, uint64_t value)
{
	struct item *item;

	pthread_mutex_lock(&ring->mu);
	while (ring->len == ring->capacity)
		pthread_cond_wait(&ring->room, &ring->mu);
	item = &ring->items[(ring->head + ring->len++) % ring->capacity];
	item->id = id;
	item->value = value;
	pthread_cond_signal(&ring->data);
	pthread_mutex_unlock(&ring->mu);
}

/* False once the ring is closed and empty. */
static bool
ring_recv(struct ring *ring, struct item *ret)
{
	bool found;

	pthread_mutex_lock(&ring->mu);
	while (ring->len == 0 && !ring->closed)
		pthread_cond_wait(&ring->data, &ring->mu);
	found = ring->len > 0;
	if (found) {
		*ret = ring->items[ring->head];
		ring->head = (ring->head + 1) % ring->capacity;
		ring->len--;
		pthread_cond_signal(&ring->room);
	}
	pthread_mutex_unlock(&ring->mu);
	return found;
}

static void
ring_close(struct ring *ring)
{
	pthread_mutex_lock(&ring->mu);
	ring->closed = true;
	pthread_cond_broadcast(&ring->data);
	pthread_mutex_unlock(&ring->mu);
}

static void *
work(void *user)
{
	struct pool *pool = user;
	struct item item;

	while (ring_recv(&pool->jobs, &item)) {
		struct bench_job job = {item.id, item.value};

		ring_send(&pool->results, job.id,
			  bench_job_run(&job, pool->steps));
	}
	return NULL;
}

static bool
pool_init(struct pool *pool, const struct bench_load *load)
{
	pool->steps = load->steps;
	pool->threads = calloc(load->workers, sizeof(*pool->threads));
	if (pool->threads == NULL || !ring_init(&pool->jobs, load->capacity) ||
	    !ring_init(&pool->results, load->capacity))
		return false;
	for (pool->workers = 0; pool->workers < load->workers; pool->workers++)
		if (pthread_create(&pool->threads[pool->workers], NULL, work,
				   pool) != 0)
			return false;
	return true;
}

static void
pool_join(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->workers; i++)
		pthread_join(pool->threads[i], NULL);
}

static void
pool_fini(struct pool *pool)
{
	ring_fini(&pool->jobs);
	ring_fini(&pool->results);
	free(pool->threads);
}

struct producer {
	struct pool *pool;
	uint64_t jobs;
};

static void *
produce(void *user)
{
	struct producer *producer = user;
	struct pool *pool = producer->pool;

	for (uint64_t id = 1; id <= producer->jobs; id++)
		ring_send(&pool->jobs, id, bench_job_make(id).seed);
	ring_close(&pool->jobs);
	pool_join(pool);
	ring_close(&pool->results);
	return NULL;
}

static bool
run(const struct bench_load *load, struct bench_tally *tally)
{
	struct pool pool;
	struct producer producer = {&pool, load->jobs};
	pthread_t thread;
	struct item item;

	if (!pool_init(&pool, load) ||
	    pthread_create(&thread, NULL, produce, &producer) != 0)
		return false;
	while (ring_recv(&pool.results, &item))
		bench_tally_add(tally, item.id, item.value);
	pthread_join(thread, NULL);
	pool_fini(&pool);
	return true;
}

static bool
trip(void *user, const struct bench_job *job, uint64_t *ret_value)
{
	struct pool *pool = user;
	struct item item;

	ring_send(&pool->jobs, job->id, job->seed);
	if (!ring_recv(&pool->results, &item))
		return false;
	*ret_value = item.value;
	return true;
}

static int
run_trips(int argc, char **argv)
{
	struct bench_load load = {4, 8, 10000, 0};
	struct pool pool;
	int status;

	if (!peer_load(&load, argc, argv) || load.jobs > TRIPS_MAX)
		return peer_usage();
	if (!pool_init(&pool, &load))
		return 1;
	status = trip_measure("mutex trip", &load, trip, &pool);
	ring_close(&pool.jobs);
	pool_join(&pool);
	pool_fini(&pool);
	return status;
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[argc - 1], "--trip") == 0) {
		argv[argc - 1] = NULL;
		return run_trips(argc - 1, argv);
	}
	return peer_main(argc, argv, "mutex", run);
}
