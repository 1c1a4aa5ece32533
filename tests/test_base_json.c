#include "base/json.h"
#include "harness.h"

#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct weir_buf buf;

/* Every test is a process of its own, so one buffer serves all of them. */
static struct weir_json
writer(void)
{
	struct weir_json j;

	weir__buf_fini(&buf);
	weir__json_init(&j, &buf);
	return j;
}

#define CHECK_TEXT(len, text, expected)                   \
	do {                                              \
		struct weir_json text_j = writer();       \
		weir__json_string(&text_j, text, len);    \
		CHECK_STR(weir__buf_str(&buf), expected); \
	} while (0)

#define CHECK_FIXED(value, decimals, expected)               \
	do {                                                 \
		struct weir_json fixed_j = writer();         \
		weir__json_fixed(&fixed_j, value, decimals); \
		CHECK_STR(weir__buf_str(&buf), expected);    \
	} while (0)

TEST(json, puts_commas_where_they_belong)
{
	struct weir_json j = writer();

	weir__json_begin_object(&j);
	weir__json_key(&j, "a");
	weir__json_int(&j, -1);
	weir__json_key(&j, "b");
	weir__json_begin_array(&j);
	weir__json_uint(&j, 1);
	weir__json_begin_array(&j);
	weir__json_end_array(&j);
	weir__json_begin_object(&j);
	weir__json_end_object(&j);
	weir__json_null(&j);
	weir__json_end_array(&j);
	weir__json_key(&j, "c");
	weir__json_bool(&j, true);
	weir__json_key(&j, "d");
	weir__json_bool(&j, false);
	CHECK(!weir__json_complete(&j));
	weir__json_end_object(&j);
	CHECK(weir__json_complete(&j));
	CHECK_STR(weir__buf_str(&buf),
		  "{\"a\":-1,\"b\":[1,[],{},null],\"c\":true,\"d\":false}");
	weir__buf_fini(&buf);
}

TEST(json, writes_each_integer_whole)
{
	struct weir_json j = writer();

	weir__json_begin_array(&j);
	weir__json_int(&j, INT64_MIN);
	weir__json_int(&j, INT64_MAX);
	weir__json_uint(&j, UINT64_MAX);
	weir__json_end_array(&j);
	CHECK_STR(weir__buf_str(&buf), "[-9223372036854775808,"
				       "9223372036854775807,"
				       "18446744073709551615]");
	weir__buf_fini(&buf);
}

TEST(json, escapes_what_a_string_may_not_hold)
{
	CHECK_TEXT(0, "", "\"\"");
	CHECK_TEXT(0, NULL, "\"\"");
	CHECK_TEXT(5, "a\"b\\c", "\"a\\\"b\\\\c\"");
	CHECK_TEXT(3, "\n\r\t", "\"\\n\\r\\t\"");
	CHECK_TEXT(3, "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"");
	CHECK_TEXT(3, "a\0b", "\"a\\u0000b\"");
	weir__buf_fini(&buf);
}

TEST(json, passes_utf8_on)
{
	CHECK_TEXT(2, "\xc3\xa9", "\"\xc3\xa9\"");
	CHECK_TEXT(3, "\xe2\x82\xac", "\"\xe2\x82\xac\"");
	CHECK_TEXT(4, "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
	CHECK_TEXT(4, "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");
	weir__buf_fini(&buf);
}

#define FFFD "\xef\xbf\xbd"

TEST(json, replaces_what_is_no_utf8)
{
	CHECK_TEXT(3,
		   "a\xff"
		   "b",
		   "\"a" FFFD "b\"");
	CHECK_TEXT(1, "\x80", "\"" FFFD "\"");
	/* overlong, surrogate, beyond the last character: a piece per byte */
	CHECK_TEXT(2, "\xc0\xaf", "\"" FFFD FFFD "\"");
	CHECK_TEXT(3, "\xe0\x80\x80", "\"" FFFD FFFD FFFD "\"");
	CHECK_TEXT(3, "\xed\xa0\x80", "\"" FFFD FFFD FFFD "\"");
	CHECK_TEXT(4, "\xf4\x90\x80\x80", "\"" FFFD FFFD FFFD FFFD "\"");
	/* cut short, by the end or by another character: one for the piece */
	CHECK_TEXT(2, "\xe2\x82", "\"" FFFD "\"");
	CHECK_TEXT(4, "\xf0\x9f\x98\"", "\"" FFFD "\\\"\"");
	CHECK_TEXT(3, "\xe2\x82\xac", "\"\xe2\x82\xac\"");
	weir__buf_fini(&buf);
}

TEST(json, writes_fixed_decimals)
{
	CHECK_FIXED(61.25, 1, "61.2");
	CHECK_FIXED(0, 3, "0.000");
	CHECK_FIXED(-1.5, 2, "-1.50");
	CHECK_FIXED(2.6, 0, "3");
	CHECK_FIXED((double)NAN, 2, "null");
	CHECK_FIXED((double)INFINITY, 2, "null");
	CHECK_FIXED(-(double)INFINITY, 2, "null");
	weir__buf_fini(&buf);
}

TEST(json, writes_the_largest_double)
{
	struct weir_json j = writer();

	weir__json_fixed(&j, -1.7976931348623157e308, 17);
	CHECK_EQ_INT(buf.len, 1 + 309 + 1 + 17);
	weir__buf_fini(&buf);
}

/* Pashto has a radix character of two bytes.  Few machines have it built. */
/* NOLINTBEGIN(cert-env33-c): the commands are ours. */
static bool
enter_pashto_locale(void)
{
	char dir[] = "/tmp/weir-locale-XXXXXX", command[256];
	bool entered = false;

	REQUIRE(mkdtemp(dir));
	(void)snprintf(command, sizeof(command),
		       "localedef -i ps_AF -f UTF-8 --no-archive %s/ps_AF",
		       dir);
	if (system(command) == 0 && setenv("LOCPATH", dir, 1) == 0)
		entered = setlocale(LC_ALL, "ps_AF") != NULL;
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK(system(command) == 0);
	return entered;
}
/* NOLINTEND(cert-env33-c) */

TEST(json, writes_a_point_in_any_locale)
{
	char native[16];

	if (!enter_pashto_locale())
		SKIP("localedef cannot build the locale ps_AF");
	(void)snprintf(native, sizeof(native), "%.1f", 1.5);
	REQUIRE(strlen(native) == 4);
	CHECK_FIXED(1.5, 2, "1.50");
	CHECK_FIXED(-12.0, 0, "-12");
	weir__buf_fini(&buf);
}

TEST(json, puts_raw_values_in_as_they_are)
{
	struct weir_json j = writer();

	weir__json_begin_array(&j);
	weir__json_raw(&j, "12345678901234567890123", 23);
	weir__json_raw(&j, "{}", 2);
	weir__json_end_array(&j);
	CHECK_STR(weir__buf_str(&buf), "[12345678901234567890123,{}]");
	weir__buf_fini(&buf);
}

static void
nest(int levels)
{
	struct weir_json j = writer();

	for (int i = 0; i < levels; i++)
		weir__json_begin_array(&j);
	for (int i = 0; i < levels; i++)
		weir__json_end_array(&j);
	CHECK(weir__json_complete(&j));
	weir__buf_fini(&buf);
}

TEST(json, nests_64_deep)
{
	nest(WEIR_JSON_DEPTH_MAX);
}

static void
nest_too_deep(void)
{
	nest(WEIR_JSON_DEPTH_MAX + 1);
}

static void
value_without_key(void)
{
	struct weir_json j = writer();

	weir__json_begin_object(&j);
	weir__json_null(&j);
}

static void
key_without_value(void)
{
	struct weir_json j = writer();

	weir__json_begin_object(&j);
	weir__json_key(&j, "a");
	weir__json_end_object(&j);
}

static void
key_in_an_array(void)
{
	struct weir_json j = writer();

	weir__json_begin_array(&j);
	weir__json_key(&j, "a");
}

static void
wrong_end(void)
{
	struct weir_json j = writer();

	weir__json_begin_array(&j);
	weir__json_end_object(&j);
}

static void
second_value(void)
{
	struct weir_json j = writer();

	weir__json_null(&j);
	weir__json_null(&j);
}

static bool
aborts(void (*misuse)(void))
{
	pid_t pid = fork();
	int status;

	REQUIRE(pid >= 0);
	if (pid == 0) {
		misuse();
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST(json, asserts_that_calls_come_in_their_place)
{
	CHECK(aborts(nest_too_deep));
	CHECK(aborts(value_without_key));
	CHECK(aborts(key_without_value));
	CHECK(aborts(key_in_an_array));
	CHECK(aborts(wrong_end));
	CHECK(aborts(second_value));
}
