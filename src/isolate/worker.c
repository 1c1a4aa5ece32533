/*
 * The life of a worker's process.
 *
 *      set up ── init ── sandbox ── READY ──┬─> JOB ── run ── ANSWER ─┐
 *                                           ^                         │
 *                                           └─────────────────────────┘
 *      QUIT, or the program has gone:  exit, and the end
 *
 * Design.  One thread, which takes one message at a time and answers it before
 * it takes the next: so the program can tell from what is left in the socket
 * which job a process died of.  The last of a batch rings the bell, an
 * eventfd, so that the program is woken once a batch.
 *
 * A fatal signal is met by a handler that sends a note of what it saw - the
 * address, whether memory had just run out - and lets the process die of the
 * signal as it would have anyway.  SIGTERM makes the job's context done.
 *
 * Locking.  None.
 */
#include "isolate/frame.h"

#include "core/isolated.h"
#include "isolate/payload.h"
#include "isolate/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct process {
	const struct weir_worker_spec *spec;
	struct weir_seat *seat;
	void *state;
	bool small;                 /* jobs are records, in pipes */
	size_t job_max, answer_max; /* bytes of a message */
	struct weir_job_frame *job;
	struct weir_answer_frame *answer;
	void *large; /* for payloads that are not in a frame */
};

/* What the handlers need; there is one worker in this process. */
static struct {
	struct weir_seat *seat;
	uintptr_t stack_top;
	size_t stack_size;
	_Alignas(max_align_t) char stack[64 * 1024];
} handlers;

static bool
is_beyond_stack(uintptr_t address)
{
	uintptr_t end = handlers.stack_top - handlers.stack_size;

	return handlers.stack_size > 0 && address < end + 256 * 1024 &&
	       address > end - 1024 * 1024;
}

static void
fatal_handler(int number, siginfo_t *info, void *context)
{
	struct weir_note_frame note = {.kind = WEIR_FRAME_NOTE};

	(void)context;
	note.no_memory = errno == ENOMEM;
	note.signal = number;
	/* Sent by somebody: there is no address, and nothing happens again. */
	if (info->si_code <= 0) {
		(void)signal(number, SIG_DFL);
		(void)raise(number);
	} else if (number == SIGSEGV || number == SIGBUS) {
		note.has_address = true;
		note.address = (uintptr_t)info->si_addr;
		note.stack = is_beyond_stack((uintptr_t)info->si_addr);
	}
	(void)send(WEIR_WORKER_SOCKET, &note, sizeof(note),
		   MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)signal(number, SIG_DFL);
}

/*
 * The program says which job it means: this may come before the job has begun,
 * but not, as any signal, after whatever is sent later.
 */
static void
term_handler(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	uint64_t job = 0;

	(void)number;
	(void)context;
	if (info->si_code == SI_QUEUE)
		job = (uintptr_t)info->si_value.sival_ptr;
	if (handlers.seat)
		weir__seat_cancel(handlers.seat, job);
	errno = saved;
}

static void
handlers_set(void)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct sigaction action = {.sa_sigaction = fatal_handler,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t stack = {.ss_sp = handlers.stack,
			 .ss_size = sizeof(handlers.stack)};
	struct rlimit limit;

	handlers.stack_top = (uintptr_t)__builtin_frame_address(0);
	if (getrlimit(RLIMIT_STACK, &limit) == 0 &&
	    limit.rlim_cur < handlers.stack_top)
		handlers.stack_size = (size_t)limit.rlim_cur;
	(void)sigaltstack(&stack, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		(void)sigaction(fatal[i], &action, NULL);
	/* What a job waits in is interrupted: no SA_RESTART. */
	action = (struct sigaction){.sa_sigaction = term_handler,
				    .sa_flags = SA_SIGINFO};
	(void)sigaction(SIGTERM, &action, NULL);
}

/* Bytes of address space in use; 0 if that cannot be known. */
static uint64_t
address_space(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? strtoull(text, NULL, 10) * (unsigned)getpagesize() : 0;
}

static void
limit_set(unsigned what, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) != 0)
		return;
	limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
	(void)setrlimit(what, &limit);
}

static void
limits_set(const weir_isolate_options *limits)
{
	limit_set(RLIMIT_CORE, 0);
	if (limits->memory_max > 0)
		limit_set(RLIMIT_AS, address_space() + limits->memory_max);
	if (limits->files_max > 0)
		limit_set(RLIMIT_NOFILE, limits->files_max);
}

/* So many seconds more than this process has used. */
static void
cpu_limit_set(uint32_t seconds)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used) != 0)
		return;
	limit_set(RLIMIT_CPU,
		  (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1 +
			  seconds);
}

/* The kernel, when memory is short: rather this than the program. */
static void
volunteer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "500", 3);
	close(fd);
}

/* All memory that jobs need here; false: there is none. */
static bool
process_alloc(struct process *p)
{
	const struct weir_worker_spec *spec = p->spec;
	size_t both = spec->in_size + spec->out_size;
	size_t out = spec->out_size > WEIR_INLINE_MAX ? 0 : spec->out_size;

	p->small = weir__sizes_are_small(spec->in_size, spec->out_size);
	p->job_max = weir__record_size(spec->in_size, spec->out_size);
	if (p->job_max > sizeof(*p->job) + WEIR_INLINE_MAX)
		p->job_max = sizeof(*p->job) + WEIR_INLINE_MAX;
	p->answer_max = sizeof(*p->answer) + out + WEIR_ERROR_MAX;
	p->job = calloc(1, p->job_max);
	p->answer = calloc(1, p->answer_max);
	if (both > WEIR_INLINE_MAX)
		p->large = calloc(1, both);
	return p->job && p->answer && (p->large || both <= WEIR_INLINE_MAX);
}

static weir_status
process_init(struct process *p, struct weir_ready_frame *ready)
{
	const struct weir_worker_spec *spec = p->spec;
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	weir_status status = WEIR_OK;

	if (!process_alloc(p))
		return WEIR_NOMEM;
	if (spec->init)
		status = spec->init(spec->worker, &p->state, spec->user);
	if (status != WEIR_OK)
		return status;
	options.out_size = spec->out_size;
	options.run = spec->run;
	options.user = spec->user;
	p->seat = weir__seat_new(&options, spec->worker, p->state);
	handlers.seat = p->seat;
	if (!p->seat)
		return WEIR_NOMEM;
	return weir__sandbox_enter(spec->limits.sandbox, &ready->sandbox)
		       ? WEIR_OK
		       : WEIR_SYSTEM;
}

/* Where a job's input and output are in memory. */
struct payload {
	const void *in;
	void *out;
};

/*
 * The payload of the job that has just come, with size bytes behind the frame
 * or in fd.  False: it is not what it should be.
 */
static bool
payload_open(struct process *p, size_t size, int fd, struct payload *ret)
{
	const struct weir_worker_spec *spec = p->spec;
	size_t in = spec->in_size, out = spec->out_size;
	bool again = p->job->attempt > 1;
	char *behind = (char *)(p->job + 1);

	if (p->large) {
		ret->in = p->large;
		ret->out = (char *)p->large + in;
	} else {
		ret->in = behind;
		ret->out = p->answer + 1;
	}
	if (p->job->flags & WEIR_FRAME_MEMFD)
		return size == 0 &&
		       weir__payload_is_sound(fd, in + (again ? out : 0)) &&
		       weir__payload_read(fd, 0, p->large,
					  in + (again ? out : 0));
	if (size !=
	    (p->small ? p->job_max - sizeof(*p->job) : in + (again ? out : 0)))
		return false;
	if (p->large)
		memcpy(p->large, behind, size);
	else if (again)
		memcpy(ret->out, behind + in, out);
	return true;
}

static bool
answer_send(struct process *p, const struct weir_call *call, const void *out)
{
	struct weir_answer_frame *answer = p->answer;
	size_t size = sizeof(*answer), text = 0;
	struct iovec piece = {(void *)(uintptr_t)out, p->spec->out_size};
	int fd = -1;
	ssize_t n;

	answer->kind = WEIR_FRAME_ANSWER;
	answer->seq = p->job->seq;
	answer->status = (uint32_t)call->status;
	answer->retry_after_ns = call->retry_after_ns;
	answer->flags = 0;
	if (p->spec->out_size > WEIR_INLINE_MAX) {
		fd = weir__payload_seal(&piece, 1);
		if (fd < 0)
			return false;
		answer->flags = WEIR_FRAME_MEMFD;
	} else {
		if (p->large)
			memcpy(answer + 1, out, p->spec->out_size);
		size += p->spec->out_size;
	}
	if (call->status != WEIR_OK) {
		text = strlen(call->error);
		memcpy((char *)answer + size, call->error, text);
	}
	answer->text_len = (uint32_t)text;
	piece = (struct iovec){answer, size + text};
	n = p->small ? write(WEIR_WORKER_ANSWERS, answer, size + text)
		     : weir__payload_send(WEIR_WORKER_SOCKET, &piece, 1, fd, 0);
	weir__fd_close(&fd);
	return n == (ssize_t)(size + text);
}

static bool
job_run(struct process *p, size_t size, int fd)
{
	const struct weir_job_frame *job = p->job;
	struct weir_call call = {
		.id = job->id,
		.number = (uint64_t)job->seq + 1,
		.attempt = job->attempt,
		.timeout_ns = job->timeout_ns,
		.deadline_ns = job->deadline_ns,
		.retry = &job->retry,
	};
	struct payload payload;

	if (!payload_open(p, size, fd, &payload))
		return false;
	if (p->spec->limits.cpu_s_max > 0)
		cpu_limit_set(p->spec->limits.cpu_s_max);
	/* So that the last of it is known to be the job's. */
	errno = 0;
	weir__seat_run(p->seat, &call, payload.in, payload.out);
	return answer_send(p, &call, payload.out) &&
	       (!(job->flags & WEIR_FRAME_LAST) ||
		eventfd_write(WEIR_WORKER_BELL, 1) == 0);
}

/*
 * A record from the pipe, which does not wait: the program reads there, too,
 * when it takes jobs back, and it must not.
 */
static ssize_t
record_read(struct process *p)
{
	struct pollfd polls = {WEIR_WORKER_JOBS, POLLIN, 0};
	ssize_t n;

	while ((n = read(WEIR_WORKER_JOBS, p->job, p->job_max)) < 0 &&
	       (errno == EAGAIN || errno == EINTR))
		(void)poll(&polls, 1, -1);
	return n;
}

/* The next message; how many bytes, or 0 if there will be none. */
static size_t
job_receive(struct process *p, int *ret_fd)
{
	ssize_t n;

	*ret_fd = -1;
	if (p->small) {
		n = record_read(p);
		return n > 0 ? (size_t)n : 0;
	}
	do
		n = weir__payload_receive(WEIR_WORKER_SOCKET, p->job,
					  p->job_max, ret_fd, 0);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

_Noreturn static void
process_serve(struct process *p)
{
	const struct weir_worker_spec *spec = p->spec;
	size_t size;
	bool good;
	int fd;

	while ((size = job_receive(p, &fd)) >= sizeof(*p->job) &&
	       p->job->kind == WEIR_FRAME_JOB) {
		good = job_run(p, size - sizeof(*p->job), fd);
		weir__fd_close(&fd);
		if (!good)
			_exit(WEIR_WORKER_LOST);
	}
	/* The socket was taken from us, or the program is gone. */
	if (size < sizeof(p->job->kind) || p->job->kind != WEIR_FRAME_QUIT)
		_exit(WEIR_WORKER_LOST);
	if (spec->exit)
		spec->exit(spec->worker, p->state, spec->user);
	_exit(0);
}

void
weir__worker_process(const struct weir_worker_spec *spec, pid_t zygote)
{
	struct process process = {.spec = spec};
	struct weir_ready_frame ready = {.kind = WEIR_FRAME_READY};

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_NAME, "weir-worker");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != zygote)
		_exit(WEIR_WORKER_LOST);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	volunteer();
	limits_set(&spec->limits);
	handlers_set();
	ready.status = (uint32_t)process_init(&process, &ready);
	if (send(WEIR_WORKER_SOCKET, &ready, sizeof(ready), MSG_NOSIGNAL) !=
		    sizeof(ready) ||
	    ready.status != WEIR_OK)
		_exit(WEIR_WORKER_LOST);
	process_serve(&process);
}
