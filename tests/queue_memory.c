/*
 * The store in memory: jobs, and what is done to them.
 *
 * Design: a job is a row of its own, found by id by halving and otherwise by
 * looking at all.  Nothing is indexed, so nothing can be out of date.
 *
 * Alone mode is the same as any other here, because claims are in memory
 * anyway; what is left of it is that nobody else may enlist.
 *
 * Locking: data->mu is held for the whole of each call; callbacks of lists run
 * under it.
 */
#include "queue_memory_inside.h"

#include "sync/clock.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *
memory_gap(void *array, size_t *count, size_t size, size_t index)
{
	char *grown = array;

	/* Doubled at each power of two, so that many are added fast. */
	if ((*count & (*count + 1)) == 0)
		grown = realloc(grown, 2 * (*count + 1) * size);
	weir_assert(grown && index <= *count);
	memmove(grown + (index + 1) * size, grown + index * size,
		(*count - index) * size);
	memset(grown + index * size, 0, size);
	++*count;
	return grown;
}

void
memory_close_gap(void *array, size_t *count, size_t size, size_t index)
{
	char *bytes = array;

	weir_assert(index < *count);
	memmove(bytes + index * size, bytes + (index + 1) * size,
		(*count - index - 1) * size);
	--*count;
}

char *
memory_copy(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	weir_assert(copy);
	if (len > 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

size_t
memory_job_index(const struct memory_data *data, int64_t id)
{
	size_t low = 0, high = data->job_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (data->jobs[middle]->row.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct memory_job *
memory_job_find(const struct memory_data *data, int64_t id)
{
	size_t i = memory_job_index(data, id);

	return i < data->job_count && data->jobs[i]->row.id == id
		       ? data->jobs[i]
		       : NULL;
}

void
memory_job_show(struct memory_job *job)
{
	job->row.queue = job->queue;
	job->row.kind = job->kind;
	job->row.attempted_by = job->attempted_by;
	job->row.args = job->args;
	job->row.metadata = job->metadata;
	job->row.tags = job->tags;
	job->row.errors = job->errors;
	job->row.output = job->output;
	job->row.unique_key = job->unique_key;
}

struct memory_job *
memory_job_add(struct memory_data *data, const struct weir_draft *draft)
{
	struct memory_job *job = calloc(1, sizeof(*job));

	weir_assert(job);
	job->row = (weir_job_row){
		.id = ++data->last_job,
		.state = draft->state,
		.priority = draft->priority,
		.max_attempts = draft->max_attempts,
		.created_at_ms = draft->created_at_ms,
		.scheduled_at_ms = draft->scheduled_at_ms,
		.timeout_ns = draft->timeout_ns,
		.args_len = draft->args_len,
		.metadata_len = draft->metadata_len,
		.tags_len = draft->tags_len,
	};
	job->queue = memory_copy(draft->queue, draft->queue_len);
	job->kind = memory_copy(draft->kind, draft->kind_len);
	job->attempted_by = memory_copy("", 0);
	job->args = memory_copy(draft->args, draft->args_len);
	job->metadata = memory_copy(draft->metadata, draft->metadata_len);
	job->tags = memory_copy(draft->tags, draft->tags_len);
	job->errors = memory_copy("", 0);
	job->output = memory_copy("", 0);
	if (draft->unique_key) {
		job->unique_key = malloc(32);
		weir_assert(job->unique_key);
		memcpy(job->unique_key, draft->unique_key, 32);
		job->row.unique_states = draft->unique_states;
	}
	memory_job_show(job);
	data->jobs = memory_gap(data->jobs, &data->job_count,
				sizeof(*data->jobs), data->job_count);
	data->jobs[data->job_count - 1] = job;
	return job;
}

static void
job_free(struct memory_job *job)
{
	free(job->queue);
	free(job->kind);
	free(job->attempted_by);
	free(job->args);
	free(job->metadata);
	free(job->tags);
	free(job->errors);
	free(job->output);
	free(job->unique_key);
	free(job);
}

void
memory_job_delete(struct memory_data *data, struct memory_job *job)
{
	size_t i = memory_job_index(data, job->row.id);

	weir_assert(data->jobs[i] == job);
	memory_close_gap(data->jobs, &data->job_count, sizeof(*data->jobs), i);
	job_free(job);
}

static bool
holds_key(const struct memory_job *job)
{
	return job->unique_key &&
	       (job->row.unique_states & WEIR_JOB_STATE_BIT(job->row.state));
}

struct memory_job *
memory_key_holder(const struct memory_data *data, const unsigned char *key)
{
	for (size_t i = 0; key && i < data->job_count; i++)
		if (holds_key(data->jobs[i]) &&
		    memcmp(data->jobs[i]->unique_key, key, 32) == 0)
			return data->jobs[i];
	return NULL;
}

void
memory_key_drop(struct memory_job *job)
{
	free(job->unique_key);
	job->unique_key = NULL;
	job->row.unique_states = 0;
}

void
memory_job_end(struct memory_data *data, struct memory_job *job,
	       weir_state state, int64_t now_ms)
{
	struct memory_job *holder = memory_key_holder(data, job->unique_key);

	weir_assert(WEIR_JOB_STATES_FINAL & WEIR_JOB_STATE_BIT(state));
	if (holder && holder != job &&
	    (job->row.unique_states & WEIR_JOB_STATE_BIT(state)))
		memory_key_drop(job);
	job->row.state = state;
	job->row.finalized_at_ms = now_ms;
	job->owner = 0;
	memory_job_show(job);
}

void
memory_job_error(struct memory_job *job, const char *json, size_t len)
{
	struct weir_buf all = {0};
	size_t before = job->row.errors_len;

	weir__buf_putc(&all, '[');
	if (before > 2) {
		weir__buf_append(&all, job->errors + 1, before - 2);
		weir__buf_putc(&all, ',');
	}
	weir__buf_append(&all, json, len);
	weir__buf_putc(&all, ']');
	weir_assert(!all.failed);
	free(job->errors);
	job->errors = memory_copy(all.data, all.len);
	job->row.errors_len = all.len;
	weir__buf_fini(&all);
	memory_job_show(job);
}

void
memory_job_wait(struct memory_data *data, struct memory_job *job,
		weir_state state, int64_t now_ms)
{
	weir_assert(job->row.state == WEIR_JOB_RUNNING);
	if (job->row.cancel_at_ms) {
		memory_job_end(data, job, WEIR_JOB_CANCELLED, now_ms);
		return;
	}
	job->row.state = state;
	job->owner = 0;
	if (state == WEIR_JOB_AVAILABLE)
		memory_ring(data);
}

void
memory_job_release(struct memory_data *data, struct memory_job *job,
		   int64_t now_ms)
{
	job->row.attempt--;
	memory_job_wait(data, job, WEIR_JOB_AVAILABLE, now_ms);
}

void
memory_job_crash(struct memory_data *data, struct memory_job *job,
		 const char *name, uint32_t crashes_max, int64_t now_ms)
{
	struct weir_buf error = {0};

	weir__buf_printf(&error,
			 "{\"at\":%lld,\"attempt\":%u,"
			 "\"error\":\"worker %s died\",\"trace\":\"\"}",
			 (long long)now_ms, job->row.attempt, name);
	memory_job_error(job, error.data, error.len);
	weir__buf_fini(&error);
	job->row.crashes++;
	if (!job->row.cancel_at_ms &&
	    (job->row.attempt >= job->row.max_attempts ||
	     job->row.crashes >= crashes_max))
		memory_job_end(data, job, WEIR_JOB_DISCARDED, now_ms);
	else
		memory_job_wait(data, job, WEIR_JOB_AVAILABLE, now_ms);
}

static weir_status
memory_insert(weir_store *store, const struct weir_draft *drafts, size_t count,
	      weir_inserted *rets, weir_ctx *ctx, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	weir_status status = ctx ? weir_ctx_status(ctx) : WEIR_OK;
	bool added = false;

	if (status != WEIR_OK)
		return weir__queue_error(reterr, status, 0, "not begun");
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; i < count; i++) {
		struct memory_job *job =
			memory_key_holder(data, drafts[i].unique_key);
		bool duplicate = job != NULL;

		memory_queue_make(data, drafts[i].queue,
				  weir__store_now_ms(store));
		if (!job)
			job = memory_job_add(data, &drafts[i]);
		else
			/* Ids are counted ahead: a duplicate leaves one out. */
			data->last_job++;
		added = added || !duplicate;
		if (rets)
			rets[i] = (weir_inserted){.id = job->row.id,
						  .state = job->row.state,
						  .duplicate = duplicate};
	}
	if (added)
		memory_ring(data);
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Looking.
 */
static bool
has_tag(const weir_job_row *row, const char *tag)
{
	size_t len = strlen(tag);

	/* Tags need no escapes, so that one stands between two quotes. */
	for (const char *at = row->tags; (at = strstr(at, tag)); at++)
		if (at > row->tags && at[-1] == '"' && at[len] == '"')
			return true;
	return false;
}

static bool
has_id(const weir_job_filter *filter, int64_t id)
{
	for (size_t i = 0; i < filter->id_count; i++)
		if (filter->ids[i] == id)
			return true;
	return !filter->ids;
}

static bool
lets_through(const weir_job_filter *f, const weir_job_row *row)
{
	return has_id(f, row->id) &&
	       (!f->states || (f->states & WEIR_JOB_STATE_BIT(row->state))) &&
	       (!f->queue || strcmp(f->queue, row->queue) == 0) &&
	       (!f->kind || strcmp(f->kind, row->kind) == 0) &&
	       (!f->tag || has_tag(row, f->tag)) &&
	       row->created_at_ms >= f->since_ms &&
	       (!f->before_id || row->id < f->before_id) &&
	       (!f->after_id || row->id > f->after_id);
}

static weir_status
memory_list(weir_store *store, const weir_job_filter *filter,
	    weir_job_row_fn *row, void *user, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	uint64_t given = 0;

	(void)reterr;
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; i < data->job_count; i++) {
		size_t at = filter->oldest_first ? i : data->job_count - 1 - i;

		if (!lets_through(filter, &data->jobs[at]->row))
			continue;
		if (!row(&data->jobs[at]->row, user) ||
		    ++given == filter->limit)
			break;
	}
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Changing.
 */
static weir_status
cancel(struct memory_data *data, struct memory_job *job, int64_t now_ms)
{
	if (WEIR_JOB_STATES_FINAL & WEIR_JOB_STATE_BIT(job->row.state))
		return WEIR_CLOSED;
	if (!job->row.cancel_at_ms)
		job->row.cancel_at_ms = now_ms;
	if (job->row.state != WEIR_JOB_RUNNING) {
		memory_job_end(data, job, WEIR_JOB_CANCELLED, now_ms);
		return WEIR_OK;
	}
	data->cancels = memory_gap(data->cancels, &data->cancel_count,
				   sizeof(*data->cancels), data->cancel_count);
	data->cancels[data->cancel_count - 1] = job->row.id;
	memory_ring(data);
	return WEIR_OK;
}

static weir_status
retry(struct memory_data *data, struct memory_job *job, int64_t now_ms)
{
	struct memory_job *holder = memory_key_holder(data, job->unique_key);

	if (job->row.state == WEIR_JOB_RUNNING)
		return WEIR_BUSY;
	if (job->row.state == WEIR_JOB_AVAILABLE &&
	    job->row.scheduled_at_ms <= now_ms && job->row.crashes == 0)
		return WEIR_CLOSED;
	if (holder && holder != job)
		return WEIR_INVAL;
	job->row.state = WEIR_JOB_AVAILABLE;
	job->row.scheduled_at_ms = now_ms;
	job->row.finalized_at_ms = job->row.cancel_at_ms = 0;
	job->row.crashes = 0;
	if (job->row.attempt >= job->row.max_attempts)
		job->row.max_attempts++;
	memory_ring(data);
	return WEIR_OK;
}

static weir_job_changed
change_one(struct memory_data *data, weir_job_action action, int64_t id,
	   int64_t now_ms)
{
	struct memory_job *job = memory_job_find(data, id);
	weir_job_changed ret = {.status = WEIR_NOTFOUND};

	if (!job)
		return ret;
	switch (action) {
	case WEIR_JOB_CANCEL:
		ret.status = cancel(data, job, now_ms);
		break;
	case WEIR_JOB_RETRY:
		ret.status = retry(data, job, now_ms);
		break;
	case WEIR_JOB_DELETE:
		ret.status = job->row.state == WEIR_JOB_RUNNING ? WEIR_BUSY
								: WEIR_OK;
		break;
	}
	ret.state = job->row.state;
	if (action == WEIR_JOB_DELETE && ret.status == WEIR_OK)
		memory_job_delete(data, job);
	return ret;
}

static weir_status
memory_change(weir_store *store, weir_job_action action, const int64_t *ids,
	      size_t count, weir_job_changed *rets, weir_ctx *ctx,
	      weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	weir_status status = ctx ? weir_ctx_status(ctx) : WEIR_OK;

	if (status != WEIR_OK)
		return weir__queue_error(reterr, status, 0, "not begun");
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; i < count; i++) {
		weir_job_changed changed = change_one(
			data, action, ids[i], weir__store_now_ms(store));

		if (rets)
			rets[i] = changed;
	}
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Handles.
 */
static void
data_free(struct memory_data *data)
{
	for (size_t i = 0; i < data->job_count; i++)
		job_free(data->jobs[i]);
	for (size_t i = 0; i < data->queue_count; i++)
		free(data->queues[i].name);
	while (data->schedule_count > 0)
		memory_schedule_remove(data, data->schedule_count - 1);
	for (size_t i = 0; i < data->bell_count; i++)
		close(data->bells[i]);
	free(data->jobs);
	free(data->clients);
	free(data->queues);
	free(data->schedules);
	free(data->cancels);
	free(data->bells);
	weir__mutex_fini(&data->mu);
	free(data);
}

static void
memory_close(weir_store *store)
{
	struct memory_data *data = memory_data_of(store);
	size_t left;

	weir__mutex_lock(&data->mu);
	for (size_t i = 0; i < data->client_count; i++)
		if (data->clients[i].handle == store)
			data->clients[i].handle = NULL;
	left = --data->handles;
	weir__mutex_unlock(&data->mu);
	if (left == 0)
		data_free(data);
	free(store);
}

static const struct weir_store_ops memory_ops = {
	.name = "memory",
	.close = memory_close,
	.insert = memory_insert,
	.enlist = memory_enlist,
	.leave = memory_leave,
	.turn = memory_turn,
	.extend = memory_extend,
	.promote = memory_promote,
	.clients = memory_clients,
	.rescue = memory_rescue,
	.clean = memory_clean,
	.fire = memory_fire,
	.list = memory_list,
	.change = memory_change,
	.queues = memory_queues,
	.queue_set = memory_queue_set,
	.schedule_put = memory_schedule_put,
	.schedule_delete = memory_schedule_delete,
	.schedule_pause = memory_schedule_pause,
	.schedules = memory_schedules,
	.wake_fd = memory_wake_fd,
	.hush = memory_hush,
	.wake = memory_wake,
};

static int64_t
system_now_ms(void *user)
{
	(void)user;
	return weir__unix_ns() / WEIR_MS;
}

static weir_store *
handle_new(struct memory_data *data, int64_t (*now_ms)(void *), void *user)
{
	struct memory_store *handle = calloc(1, sizeof(*handle));

	weir_assert(handle);
	handle->store.ops = &memory_ops;
	handle->store.now_ms = now_ms;
	handle->store.now_user = user;
	handle->data = data;
	weir__mutex_lock(&data->mu);
	data->handles++;
	weir__mutex_unlock(&data->mu);
	return &handle->store;
}

weir_store *
queue_memory_open(const weir_store_options *options)
{
	struct memory_data *data = calloc(1, sizeof(*data));

	weir_assert(data);
	weir__mutex_init(&data->mu);
	return options && options->now_ms
		       ? handle_new(data, options->now_ms, options->now_user)
		       : handle_new(data, system_now_ms, NULL);
}

weir_store *
queue_memory_join(weir_store *store)
{
	return handle_new(memory_data_of(store), store->now_ms,
			  store->now_user);
}
