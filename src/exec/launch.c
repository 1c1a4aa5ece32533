/*
 * The process of an attempt: its program, its environment, its pipes.
 *
 * Design.  Nothing is taken from the allocator for a start, unless the slot
 * is part of the command: the environment differs at its end, which is written
 * over, and the program is searched again only when the name differs
 * from the last one's.
 *
 * Locking: mu of the reactor, while the pid is noted.
 */
#include "exec/reactor.h"

#include "base/assert.h"
#include "exec/template.h"
#include "sync/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHELL "/bin/sh"

/* What is opened for one attempt, besides its output; 0: nothing. */
struct own {
	int in_fd, dir_fd;
};

/*
 * The program of argv[0]; 0 or errno.  Of a job with a folder of its own it is
 * looked for anew: a relative name is another program there.
 */
static int
find_program(struct weir_exec_reactor *reactor, const char *name, int dir_fd)
{
	struct weir_exec_program *program = &reactor->program;
	const char *given = reactor->engine->options.path;

	if (given)
		name = given;
	if (dir_fd > 0)
		weir__buf_reset(&program->name);
	if (program->name.len > 0 && strcmp(program->name.data, name) == 0)
		return program->error;
	weir__buf_reset(&program->name);
	weir__buf_puts(&program->name, name);
	program->script = false;
	program->error = weir__child_find(
		&program->path, name,
		dir_fd > 0 ? dir_fd : reactor->engine->setup.dir_fd);
	if (program->name.failed || dir_fd > 0)
		weir__buf_reset(&program->name);
	/* Not there now may be there later, made by another job. */
	if (program->error)
		weir__buf_reset(&program->name);
	return program->error;
}

static void
set_own_env(struct weir_exec_run *run)
{
	struct weir_exec_reactor *reactor = run->reactor;
	char(*env)[sizeof(reactor->own_env[0])] = reactor->own_env;

	snprintf(env[0], sizeof(env[0]), "WEIR_SEQ=%" PRIu64,
		 run->command->seq);
	snprintf(env[1], sizeof(env[1]), "WEIR_SLOT=%" PRIu32, run->slot);
	snprintf(env[2], sizeof(env[2]), "WEIR_ATTEMPT=%" PRIu32,
		 weir_job_attempt(run->ctx) + run->command->attempts_before);
}

/* And behind these the job's own. */
static void
set_job_env(struct weir_exec_run *run)
{
	char *const *env = run->command->env;
	size_t count = 0;

	for (; env && env[count]; count++) {
		weir_assert(count < WEIR_EXEC_ENV_MAX);
		run->reactor->envp_job[count] = env[count];
	}
	run->reactor->envp_job[count] = NULL;
}

static int
write_input(int fd, const char *data, size_t len)
{
	off_t at = 0;
	ssize_t done;

	while (len > 0) {
		done = pwrite(fd, data + at, len, at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? errno : EIO;
		at += done;
		len -= (size_t)done;
	}
	/* Another attempt, or whoever else gets it, reads the same. */
	return fcntl(fd, F_ADD_SEALS,
		     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
		       ? errno
		       : 0;
}

/*
 * The job's standard input, in memory and without a name: unlike a pipe it
 * takes all at once, so that nobody has to feed it while the child runs.
 */
static int
make_input(const struct weir_exec_job *job, int *ret_fd)
{
	int fd, failed;

	*ret_fd = 0;
	if (job->input_len == 0)
		return 0;
	if (job->input_len > WEIR_EXEC_INPUT_MAX)
		return EFBIG;
	fd = weir__child_move_up(
		memfd_create("weir-input", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (fd < 0)
		return errno;
	failed = write_input(fd, job->input, job->input_len);
	if (failed) {
		(void)close(fd);
		return failed;
	}
	*ret_fd = fd;
	return 0;
}

/* Where the job wants to run, if it says so. */
static int
open_dir(const struct weir_exec_run *run, int *ret_fd)
{
	int below = run->reactor->engine->setup.dir_fd, fd;

	*ret_fd = 0;
	if (!run->command->dir)
		return 0;
	fd = weir__child_move_up(openat(below >= 0 ? below : AT_FDCWD,
					run->command->dir,
					O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return errno;
	*ret_fd = fd;
	return 0;
}

/* A pipe, ours not to wait.  Above 2, whatever of that was closed. */
static int
make_pipe(int *ret_ours, int *ret_theirs)
{
	int ends[2], failed;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return errno;
	ends[0] = weir__child_move_up(ends[0]);
	failed = ends[0] < 0 ? errno : 0;
	ends[1] = weir__child_move_up(ends[1]);
	if (ends[1] < 0 && !failed)
		failed = errno;
	if (!failed && fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
		failed = errno;
	if (!failed) {
		*ret_ours = ends[0];
		*ret_theirs = ends[1];
		return 0;
	}
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			(void)close(ends[i]);
	return failed;
}

static void
close_all(int fds[4])
{
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

/* A text without a #! line: give it to a shell, as execvp(3) does. */
static int
start_script(struct weir_child *child, bool *ret_by_exec,
	     struct weir_exec_reactor *reactor,
	     struct weir_child_command *command)
{
	size_t count = 0;
	char **argv;
	int failed;

	while (command->argv[count])
		count++;
	argv = calloc(count + 3, sizeof(*argv));
	if (!argv)
		return ENOMEM;
	argv[0] = (char *)(uintptr_t)SHELL;
	argv[1] = (char *)(uintptr_t)command->path;
	for (size_t i = 1; i < count; i++)
		argv[i + 1] = command->argv[i];
	command->argv = argv;
	command->path = SHELL;
	failed = weir__child_start(child, ret_by_exec, &reactor->engine->setup,
				   command, reactor->stack);
	free(argv);
	return failed;
}

static int
start_child(struct weir_exec_run *run, struct weir_child *child,
	    bool *ret_by_exec, struct weir_child_command *command)
{
	struct weir_exec_reactor *reactor = run->reactor;
	struct weir_exec_program *program = &reactor->program;
	int failed = ENOEXEC;

	if (!program->script)
		failed = weir__child_start(child, ret_by_exec,
					   &reactor->engine->setup, command,
					   reactor->stack);
	if (failed != ENOEXEC)
		return failed;
	program->script = true;
	return start_script(child, ret_by_exec, reactor, command);
}

/* Note the pid, unless it is too late for that. */
static void
note_child(struct weir_exec_run *run, const struct weir_child *child)
{
	struct weir_exec_reactor *reactor = run->reactor;
	struct weir_exec_engine *engine = reactor->engine;

	weir__mutex_lock(&reactor->mu);
	run->pid = child->pid;
	weir__mutex_unlock(&reactor->mu);
	run->pidfd = child->pidfd;
	weir__u32_add(&engine->running, 1, WEIR_SEQ_CST);
	/* Who sets it looks for pids afterwards, under mu. */
	if (weir__u32_load(&engine->killing, WEIR_SEQ_CST))
		(void)kill(-child->pid, SIGKILL);
}

/* With argv, which has the slot in it. */
static int
launch_argv(struct weir_exec_run *run, char *const *argv, const struct own *own,
	    bool *ret_by_exec)
{
	struct weir_exec_reactor *reactor = run->reactor;
	/* ours and theirs of standard output, then of standard error */
	int fds[4] = {-1, -1, -1, -1}, failed = 0;
	struct weir_child child;
	struct weir_child_command command;

	if (reactor->engine->options.output != WEIR_EXEC_DIRECT) {
		failed = make_pipe(&fds[0], &fds[1]);
		if (!failed)
			failed = make_pipe(&fds[2], &fds[3]);
	}
	command = (struct weir_child_command){
		.path = reactor->program.path.data,
		.argv = argv,
		.envp = reactor->envp,
		.out_fd = fds[1],
		.err_fd = fds[3],
		.in_fd = own->in_fd,
		.dir_fd = own->dir_fd,
		.seat = weir__guardian_seat(reactor->engine->guardian,
					    run->slot),
	};
	if (!failed) {
		run->started_unix_ns = weir__unix_ns();
		run->started_ns = weir_now_ns();
		failed = start_child(run, &child, ret_by_exec, &command);
	}
	if (failed) {
		close_all(fds);
		return failed;
	}
	note_child(run, &child);
	if (fds[1] >= 0) {
		(void)close(fds[1]);
		(void)close(fds[3]);
	}
	weir__exec_stream_init(&run->out, fds[0], &run->outcome->out);
	weir__exec_stream_init(&run->err, fds[2], &run->outcome->err);
	return 0;
}

static int
launch_found(struct weir_exec_run *run, struct own *own, bool *ret_by_exec)
{
	const struct weir_exec_job *command = run->command;
	char **argv = command->argv;
	int failed;

	if (command->slot_count > 0) {
		argv = weir__exec_job_argv(command, run->slot);
		if (!argv)
			return ENOMEM;
	}
	set_own_env(run);
	set_job_env(run);
	failed = make_input(command, &own->in_fd);
	if (!failed)
		failed = launch_argv(run, argv, own, ret_by_exec);
	if (own->in_fd > 0)
		(void)close(own->in_fd);
	if (command->slot_count > 0)
		free(argv);
	return failed;
}

int
weir__exec_launch(struct weir_exec_run *run, bool *ret_by_exec)
{
	struct own own = {0};
	int failed = open_dir(run, &own.dir_fd);

	*ret_by_exec = false;
	if (failed)
		return failed;
	failed = find_program(run->reactor, run->command->argv[0], own.dir_fd);
	if (failed)
		*ret_by_exec = failed != ENOMEM;
	else
		failed = launch_found(run, &own, ret_by_exec);
	if (own.dir_fd > 0)
		(void)close(own.dir_fd);
	return failed;
}
