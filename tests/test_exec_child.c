/* One process: what it is given, what is kept from it, why it cannot start. */
#include "harness.h"

#include "exec/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[WEIR_CHILD_STACK] __attribute__((aligned(16)));

/* What every test starts from; the signals are as they are. */
static struct weir_child_setup
plain_setup(void)
{
	struct weir_child_setup setup = {.dir_fd = -1};
	sigset_t mask;

	REQUIRE(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
	weir__child_setup_signals(&setup, &mask, false);
	setup.null_fd = weir__child_open("/dev/null", O_RDONLY);
	REQUIRE(setup.null_fd > 2);
	return setup;
}

/* Start argv, wait for it, give what it wrote and its wait status. */
static int
run_with(const struct weir_child_setup *setup, const char *const *argv,
	 char *ret, size_t size)
{
	struct weir_child_command command = {.path = argv[0], .err_fd = -1};
	struct weir_child child;
	int ends[2], failed, status = -1;
	sigset_t all, before;
	size_t len = 0;
	ssize_t got;
	bool by_exec;

	command.argv = (char *const *)(uintptr_t)argv;
	command.envp = environ;
	REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
	command.out_fd = ends[1];
	REQUIRE(sigfillset(&all) == 0);
	REQUIRE(sigprocmask(SIG_SETMASK, &all, &before) == 0);
	failed = weir__child_start(&child, &by_exec, setup, &command, stack);
	REQUIRE(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
	CHECK_EQ_INT(failed, 0);
	REQUIRE(failed == 0);
	(void)close(ends[1]);
	while ((got = read(ends[0], ret + len, size - 1 - len)) != 0) {
		if (got > 0)
			len += (size_t)got;
		REQUIRE(got > 0 || errno == EINTR);
	}
	ret[len] = '\0';
	(void)close(ends[0]);
	while (waitpid(child.pid, &status, 0) != child.pid)
		REQUIRE(errno == EINTR);
	(void)close(child.pidfd);
	return status;
}

static int
run_script(const struct weir_child_setup *setup, const char *script, char *ret,
	   size_t size)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	return run_with(setup, argv, ret, size);
}

/* Its errno, for what cannot be started. */
static int
start_error(const struct weir_child_setup *setup, const char *path,
	    char *const *argv, bool *ret_by_exec)
{
	struct weir_child_command command = {
		.path = path, .argv = argv, .envp = environ, -1, -1};
	struct weir_child child;
	int failed;

	failed = weir__child_start(&child, ret_by_exec, setup, &command, stack);
	/* Nothing is left of it. */
	CHECK_EQ_INT(waitpid(-1, NULL, WNOHANG), -1);
	return failed;
}

TEST(child, is_given_no_descriptor_of_ours)
{
	static const char *const argv[] = {"/bin/ls", "/proc/self/fd", NULL};
	struct weir_child_setup setup = plain_setup();
	char text[1000];

	/* One that is not ours to close: it came without close-on-exec. */
	REQUIRE(dup2(setup.null_fd, 57) == 57);
	CHECK_EQ_INT(run_with(&setup, argv, text, sizeof(text)), 0);
	/* 3 is the directory that ls reads. */
	CHECK_STR(text, "0\n1\n2\n3\n");
}

TEST(child, is_given_the_descriptors_it_is_to_have)
{
	static const char *const argv[] = {"/bin/ls", "/proc/self/fd", NULL};
	static const int keep[] = {5, 57};
	struct weir_child_setup setup = plain_setup();
	char text[1000];

	REQUIRE(dup3(setup.null_fd, 5, O_CLOEXEC) == 5);
	REQUIRE(dup3(setup.null_fd, 57, O_CLOEXEC) == 57);
	REQUIRE(dup2(setup.null_fd, 58) == 58);
	setup.keep_fds = keep;
	setup.keep_count = 2;
	CHECK_EQ_INT(run_with(&setup, argv, text, sizeof(text)), 0);
	CHECK_STR(text, "0\n1\n2\n3\n5\n57\n");
	CHECK_EQ_INT(fcntl(5, F_GETFD), FD_CLOEXEC);
}

TEST(child, reads_nothing_and_leads_a_group_of_its_own)
{
	struct weir_child_setup setup = plain_setup();
	char text[1000];

	CHECK_EQ_INT(run_script(&setup,
				"readlink /proc/$$/fd/0; cat; "
				"read -r pid comm state ppid pgrp rest "
				"</proc/$$/stat; "
				"[ $pid = $pgrp ] && echo leader; exit 3",
				text, sizeof(text)),
		     3 << 8);
	CHECK_STR(text, "/dev/null\nleader\n");
}

TEST(child, starts_even_where_we_have_no_standard_descriptors)
{
	struct weir_child_setup setup;
	char text[1000];

	(void)close(0);
	setup = plain_setup();
	CHECK_EQ_INT(run_script(&setup, "echo ok", text, sizeof(text)), 0);
	CHECK_STR(text, "ok\n");
}

static void
handler(int number)
{
	(void)number;
}

/* A line of /proc/self/status. */
static unsigned long long
signals_of(const char *text, const char *which)
{
	const char *line = strstr(text, which);

	REQUIRE(line);
	return strtoull(line + strlen(which), NULL, 16);
}

static unsigned long long
bit_of(int number)
{
	return 1ULL << (number - 1);
}

TEST(child, has_the_signals_that_we_were_started_with)
{
	static const char *const argv[] = {"/bin/cat", "/proc/self/status",
					   NULL};
	struct weir_child_setup setup = plain_setup();
	struct sigaction action = {.sa_handler = handler};
	char text[8000];
	sigset_t mask;

	/* The host has since then changed nearly all of it. */
	REQUIRE(sigemptyset(&mask) == 0 && sigaddset(&mask, SIGUSR2) == 0);
	REQUIRE(signal(SIGHUP, SIG_IGN) != SIG_ERR);
	REQUIRE(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
	weir__child_setup_signals(&setup, &mask, false);
	CHECK_EQ_INT(run_with(&setup, argv, text, sizeof(text)), 0);
	CHECK_EQ_INT(signals_of(text, "SigBlk:"), bit_of(SIGUSR2));
	CHECK_EQ_INT(signals_of(text, "SigCgt:"), 0);
	CHECK(signals_of(text, "SigIgn:") & bit_of(SIGHUP));
	CHECK(!(signals_of(text, "SigIgn:") & bit_of(SIGPIPE)));
	weir__child_setup_signals(&setup, &mask, true);
	CHECK_EQ_INT(run_with(&setup, argv, text, sizeof(text)), 0);
	CHECK(signals_of(text, "SigIgn:") & bit_of(SIGPIPE));
}

TEST(child, has_the_limits_it_was_given)
{
	struct weir_child_setup setup = plain_setup();
	char text[1000];

	setup.limits[0] = (struct weir_child_limit){RLIMIT_NOFILE, {77, 88}};
	setup.limits[1] = (struct weir_child_limit){RLIMIT_CPU, {7, 8}};
	setup.limit_count = 2;
	CHECK_EQ_INT(run_script(&setup,
				"ulimit -Sn; ulimit -Hn; ulimit -St; ulimit "
				"-Ht",
				text, sizeof(text)),
		     0);
	CHECK_STR(text, "77\n88\n7\n8\n");
}

TEST(child, runs_where_it_is_told_to)
{
	static const char *const argv[] = {"./sh", "-c", "pwd", NULL};
	struct weir_child_setup setup = plain_setup();
	char text[1000];

	setup.dir_fd = weir__child_open("/bin", O_PATH | O_DIRECTORY);
	CHECK_EQ_INT(run_with(&setup, argv, text, sizeof(text)), 0);
	CHECK(strstr(text, "/bin\n"));
}

TEST(child, that_cannot_be_started_says_why)
{
	struct weir_child_setup setup = plain_setup();
	char *argv[] = {NULL, NULL, NULL}, name[] = "name";
	bool by_exec = false;

	argv[0] = name;
	CHECK_EQ_INT(start_error(&setup, "/no/such/file", argv, &by_exec),
		     ENOENT);
	CHECK(by_exec);
	CHECK_EQ_INT(start_error(&setup, "/etc/passwd", argv, &by_exec),
		     EACCES);
	CHECK_EQ_INT(start_error(&setup, "/bin", argv, &by_exec), EACCES);
	/* One argument may have 128 KiB. */
	argv[1] = malloc(140000);
	REQUIRE(argv[1]);
	memset(argv[1], 'x', 139999);
	argv[1][139999] = '\0';
	CHECK_EQ_INT(start_error(&setup, "/bin/true", argv, &by_exec), E2BIG);
	CHECK(by_exec);
	free(argv[1]);
	argv[1] = NULL;
	setup.dir_fd = 999;
	CHECK_EQ_INT(start_error(&setup, "/bin/true", argv, &by_exec), EBADF);
	CHECK(!by_exec);
}

TEST(child, of_a_text_without_a_first_line_is_told_apart)
{
	struct weir_child_setup setup = plain_setup();
	char path[] = "/tmp/weir-test-XXXXXX", *argv[] = {path, NULL};
	bool by_exec = false;
	int fd = mkostemp(path, O_CLOEXEC);

	REQUIRE(fd >= 0 && write(fd, "echo hello\n", 11) == 11);
	REQUIRE(fchmod(fd, 0700) == 0 && close(fd) == 0);
	CHECK_EQ_INT(start_error(&setup, path, argv, &by_exec), ENOEXEC);
	CHECK(by_exec);
	CHECK_EQ_INT(unlink(path), 0);
}

TEST(child, dies_with_its_parent)
{
	struct weir_child_setup setup = plain_setup();
	char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
	struct weir_child_command command = {
		.path = "/bin/sleep", .argv = argv, .envp = environ, -1, -1};
	struct weir_child child;
	int alive[2], ready[2];
	bool by_exec;
	char byte;
	pid_t pid;

	/* The child's error output keeps this open as long as it lives. */
	REQUIRE(pipe2(alive, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0);
	command.err_fd = alive[1];
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		byte = (char)weir__child_start(&child, &by_exec, &setup,
					       &command, stack);
		(void)!write(ready[1], &byte, 1);
		for (;;)
			(void)pause();
	}
	(void)close(alive[1]);
	CHECK_EQ_INT(read(ready[0], &byte, 1), 1);
	CHECK_EQ_INT(byte, 0);
	REQUIRE(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	CHECK_EQ_INT(read(alive[0], &byte, 1), 0);
}

TEST(child, is_spared_what_was_sent_to_our_group_before_it_left_it)
{
	struct weir_child_setup setup = plain_setup();
	char text[1000];
	int status;

	/*
	 * Not to be timed from outside: a Ctrl-C that is pending in us is not
	 * inherited, so all that can be seen is that starts go well while
	 * somebody sends one after the other.
	 */
	pid_t group = getpgrp(), sender;

	REQUIRE(signal(SIGINT, handler) != SIG_ERR);
	weir__child_setup_signals(&setup, &setup.mask, false);
	sender = fork();
	REQUIRE(sender >= 0);
	if (sender == 0) {
		while (kill(-group, SIGINT) == 0)
			;
		_exit(0);
	}
	for (int i = 0; i < 300; i++) {
		status = run_script(&setup, "echo ok", text, sizeof(text));
		CHECK_EQ_INT(status, 0);
	}
	REQUIRE(kill(sender, SIGKILL) == 0);
	/* What it has sent may still come. */
	while (waitpid(sender, NULL, 0) != sender)
		REQUIRE(errno == EINTR);
}

TEST(child, is_searched_as_execvp_searches_it)
{
	struct weir_buf path = {0};
	char dir[] = "/tmp/weir-test-XXXXXX", text[200];
	int fd;

	REQUIRE(mkdtemp(dir));
	snprintf(text, sizeof(text), "%s/locked", dir);
	fd = open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0 && close(fd) == 0);
	snprintf(text, sizeof(text), "/nowhere:%s:/bin", dir);
	REQUIRE(setenv("PATH", text, 1) == 0);
	CHECK_EQ_INT(weir__child_find(&path, "sh", -1), 0);
	CHECK_STR(weir__buf_str(&path), "/bin/sh");
	CHECK_EQ_INT(weir__child_find(&path, "locked", -1), EACCES);
	CHECK_EQ_INT(weir__child_find(&path, "no-such-program", -1), ENOENT);
	CHECK_EQ_INT(weir__child_find(&path, "", -1), ENOENT);
	CHECK_EQ_INT(weir__child_find(&path, "/bin/sh", -1), 0);
	CHECK_STR(weir__buf_str(&path), "/bin/sh");
	CHECK_EQ_INT(weir__child_find(&path, "no/such", -1), ENOENT);
	REQUIRE(unsetenv("PATH") == 0);
	CHECK_EQ_INT(weir__child_find(&path, "sh", -1), 0);
	/* An empty place is the one where the child runs. */
	REQUIRE(setenv("PATH", "", 1) == 0);
	CHECK_EQ_INT(weir__child_find(&path, "sh", -1), ENOENT);
	fd = weir__child_open("/bin", O_PATH | O_DIRECTORY);
	CHECK_EQ_INT(weir__child_find(&path, "sh", fd), 0);
	CHECK_STR(weir__buf_str(&path), "sh");
	weir__buf_fini(&path);
	snprintf(text, sizeof(text), "%s/locked", dir);
	CHECK(unlink(text) == 0 && rmdir(dir) == 0);
}

TEST(child, needs_a_system_that_has_what_it_takes)
{
	CHECK_EQ_INT(weir__child_check_system(), 0);
}
