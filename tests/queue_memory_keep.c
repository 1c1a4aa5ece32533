/*
 * The store in memory: who works it, upkeep, queues, schedules, bells.
 *
 * Design: as queue_memory.c.  A bell is an eventfd; the one that was given out
 * is its receiver's to close, so that a copy of it is what rings.
 *
 * Locking: data->mu is held for the whole of each call; callbacks run under it.
 */
#include "queue_memory_inside.h"

#include "queue/cron.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct memory_client *
memory_client_find(const struct memory_data *data, int64_t id)
{
	for (size_t i = 0; i < data->client_count; i++)
		if (data->clients[i].id == id)
			return &data->clients[i];
	return NULL;
}

static void
client_remove(struct memory_data *data, struct memory_client *client)
{
	memory_close_gap(data->clients, &data->client_count, sizeof(*client),
			 (size_t)(client - data->clients));
}

/* The oldest job that the client runs, or NULL. */
static struct memory_job *
job_of(const struct memory_data *data, const struct memory_client *client)
{
	for (size_t i = 0; i < data->job_count; i++)
		if (data->jobs[i]->row.state == WEIR_JOB_RUNNING &&
		    data->jobs[i]->owner == client->id)
			return data->jobs[i];
	return NULL;
}

/* Its jobs have died with it, at most limit of them; how many. */
static uint32_t
client_bury(struct memory_data *data, struct memory_client *client,
	    uint32_t crashes_max, uint32_t limit, int64_t now_ms)
{
	struct memory_job *job = NULL;
	uint32_t n = 0;

	while (n < limit && (job = job_of(data, client)) != NULL) {
		memory_job_crash(data, job, client->name, crashes_max, now_ms);
		n++;
	}
	if (!job_of(data, client))
		client_remove(data, client);
	return n;
}

/* Does a process that lives work it, or (alone_only) work it alone? */
static bool
is_worked(const struct memory_data *data, bool alone_only)
{
	for (size_t i = 0; i < data->client_count; i++)
		if (data->clients[i].handle &&
		    (data->clients[i].alone || !alone_only))
			return true;
	return false;
}

/* Those who worked it alone and died: nobody else can have seen a beat. */
static void
bury_the_lonely(struct memory_data *data, uint32_t crashes_max, int64_t now_ms)
{
	for (size_t i = data->client_count; i-- > 0;)
		if (data->clients[i].alone && !data->clients[i].handle)
			client_bury(data, &data->clients[i], crashes_max,
				    UINT32_MAX, now_ms);
}

weir_status
memory_enlist(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	struct memory_client *client;

	weir__mutex_lock(&data->mu);
	if (is_worked(data, !owner->alone)) {
		weir__mutex_unlock(&data->mu);
		return weir__queue_error(reterr, WEIR_BUSY, 0,
					 owner->alone ? "somebody works it"
						      : "worked alone");
	}
	bury_the_lonely(data,
			owner->crashes_max ? owner->crashes_max : UINT32_MAX,
			weir__store_now_ms(store));
	data->clients = memory_gap(data->clients, &data->client_count,
				   sizeof(*data->clients), data->client_count);
	client = &data->clients[data->client_count - 1];
	client->id = owner->id = ++data->last_client;
	client->alone = owner->alone;
	client->handle = store;
	memcpy(client->name, owner->name, sizeof(client->name));
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

weir_status
memory_leave(weir_store *store, struct weir_owner *owner, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	struct memory_client *client;
	struct memory_job *job;

	(void)reterr;
	weir__mutex_lock(&data->mu);
	client = memory_client_find(data, owner->id);
	while (client && (job = job_of(data, client)) != NULL)
		memory_job_release(data, job, weir__store_now_ms(store));
	if (client)
		client_remove(data, client);
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

weir_status
memory_extend(weir_store *store, const struct weir_owner *owner,
	      weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	struct memory_client *client;

	weir__mutex_lock(&data->mu);
	client = memory_client_find(data, owner->id);
	if (client)
		client->beat++;
	weir__mutex_unlock(&data->mu);
	return client ? WEIR_OK
		      : weir__queue_error(reterr, WEIR_STALE, 0,
					  "taken for dead");
}

weir_status
memory_clients(weir_store *store, weir_client_fn *row, void *user,
	       weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);

	(void)reterr;
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; i < data->client_count; i++) {
		const struct memory_client *client = &data->clients[i];
		struct weir_client_row r = {.id = client->id,
					    .beat = client->beat,
					    .name = client->name,
					    .holds = job_of(data, client) !=
						     NULL,
					    .gone = !client->handle};

		if (!row(&r, user))
			break;
	}
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

weir_status
memory_rescue(weir_store *store, int64_t client_id, int64_t beat,
	      uint32_t crashes_max, uint32_t limit, uint32_t *ret_count,
	      weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	struct memory_client *client;

	(void)reterr;
	*ret_count = 0;
	weir__mutex_lock(&data->mu);
	client = memory_client_find(data, client_id);
	if (client && client->beat == beat)
		*ret_count = client_bury(data, client, crashes_max, limit,
					 weir__store_now_ms(store));
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Promoting.
 */
static bool
waits_for_its_time(const struct memory_job *job)
{
	return job->row.state == WEIR_JOB_SCHEDULED ||
	       job->row.state == WEIR_JOB_RETRYABLE;
}

/* The job whose time comes first, or NULL. */
static struct memory_job *
next_due(const struct memory_data *data)
{
	struct memory_job *first = NULL;

	for (size_t i = 0; i < data->job_count; i++)
		if (waits_for_its_time(data->jobs[i]) &&
		    (!first || data->jobs[i]->row.scheduled_at_ms <
				       first->row.scheduled_at_ms))
			first = data->jobs[i];
	return first;
}

/* Say in its metadata, an object, why it is discarded; as River does. */
static void
note_conflict(struct memory_job *job)
{
	static const char member[] =
		"\"unique_key_conflict\":\"scheduler_discarded\"}";
	struct weir_buf all = {0};

	if (job->row.metadata_len > 2) {
		weir__buf_append(&all, job->metadata,
				 job->row.metadata_len - 1);
		weir__buf_putc(&all, ',');
	} else {
		weir__buf_putc(&all, '{');
	}
	weir__buf_puts(&all, member);
	weir_assert(!all.failed);
	free(job->metadata);
	job->metadata = memory_copy(all.data, all.len);
	job->row.metadata_len = all.len;
	weir__buf_fini(&all);
	memory_job_show(job);
}

static void
promote(struct memory_data *data, struct memory_job *job, int64_t now_ms)
{
	struct memory_job *holder = memory_key_holder(data, job->unique_key);

	if (!holder || holder == job) {
		job->row.state = WEIR_JOB_AVAILABLE;
		return;
	}
	memory_key_drop(job);
	note_conflict(job);
	memory_job_end(data, job, WEIR_JOB_DISCARDED, now_ms);
}

weir_status
memory_promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
	       int64_t *ret_next_ms, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	int64_t now_ms = weir__store_now_ms(store);
	struct memory_job *job;
	uint32_t n = 0;

	(void)reterr;
	weir__mutex_lock(&data->mu);
	while ((job = next_due(data)) != NULL && n < limit &&
	       job->row.scheduled_at_ms <= now_ms) {
		promote(data, job, now_ms);
		n++;
	}
	if (n > 0)
		memory_ring(data);
	*ret_count = n;
	*ret_next_ms = job ? job->row.scheduled_at_ms : INT64_MAX;
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Cleaning.
 */
static bool
is_past(const struct memory_job *job, const struct weir_retention *retention,
	int64_t now_ms)
{
	int64_t keep_ms = retention->keep_ms[job->row.state];

	return (WEIR_JOB_STATES_FINAL & WEIR_JOB_STATE_BIT(job->row.state)) &&
	       keep_ms >= 0 && now_ms - job->row.finalized_at_ms >= keep_ms;
}

weir_status
memory_clean(weir_store *store, const struct weir_retention *retention,
	     uint32_t limit, uint32_t *ret_count, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	int64_t now_ms = weir__store_now_ms(store);
	size_t i = 0;

	(void)reterr;
	*ret_count = 0;
	weir__mutex_lock(&data->mu);
	while (i < data->job_count && *ret_count < limit) {
		if (is_past(data->jobs[i], retention, now_ms)) {
			memory_job_delete(data, data->jobs[i]);
			++*ret_count;
		} else {
			i++;
		}
	}
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Queues.
 */
struct memory_queue *
memory_queue_find(const struct memory_data *data, const char *name)
{
	for (size_t i = 0; i < data->queue_count; i++)
		if (strcmp(data->queues[i].name, name) == 0)
			return &data->queues[i];
	return NULL;
}

struct memory_queue *
memory_queue_make(struct memory_data *data, const char *name, int64_t now_ms)
{
	struct memory_queue *queue = memory_queue_find(data, name);
	size_t i = 0;

	if (queue)
		return queue;
	while (i < data->queue_count && strcmp(data->queues[i].name, name) < 0)
		i++;
	data->queues = memory_gap(data->queues, &data->queue_count,
				  sizeof(*data->queues), i);
	data->queues[i].name = memory_copy(name, strlen(name));
	data->queues[i].created_at_ms = now_ms;
	return &data->queues[i];
}

weir_status
memory_queues(weir_store *store, weir_queue_row_fn *row, void *user,
	      weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);

	(void)reterr;
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; i < data->queue_count; i++) {
		const struct memory_queue *queue = &data->queues[i];
		weir_queue_row r = {.name = queue->name,
				    .created_at_ms = queue->created_at_ms,
				    .paused_at_ms = queue->paused_at_ms,
				    .finished = queue->finished};

		for (size_t j = 0; j < data->job_count; j++)
			if (strcmp(data->jobs[j]->queue, queue->name) == 0)
				r.counts[data->jobs[j]->row.state]++;
		if (!row(&r, user))
			break;
	}
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

static void
queue_change(struct memory_queue *queue, int pause, int finished,
	     int64_t now_ms)
{
	if (pause > 0 && !queue->paused_at_ms)
		queue->paused_at_ms = now_ms;
	if (pause == 0)
		queue->paused_at_ms = 0;
	if (finished >= 0)
		queue->finished = (weir_finished_policy)finished;
}

weir_status
memory_queue_set(weir_store *store, const char *name, int pause, int finished,
		 weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	int64_t now_ms = weir__store_now_ms(store);
	bool all = strcmp(name, "*") == 0;
	struct memory_queue *queue = NULL;

	weir_assert(!all || finished < 0);
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; all && i < data->queue_count; i++)
		queue_change(&data->queues[i], pause, finished, now_ms);
	if (!all)
		queue = finished >= 0 ? memory_queue_make(data, name, now_ms)
				      : memory_queue_find(data, name);
	if (queue)
		queue_change(queue, pause, finished, now_ms);
	if (pause == 0)
		memory_ring(data);
	weir__mutex_unlock(&data->mu);
	return all || queue ? WEIR_OK
			    : weir__queue_error(reterr, WEIR_NOTFOUND, 0,
						"no queue %s", name);
}

/*
 * Schedules.
 */
/* The spec, which was checked. */
static struct weir_cron
cron_of(const char *spec)
{
	char why[WEIR_CRON_WHY_MAX];
	struct weir_cron cron;

	if (!weir__cron_parse(spec, &cron, why))
		weir_bug("a spec that was not checked");
	return cron;
}

static size_t
schedule_index(const struct memory_data *data, const char *name)
{
	size_t i = 0;

	while (i < data->schedule_count &&
	       strcmp(data->schedules[i].name, name) < 0)
		i++;
	return i;
}

static bool
schedule_is(const struct memory_data *data, size_t index, const char *name)
{
	return index < data->schedule_count &&
	       strcmp(data->schedules[index].name, name) == 0;
}

void
memory_schedule_remove(struct memory_data *data, size_t index)
{
	struct memory_schedule *s = &data->schedules[index];

	free(s->name);
	free(s->spec);
	free(s->queue);
	free(s->kind);
	free(s->args);
	free(s->metadata);
	free(s->tags);
	memory_close_gap(data->schedules, &data->schedule_count, sizeof(*s),
			 index);
}

/* Copy what the draft lends. */
static void
schedule_keep_draft(struct memory_schedule *s, const struct weir_draft *draft)
{
	s->draft = *draft;
	s->queue = memory_copy(draft->queue, draft->queue_len);
	s->kind = memory_copy(draft->kind, draft->kind_len);
	s->args = memory_copy(draft->args, draft->args_len);
	s->metadata = memory_copy(draft->metadata, draft->metadata_len);
	s->tags = memory_copy(draft->tags, draft->tags_len);
	if (draft->unique_key)
		memcpy(s->unique_key, draft->unique_key, 32);
}

/* Let the draft point to what s owns, which may have moved. */
static const struct weir_draft *
schedule_draft(struct memory_schedule *s)
{
	s->draft.queue = s->queue;
	s->draft.kind = s->kind;
	s->draft.args = s->args;
	s->draft.metadata = s->metadata;
	s->draft.tags = s->tags;
	if (s->draft.unique_key)
		s->draft.unique_key = s->unique_key;
	return &s->draft;
}

/* An empty place for one of that name, and what was there. */
static struct memory_schedule *
schedule_place(struct memory_data *data, const char *name,
	       struct memory_schedule *ret_old)
{
	size_t i = schedule_index(data, name);

	*ret_old = (struct memory_schedule){.paused = true};
	if (schedule_is(data, i, name)) {
		*ret_old = data->schedules[i];
		ret_old->spec =
			memory_copy(ret_old->spec, strlen(ret_old->spec));
		memory_schedule_remove(data, i);
	}
	data->schedules = memory_gap(data->schedules, &data->schedule_count,
				     sizeof(*data->schedules), i);
	return &data->schedules[i];
}

weir_status
memory_schedule_put(weir_store *store, const weir_schedule *schedule,
		    const struct weir_draft *draft, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	struct memory_schedule *s, old;
	struct weir_cron cron = cron_of(schedule->spec);

	(void)reterr;
	weir__mutex_lock(&data->mu);
	s = schedule_place(data, schedule->name, &old);
	s->name = memory_copy(schedule->name, strlen(schedule->name));
	s->spec = memory_copy(schedule->spec, strlen(schedule->spec));
	s->paused = schedule->paused;
	s->last_at_ms = old.last_at_ms;
	s->next_at_ms = weir__cron_next_ms(&cron, weir__store_now_ms(store));
	/* Who puts it again at each start must not skip a tick by that. */
	if (!old.paused && strcmp(old.spec, s->spec) == 0)
		s->next_at_ms = old.next_at_ms;
	free(old.spec);
	schedule_keep_draft(s, draft);
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

weir_status
memory_schedule_delete(weir_store *store, const char *name, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	size_t i;
	bool found;

	weir__mutex_lock(&data->mu);
	i = schedule_index(data, name);
	found = schedule_is(data, i, name);
	if (found)
		memory_schedule_remove(data, i);
	weir__mutex_unlock(&data->mu);
	return found ? WEIR_OK
		     : weir__queue_error(reterr, WEIR_NOTFOUND, 0,
					 "no schedule %s", name);
}

weir_status
memory_schedule_pause(weir_store *store, const char *name, bool pause,
		      weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	size_t i;
	bool found;

	weir__mutex_lock(&data->mu);
	i = schedule_index(data, name);
	found = schedule_is(data, i, name);
	if (found) {
		struct memory_schedule *s = &data->schedules[i];
		struct weir_cron cron = cron_of(s->spec);

		if (s->paused)
			s->next_at_ms = weir__cron_next_ms(
				&cron, weir__store_now_ms(store));
		s->paused = pause;
	}
	weir__mutex_unlock(&data->mu);
	return found ? WEIR_OK
		     : weir__queue_error(reterr, WEIR_NOTFOUND, 0,
					 "no schedule %s", name);
}

weir_status
memory_schedules(weir_store *store, weir_schedule_fn *row, void *user,
		 weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	bool more = true;

	(void)reterr;
	weir__mutex_lock(&data->mu);
	for (size_t i = 0; more && i < data->schedule_count; i++) {
		struct memory_schedule *s = &data->schedules[i];
		weir_insert job = {.size = sizeof(job),
				   .queue = s->queue,
				   .kind = s->kind,
				   .args = s->args,
				   .args_len = s->draft.args_len,
				   .metadata = s->metadata,
				   .metadata_len = s->draft.metadata_len,
				   .priority = s->draft.priority,
				   .max_attempts = s->draft.max_attempts,
				   .timeout_ns = s->draft.timeout_ns};
		weir_schedule r = {.size = sizeof(r),
				   .name = s->name,
				   .spec = s->spec,
				   .job = &job,
				   .paused = s->paused,
				   .next_at_ms = s->next_at_ms,
				   .last_at_ms = s->last_at_ms};

		more = row(&r, user);
	}
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/* One job for the latest tick that is due, however many were missed. */
static void
fire(struct memory_data *data, struct memory_schedule *s, int64_t now_ms)
{
	struct weir_draft draft = *schedule_draft(s);
	struct weir_cron cron = cron_of(s->spec);

	weir_assert(s->next_at_ms <= now_ms);
	s->last_at_ms = weir__cron_last_ms(&cron, now_ms);
	s->next_at_ms = weir__cron_next_ms(&cron, now_ms);
	draft.state = WEIR_JOB_AVAILABLE;
	draft.created_at_ms = now_ms;
	draft.scheduled_at_ms = s->last_at_ms;
	memory_queue_make(data, draft.queue, now_ms);
	if (!memory_key_holder(data, draft.unique_key))
		memory_job_add(data, &draft);
	else
		data->last_job++; /* ids are counted ahead */
}

/* The one whose tick comes first; NULL: none has one, or all are paused. */
static struct memory_schedule *
next_schedule(const struct memory_data *data)
{
	struct memory_schedule *first = NULL;

	for (size_t i = 0; i < data->schedule_count; i++) {
		struct memory_schedule *s = &data->schedules[i];

		if (!s->paused && s->next_at_ms &&
		    (!first || s->next_at_ms < first->next_at_ms))
			first = s;
	}
	return first;
}

weir_status
memory_fire(weir_store *store, uint32_t limit, uint32_t *ret_count,
	    int64_t *ret_next_ms, weir_error *reterr)
{
	struct memory_data *data = memory_data_of(store);
	int64_t now_ms = weir__store_now_ms(store);
	struct memory_schedule *next;
	uint32_t n = 0;

	(void)reterr;
	weir__mutex_lock(&data->mu);
	while ((next = next_schedule(data)) != NULL && n < limit &&
	       next->next_at_ms <= now_ms) {
		fire(data, next, now_ms);
		n++;
	}
	if (n > 0)
		memory_ring(data);
	*ret_count = n;
	*ret_next_ms = next ? next->next_at_ms : INT64_MAX;
	weir__mutex_unlock(&data->mu);
	return WEIR_OK;
}

/*
 * Bells.
 */
void
memory_ring(struct memory_data *data)
{
	/* It cannot fail: a counter that is full is readable already. */
	for (size_t i = 0; i < data->bell_count; i++)
		(void)!eventfd_write(data->bells[i], 1);
}

int
memory_wake_fd(weir_store *store)
{
	struct memory_data *data = memory_data_of(store);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ours = dup(fd);

	weir_assert(fd >= 0 && ours >= 0);
	weir__mutex_lock(&data->mu);
	data->bells = memory_gap(data->bells, &data->bell_count,
				 sizeof(*data->bells), data->bell_count);
	data->bells[data->bell_count - 1] = ours;
	weir__mutex_unlock(&data->mu);
	return fd;
}

void
memory_hush(weir_store *store, int fd)
{
	eventfd_t count;

	(void)store;
	(void)!eventfd_read(fd, &count);
}

void
memory_wake(weir_store *store)
{
	struct memory_data *data = memory_data_of(store);

	weir__mutex_lock(&data->mu);
	memory_ring(data);
	weir__mutex_unlock(&data->mu);
}
