/* Looking at objects: what is whole is told from what is torn. */
#include "harness.h"

#include "base/json_scan.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names and values, as they stand there; "!" behind them if it is not whole. */
static void
look(char *out, size_t size, const char *text, size_t len)
{
	struct weir_json_member m;
	struct weir_json_scan scan;
	size_t at = 0;

	weir__json_scan_init(&scan, text, len);
	out[0] = '\0';
	while (weir__json_scan_next(&scan, &m))
		at += (size_t)snprintf(out + at, size - at, "%.*s=%.*s;",
				       (int)m.name_len, m.name,
				       (int)m.value_len, m.value);
	snprintf(out + at, size - at, "%s",
		 weir__json_scan_is_whole(&scan) ? "" : "!");
}

static void
expect(const char *text, const char *expected)
{
	char out[512];

	look(out, sizeof(out), text, strlen(text));
	CHECK_STR(out, expected);
}

TEST(json_scan, finds_the_members_of_an_object)
{
	expect("{}", "");
	expect(" { } \n", "");
	expect("{\"a\":1}", "\"a\"=1;");
	expect("{ \"a\" : -1.5e3 , \"b\" : \"x\" }\n",
	       "\"a\"=-1.5e3;\"b\"=\"x\";");
	expect("{\"a\":[1,{\"b\":\"]}\"}],\"c\":{\"d\":{}},\"e\":true}",
	       "\"a\"=[1,{\"b\":\"]}\"}];\"c\"={\"d\":{}};\"e\"=true;");
	expect("{\"q\\\"\":\"\\\\\",\"r\":null}",
	       "\"q\\\"\"=\"\\\\\";\"r\"=null;");
}

TEST(json_scan, says_when_it_is_not_one_whole_object)
{
	static const char *const bad[] = {
		"",    " ",     "1",   "[]",  "\"a\"",   "{",     "}",
		"{}}", "{} {}", "{1}", "{,}", "{\"a\"}", "{a:1}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(bad[i], "!");
	expect("{\"a\":1}x", "\"a\"=1;!");
	expect("{\"a\":1 2}", "\"a\"=1;!");
	expect("{\"a\":1 \"b\":2}", "\"a\"=1;!");
	expect("{\"a\":}", "!");
	expect("{\"a\":]}", "!");
}

TEST(json_scan, takes_no_torn_object_for_a_whole_one)
{
	static const char text[] = "{\"a\":[1,{\"b\":\"]}\\\"\"}],\"c\":{\"d\":"
				   "{}},\"e\":true}";
	char out[512];

	for (size_t len = 0; len < strlen(text); len++) {
		look(out, sizeof(out), text, len);
		CHECK_MSG(strchr(out, '!'), "%zu: %s", len, out);
	}
	look(out, sizeof(out), text, strlen(text));
	CHECK(!strchr(out, '!'));
}

/* Whatever the text is: it ends, and stays within (sanitizers look). */
TEST(json_scan, stays_within_any_text)
{
	struct weir_rng rng = {test_seed()};
	struct weir_json_member m;
	struct weir_json_scan scan;
	int wrong = 0;

	for (int i = 0; i < 200000; i++) {
		size_t len = weir__rng_below(&rng, 24);
		char *text = malloc(len + 1);

		REQUIRE(text);
		for (size_t j = 0; j < len; j++)
			text[j] = "{}[]\"\\:, a1\0"[weir__rng_below(&rng, 12)];
		weir__json_scan_init(&scan, text, len);
		while (weir__json_scan_next(&scan, &m))
			wrong += m.name < text || m.value_len == 0 ||
				 m.value + m.value_len > text + len;
		free(text);
	}
	CHECK_EQ_INT(wrong, 0);
}

TEST(json_scan, compares_strings_with_their_quotes)
{
	CHECK(weir__json_is("\"ok\"", 4, "ok"));
	CHECK(!weir__json_is("\"ok\"", 4, "o"));
	CHECK(!weir__json_is("okay", 4, "ok"));
	CHECK(weir__json_is("\"\"", 2, ""));
}
