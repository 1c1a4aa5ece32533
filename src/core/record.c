/*
 * Where a job is: records, the shelf they wait on, and keys.
 *
 * Design.  An accepted job lives in one record from acceptance to delivery,
 * and the record moves between lists; nothing is copied on the way.  All
 * records are taken when the pool is made, which is what bounds it.
 *
 *        accept            take              end
 *      FREE ---> (QUEUED) -------> HELD ------------> RESULT ---> FREE
 *         \                       ^ ^ \ failed           next
 *          \ pull form           /  |  v
 *           `------> HELD      READY  BACKOFF
 *                      \         ^      | due
 *                       v  key   |      v
 *                      KEYED ----+   HELD, or KEYED
 *
 * In push form a submitter fills a record that is in nobody's books and puts
 * it into the inbox, a ring; whoever holds mu takes it out from there, mostly
 * straight into HELD.  Free records come back to submitters over a stack.
 * "The shelf" is READY, KEYED and BACKOFF: jobs that have begun or have been
 * taken out of the queue, and cannot run just now.
 *
 * Locking.  All of it is guarded by the pool's mu; a HELD record belongs to
 * the thread that holds it.
 */
#include "core/pool.h"

#include "base/assert.h"
#include "sync/data.h"

#include <stdlib.h>

void *
weir__pool_chunk_locked(weir_pool *pool, size_t bytes)
{
	void **chunks =
		realloc(pool->chunks, (pool->chunk_count + 1) * sizeof(void *));
	void *chunk;

	if (!chunks)
		return NULL;
	pool->chunks = chunks;
	chunk = calloc(1, bytes);
	if (chunk)
		pool->chunks[pool->chunk_count++] = chunk;
	return chunk;
}

static void record_fire(struct weir_watch *watch, weir_status status,
			const char *why);

static WEIR_NODISCARD weir_status keys_grow_locked(weir_pool *pool,
						   size_t count)
	WEIR_REQUIRES(pool->mu);

static weir_status
keys_grow_locked(weir_pool *pool, size_t count)
{
	struct weir_key *keys;
	size_t buckets = 16;

	if (pool->options.key_slots == 0)
		return WEIR_OK;
	keys = weir__pool_chunk_locked(pool, count * sizeof(*keys));
	if (!keys)
		return WEIR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		weir__list_init(&keys[i].waiting);
		weir__list_append(&pool->free_keys, &keys[i].link);
	}
	if (pool->buckets)
		return WEIR_OK;
	while (buckets < count)
		buckets *= 2;
	pool->buckets = weir__pool_chunk_locked(
		pool, buckets * sizeof(struct weir_list));
	if (!pool->buckets)
		return WEIR_NOMEM;
	pool->bucket_count = buckets;
	for (size_t i = 0; i < buckets; i++)
		weir__list_init(&pool->buckets[i]);
	return WEIR_OK;
}

/*
 * A ring for results with a place for every record.  It grows while pools are
 * resized, and what waits in it moves along.
 */
static WEIR_NODISCARD weir_status results_grow_locked(weir_pool *pool,
						      size_t count)
	WEIR_REQUIRES(pool->mu);

static weir_status
results_grow_locked(weir_pool *pool, size_t count)
{
	struct weir_record **ring;
	size_t places = 1;

	while (places < count)
		places *= 2;
	if (pool->pull || (pool->results && places <= pool->results_mask + 1u))
		return WEIR_OK;
	ring = weir__pool_chunk_locked(pool, places * sizeof(*ring));
	if (!ring)
		return WEIR_NOMEM;
	for (uint32_t i = 0;
	     pool->results && i < pool->count[WEIR_PLACE_RESULT]; i++)
		ring[i] = pool->results[(pool->results_head + i) &
					pool->results_mask];
	pool->results = ring;
	pool->results_head = 0;
	pool->results_mask = (uint32_t)places - 1;
	return WEIR_OK;
}

/* A new record, in memory for its payload and itself. */
static void record_init_locked(weir_pool *pool, unsigned char *memory)
	WEIR_REQUIRES(pool->mu);

static void
record_init_locked(weir_pool *pool, unsigned char *memory)
{
	struct weir_record *record = (void *)(memory + pool->payload_size);

	record->pool = pool;
	record->in = memory;
	record->out = memory + pool->out_offset;
	weir__list_init(&record->link);
	weir__watch_init(&record->watch, record_fire);
	if (!pool->pull) {
		weir__records_return(pool, &record, 1);
		return;
	}
	weir__list_append(&pool->free, &record->link);
	pool->count[WEIR_PLACE_FREE]++;
}

weir_status
weir__records_grow_locked(weir_pool *pool, size_t count)
{
	unsigned char *memory;

	weir_assert(count > 0);
	if (count > SIZE_MAX / pool->record_stride - 1)
		return WEIR_NOMEM;
	if (!weir__heap_reserve(&pool->backoff, pool->record_count + count))
		return WEIR_NOMEM;
	if (keys_grow_locked(pool, count) != WEIR_OK ||
	    results_grow_locked(pool, pool->record_count + count) != WEIR_OK)
		return WEIR_NOMEM;
	memory = weir__pool_chunk_locked(pool,
					 (count + 1) * pool->record_stride);
	if (!memory)
		return WEIR_NOMEM;
	/* To the next line of the cache; there is one record's room for it. */
	memory += WEIR_CACHE_LINE - (uintptr_t)memory % WEIR_CACHE_LINE;
	for (size_t i = 0; i < count; i++)
		record_init_locked(pool, memory + i * pool->record_stride);
	pool->record_count += count;
	return WEIR_OK;
}

static void move_locked(weir_pool *pool, struct weir_record *record,
			enum weir_place to) WEIR_REQUIRES(pool->mu);

static void
move_locked(weir_pool *pool, struct weir_record *record, enum weir_place to)
{
	weir_assert(pool->count[record->place] > 0);
	pool->count[record->place]--;
	pool->count[to]++;
	record->place = to;
}

struct weir_record *
weir__record_get_locked(weir_pool *pool)
{
	struct weir_list *link = weir__list_pop(&pool->free);
	struct weir_record *record;

	/* As many as can be inside, and one in each worker's hands. */
	weir_assert(link);
	record = weir_container_of(link, struct weir_record, link);
	move_locked(pool, record, WEIR_PLACE_HELD);
	return record;
}

void
weir__record_put_locked(weir_pool *pool, struct weir_record *record)
{
	weir_assert(record->place == WEIR_PLACE_HELD);
	weir_assert(!record->key_held && !record->watch.ctx);
	if (!pool->pull) {
		weir_assert(pool->count[WEIR_PLACE_HELD] > 0);
		pool->count[WEIR_PLACE_HELD]--;
		pool->gone++;
		weir__records_return(pool, &record, 1);
		return;
	}
	move_locked(pool, record, WEIR_PLACE_FREE);
	/* In front: the record that was used last is the one in the cache. */
	weir__list_prepend(&pool->free, &record->link);
}

/*
 * A stack that many push to and one at a time takes whole, so that a pointer
 * that is popped and pushed again (the ABA of such stacks) does no harm.
 */
void
weir__records_return(weir_pool *pool, struct weir_record **records,
		     size_t count)
{
	struct weir_list *first = &records[0]->link;
	struct weir_list *last = &records[count - 1]->link;
	uint64_t top;

	for (size_t i = 0; i < count; i++) {
		weir__data_write(records[i]);
		if (i + 1 < count)
			records[i]->link.next = &records[i + 1]->link;
	}
	do {
		top = weir__u64_load(&pool->returned, WEIR_RELAXED);
		last->next = weir__pointer_of(top);
		/* Release: pairs with the exchange in spare_get(). */
	} while (!weir__u64_cas(
		&pool->returned, top, weir__pointer_bits(first),
		WEIR_ORDER(RETURN_ORDER, WEIR_RELEASE_ORDER, WEIR_RELAXED)));
}

uint64_t
weir__inbox_len_locked(weir_pool *pool)
{
	/*
	 * Acquires what accept_locked() published.  Sequentially consistent,
	 * because this is the second look of a worker that is about to rest
	 * (README.md): an acquire may see what was before.
	 */
	return weir__u64_load(&pool->accepted,
			      WEIR_ORDER(INBOX_TAKE_ORDER, WEIR_SEQ_CST,
					 WEIR_RELAXED)) -
	       pool->fetched;
}

size_t
weir__inbox_take_locked(weir_pool *pool, struct weir_record **records,
			size_t max)
{
	uint64_t len = weir__inbox_len_locked(pool);
	size_t count = len < max ? (size_t)len : max;

	for (size_t i = 0; i < count; i++) {
		records[i] =
			pool->inbox[(pool->fetched + i) & pool->inbox_mask];
		weir__data_write(records[i]);
		records[i]->place = WEIR_PLACE_HELD;
	}
	pool->fetched += count;
	pool->count[WEIR_PLACE_HELD] += (uint32_t)count;
	return count;
}

void
weir__inbox_drain_locked(weir_pool *pool)
{
	struct weir_record *record;

	while (weir__inbox_take_locked(pool, &record, 1) > 0)
		weir__record_enqueue_locked(pool, record);
}

/* READY has something: now.  Otherwise when the first back-off ends. */
static void update_shelf_due_locked(weir_pool *pool) WEIR_REQUIRES(pool->mu);

static void
update_shelf_due_locked(weir_pool *pool)
{
	const struct weir_heap_node *first = weir__heap_top(&pool->backoff);
	int64_t due_ns = first ? first->key : WEIR_FOREVER;

	if (pool->count[WEIR_PLACE_READY] > 0)
		due_ns = 0;
	weir__u64_store(&pool->shelf_due_ns, (uint64_t)due_ns, WEIR_SEQ_CST);
}

void
weir__record_enqueue_locked(weir_pool *pool, struct weir_record *record)
{
	weir_assert(record->place == WEIR_PLACE_HELD);
	move_locked(pool, record, WEIR_PLACE_QUEUED);
	weir__list_append(&pool->queues[record->priority - 1], &record->link);
}

void
weir__record_make_ready_locked(weir_pool *pool, struct weir_record *record)
{
	move_locked(pool, record, WEIR_PLACE_READY);
	weir__list_append(&pool->ready, &record->link);
	update_shelf_due_locked(pool);
}

void
weir__record_make_next_locked(weir_pool *pool, struct weir_record *record)
{
	move_locked(pool, record, WEIR_PLACE_READY);
	weir__list_prepend(&pool->ready, &record->link);
	update_shelf_due_locked(pool);
}

void
weir__record_back_off_locked(weir_pool *pool, struct weir_record *record,
			     int64_t due_ns)
{
	weir_assert(record->place == WEIR_PLACE_HELD);
	move_locked(pool, record, WEIR_PLACE_BACKOFF);
	record->due.key = record->hurried ? 0 : due_ns;
	weir__heap_push(&pool->backoff, &record->due);
	update_shelf_due_locked(pool);
}

/*
 * The submitter of a job in back-off has given up: its wait is over.  Whoever
 * takes it then sees that its context is done.
 */
static void
record_fire(struct weir_watch *watch, weir_status status, const char *why)
{
	struct weir_record *record =
		weir_container_of(watch, struct weir_record, watch);
	weir_pool *pool = record->pool;
	struct weir_park *wake = NULL;

	(void)status;
	(void)why;
	weir__mutex_lock(&pool->mu);
	record->hurried = true;
	if (record->place == WEIR_PLACE_BACKOFF) {
		weir__heap_remove(&pool->backoff, &record->due);
		record->due.key = 0;
		weir__heap_push(&pool->backoff, &record->due);
		update_shelf_due_locked(pool);
		wake = weir__pool_notify_locked(pool);
	}
	weir__mutex_unlock(&pool->mu);
	weir__kick(wake);
}

void
weir__record_finish_locked(weir_pool *pool, struct weir_record *record)
{
	uint32_t at = pool->results_head + pool->count[WEIR_PLACE_RESULT];

	weir_assert(record->place == WEIR_PLACE_HELD);
	move_locked(pool, record, WEIR_PLACE_RESULT);
	pool->results[at & pool->results_mask] = record;
}

size_t
weir__results_take_locked(weir_pool *pool, struct weir_record **records,
			  size_t max)
{
	uint32_t count = pool->count[WEIR_PLACE_RESULT];

	if (count > max)
		count = (uint32_t)max;
	for (uint32_t i = 0; i < count; i++)
		records[i] = pool->results[(pool->results_head + i) &
					   pool->results_mask];
	pool->results_head += count;
	pool->count[WEIR_PLACE_RESULT] -= count;
	pool->gone += count;
	return count;
}

/* Multiplying by an odd constant spreads keys that differ in few bits. */
static struct weir_list *bucket_of_locked(weir_pool *pool, uint64_t key)
	WEIR_REQUIRES(pool->mu);

static struct weir_list *
bucket_of_locked(weir_pool *pool, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);

	return &pool->buckets[(hash >> 32) & (pool->bucket_count - 1)];
}

/* The entry of a key in use, or NULL. */
static struct weir_key *key_find_locked(weir_pool *pool, uint64_t key)
	WEIR_REQUIRES(pool->mu);

static struct weir_key *
key_find_locked(weir_pool *pool, uint64_t key)
{
	struct weir_list *bucket = bucket_of_locked(pool, key);

	for (struct weir_list *l = bucket->next; l != bucket; l = l->next) {
		struct weir_key *entry =
			weir_container_of(l, struct weir_key, link);

		if (entry->key == key)
			return entry;
	}
	return NULL;
}

bool
weir__key_admit_locked(weir_pool *pool, struct weir_record *record)
{
	struct weir_key *key;

	if (record->key == 0 || pool->options.key_slots == 0)
		return true;
	weir_assert(!record->key_held);
	key = key_find_locked(pool, record->key);
	if (!key) {
		/* There are as many as records, so one is free. */
		struct weir_list *link = weir__list_pop(&pool->free_keys);

		weir_assert(link);
		key = weir_container_of(link, struct weir_key, link);
		key->key = record->key;
		key->running = 0;
		weir__list_append(bucket_of_locked(pool, key->key), &key->link);
	}
	if (key->running < pool->options.key_slots) {
		key->running++;
		record->key_held = key;
		return true;
	}
	move_locked(pool, record, WEIR_PLACE_KEYED);
	weir__list_append(&key->waiting, &record->link);
	return false;
}

static void key_retire_locked(weir_pool *pool, struct weir_key *key)
	WEIR_REQUIRES(pool->mu);

static void
key_retire_locked(weir_pool *pool, struct weir_key *key)
{
	if (key->running > 0)
		return;
	weir_assert(weir__list_empty(&key->waiting));
	weir__list_remove(&key->link);
	weir__list_prepend(&pool->free_keys, &key->link);
}

bool
weir__key_release_locked(weir_pool *pool, struct weir_record *record)
{
	struct weir_key *key = record->key_held;
	struct weir_list *link;
	struct weir_record *next;

	if (!key)
		return false;
	record->key_held = NULL;
	weir_assert(key->running > 0);
	key->running--;
	link = weir__list_pop(&key->waiting);
	if (!link) {
		key_retire_locked(pool, key);
		return false;
	}
	next = weir_container_of(link, struct weir_record, link);
	next->key_held = key;
	key->running++;
	weir__record_make_ready_locked(pool, next);
	return true;
}

struct weir_record *
weir__shelf_take_locked(weir_pool *pool, int64_t now_ns)
{
	struct weir_list *link = weir__list_pop(&pool->ready);
	struct weir_record *record = NULL;

	if (link) {
		record = weir_container_of(link, struct weir_record, link);
		move_locked(pool, record, WEIR_PLACE_HELD);
	}
	while (!record) {
		struct weir_heap_node *first = weir__heap_top(&pool->backoff);

		if (!first || first->key > now_ns)
			break;
		weir__heap_remove(&pool->backoff, first);
		record = weir_container_of(first, struct weir_record, due);
		move_locked(pool, record, WEIR_PLACE_HELD);
		if (!weir__key_admit_locked(pool, record))
			record = NULL;
	}
	update_shelf_due_locked(pool);
	return record;
}

struct weir_record *
weir__queue_take_locked(weir_pool *pool)
{
	for (int i = 0; i < WEIR_PRIORITY_LAST; i++) {
		struct weir_list *link = weir__list_pop(&pool->queues[i]);
		struct weir_record *record;

		if (!link)
			continue;
		record = weir_container_of(link, struct weir_record, link);
		move_locked(pool, record, WEIR_PLACE_HELD);
		weir__u64_bump(&pool->left, 1);
		return record;
	}
	return NULL;
}

/* Out of whatever list or heap it is in, and into one of the two lists. */
static void clear_one_locked(weir_pool *pool, struct weir_record *record,
			     struct weir_list *begun) WEIR_REQUIRES(pool->mu);

static void
clear_one_locked(weir_pool *pool, struct weir_record *record,
		 struct weir_list *begun)
{
	weir__list_remove(&record->link);
	weir__heap_remove(&pool->backoff, &record->due);
	if (record->key_held) {
		/* Ready: it counted for its key; nobody waits by now. */
		record->key_held->running--;
		key_retire_locked(pool, record->key_held);
		record->key_held = NULL;
	}
	move_locked(pool, record, WEIR_PLACE_HELD);
	if (record->result.attempts > 0) {
		weir__list_append(begun, &record->link);
		return;
	}
	/*
	 * The back-off heap is empty or being emptied, and has room for every
	 * record: it sorts the unstarted by priority and age for us.
	 */
	record->due.key =
		(int64_t)record->priority << 56 |
		(int64_t)(record->result.id & UINT64_C(0xffffffffffffff));
}

static void clear_list_locked(weir_pool *pool, struct weir_list *from,
			      struct weir_list *begun, struct weir_list *rest)
	WEIR_REQUIRES(pool->mu);

static void
clear_list_locked(weir_pool *pool, struct weir_list *from,
		  struct weir_list *begun, struct weir_list *rest)
{
	struct weir_list *link;

	while ((link = weir__list_pop(from))) {
		struct weir_record *record =
			weir_container_of(link, struct weir_record, link);

		clear_one_locked(pool, record, begun);
		if (record->result.attempts == 0)
			weir__list_append(rest, &record->link);
	}
}

void
weir__shelf_clear_locked(weir_pool *pool, struct weir_list *unstarted,
			 struct weir_list *begun)
{
	struct weir_list rest, *link;
	struct weir_heap_node *node;

	weir__list_init(&rest);
	if (!pool->pull)
		weir__inbox_drain_locked(pool);
	/* Whatever is in back-off has been attempted and goes to begun. */
	while ((node = weir__heap_top(&pool->backoff)))
		clear_one_locked(
			pool, weir_container_of(node, struct weir_record, due),
			begun);
	for (size_t i = 0; i < pool->bucket_count; i++) {
		struct weir_list *l = pool->buckets[i].next, *next;

		for (; l != &pool->buckets[i]; l = next) {
			struct weir_key *key =
				weir_container_of(l, struct weir_key, link);

			next = l->next;
			clear_list_locked(pool, &key->waiting, begun, &rest);
			key_retire_locked(pool, key);
		}
	}
	clear_list_locked(pool, &pool->ready, begun, &rest);
	weir__u64_bump(&pool->left, pool->count[WEIR_PLACE_QUEUED]);
	for (int i = 0; i < WEIR_PRIORITY_LAST; i++)
		clear_list_locked(pool, &pool->queues[i], begun, &rest);
	while ((link = weir__list_pop(&rest)))
		weir__heap_push(
			&pool->backoff,
			&weir_container_of(link, struct weir_record, link)
				 ->due);
	while ((node = weir__heap_top(&pool->backoff))) {
		weir__heap_remove(&pool->backoff, node);
		weir__list_append(
			unstarted,
			&weir_container_of(node, struct weir_record, due)
				 ->link);
	}
	update_shelf_due_locked(pool);
}

void
weir__pool_check_locked(weir_pool *pool)
{
	size_t records = 0;

	for (int i = 0; i < WEIR_PLACES; i++)
		records += pool->count[i];
	/*
	 * In push form every job that is out of the inbox and not gone is a
	 * record in a place.  In pull form workers keep spare records in hand
	 * and do not hold mu while they count, so the books can only be
	 * compared at the end of a run.
	 */
	if (pool->pull)
		weir_assert(records == pool->record_count);
	else
		weir_assert(records == pool->fetched - pool->gone);
}
