/*
 * The event loop: children and their pipes on one thread.
 *
 * Design.  A reactor is the state of one of the pool's workers, and its loop
 * is the worker's: the pool starts jobs here, and calls wait when it has
 * nothing else to do.  An event names the slot it is for; since a slot may be
 * somebody else's by the time, all that an event does is make us look.
 *
 *      epoll --- pidfds, pipes ---> the slot's attempt
 *            --- what the source waits for ---> the pool asks it again
 *            --- eventfd: wake
 *
 * Each attempt has one timer, in a heap: when to watch its pipes, when to send
 * KILL, how long to wait for who holds a pipe, when to try again to start it.
 *
 * Signals, but for faults, are blocked in the thread as long as it is a
 * reactor's: none may come between clone(2) and exec.
 *
 * Locking: see reactor.h; wake and poke come from other threads and touch
 * nothing but atomic words and the eventfd.
 */
#include "exec/reactor.h"

#include "base/assert.h"
#include "sync/clock.h"
#include "sync/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 64
/* Orphans that have ended are reaped so often, or after so many attempts. */
#define SWEEP_NS    (1 * WEIR_S)
#define SWEEP_ENDED 256
/* How soon to ask the source again that cannot be watched. */
#define UNWATCHED_NS (10 * WEIR_MS)

enum event_kind {
	EVENT_EXIT,
	EVENT_OUT,
	EVENT_ERR,
	EVENT_WAKE,
	EVENT_HUNGRY,
};

static uint64_t
event_tag(enum event_kind kind, size_t at)
{
	return (uint64_t)kind << 32 | (uint32_t)at;
}

static size_t
index_of(const struct weir_exec_run *run)
{
	return (size_t)(run - run->reactor->runs);
}

static bool
watch(struct weir_exec_reactor *reactor, int fd, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

	return epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
	       errno == EEXIST;
}

bool
weir__exec_watch_exit(struct weir_exec_run *run)
{
	if (!run->watched)
		run->watched = watch(run->reactor, run->pidfd,
				     event_tag(EVENT_EXIT, index_of(run)));
	return run->watched;
}

void
weir__exec_unwatch_exit(struct weir_exec_run *run)
{
	if (run->watched)
		(void)epoll_ctl(run->reactor->epoll_fd, EPOLL_CTL_DEL,
				run->pidfd, NULL);
	run->watched = false;
}

bool
weir__exec_watch_stream(struct weir_exec_run *run,
			struct weir_exec_stream *stream)
{
	enum event_kind kind = stream->is_err ? EVENT_ERR : EVENT_OUT;

	if (stream->fd < 0 || stream->refused)
		return true;
	if (!stream->watched)
		stream->watched = watch(run->reactor, stream->fd,
					event_tag(kind, index_of(run)));
	return stream->watched;
}

void
weir__exec_unwatch_stream(struct weir_exec_run *run,
			  struct weir_exec_stream *stream)
{
	if (stream->watched)
		(void)epoll_ctl(run->reactor->epoll_fd, EPOLL_CTL_DEL,
				stream->fd, NULL);
	stream->watched = false;
}

void
weir__exec_run_set_timer(struct weir_exec_run *run, int64_t due_ns)
{
	struct weir_heap *timers = &run->reactor->timers;

	weir__heap_remove(timers, &run->timer);
	run->timer.key = due_ns;
	if (due_ns != WEIR_FOREVER)
		weir__heap_push(timers, &run->timer);
}

struct weir_exec_run *
weir__exec_reactor_take(struct weir_exec_reactor *reactor)
{
	struct weir_list *link = weir__list_pop(&reactor->idle);

	if (!link)
		return NULL;
	weir__list_append(&reactor->busy, link);
	return weir_container_of(link, struct weir_exec_run, link);
}

void
weir__exec_run_free(struct weir_exec_run *run)
{
	struct weir_exec_reactor *reactor = run->reactor;

	weir__exec_run_set_timer(run, WEIR_FOREVER);
	weir__exec_slot_give(reactor->engine, run->slot);
	run->phase = WEIR_EXEC_IDLE;
	run->job = NULL;
	run->ctx = NULL;
	weir__list_remove(&run->link);
	weir__list_prepend(&reactor->idle, &run->link);
	reactor->ended = true;
	reactor->sweep_ended++;
}

static struct weir_exec_run *
run_of(struct weir_list *link)
{
	return weir_container_of(link, struct weir_exec_run, link);
}

static void
run_timers(struct weir_exec_reactor *reactor, int64_t now_ns)
{
	struct weir_heap_node *first;

	while ((first = weir__heap_top(&reactor->timers)) &&
	       first->key <= now_ns) {
		weir__heap_remove(&reactor->timers, first);
		weir__exec_run_due(
			weir_container_of(first, struct weir_exec_run, timer),
			now_ns);
	}
}

/* A child has ended somewhere: let the first of those that wait try again. */
static void
retry_start(struct weir_exec_reactor *reactor, int64_t now_ns)
{
	if (weir__u32_exchange(&reactor->freed, 0, WEIR_SEQ_CST) &&
	    !weir__list_empty(&reactor->starting))
		weir__exec_run_retry(run_of(reactor->starting.next), now_ns);
}

static void
poke_streams(struct weir_exec_reactor *reactor)
{
	struct weir_list *link, *next;

	if (!weir__u32_exchange(&reactor->poked, 0, WEIR_SEQ_CST))
		return;
	for (link = reactor->busy.next; link != &reactor->busy; link = next) {
		next = link->next;
		weir__exec_run_poke(run_of(link));
	}
}

static void
cancel_marked(struct weir_list *runs)
{
	struct weir_list *link, *next;

	for (link = runs->next; link != runs; link = next) {
		struct weir_exec_run *run = run_of(link);

		next = link->next;
		if (weir__u32_load(&run->command->canceled, WEIR_SEQ_CST))
			weir__exec_run_cancel(run);
	}
}

/* Some job is to be cancelled: is it one of ours? */
static void
cancel_runs(struct weir_exec_reactor *reactor)
{
	if (!weir__u32_load(&reactor->canceled, WEIR_SEQ_CST) ||
	    !weir__u32_exchange(&reactor->canceled, 0, WEIR_SEQ_CST))
		return;
	cancel_marked(&reactor->busy);
	cancel_marked(&reactor->starting);
}

static int
compare_pids(const void *a, const void *b)
{
	const pid_t *pa = a, *pb = b;

	return (*pa > *pb) - (*pa < *pb);
}

/* The children that this thread has started; how many. */
static size_t
list_own(struct weir_exec_reactor *reactor)
{
	size_t count = 0;

	for (size_t i = 0; i < reactor->run_count; i++)
		if (reactor->runs[i].pid != 0)
			reactor->own[count++] = reactor->runs[i].pid;
	qsort(reactor->own, count, sizeof(*reactor->own), compare_pids);
	return count;
}

/* Look after what children have left behind.  When to do so again. */
static int64_t
sweep(struct weir_exec_reactor *reactor, int64_t now_ns)
{
	int64_t due_ns = reactor->sweep_ns;

	if (reactor->sweep_ended > 0)
		due_ns = weir__earlier_ns(due_ns, reactor->swept_ns + SWEEP_NS);
	if (due_ns > now_ns && reactor->sweep_ended < SWEEP_ENDED)
		return due_ns;
	reactor->swept_ns = now_ns;
	reactor->sweep_ended = 0;
	reactor->sweep_ns = weir__descendants_sweep(
		&reactor->engine->descendants, reactor->own, list_own(reactor),
		now_ns);
	return reactor->sweep_ns;
}

static void
handle(struct weir_exec_reactor *reactor, const struct epoll_event *event,
       int64_t now_ns)
{
	struct weir_exec_run *run = NULL;
	size_t at = (uint32_t)event->data.u64;
	uint64_t count;

	if (at < reactor->run_count)
		run = &reactor->runs[at];
	switch ((enum event_kind)(event->data.u64 >> 32)) {
	case EVENT_EXIT:
		weir__exec_run_look(run, now_ns);
		break;
	case EVENT_OUT:
	case EVENT_ERR:
		weir__exec_run_read(run, event->data.u64 >> 32 == EVENT_ERR);
		break;
	case EVENT_WAKE:
		while (read(reactor->wake_fd, &count, sizeof(count)) < 0 &&
		       errno == EINTR)
			;
		break;
	case EVENT_HUNGRY:
		break; /* the pool asks the source again when we return */
	}
}

/*
 * Watch what the source waits for, once: it may be readable for long while
 * there is no room for what it has.  How long to wait at most.
 */
static int64_t
watch_source(struct weir_exec_reactor *reactor, int64_t now_ns)
{
	const struct weir_exec_hooks *hooks = &reactor->engine->hooks;
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = event_tag(EVENT_HUNGRY, 0),
	};
	int fd = -1, failed;
	int64_t wait_ns = hooks->hungry(&fd, hooks->user);

	if (fd >= 0) {
		failed =
			epoll_ctl(reactor->epoll_fd, EPOLL_CTL_MOD, fd, &event);
		if (failed && errno == ENOENT)
			failed = epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd,
					   &event);
		/* Such as a file, which is always readable. */
		if (failed)
			wait_ns = weir__earlier_ns(wait_ns, UNWATCHED_NS);
	}
	return weir__deadline_ns(now_ns, wait_ns);
}

/* Milliseconds from now on, rounded up; -1 for ever. */
static int
until_ms(int64_t due_ns, int64_t now_ns)
{
	int64_t wait_ns = due_ns - now_ns;

	if (due_ns == WEIR_FOREVER)
		return -1;
	if (wait_ns <= 0)
		return 0;
	if (wait_ns > 60 * WEIR_S)
		wait_ns = 60 * WEIR_S;
	return (int)((wait_ns + WEIR_MS - 1) / WEIR_MS);
}

void
weir__exec_reactor_wait(void *state, int64_t deadline_ns, bool hungry,
			void *user)
{
	struct weir_exec_reactor *reactor = state;
	struct epoll_event events[EVENTS_MAX];
	int64_t now_ns = weir_now_ns(), due_ns = deadline_ns;
	const struct weir_heap_node *first;
	int count;

	(void)user;
	reactor->ended = false;
	run_timers(reactor, now_ns);
	retry_start(reactor, now_ns);
	poke_streams(reactor);
	cancel_runs(reactor);
	due_ns = weir__earlier_ns(due_ns, sweep(reactor, now_ns));
	if (hungry)
		due_ns =
			weir__earlier_ns(due_ns, watch_source(reactor, now_ns));
	first = weir__heap_top(&reactor->timers);
	if (first)
		due_ns = weir__earlier_ns(due_ns, first->key);
	count = epoll_wait(reactor->epoll_fd, events, EVENTS_MAX,
			   reactor->ended ? 0 : until_ms(due_ns, now_ns));
	now_ns = weir_now_ns();
	for (int i = 0; i < count; i++)
		handle(reactor, &events[i], now_ns);
}

void
weir__exec_reactor_wake(void *state, void *user)
{
	struct weir_exec_reactor *reactor = state;
	uint64_t one = 1;

	(void)user;
	while (write(reactor->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static bool
epoll_init(struct weir_exec_reactor *reactor)
{
	reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	reactor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return reactor->epoll_fd >= 0 && reactor->wake_fd >= 0 &&
	       watch(reactor, reactor->wake_fd, event_tag(EVENT_WAKE, 0));
}

/* The slots of worker number `worker`, as the pool shares them out. */
static size_t
slots_of(const struct weir_exec_engine *engine, uint32_t worker)
{
	return engine->options.jobs / engine->threads +
	       (worker < engine->options.jobs % engine->threads);
}

static bool
runs_init(struct weir_exec_reactor *reactor, size_t count)
{
	weir__list_init(&reactor->idle);
	weir__list_init(&reactor->busy);
	weir__list_init(&reactor->starting);
	reactor->runs = calloc(count, sizeof(*reactor->runs));
	reactor->own = calloc(count, sizeof(*reactor->own));
	if (!reactor->runs || !reactor->own ||
	    !weir__heap_reserve(&reactor->timers, count))
		return false;
	reactor->run_count = count;
	for (size_t i = 0; i < count; i++) {
		struct weir_exec_run *run = &reactor->runs[i];

		run->reactor = reactor;
		run->pidfd = -1;
		run->out.fd = -1;
		run->err.fd = -1;
		run->err.is_err = true;
		weir__list_init(&run->link);
		weir__list_append(&reactor->idle, &run->link);
	}
	return true;
}

static bool
is_own_variable(const char *variable, const char *withheld)
{
	if (withheld && strncmp(variable, withheld, strlen(withheld)) == 0)
		return true;
	return strncmp(variable, "WEIR_SEQ=", 9) == 0 ||
	       strncmp(variable, "WEIR_SLOT=", 10) == 0 ||
	       strncmp(variable, "WEIR_ATTEMPT=", 13) == 0;
}

/* Our environment, and behind it what differs from job to job. */
static bool
env_init(struct weir_exec_reactor *reactor)
{
	const char *withheld = reactor->engine->options.env_withheld;
	size_t count = 0, at = 0;

	while (environ && environ[count])
		count++;
	reactor->envp = calloc(count + 3 + WEIR_EXEC_ENV_MAX + 1,
			       sizeof(*reactor->envp));
	if (!reactor->envp)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!is_own_variable(environ[i], withheld))
			reactor->envp[at++] = environ[i];
	for (size_t i = 0; i < 3; i++)
		reactor->envp[at++] = reactor->own_env[i];
	reactor->envp_job = &reactor->envp[at];
	return true;
}

static void
reactor_free(struct weir_exec_reactor *reactor)
{
	if (reactor->epoll_fd >= 0)
		(void)close(reactor->epoll_fd);
	if (reactor->wake_fd >= 0)
		(void)close(reactor->wake_fd);
	weir__heap_fini(&reactor->timers);
	weir__buf_fini(&reactor->program.name);
	weir__buf_fini(&reactor->program.path);
	weir__mutex_fini(&reactor->mu);
	free(reactor->envp);
	free(reactor->runs);
	free(reactor->own);
	free(reactor->stack);
	free(reactor->buffer);
	free(reactor);
}

/* Signals that nobody but us brings upon this thread are for others. */
static void
block_signals(struct weir_exec_reactor *reactor)
{
	static const int faults[] = {SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
				     SIGABRT, SIGTRAP, SIGSYS};
	weir_status status;
	sigset_t block;

	(void)sigfillset(&block);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		(void)sigdelset(&block, faults[i]);
	status = weir__thread_sigmask(SIG_SETMASK, &block,
				      &reactor->mask_before);
	weir_assert(status == WEIR_OK);
}

weir_status
weir__exec_reactor_init(uint32_t worker, void **ret_state, void *user)
{
	struct weir_exec_engine *engine = user;
	struct weir_exec_reactor *reactor = calloc(1, sizeof(*reactor));

	if (!reactor)
		return WEIR_NOMEM;
	reactor->engine = engine;
	reactor->sweep_ns = WEIR_FOREVER;
	reactor->swept_ns = weir_now_ns();
	weir__mutex_init(&reactor->mu);
	reactor->wake_fd = -1;
	reactor->stack = malloc(WEIR_CHILD_STACK);
	reactor->buffer = malloc(WEIR_EXEC_BUFFER);
	if (!epoll_init(reactor) || !reactor->stack || !reactor->buffer ||
	    !runs_init(reactor, slots_of(engine, worker)) ||
	    !env_init(reactor) ||
	    !weir__descendants_enter(&engine->descendants)) {
		(void)weir__u32_cas(&engine->unmade, 0, (uint32_t)errno,
				    WEIR_SEQ_CST);
		reactor_free(reactor);
		return WEIR_SYSTEM;
	}
	block_signals(reactor);
	weir__mutex_lock(&engine->reactors_mu);
	engine->reactors[worker] = reactor;
	weir__mutex_unlock(&engine->reactors_mu);
	*ret_state = reactor;
	return WEIR_OK;
}

void
weir__exec_reactor_exit(uint32_t worker, void *state, void *user)
{
	struct weir_exec_engine *engine = user;
	struct weir_exec_reactor *reactor = state;
	weir_status status;

	weir__mutex_lock(&engine->reactors_mu);
	engine->reactors[worker] = NULL;
	weir__mutex_unlock(&engine->reactors_mu);
	weir__descendants_leave(&engine->descendants);
	status = weir__thread_sigmask(SIG_SETMASK, &reactor->mask_before, NULL);
	weir_assert(status == WEIR_OK);
	reactor_free(reactor);
}
