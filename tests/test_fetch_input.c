/* Reading lists: every way to cut them up, and what comes out. */
#include "harness.h"

#include "fetch/count.h"
#include "fetch/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/weir-test-XXXXXX";

/* A list with this text, in a file that is gone when the test is over. */
static struct weir_fetch_input *
open_list(const char *text, size_t len)
{
	static const char *files[1];
	struct weir_fetch_input_options options = {
		.files = files, .file_count = 1, .key = {1, 2}};
	struct weir_fetch_input *input = NULL;
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, len) == (ssize_t)len);
	(void)close(fd);
	files[0] = path;
	REQUIRE(weir__fetch_input_new(&input, &options) == WEIR_OK);
	return input;
}

/* The next line, of that kind; its URL or reason is text. */
static void
expect(struct weir_fetch_input *input, enum weir_fetch_line kind,
       const char *text)
{
	struct weir_fetch_next next;
	enum weir_fetch_line got = weir__fetch_input_next(input, &next);

	CHECK_EQ_INT(got, kind);
	if (got == WEIR_FETCH_LINE_REQUEST && text)
		CHECK_STR(next.request->url, text);
	if (got == WEIR_FETCH_LINE_BAD && text)
		CHECK_MSG(strstr(next.why, text), "%s", next.why);
	weir__fetch_request_free(next.request);
}

static void
end(struct weir_fetch_input *input)
{
	expect(input, WEIR_FETCH_LINE_END, NULL);
	weir__fetch_input_free(input);
	(void)unlink(path);
}

TEST(input, takes_lines_and_leaves_out_comments)
{
	static const char text[] = "# no\n\n  \t\r\nhttp://a/1\n \thttp://a/2 "
				   "\r\n#http://a/3\nhttp://a/4";
	struct weir_fetch_input *input = open_list(text, strlen(text));
	struct weir_fetch_count count;

	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/1");
	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/2");
	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/4");
	end(input);
	/* Counting ahead comes to the same, however the text is cut. */
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		weir__fetch_count_init(&count, NULL, 0);
		weir__fetch_count_text(&count, text, cut);
		weir__fetch_count_text(&count, text + cut, strlen(text) - cut);
		CHECK_EQ_INT(count.lines, 3);
	}
}

TEST(input, says_which_line_is_bad)
{
	static const char text[] = "\nftp://a/\nhttp://a/\0b\nhttp://a/\n";
	struct weir_fetch_input *input = open_list(text, sizeof(text) - 1);

	expect(input, WEIR_FETCH_LINE_BAD, "line 2: only http and https");
	expect(input, WEIR_FETCH_LINE_BAD, "line 3: a NUL byte");
	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/");
	end(input);
}

TEST(input, skips_lines_that_are_too_long)
{
	size_t len = 3 * WEIR_FETCH_LINE_MAX;
	char *text = malloc(len);
	struct weir_fetch_input *input;

	REQUIRE(text);
	memset(text, 'x', len);
	memcpy(text, "http://a/1\n", 11);
	memcpy(text + len - 12, "\nhttp://a/2\n", 12);
	input = open_list(text, len);
	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/1");
	expect(input, WEIR_FETCH_LINE_BAD, "line 2 is longer than 1 MiB");
	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/2");
	end(input);
	free(text);
}

TEST(input, gives_lines_that_straddle_its_buffer)
{
	char *text = NULL, url[64];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct weir_fetch_input *input;

	REQUIRE(out);
	for (int i = 0; i < 20000; i++)
		fprintf(out, "http://a/%d\n", i);
	REQUIRE(fclose(out) == 0);
	input = open_list(text, len);
	for (int i = 0; i < 20000; i++) {
		snprintf(url, sizeof(url), "http://a/%d", i);
		expect(input, WEIR_FETCH_LINE_REQUEST, url);
	}
	end(input);
	free(text);
}

TEST(input, takes_objects)
{
	static const char text[] =
		"{\"url\": \"http://j:p@a/\", \"id\": 7, \"method\": \"PUT\","
		" \"body\": {\"n\": 1}, \"out\": \"o\"}\n"
		"{\"url\": \"http://a/\", \"id\": null}\n"
		"{\"url\": \"http://a/\", \"url\": \"http://b/\"}\n"
		"{\"url\": \"http://a/\", \"headers\": {\"A b\": \"c\"}}\n"
		"[]\n";
	struct weir_fetch_input *input = open_list(text, strlen(text));
	struct weir_fetch_next next;

	REQUIRE(weir__fetch_input_next(input, &next) ==
		WEIR_FETCH_LINE_REQUEST);
	CHECK_STR(next.request->url, "http://j:p@a/");
	CHECK_STR(next.request->shown, "http://a/");
	CHECK_STR(next.request->id, "7");
	CHECK_STR(next.request->method, "PUT");
	CHECK_STR(next.request->body, "{\"n\":1}");
	CHECK_STR(next.request->out, "o");
	CHECK(next.request->headers);
	weir__fetch_request_free(next.request);
	expect(input, WEIR_FETCH_LINE_REQUEST, "http://a/");
	expect(input, WEIR_FETCH_LINE_BAD, "duplicate");
	expect(input, WEIR_FETCH_LINE_BAD, "headers");
	expect(input, WEIR_FETCH_LINE_BAD, "not a URL");
	end(input);
}
