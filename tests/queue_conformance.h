/*
 * What every store must do.
 *
 * The tests are in queue_conformance_*.c and know a store by store.h only.  A
 * program that links them all, and says in `queue_stores` how a store of its
 * kind is made, has them run on it:
 *
 *      STORE_TEST(claims, come_in_the_order_of_priority) { ... store ... }
 *
 * Each test has a process, a fresh store and a clock of its own, which stands
 * still until the test moves it.  What the helpers return lasts until its end.
 */
#ifndef WEIR_TESTS_QUEUE_CONFORMANCE_H
#define WEIR_TESTS_QUEUE_CONFORMANCE_H

#include "harness.h"

#include "queue/store.h"

#include <string.h>

/*
 * A kind of store.
 *
 * open    a new one.
 * join    another handle on the one of that handle, as if in another process.
 * reopen  the one that was open last, all handles of which were closed; NULL:
 *         it does not outlive them.
 * wipe    take it away, after all handles were closed.
 * jobs    how many make a large store.
 * stride  of many orders of a few steps, one in so many is tried.
 * same_json    for one that keeps what a JSON text says and not its bytes: do
 *              two of them say the same?  NULL: bytes are kept.
 * bell_ms      how long a bell, or word of a cancel, may take; 0: it is there
 *              when the call that rings it returns.
 * polls        NULL, or whether the handles of this run hear no bells, and ask
 *              instead; tests of bells are left out then.
 * never_alone  nobody can work it alone; tests of that are left out.
 *
 * All with queue_clock() as their clock.
 */
struct queue_stores {
	const char *name;
	weir_store *(*open)(void);
	weir_store *(*join)(weir_store *store);
	weir_store *(*reopen)(void);
	void (*wipe)(void);
	unsigned jobs, stride;
	bool (*same_json)(const char *a, const char *b);
	int bell_ms;
	bool (*polls)(void);
	bool never_alone;
};

extern const struct queue_stores queue_stores;

#define T0 INT64_C(1800000000000) /* when each test begins */
/* Threads of a store look at it as well. */
extern _Atomic int64_t queue_now_ms;
int64_t queue_clock(void *user);

typedef void queue_test_fn(weir_store *store);
void queue_run(queue_test_fn *test);

#define STORE_TEST(suite, name) STORE_TEST_LIMIT(suite, name, 20)
#define STORE_TEST_LIMIT(suite, name, seconds)         \
	static void on_##suite##_##name(weir_store *); \
	TEST_LIMIT(suite, name, seconds)               \
	{                                              \
		queue_run(on_##suite##_##name);        \
	}                                              \
	static void on_##suite##_##name(weir_store *store)

/* One that is left out where nobody works alone; `test` is its process. */
#define ALONE_TEST_LIMIT(suite, name, seconds)                              \
	static void test_##suite##_##name(void);                            \
	__attribute__((constructor)) static void add_##suite##_##name(void) \
	{                                                                   \
		static struct test test = {test_##suite##_##name, seconds,  \
					   #suite ": " #name, 0};           \
		queue_add_alone(&test);                                     \
	}                                                                   \
	static void test_##suite##_##name(void)

void queue_add_alone(struct test *test);

/*
 * A test with one owner, made by queue_enlist(), that is run twice: as one of
 * several and as one alone.  Alone, a list may show a job that runs as one that
 * is available, so that such a test does not look at those.
 */
#define WORK_TEST(suite, name)                         \
	static void on_##suite##_##name(weir_store *); \
	TEST(suite, name)                              \
	{                                              \
		queue_run(on_##suite##_##name);        \
	}                                              \
	ALONE_TEST_LIMIT(alone_##suite, name, 20)      \
	{                                              \
		queue_alone = true;                    \
		queue_run(on_##suite##_##name);        \
	}                                              \
	static void on_##suite##_##name(weir_store *store)

extern bool queue_alone; /* what queue_enlist() asks for */

/* Free what was given out so far, for tests that go round and round. */
void queue_forget(void);

/* Another handle; it is closed at the end, but for one that was closed. */
weir_store *queue_join(weir_store *store);
void queue_close(weir_store *store);

/* What follows is about bells; the test ends here if there are none. */
void queue_need_bells(void);

/* Close all handles and open it again; the test ends here if it cannot be. */
weir_store *queue_reopen(void);

/* A draft with the defaults of an insert: queue "default", args {}. */
struct weir_draft queue_draft(const char *kind);
void queue_draft_queue(struct weir_draft *draft, const char *queue);
void queue_draft_args(struct weir_draft *draft, const char *args);
void queue_draft_at(struct weir_draft *draft, int64_t at_ms);

/* Unique by the key that is 32 times that byte. */
void queue_draft_key(struct weir_draft *draft, unsigned char byte,
		     uint32_t states);

/* Insert; the id. */
weir_inserted queue_insert(weir_store *store, const struct weir_draft *draft);
int64_t queue_put(weir_store *store, const char *kind);
int64_t queue_put_draft(weir_store *store, const struct weir_draft *draft);

/* Somebody who works the store. */
struct weir_owner *queue_enlist(weir_store *store, const char *name);
struct weir_owner *queue_enlist_alone(weir_store *store, const char *name);
weir_status queue_try_enlist(weir_store *store, struct weir_owner *owner);
void queue_leave(weir_store *store, struct weir_owner *owner);

/* Bring a job that is available into that state, by whatever it takes. */
void queue_bring(weir_store *store, struct weir_owner *owner, int64_t id,
		 weir_state state);

/* Insert one of that draft in that state; the id. */
int64_t queue_put_in(weir_store *store, struct weir_owner *owner,
		     const struct weir_draft *draft, weir_state state);

/* One turn; what it returns must be OK, and its batch is given back at the
 * end.  queue_try_turn() gives the status. */
void queue_turn(weir_store *store, struct weir_turn *turn);
weir_status queue_try_turn(weir_store *store, struct weir_turn *turn);

/* Claim up to count of queue "default"; NULL: none. */
struct weir_batch *queue_claim(weir_store *store, struct weir_owner *owner,
			       uint32_t count);

/* Claim one, which must be that job. */
const struct weir_claim *queue_claim_one(weir_store *store,
					 struct weir_owner *owner, int64_t id);

/* Insert one, and claim it. */
const struct weir_claim *queue_start(weir_store *store,
				     struct weir_owner *owner,
				     const char *kind);

/* Finish, with at_ms now, or as given. */
struct weir_finished queue_end(weir_store *store, struct weir_owner *owner,
			       const struct weir_claim *claim,
			       enum weir_verdict verdict);
struct weir_finished queue_end_at(weir_store *store, struct weir_owner *owner,
				  const struct weir_claim *claim,
				  enum weir_verdict verdict, int64_t at_ms);
struct weir_finished queue_finish(weir_store *store, struct weir_owner *owner,
				  const struct weir_finish *finish);

/* The job as it is now; the other one: or NULL. */
const weir_job_row *queue_look(weir_store *store, int64_t id);
const weir_job_row *queue_find(weir_store *store, int64_t id);

/* Check its state. */
#define CHECK_STATE(store, id, name) \
	CHECK_STR(weir_job_state_name(queue_look(store, id)->state), name)

/* Is it the JSON that was given: byte for byte, if the store keeps that. */
#define CHECK_JSON(a, b) CHECK_MSG(queue_same_json(a, b), "%s, %s", a, b)
bool queue_same_json(const char *a, const char *b);

/* All jobs with all their fields, as text; of one if id is not 0. */
const char *queue_dump(weir_store *store, int64_t id);

/* The ids that a filter lets through, "3 2 1". */
const char *queue_ids(weir_store *store, const weir_job_filter *filter);
/* Those of a batch, which may be NULL. */
const char *queue_batch_ids(const struct weir_batch *batch);

/* How many of those, and all jobs. */
#define queue_count(array) (sizeof(array) / sizeof((array)[0]))

/* Do that to one job. */
weir_job_changed queue_change(weir_store *store, weir_job_action action,
			      int64_t id);

/* Upkeep, with a large limit; how many it did. */
uint32_t queue_promote(weir_store *store);
uint32_t queue_rescue(weir_store *store, int64_t client, int64_t beat);

/* The client's beat, or -1: there is no such client. */
int64_t queue_beat(weir_store *store, int64_t client);

/* Have its worker die: another handle sees no beat, and rescues. */
void queue_kill(weir_store *store, const struct weir_owner *owner);

/* Has it been rung; has it not, once what was on its way has come. */
bool queue_is_rung(int fd);
bool queue_is_quiet(int fd);
/* Hush it, and whatever is on its way. */
void queue_quieten(weir_store *store, int fd);

#endif
