/* Lines, however the bytes come: beside a reader that has them all. */
#include "harness.h"

#include "base/rng.h"
#include "lines/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 600

/* What is to come out of text: each line, or its beginning if it is long. */
static const char *
expected_line(const char *text, const char *end, char delimiter, size_t *ret)
{
	const char *found = memchr(text, delimiter, (size_t)(end - text));

	*ret = (size_t)((found ? found : end) - text);
	return found ? found + 1 : end;
}

/* Write some bytes of text into fd; how many. */
static size_t
trickle(struct weir_rng *rng, int fd, const char *text, size_t left)
{
	size_t n = 1 + weir__rng_below(rng, 40);

	if (n > left)
		n = left;
	return write(fd, text, n) == (ssize_t)n ? n : 0;
}

/* Read text through a pipe into which it comes in pieces. */
static void
check_pieces(struct weir_rng *rng, const char *text, size_t len, char delimiter,
	     size_t max)
{
	const struct weir_lines_options options = {.delimiter = delimiter,
						   .max = max};
	const char *at = text, *end = text + len, *next;
	struct weir_lines lines;
	struct weir_line line;
	uint64_t number = 0;
	size_t sent = 0, want;
	char name[32];
	int fds[2];

	REQUIRE(pipe(fds) == 0);
	snprintf(name, sizeof(name), "/dev/fd/%d", fds[0]);
	weir__lines_init(&lines, &options);
	REQUIRE(weir__lines_open(&lines, name));
	for (;;) {
		enum weir_lines_what what = weir__lines_next(&lines, &line);

		if (what == WEIR_LINES_NONE && fds[1] >= 0) {
			REQUIRE(weir__lines_fd(&lines) >= 0);
			sent += trickle(rng, fds[1], text + sent, len - sent);
			if (sent < len)
				continue;
			(void)close(fds[1]);
			fds[1] = -1;
			continue;
		}
		if (what == WEIR_LINES_END)
			break;
		next = expected_line(at, end, delimiter, &want);
		CHECK_EQ_INT(line.number, ++number);
		if (!CHECK_EQ_INT(what, want > max ? WEIR_LINES_LONG
						   : WEIR_LINES_LINE) ||
		    !CHECK(memcmp(line.text, at, line.len) == 0))
			break;
		CHECK(what == WEIR_LINES_LONG ? line.len > max
					      : line.len == want);
		if (what == WEIR_LINES_LINE)
			CHECK(line.is_whole == (at + want < end));
		at = next;
	}
	CHECK(at == end);
	CHECK_EQ_INT(weir__lines_fd(&lines), -1);
	weir__lines_fini(&lines);
	(void)close(fds[0]);
}

TEST_LIMIT(lines, are_the_same_however_the_bytes_come, 60)
{
	struct weir_rng rng = {test_seed()};
	char text[TEXT_MAX];

	for (int round = 0; round < 300; round++) {
		size_t len = weir__rng_below(&rng, TEXT_MAX);
		uint64_t often = 2 + weir__rng_below(&rng, 60);

		for (size_t i = 0; i < len; i++)
			text[i] = weir__rng_below(&rng, often)
					  ? (char)('a' + i % 26)
					  : "\n\0"[round % 2];
		check_pieces(&rng, text, len, "\n\0"[round % 2],
			     weir__rng_below(&rng, 50));
	}
}

/* A file that is gone when it has been opened. */
static void
open_text(struct weir_lines *lines, const char *text, size_t len, size_t max)
{
	const struct weir_lines_options options = {.delimiter = '\n',
						   .max = max};
	char path[] = "/tmp/weir-test-XXXXXX";
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, len) == (ssize_t)len);
	(void)close(fd);
	weir__lines_init(lines, &options);
	REQUIRE(weir__lines_open(lines, path));
	(void)unlink(path);
}

TEST(lines, that_are_far_too_long_take_little_memory)
{
	size_t len = 8 * 1024 * 1024;
	char *text = malloc(len);
	struct weir_lines lines;
	struct weir_line line;

	REQUIRE(text);
	memset(text, 'x', len);
	memcpy(text + len - 3, "\nb\n", 3);
	open_text(&lines, text, len, 1000);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LONG);
	CHECK_EQ_INT(line.len, WEIR_LINES_LONG_SHOWN);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK(line.len == 1 && line.text[0] == 'b');
	CHECK(lines.cap <= 64 * 1024);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_END);
	weir__lines_fini(&lines);
	free(text);
}

TEST(lines, are_counted_ahead_once_all_are_there)
{
	struct weir_lines lines;
	struct weir_line line;
	uint64_t ahead = 0;

	open_text(&lines, "a\nb\nc", 5, 100);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK(weir__lines_ahead(&lines, &ahead));
	CHECK_EQ_INT(ahead, 2);
	CHECK(line.len == 1 && line.text[0] == 'a');
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK(line.len == 1 && line.text[0] == 'c' && !line.is_whole);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_END);
	weir__lines_fini(&lines);
}

/* The end of a line that was too long is no line of its own. */
TEST(lines, are_not_counted_within_one_that_is_too_long)
{
	char *text = malloc(70000);
	struct weir_lines lines;
	struct weir_line line;
	uint64_t ahead = 7;

	REQUIRE(text);
	memset(text, 'x', 70000);
	memcpy(text + 70000 - 3, "\nb\n", 3);
	open_text(&lines, text, 70000, 1000);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LONG);
	CHECK(!weir__lines_ahead(&lines, &ahead));
	CHECK_EQ_INT(ahead, 7);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK(!weir__lines_ahead(&lines, &ahead) || ahead == 0);
	weir__lines_fini(&lines);
	free(text);
}

/* A terminal gives its end once: whoever reads it must remember. */
TEST(lines, of_a_terminal_end_when_it_was_said_once)
{
	const struct weir_lines_options options = {.delimiter = '\n',
						   .max = 100};
	int fd = posix_openpt(O_RDWR | O_NOCTTY);
	struct weir_lines lines;
	struct weir_line line;
	uint64_t ahead = 9;
	int terminal;

	REQUIRE(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
	weir__lines_init(&lines, &options);
	REQUIRE(weir__lines_open(&lines, ptsname(fd)));
	terminal = lines.fd;
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_NONE);
	CHECK_EQ_INT(weir__lines_fd(&lines), terminal);
	REQUIRE(write(fd, "a\n\004", 3) == 3);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK(weir__lines_ahead(&lines, &ahead));
	CHECK_EQ_INT(ahead, 0);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_END);
	weir__lines_fini(&lines);
	(void)close(fd);
}

TEST(lines, that_are_added_to_a_frozen_file_are_not_read)
{
	struct weir_lines lines;
	struct weir_line line;
	char name[32];
	int fd;

	open_text(&lines, "a\n", 2, 100);
	REQUIRE(weir__lines_freeze(&lines));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", lines.fd);
	fd = open(name, O_WRONLY | O_APPEND);
	REQUIRE(fd >= 0 && write(fd, "b\n", 2) == 2);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_END);
	weir__lines_fini(&lines);
	(void)close(fd);
}

TEST(lines, may_come_from_a_fifo_that_nobody_writes_to_yet)
{
	const struct weir_lines_options options = {.delimiter = '\n',
						   .max = 100};
	char dir[] = "/tmp/weir-test-XXXXXX", path[64];
	struct weir_lines lines;
	struct weir_line line;
	int fd;

	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	REQUIRE(mkfifo(path, 0600) == 0);
	weir__lines_init(&lines, &options);
	CHECK(!weir__lines_open(&lines, "/nowhere"));
	CHECK_EQ_INT(errno, ENOENT);
	REQUIRE(weir__lines_open(&lines, path));
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_NONE);
	fd = open(path, O_WRONLY);
	REQUIRE(fd >= 0 && write(fd, "a", 1) == 1);
	(void)close(fd);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_LINE);
	CHECK_EQ_INT(weir__lines_next(&lines, &line), WEIR_LINES_END);
	weir__lines_fini(&lines);
	(void)unlink(path);
	(void)rmdir(dir);
}
