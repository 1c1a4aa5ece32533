/*
 * The public headers as texts: each declaration ends its comment with the
 * four lines of its contract, and each macro is used by a test.  That each
 * compiles alone, as C99 and as C++, is for the build to find out
 * (meson.build).
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All at once: no name of one may stand in the way of another. */
#include <weir/fleet.h>
#include <weir/queue.h>
#include <weir/work.h>
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
	CHECK_EQ_INT(check_contracts("queue.h"), 19);
	CHECK_EQ_INT(check_contracts("work.h"), 10);
	CHECK_EQ_INT(check_contracts("fleet.h"), 3);
}

TEST(headers, give_structs_of_options_their_size)
{
	weir_store_options store = WEIR_STORE_OPTIONS_INIT;
	weir_work_options work = WEIR_WORK_OPTIONS_INIT;
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	weir_insert insert = WEIR_INSERT_INIT;

	CHECK_EQ_INT(store.size, sizeof(store));
	CHECK_EQ_INT(work.size, sizeof(work));
	CHECK_EQ_INT(filter.size, sizeof(filter));
	CHECK_EQ_INT(insert.size, sizeof(insert));
}

/* All that tests are made of, one file after the other. */
static char *
read_tests(void)
{
	const char *root = getenv("WEIR_SOURCE");
	size_t size = 8 << 20, len = 0;
	char *text = malloc(size), path[4096];
	const struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/tests", root ? root : "..");
	dir = opendir(path);
	REQUIRE(text && dir);
	while ((entry = readdir(dir))) {
		const char *end = strrchr(entry->d_name, '.');
		FILE *file;

		if (!end || !strstr(".c.h.cc", end))
			continue;
		(void)snprintf(path, sizeof(path), "%s/tests/%s",
			       root ? root : "..", entry->d_name);
		file = fopen(path, "r");
		REQUIRE(file);
		len += fread(text + len, 1, size - 1 - len, file);
		REQUIRE(len < size - 1);
		(void)fclose(file);
	}
	(void)closedir(dir);
	text[len] = '\0';
	return text;
}

static bool
is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* As a word of its own? */
static bool
has_word(const char *text, const char *word, size_t len)
{
	for (const char *at = text; (at = strstr(at, word)); at += len)
		if (!is_name(at[len]) && (at == text || !is_name(at[-1])))
			return true;
	return false;
}

/* Guards, and what only the headers themselves are made with. */
static bool
is_for_headers(const char *name)
{
	static const char *const names[] = {
		"WEIR_API",          "WEIR_NODISCARD",   "WEIR_PRINTF",
		"WEIR_OPTIONS_TYPE", "WEIR_STATUS_ENUM", "WEIR_JOB_STATE_ENUM",
		"WEIR_TYPED_INLINE",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strlen(name) > 2 && strcmp(name + strlen(name) - 2, "_H") == 0;
}

static int
check_macros(const char *header, const char *tests)
{
	static const char define[] = "\n#define WEIR_";
	const char *at = read_header(header);
	int found = 0;

	while ((at = strstr(at, define))) {
		char name[64];
		size_t len = 0;

		at += strlen("\n#define ");
		while (is_name(at[len]))
			len++;
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, at);
		found++;
		if (!is_for_headers(name))
			CHECK_MSG(has_word(tests, name, len),
				  "%s: no test uses %s", header, name);
	}
	return found;
}

TEST(headers, each_macro_is_used_by_a_test)
{
	static const char *const headers[] = {
		"base.h",     "ctx.h",   "chan.h",  "retry.h",
		"limit.h",    "pool.h",  "job.h",   "isolate.h",
		"pipeline.h", "typed.h", "queue.h", "work.h",
	};
	char *tests = read_tests();
	int found = 0;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		found += check_macros(headers[i], tests);
	CHECK_MSG(found > 60, "%d macros", found);
	free(tests);
}
