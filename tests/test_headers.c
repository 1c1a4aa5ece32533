/*
 * The public headers as texts: each declaration ends its comment with the
 * four lines of its contract.  That each compiles alone, as C99 and as C++,
 * is for the build to find out (meson.build).
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All at once: no name of one may stand in the way of another. */
#include <weir/queue.h>
#include <weir/weir.h>

#include "harness.h"

static char *
read_header(const char *name)
{
	const char *root = getenv("WEIR_SOURCE");
	static char text[1 << 17];
	char path[4096];
	size_t len;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/include/weir/%s",
		       root ? root : "..", name);
	file = fopen(path, "r");
	REQUIRE(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	REQUIRE(len < sizeof(text) - 1);
	text[len] = '\0';
	(void)fclose(file);
	return text;
}

/* The comment right before a declaration at `at`, or "". */
static void
comment_before(const char *text, const char *at, char *ret, size_t size)
{
	const char *end = at, *begin;

	*ret = '\0';
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	if (end - text < 2 || strncmp(end - 2, "*/", 2) != 0)
		return;
	for (begin = end - 2; begin > text; begin--)
		if (strncmp(begin, "/*", 2) == 0)
			break;
	(void)snprintf(ret, size, "%.*s", (int)(end - begin), begin);
}

static int
check_contracts(const char *name)
{
	static const char *const lines[] = {"\n * Waits:   ", "\n * Threads: ",
					    "\n * Owns:    ", "\n * Returns: "};
	const char *text = read_header(name), *at = text;
	static char comment[8192];
	int found = 0;

	while ((at = strstr(at, "\nWEIR_API "))) {
		const char *before = comment;

		at++;
		found++;
		comment_before(text, at, comment, sizeof(comment));
		for (int i = 0; i < 4 && before; i++) {
			before = strstr(before, lines[i]);
			CHECK_MSG(before, "%s: no \"%s\" over \"%.60s\"", name,
				  lines[i] + 4, at);
		}
	}
	return found;
}

TEST(headers, each_declaration_says_waits_threads_owns_and_returns)
{
	CHECK_EQ_INT(check_contracts("base.h"), 4);
	CHECK_EQ_INT(check_contracts("ctx.h"), 9);
	CHECK_EQ_INT(check_contracts("chan.h"), 11);
	CHECK_EQ_INT(check_contracts("retry.h"), 1);
	CHECK_EQ_INT(check_contracts("limit.h"), 4);
	CHECK(check_contracts("pool.h") >= 15);
	CHECK(check_contracts("job.h") >= 9);
	CHECK_EQ_INT(check_contracts("isolate.h"), 3);
	CHECK(check_contracts("pipeline.h") >= 1);
}
