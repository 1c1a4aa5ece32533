/*
 * The first stage: from a file to its text.
 *
 * Design.  The stage is asynchronous: one thread sees to all documents that
 * are in it.  Each has a descriptor that its text comes from, the file itself
 * or the pipe of a pdftotext, and wait() polls those of all, feeding what
 * arrives to the text of its document:
 *
 *      start: a slot, a descriptor, perhaps a process
 *      wait:  poll ─┬─ text ──────────> text_feed()
 *                   ├─ errors ────────> the first line is kept
 *                   └─ process gone ──> verdict, weir_job_done()
 *      cancel: kill; the end comes through wait all the same
 *
 * A file on a disk is always readable, so it is read a piece a turn: no large
 * one holds up the others.
 *
 * A PDF is given to its process as standard input and by nothing else, so
 * that neither a name with a dash nor a file that is exchanged meanwhile
 * matters.  The process can write to its two pipes only (a file size limit of
 * 0), has a memory limit and a time limit, and dies with us.
 */
#include "extract.h"

#include "base/assert.h"
#include "doc.h"
#include "exec/child.h"
#include "wake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE_MAX (64 * 1024)

/* One document that is being read. */
struct slot {
	weir_job *job; /* NULL: free */
	weir_ctx *ctx;
	struct doc *doc;
	int text_fd;           /* -1: at its end */
	int error_fd, pid_fd;  /* -1: none */
	pid_t pid;             /* 0: none */
	bool killed;           /* by us */
	int read_error;        /* errno of what cannot be read, or 0 */
	enum text_status text; /* of what has come so far */
	char error[1024];      /* the beginning of what it had to say */
	size_t error_len;
};

/* The state of the stage's one worker. */
struct extractor {
	const struct extract_options *options;
	int wake_fd;
	struct slot *slots; /* options->width of them */
	struct pollfd *fds; /* three for each slot, then wake_fd */
	struct weir_child_setup setup;
	struct weir_buf program; /* where it is; empty: nowhere */
	void *stack;
	char *piece;
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static weir_status fail(struct slot *slot, weir_status status,
			const char *reason, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static weir_status
fail(struct slot *slot, weir_status status, const char *reason,
     const char *format, ...)
{
	char message[WEIR_ERROR_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return doc_fail(slot->doc, slot->ctx, status, reason, "%s", message);
}

/* The attempt is over, and the slot free. */
static void
finish(struct slot *slot, weir_status status)
{
	weir_job *job = slot->job;

	weir_assert(slot->pid == 0);
	close_fd(&slot->text_fd);
	close_fd(&slot->error_fd);
	close_fd(&slot->pid_fd);
	if (status == WEIR_OK)
		doc_close(slot->doc);
	slot->job = NULL;
	weir_job_done(job, status);
}

/* What is wrong with its text, if anything is. */
static weir_status
judge_text(struct slot *slot)
{
	const struct extractor *x = weir_job_state(slot->ctx);
	const struct text *text = &slot->doc->text;
	unsigned long long max = x->options->text_max;

	switch (slot->text) {
	case TEXT_OK:
		if (text->data.len > 0)
			return WEIR_OK;
		return fail(slot, WEIR_PERMANENT, "no text",
			    slot->doc->kind == DOC_PDF
				    ? "there is no text in it: scanned pages?"
				    : "there is nothing but blanks in it");
	case TEXT_NOT_UTF8:
		return fail(slot, WEIR_PERMANENT, "not UTF-8",
			    "byte %llu is not UTF-8",
			    (unsigned long long)text->bad_at);
	case TEXT_BINARY:
		return fail(slot, WEIR_PERMANENT, "binary",
			    "byte %llu is a NUL: this is no text",
			    (unsigned long long)text->bad_at);
	case TEXT_TOO_LONG:
		return fail(slot, WEIR_PERMANENT, "too long",
			    "it has more than %llu %s of text",
			    max >> (max >= 1 << 20 ? 20 : 10),
			    max >= 1 << 20 ? "MiB" : "KiB");
	case TEXT_NO_MEMORY:
		return fail(slot, WEIR_NOMEM, "memory", "out of memory");
	}
	return WEIR_FAILED;
}

static weir_status
finish_text(struct slot *slot)
{
	/* Half a text must not pass for a whole one. */
	if (slot->read_error)
		return fail(slot, WEIR_SYSTEM, "unreadable", "%s",
			    strerror(slot->read_error));
	if (slot->text == TEXT_OK)
		slot->text = text_end(&slot->doc->text);
	return judge_text(slot);
}

/* The first line of what pdftotext had to say, without its prefix. */
static const char *
first_error(struct slot *slot)
{
	static const char *const prefixes[] = {
		"Syntax Error: ", "Syntax Warning: ", "Command Line Error: ",
		"Error: "};
	char *text = slot->error;

	text[strcspn(text, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			text += strlen(prefixes[i]);
	return *text != '\0' ? text : "it says nothing";
}

static bool
has_said(const struct slot *slot, const char *what)
{
	return strstr(slot->error, what) != NULL;
}

static bool
is_out_of_memory(const struct slot *slot)
{
	return has_said(slot, "bad_alloc") || has_said(slot, "ut of memory");
}

static weir_status
judge_signal(struct slot *slot, int signal_number)
{
	const struct extractor *x = weir_job_state(slot->ctx);
	long long seconds = (long long)(x->options->timeout_ns / WEIR_S);
	const char *name = sigabbrev_np(signal_number);

	if (is_out_of_memory(slot))
		return fail(slot, WEIR_PERMANENT, "memory",
			    "pdftotext needs more than %llu MiB for it",
			    (unsigned long long)x->options->memory_max >> 20);
	if (signal_number == SIGKILL && !slot->killed)
		return fail(slot, WEIR_PERMANENT, "killed",
			    "pdftotext was killed by somebody else; the "
			    "system does so when memory is short");
	if (signal_number == SIGXCPU || signal_number == SIGKILL)
		return fail(slot, WEIR_PERMANENT, "timeout",
			    "pdftotext has not finished it within %llds",
			    seconds);
	return fail(slot, WEIR_PERMANENT, "crashed",
		    "pdftotext has crashed on it: SIG%s", name ? name : "?");
}

/* How poppler's programs end: pdftotext(1), EXIT CODES. */
static weir_status
judge_exit(struct slot *slot, int exit_status)
{
	if (exit_status == 0)
		return finish_text(slot);
	if (has_said(slot, "Incorrect password"))
		return fail(slot, WEIR_PERMANENT, "encrypted",
			    "it is encrypted, and needs a password");
	if (exit_status == 3)
		return fail(slot, WEIR_PERMANENT, "not permitted",
			    "its author does not permit to extract text");
	if (is_out_of_memory(slot))
		return judge_signal(slot, SIGABRT);
	return fail(slot, WEIR_PERMANENT, "damaged", "pdftotext: %s",
		    first_error(slot));
}

static weir_status
judge_process(struct slot *slot, int wait_status)
{
	weir_status by_ctx = weir_ctx_status(slot->ctx);

	if (slot->text != TEXT_OK)
		return judge_text(slot);
	if (slot->killed && by_ctx == WEIR_CANCELED)
		return WEIR_CANCELED;
	if (WIFSIGNALED(wait_status))
		return judge_signal(slot, WTERMSIG(wait_status));
	return judge_exit(slot, WEXITSTATUS(wait_status));
}

/* The group, so that a script in pdftotext's place takes its own with it. */
static void
kill_process(struct slot *slot)
{
	if (slot->pid > 0)
		(void)kill(-slot->pid, SIGKILL);
	slot->killed = true;
}

static void
feed(struct slot *slot, const char *bytes, size_t len)
{
	if (slot->text != TEXT_OK)
		return;
	slot->text = text_feed(&slot->doc->text, bytes, len);
	if (slot->text != TEXT_OK)
		kill_process(slot);
}

/* One piece of text.  False: there is none, just now or for good. */
static bool
read_text(struct extractor *x, struct slot *slot)
{
	ssize_t n;

	if (slot->text_fd < 0)
		return false;
	do
		n = read(slot->text_fd, x->piece, PIECE_MAX);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		feed(slot, x->piece, (size_t)n);
	else if (n < 0 && errno != EAGAIN)
		slot->read_error = errno;
	if (n == 0 || slot->read_error)
		close_fd(&slot->text_fd);
	return n > 0;
}

static bool
read_errors(struct extractor *x, struct slot *slot)
{
	size_t room = sizeof(slot->error) - 1 - slot->error_len;
	ssize_t n;

	if (slot->error_fd < 0)
		return false;
	do
		n = read(slot->error_fd, x->piece, PIECE_MAX);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		if ((size_t)n < room)
			room = (size_t)n;
		memcpy(slot->error + slot->error_len, x->piece, room);
		slot->error_len += room;
	} else if (n == 0 || errno != EAGAIN) {
		close_fd(&slot->error_fd);
	}
	return n > 0;
}

/* The process has ended: what is in its pipes is all there will be. */
static void
finish_process(struct extractor *x, struct slot *slot)
{
	int wait_status = 0;

	while (read_text(x, slot) && !slot->killed)
		;
	while (read_errors(x, slot))
		;
	/*
	 * What it may have started itself does not outlive it.  Before it is
	 * reaped, for then its number may be somebody else's.
	 */
	(void)kill(-slot->pid, SIGKILL);
	while (waitpid(slot->pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	slot->pid = 0;
	finish(slot, judge_process(slot, wait_status));
}

/* A text file: read to its end, or no further for a reason. */
static void
step_file(struct extractor *x, struct slot *slot)
{
	bool more = read_text(x, slot);
	weir_status by_ctx = weir_ctx_status(slot->ctx);

	if (more && slot->text == TEXT_OK && !slot->killed)
		return;
	close_fd(&slot->text_fd);
	finish(slot, by_ctx != WEIR_OK ? by_ctx : finish_text(slot));
}

static void
step(struct extractor *x, struct slot *slot, const struct pollfd *fds)
{
	if (slot->pid == 0) {
		step_file(x, slot);
		return;
	}
	if (fds[0].revents)
		(void)read_text(x, slot);
	if (fds[1].revents)
		(void)read_errors(x, slot);
	if (fds[2].revents)
		finish_process(x, slot);
}

static void
extract_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	struct extractor *x = state;
	uint32_t width = x->options->width;
	struct pollfd *wake = &x->fds[3 * width];

	(void)hungry;
	(void)user;
	for (uint32_t i = 0; i < width; i++) {
		const struct slot *slot = &x->slots[i];
		bool busy = slot->job != NULL;

		x->fds[3 * i].fd = busy ? slot->text_fd : -1;
		x->fds[3 * i + 1].fd = busy ? slot->error_fd : -1;
		x->fds[3 * i + 2].fd = busy ? slot->pid_fd : -1;
	}
	if (poll(x->fds, 3 * width + 1, wake_timeout_ms(deadline_ns)) <= 0)
		return;
	if (wake->revents)
		wake_clear(x->wake_fd);
	for (uint32_t i = 0; i < width; i++)
		if (x->slots[i].job)
			step(x, &x->slots[i], &x->fds[3 * i]);
}

static void
extract_wake(void *state, void *user)
{
	const struct extractor *x = state;

	(void)user;
	wake_up(x->wake_fd);
}

static struct slot *
slot_of(struct extractor *x, const weir_job *job)
{
	for (uint32_t i = 0; i < x->options->width; i++)
		if (x->slots[i].job == job)
			return &x->slots[i];
	return NULL;
}

static void
extract_cancel(weir_ctx *ctx, weir_job *job, void *user)
{
	struct slot *slot = slot_of(weir_job_state(ctx), job);

	(void)user;
	if (slot)
		kill_process(slot);
}

/* Ours to read without waiting, theirs to write; -1 and errno. */
static int
make_pipe(int *ret_ours)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
		close_fd(&ends[0]);
		close_fd(&ends[1]);
		return -1;
	}
	*ret_ours = ends[0];
	return ends[1];
}

static int
start_process(struct extractor *x, struct slot *slot, int out_fd, int err_fd)
{
	char name[] = "pdftotext", enc[] = "-enc", utf8[] = "UTF-8",
	     in[] = "/dev/stdin", out[] = "-";
	char *argv[] = {name, enc, utf8, in, out, NULL};
	struct weir_child_command command = {
		.path = weir__buf_str(&x->program),
		.argv = argv,
		.envp = environ,
		.out_fd = out_fd,
		.err_fd = err_fd,
		.in_fd = slot->doc->fd,
	};
	struct weir_child child;
	bool by_exec;
	int failed = weir__child_start(&child, &by_exec, &x->setup, &command,
				       x->stack);

	if (!failed) {
		slot->pid = child.pid;
		slot->pid_fd = child.pidfd;
	}
	return failed;
}

/* 0, or errno. */
static int
start_pdf(struct extractor *x, struct slot *slot)
{
	int out_fd = make_pipe(&slot->text_fd);
	int err_fd = out_fd < 0 ? -1 : make_pipe(&slot->error_fd);
	int failed =
		err_fd < 0 ? errno : start_process(x, slot, out_fd, err_fd);

	close_fd(&out_fd);
	close_fd(&err_fd);
	if (failed) {
		close_fd(&slot->text_fd);
		close_fd(&slot->error_fd);
	}
	return failed;
}

/* As readers of PDF do: the header may have something in front of it. */
static bool
looks_like_pdf(int fd)
{
	char head[1024];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	return n > 0 && memmem(head, (size_t)n, "%PDF-", 5) != NULL;
}

static weir_status
begin_pdf(struct extractor *x, struct slot *slot)
{
	int failed;

	if (!looks_like_pdf(slot->doc->fd))
		return fail(slot, WEIR_PERMANENT, "not a PDF",
			    "it is not a PDF, whatever its name says");
	if (x->program.len == 0)
		return fail(slot, WEIR_PERMANENT, "no pdftotext",
			    "%s was not found; it is in poppler-utils",
			    x->options->program);
	failed = start_pdf(x, slot);
	if (failed)
		return fail(slot, WEIR_SYSTEM, "system",
			    "cannot start pdftotext: %s", strerror(failed));
	return WEIR_OK;
}

static weir_status
begin_file(struct slot *slot)
{
	slot->text_fd = fcntl(slot->doc->fd, F_DUPFD_CLOEXEC, 3);
	if (slot->text_fd < 0)
		return fail(slot, WEIR_SYSTEM, "system", "cannot read it: %s",
			    strerror(errno));
	return WEIR_OK;
}

/* Another attempt begins from the beginning. */
static weir_status
begin(struct extractor *x, struct slot *slot)
{
	struct doc *doc = slot->doc;

	if (doc->bytes == 0)
		return fail(slot, WEIR_PERMANENT, "empty", "it is empty");
	if (lseek(doc->fd, 0, SEEK_SET) < 0)
		return fail(slot, WEIR_SYSTEM, "system", "cannot read it: %s",
			    strerror(errno));
	text_fini(&doc->text);
	text_init(&doc->text, (size_t)x->options->text_max);
	return doc->kind == DOC_PDF ? begin_pdf(x, slot) : begin_file(slot);
}

static weir_status
extract_start(weir_ctx *ctx, weir_job *job, const void *in, void *out,
	      void *user)
{
	struct extractor *x = weir_job_state(ctx);
	struct doc *doc = *(struct doc *const *)in;
	struct slot *slot = slot_of(x, NULL);
	weir_status status;

	(void)user;
	*(struct doc **)out = doc;
	weir_assert(slot != NULL); /* the pool has as many */
	*slot = (struct slot){.ctx = ctx,
			      .doc = doc,
			      .text_fd = -1,
			      .error_fd = -1,
			      .pid_fd = -1};
	status = begin(x, slot);
	if (status == WEIR_OK)
		slot->job = job;
	return status;
}

static void
add_limit(struct weir_child_setup *setup, unsigned resource, uint64_t most)
{
	struct weir_child_limit *limit = &setup->limits[setup->limit_count++];

	weir_assert(setup->limit_count <= WEIR_CHILD_LIMITS_MAX);
	limit->resource = resource;
	/* More than we have ourselves cannot be given. */
	if (getrlimit(resource, &limit->value) != 0 ||
	    limit->value.rlim_max > most)
		limit->value.rlim_max = most;
	limit->value.rlim_cur = limit->value.rlim_max;
}

static weir_status
set_up_processes(struct extractor *x)
{
	const struct extract_options *o = x->options;
	sigset_t none;

	if (weir__child_check_system() != 0)
		return WEIR_SYSTEM;
	x->setup.null_fd = weir__child_open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (x->setup.null_fd < 0)
		return WEIR_SYSTEM;
	x->setup.dir_fd = -1;
	sigemptyset(&none);
	weir__child_setup_signals(&x->setup, &none, false);
	add_limit(&x->setup, RLIMIT_AS, o->memory_max);
	/* A second more than it has: by then we have killed it ourselves. */
	add_limit(&x->setup, RLIMIT_CPU,
		  (uint64_t)((o->timeout_ns + WEIR_S - 1) / WEIR_S) + 1);
	add_limit(&x->setup, RLIMIT_FSIZE, 0);
	if (weir__child_find(&x->program, o->program, -1) != 0)
		weir__buf_reset(&x->program);
	return WEIR_OK;
}

static void
extract_exit(uint32_t worker, void *state, void *user)
{
	struct extractor *x = state;

	(void)worker;
	(void)user;
	close_fd(&x->wake_fd);
	close_fd(&x->setup.null_fd);
	weir__buf_fini(&x->program);
	free(x->slots);
	free(x->fds);
	free(x->stack);
	free(x->piece);
	free(x);
}

static weir_status
extract_init(uint32_t worker, void **ret_state, void *user)
{
	const struct extract_options *o = user;
	struct extractor *x = calloc(1, sizeof(*x));
	weir_status status = WEIR_NOMEM;

	if (!x)
		return WEIR_NOMEM;
	x->options = o;
	x->setup.null_fd = -1;
	x->wake_fd = wake_new();
	x->slots = calloc(o->width, sizeof(*x->slots));
	x->fds = calloc(3 * (size_t)o->width + 1, sizeof(*x->fds));
	x->stack = malloc(WEIR_CHILD_STACK);
	x->piece = malloc(PIECE_MAX);
	if (x->wake_fd >= 0 && x->slots && x->fds && x->stack && x->piece)
		status = set_up_processes(x);
	if (status != WEIR_OK) {
		extract_exit(worker, x, user);
		return status;
	}
	for (size_t i = 0; i <= 3 * (size_t)o->width; i++)
		x->fds[i].events = POLLIN;
	x->fds[3 * (size_t)o->width].fd = x->wake_fd;
	*ret_state = x;
	return WEIR_OK;
}

void
extract_stage(weir_stage *ret, const struct extract_options *options)
{
	weir_stage_init(ret);
	ret->name = "extract";
	ret->workers = options->width;
	ret->queue = options->queue;
	ret->out_size = sizeof(struct doc *);
	ret->start = extract_start;
	ret->cancel = extract_cancel;
	ret->init = extract_init;
	ret->exit = extract_exit;
	ret->wait = extract_wait;
	ret->wake = extract_wake;
	ret->user = (void *)(uintptr_t)options;
	ret->timeout_ns = options->timeout_ns;
	/* Only what the system refused is tried again. */
	ret->retry = (weir_retry){.attempts_max = 3,
				  .delay_ns = 200 * WEIR_MS,
				  .retry_on = WEIR_RETRY_ON(WEIR_SYSTEM) |
					      WEIR_RETRY_ON(WEIR_NOMEM)};
}
