/* The jobserver of a GNU make: a real one, and FIFOs as newer ones have. */
#include "harness.h"

#include "exec/jobserver.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct weir_jobserver *
open_of(const char *makeflags)
{
	struct weir_jobserver *js = NULL;
	weir_error error;
	weir_status status = weir__jobserver_open(&js, makeflags, &error);

	CHECK_MSG(status == WEIR_OK, "%s", error.message);
	REQUIRE(js);
	return js;
}

static int
take_all(struct weir_jobserver *js)
{
	int n = 0;

	while (n < 100 && weir__jobserver_take(js))
		n++;
	return n;
}

static void
expect_failure(const char *makeflags, weir_status expected, const char *why)
{
	struct weir_jobserver *js = NULL;
	weir_error error;

	CHECK_EQ_INT(weir__jobserver_open(&js, makeflags, &error), expected);
	CHECK_MSG(strstr(error.message, why), "%s", error.message);
	CHECK(!js);
}

TEST(jobserver, is_refused_when_there_is_none)
{
	expect_failure(NULL, WEIR_INVAL, "not started by make -j");
	expect_failure("", WEIR_INVAL, "not started by make -j");
	expect_failure("kw -j3", WEIR_INVAL, "not started by make -j");
	expect_failure(" -- X=1 --jobserver-auth=0,1", WEIR_INVAL,
		       "not started by make -j");
	expect_failure(" -j3 --jobserver-auth=-2,-2", WEIR_INVAL, "put a +");
	expect_failure(" -j3 --jobserver-auth=998,999", WEIR_INVAL, "put a +");
	expect_failure(" -j3 --jobserver-auth=sem:x", WEIR_INVAL, "unknown");
	expect_failure(" -j3 --jobserver-auth=1,2,3", WEIR_INVAL, "unknown");
	expect_failure(" -j --jobserver-auth=fifo:/nowhere/fifo", WEIR_SYSTEM,
		       "No such file or directory");
}

TEST(jobserver, gives_back_the_very_bytes_that_it_took)
{
	char flags[128], bytes[8] = "";
	struct weir_jobserver *js;
	int fds[2];

	REQUIRE(pipe(fds) == 0);
	REQUIRE(write(fds[1], "+ab", 3) == 3);
	snprintf(flags, sizeof(flags),
		 "k -j4 --jobserver-auth=99,98 --jobserver-auth=%d,%d -- A=b c",
		 fds[0], fds[1]);
	js = open_of(flags);
	/* One runs without a token. */
	CHECK_EQ_INT(take_all(js), 4);
	CHECK(!weir__jobserver_take(js));
	weir__jobserver_give(js);
	CHECK(weir__jobserver_take(js));
	CHECK(!weir__jobserver_take(js));
	for (int i = 0; i < 4; i++)
		weir__jobserver_give(js);
	CHECK_EQ_INT(read(fds[0], bytes, sizeof(bytes)), 3);
	CHECK(strchr(bytes, '+') && strchr(bytes, 'a') && strchr(bytes, 'b'));
	/* And the pipe is as it was: a read by others waits. */
	CHECK((fcntl(fds[0], F_GETFL) & O_NONBLOCK) == 0);
	CHECK(weir__jobserver_take(js));
	CHECK(!weir__jobserver_take(js));
	weir__jobserver_close(js);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

TEST(jobserver, wakes_who_waits_for_a_token)
{
	struct weir_jobserver *js;
	struct pollfd poll_fd = {.events = POLLIN};
	char flags[64];
	int fds[2];

	REQUIRE(pipe(fds) == 0);
	snprintf(flags, sizeof(flags), "--jobserver-fds=%d,%d -j", fds[0],
		 fds[1]);
	js = open_of(flags);
	CHECK_EQ_INT(take_all(js), 1);
	poll_fd.fd = weir__jobserver_fd(js);
	CHECK_EQ_INT(poll(&poll_fd, 1, 0), 0);
	REQUIRE(write(fds[1], "+", 1) == 1);
	CHECK_EQ_INT(poll(&poll_fd, 1, 10000), 1);
	CHECK_EQ_INT(take_all(js), 1);
	weir__jobserver_close(js);
	CHECK_EQ_INT(
		poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, 0),
		1);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

TEST(jobserver, may_be_a_fifo)
{
	char dir[] = "/tmp/weir-test-XXXXXX", path[64], flags[128], bytes[8];
	struct weir_jobserver *js;
	int fd;

	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	REQUIRE(mkfifo(path, 0600) == 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0);
	REQUIRE(write(fd, "++", 2) == 2);
	snprintf(flags, sizeof(flags), " -j3 --jobserver-auth=fifo:%s", path);
	js = open_of(flags);
	CHECK_EQ_INT(take_all(js), 3);
	weir__jobserver_close(js);
	CHECK_EQ_INT(read(fd, bytes, sizeof(bytes)), 2);
	(void)close(fd);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* In a recipe, this program is run once more, for the same test. */
static void
inside_make(const char *kind)
{
	struct weir_jobserver *js;

	if (strcmp(kind, "without +") == 0) {
		expect_failure(getenv("MAKEFLAGS"), WEIR_INVAL, "put a +");
		return;
	}
	js = open_of(getenv("MAKEFLAGS"));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ_INT(take_all(js), 3);
		CHECK(!weir__jobserver_take(js));
		for (int j = 0; j < 3; j++)
			weir__jobserver_give(js);
	}
	CHECK_EQ_INT(take_all(js), 3);
	weir__jobserver_close(js);
}

/* What make says must be nothing: it counts its tokens when it ends. */
static void
run_make(const char *test, const char *kind, const char *prefix)
{
	char dir[] = "/tmp/weir-test-XXXXXX", path[64], command[256],
	     text[4096];
	char self[512];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t got;
	FILE *file;

	if (system("command -v make >/dev/null 2>&1") != 0)
		SKIP("no make");
	REQUIRE(len > 0 && mkdtemp(dir));
	self[len] = '\0';
	snprintf(path, sizeof(path), "%s/Makefile", dir);
	file = fopen(path, "w");
	REQUIRE(file);
	fprintf(file,
		"all:\n\t%s@WEIR_TEST_IN_MAKE='%s' '%s' '%s' >%s/out 2>&1"
		" || cat %s/out\n",
		prefix, kind, self, test, dir, dir);
	REQUIRE(fclose(file) == 0);
	snprintf(command, sizeof(command),
		 "env -u MAKEFLAGS -u MAKELEVEL make -s -j3 -C %s 2>&1; "
		 "grep -c '^ok' %s/out; rm -rf %s",
		 dir, dir, dir);
	file = popen(command, "r");
	REQUIRE(file);
	got = fread(text, 1, sizeof(text) - 1, file);
	text[got] = '\0';
	(void)pclose(file);
	CHECK_STR(text, "1\n");
}

TEST(jobserver, lets_as_many_run_as_make_has_tokens)
{
	const char *kind = getenv("WEIR_TEST_IN_MAKE");

	if (kind)
		inside_make(kind);
	else
		run_make("as many run as make has tokens", "with +", "+");
}

TEST(jobserver, says_when_make_keeps_it_from_a_recipe)
{
	const char *kind = getenv("WEIR_TEST_IN_MAKE");

	if (kind)
		inside_make(kind);
	else
		run_make("says when make keeps it", "without +", "");
}
