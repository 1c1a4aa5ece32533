/*
 * What the parts of the store in memory share: queue_memory.c holds jobs, and
 * what people do to them; queue_memory_turn.c what workers do;
 * queue_memory_keep.c all else.
 */
#ifndef WEIR_TESTS_QUEUE_MEMORY_INSIDE_H
#define WEIR_TESTS_QUEUE_MEMORY_INSIDE_H

#include "queue_memory.h"

#include "base/assert.h"
#include "sync/mutex.h"

/* row's texts point to what the fields below own. */
struct memory_job {
	weir_job_row row;
	int64_t owner; /* of a running job */
	char *queue, *kind, *attempted_by;
	char *args, *metadata, *tags, *errors, *output;
	unsigned char *unique_key;
};

struct memory_client {
	int64_t id, beat;
	char name[128];
	bool alone;
	weir_store *handle; /* NULL: its process died */
};

struct memory_queue {
	char *name;
	int64_t created_at_ms, paused_at_ms;
	weir_finished_policy finished;
};

struct memory_schedule {
	char *name, *spec;
	char *queue, *kind, *args, *metadata, *tags;
	struct weir_draft draft; /* of those texts */
	unsigned char unique_key[32];
	bool paused;
	int64_t next_at_ms, last_at_ms;
};

/* What is shared by all handles, and guarded by mu. */
struct memory_data {
	struct weir_mutex mu;
	size_t handles;
	int64_t last_job, last_client;
	struct memory_job **jobs; /* by id */
	size_t job_count;
	struct memory_client *clients; /* by id */
	size_t client_count;
	struct memory_queue *queues; /* by name */
	size_t queue_count;
	struct memory_schedule *schedules; /* by name */
	size_t schedule_count;
	int64_t *cancels; /* ids; cancel_seq counts those that were seen */
	size_t cancel_count;
	int *bells; /* descriptors of our own, one for each wake_fd() */
	size_t bell_count;
};

struct memory_store {
	weir_store store;
	struct memory_data *data;
};

static inline struct memory_data *
memory_data_of(weir_store *store)
{
	return ((struct memory_store *)(void *)store)->data;
}

/*
 * Make array, of count elements of that size, one longer, with a gap of zeroes
 * at index; and take one out.
 */
void *memory_gap(void *array, size_t *count, size_t size, size_t index);
void memory_close_gap(void *array, size_t *count, size_t size, size_t index);

/* A copy with a NUL behind it. */
char *memory_copy(const char *text, size_t len);

/* Where the job of that id is or would be; and it, or NULL. */
size_t memory_job_index(const struct memory_data *data, int64_t id);
struct memory_job *memory_job_find(const struct memory_data *data, int64_t id);

/* One job more, from that draft; its queue is there. */
struct memory_job *memory_job_add(struct memory_data *data,
				  const struct weir_draft *draft);
void memory_job_delete(struct memory_data *data, struct memory_job *job);

/* Who holds that key: a job whose unique_states have its state; or NULL. */
struct memory_job *memory_key_holder(const struct memory_data *data,
				     const unsigned char *key);

/* It is not unique any more. */
void memory_key_drop(struct memory_job *job);

/* After each change of what a job owns: let its row show it. */
void memory_job_show(struct memory_job *job);

/* It runs no more: it waits, or is cancelled if somebody wants that. */
void memory_job_wait(struct memory_data *data, struct memory_job *job,
		     weir_state state, int64_t now_ms);

/* It is over: in that state since now; see store.h about its key. */
void memory_job_end(struct memory_data *data, struct memory_job *job,
		    weir_state state, int64_t now_ms);

/* Append an element to its errors. */
void memory_job_error(struct memory_job *job, const char *json, size_t len);

/* It is available again, without having run; or cancelled. */
void memory_job_release(struct memory_data *data, struct memory_job *job,
			int64_t now_ms);

/* It has died with its worker, name. */
void memory_job_crash(struct memory_data *data, struct memory_job *job,
		      const char *name, uint32_t crashes_max, int64_t now_ms);

struct memory_queue *memory_queue_find(const struct memory_data *data,
				       const char *name);
struct memory_queue *memory_queue_make(struct memory_data *data,
				       const char *name, int64_t now_ms);
struct memory_client *memory_client_find(const struct memory_data *data,
					 int64_t id);

void memory_schedule_remove(struct memory_data *data, size_t index);

/* Make all bells readable. */
void memory_ring(struct memory_data *data);

/* The table's entries that the other files have. */
weir_status memory_turn(weir_store *store, struct weir_turn *turn,
			weir_error *reterr);
weir_status memory_enlist(weir_store *store, struct weir_owner *owner,
			  weir_error *reterr);
weir_status memory_leave(weir_store *store, struct weir_owner *owner,
			 weir_error *reterr);
weir_status memory_extend(weir_store *store, const struct weir_owner *owner,
			  weir_error *reterr);
weir_status memory_promote(weir_store *store, uint32_t limit,
			   uint32_t *ret_count, int64_t *ret_next_ms,
			   weir_error *reterr);
weir_status memory_clients(weir_store *store, weir_client_fn *row, void *user,
			   weir_error *reterr);
weir_status memory_rescue(weir_store *store, int64_t client, int64_t beat,
			  uint32_t crashes_max, uint32_t limit,
			  uint32_t *ret_count, weir_error *reterr);
weir_status memory_clean(weir_store *store,
			 const struct weir_retention *retention, uint32_t limit,
			 uint32_t *ret_count, weir_error *reterr);
weir_status memory_fire(weir_store *store, uint32_t limit, uint32_t *ret_count,
			int64_t *ret_next_ms, weir_error *reterr);
weir_status memory_queues(weir_store *store, weir_queue_row_fn *row, void *user,
			  weir_error *reterr);
weir_status memory_queue_set(weir_store *store, const char *queue, int pause,
			     int finished, weir_error *reterr);
weir_status memory_schedule_put(weir_store *store,
				const weir_schedule *schedule,
				const struct weir_draft *draft,
				weir_error *reterr);
weir_status memory_schedule_delete(weir_store *store, const char *name,
				   weir_error *reterr);
weir_status memory_schedule_pause(weir_store *store, const char *name,
				  bool pause, weir_error *reterr);
weir_status memory_schedules(weir_store *store, weir_schedule_fn *row,
			     void *user, weir_error *reterr);
int memory_wake_fd(weir_store *store);
void memory_hush(weir_store *store, int fd);
void memory_wake(weir_store *store);

#endif
