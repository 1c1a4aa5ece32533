/*
 * River's unique key: the published hashes, and each rule of the text that is
 * hashed.
 */
#include "harness.h"

#include "base/json_check.h"
#include "base/rng.h"
#include "queue/unique.h"

#include <weir/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-01-02T03:04:05.678Z, and 05:21:05Z of that day. */
#define NOW_MS   INT64_C(1767323045678)
#define LATER_MS INT64_C(1767331265000)
#define HOUR     (3600 * WEIR_S)

/* Zeroed at first, like every static thing; kept from test to test. */
static struct weir_unique_room room;

static const char *
hex(const unsigned char key[WEIR_UNIQUE_KEY_SIZE])
{
	static char text[WEIR_UNIQUE_KEY_SIZE * 2 + 1];

	for (int i = 0; i < WEIR_UNIQUE_KEY_SIZE; i++)
		(void)snprintf(text + (ptrdiff_t)i * 2, 3, "%02x", key[i]);
	return text;
}

static struct weir_unique
unique_of(const char *kind, uint32_t parts, const char *args)
{
	return (struct weir_unique){
		.parts = parts,
		.kind = kind,
		.kind_len = strlen(kind),
		.args = args,
		.args_len = strlen(args),
		.queue = "default",
		.queue_len = 7,
		.base_ms = NOW_MS,
	};
}

static const char *
key_of(const struct weir_unique *unique)
{
	unsigned char key[WEIR_UNIQUE_KEY_SIZE];

	REQUIRE(weir__unique_key(unique, &room, key));
	return hex(key);
}

/* What is hashed of args, or of some fields of it; up to a NULL. */
static const char *
args_text_of(const char *args, ...)
{
	static const char before[] = "&args=";
	struct weir_unique unique =
		unique_of("k", WEIR_UNIQUE_ARGS | WEIR_UNIQUE_NO_KIND, args);
	const char *fields[16], *field;
	struct weir_json_fault fault;
	va_list list;

	CHECK_MSG(weir__json_check(args, strlen(args), WEIR_JSON_OBJECT,
				   &fault) ||
			  strncmp(fault.why, "duplicate", 9) == 0,
		  "%s: %s", args, fault.why);
	va_start(list, args);
	while ((field = va_arg(list, const char *)))
		fields[unique.field_count++] = field;
	va_end(list);
	unique.fields = fields;
	(void)key_of(&unique);
	REQUIRE(strncmp(room.text.data, before, strlen(before)) == 0);
	return room.text.data + strlen(before);
}

#define ARGS(args, text) CHECK_STR(args_text_of(args, NULL), text)
#define FIELDS(args, text, ...) \
	CHECK_STR(args_text_of(args, __VA_ARGS__, NULL), text)

TEST(queue_unique, gives_the_hashes_that_were_published)
{
	struct weir_unique u =
		unique_of("conformance_simple", WEIR_UNIQUE_PERIOD, "{}");
	const char *fields[] = {"a", "b.c"};

	u.period_ns = HOUR;
	CHECK_STR(key_of(&u), "5396f06a082abd7a929915135ebd363a"
			      "9a47d800176b03ce7736f93a5ba9e22e");
	u.period_ns = HOUR * 3 / 2;
	CHECK_STR(key_of(&u), "5396f06a082abd7a929915135ebd363a"
			      "9a47d800176b03ce7736f93a5ba9e22e");
	u.period_ns = HOUR;
	u.base_ms = LATER_MS;
	CHECK_STR(key_of(&u), "b7f3c49952996b760b8b3ff6cf48f426"
			      "e03a6ef0f004fb6faa51725365cf309a");

	u = unique_of("k", WEIR_UNIQUE_QUEUE | WEIR_UNIQUE_NO_KIND, "{}");
	u.queue = "priority_emails";
	u.queue_len = strlen(u.queue);
	CHECK_STR(key_of(&u), "d20ce47da8e8015e68b020bbca2b1749"
			      "4139519ae05f8985e5992db4d8dd8a09");

	u = unique_of("conformance_all_args", WEIR_UNIQUE_ARGS, "{}");
	CHECK_STR(key_of(&u), "fe05a58ddb79a8d4544da962582d9a29"
			      "0d59788c920afd3597da3a62e3c1b0ac");
	u = unique_of("conformance_all_args", WEIR_UNIQUE_ARGS,
		      "{\"nested\":{\"z\":1,\"a\":2}}");
	CHECK_STR(key_of(&u), "46ff499cb031d0458bb00ef87e7b8332"
			      "1eefb6e7534497c279c4ae0f474cdde0");

	u = unique_of("conformance_selected_args", WEIR_UNIQUE_ARGS,
		      "{\"other\":1}");
	u.fields = fields;
	u.field_count = 2;
	CHECK_STR(key_of(&u), "23aa86692d9807ab10e433e378f1c080"
			      "4573f5e345818461b919322dd381b4c3");

	u = unique_of("conformance_simple",
		      WEIR_UNIQUE_ARGS | WEIR_UNIQUE_PERIOD | WEIR_UNIQUE_QUEUE,
		      "{\"id\":42}");
	u.queue = "priority_emails";
	u.queue_len = strlen(u.queue);
	u.period_ns = 60 * WEIR_S;
	u.base_ms = LATER_MS;
	CHECK_STR(key_of(&u), "6f20262e7b1fa9beaf98255f23030800"
			      "376636484a98b20c2c04a303bab5a8d5");
	CHECK_STR(room.text.data,
		  "&kind=conformance_simple&args={\"id\":42}"
		  "&period=2026-01-02T05:21:00Z&queue=priority_emails");
}

TEST(queue_unique, sorts_the_outermost_members_by_the_bytes_of_their_names)
{
	ARGS("{}", "{}");
	ARGS(" { } ", "{}");
	ARGS("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}");
	ARGS("{\"b\":{\"z\":1,\"y\":2},\"B\":1,\"aa\":2,\"a\":3,\"\":4}",
	     "{\"\":4,\"B\":1,\"a\":3,\"aa\":2,\"b\":{\"z\":1,\"y\":2}}");
	/* U+FF5E is after U+1F600 in UTF-16, and before it in UTF-8. */
	ARGS("{\"\xf0\x9f\x98\x80\":1,\"\xef\xbd\x9e\":2,\"\xc3\xa4\":3}",
	     "{\"\xc3\xa4\":3,\"\xef\xbd\x9e\":2,\"\xf0\x9f\x98\x80\":1}");
	ARGS("{\"\\ud83d\\ude00\":1,\"\\uff5e\":2,\"z\":0}",
	     "{\"z\":0,\"\xef\xbd\x9e\":2,\"\xf0\x9f\x98\x80\":1}");
}

TEST(queue_unique, counts_the_first_of_two_members_with_one_name)
{
	ARGS("{\"a\":1,\"b\":0,\"a\":2}", "{\"a\":1,\"b\":0}");
	ARGS("{\"a\":1,\"\\u0061\":2,\"a\":3}", "{\"a\":1}");
	FIELDS("{\"a\":1,\"a\":2}", "{\"a\":1}", "a");
	FIELDS("{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "", "a.y");
}

TEST(queue_unique, takes_blanks_out_between_tokens_only)
{
	ARGS("{ \"a\" :\t[ 1 ,\r\n2 , { \"b c\" : \" d \" } ] }",
	     "{\"a\":[1,2,{\"b c\":\" d \"}]}");
}

TEST(queue_unique, keeps_numbers_as_they_are_spelled)
{
	ARGS("{\"a\":[1.0,1e400,-0,1E+2,123456789012345678901234567890]}",
	     "{\"a\":[1.0,1e400,-0,1E+2,123456789012345678901234567890]}");
}

TEST(queue_unique, writes_strings_as_go_does_however_they_were_spelled)
{
	ARGS("{\"a\":\"<&>\"}", "{\"a\":\"\\u003c\\u0026\\u003e\"}");
	ARGS("{\"a\":\"\\u003C\"}", "{\"a\":\"\\u003c\"}");
	ARGS("{\"a\":\"\xe2\x80\xa8\\u2029\xe2\x80\xa7\"}",
	     "{\"a\":\"\\u2028\\u2029\xe2\x80\xa7\"}");
	ARGS("{\"a\":\"\\u000a\\u0008\\f\\r\\t\\u001F\\u0001\"}",
	     "{\"a\":\"\\n\\b\\f\\r\\t\\u001f\\u0001\"}");
	ARGS("{\"a\":\"\\/\\\\\\\"\\u005c\"}", "{\"a\":\"/\\\\\\\"\\\\\"}");
	ARGS("{\"a\":\"\x7f\xc3\xa9\\u00e9\\ud83d\\ude00\"}",
	     "{\"a\":\"\x7f\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80\"}");
	/* Where a character gets one more byte. */
	ARGS("{\"a\":\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\ud800\\udc00"
	     "\\udbff\\udfff\"}",
	     "{\"a\":\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"
	     "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}");
	/* Names inside of values are strings like others. */
	ARGS("{\"a\":{\"<\":[\"&\"]}}", "{\"a\":{\"\\u003c\":[\"\\u0026\"]}}");
}

TEST(queue_unique, writes_the_outermost_names_as_river_does)
{
	ARGS("{\"a<b&c>d\x7f\":1}", "{\"a<b&c>d\x7f\":1}");
	ARGS("{\"\\u003c\":1}", "{\"<\":1}");
	ARGS("{\" <\":1}", "{\" <\":1}");
	ARGS("{\"\\u001f<\":1}", "{\"\\u001f\\u003c\":1}");
	ARGS("{\"\xc3\xa4<\":1}", "{\"\xc3\xa4\\u003c\":1}");
	ARGS("{\"<\\\"\":1}", "{\"\\u003c\\\"\":1}");
	ARGS("{\"<\\n\":1}", "{\"\\u003c\\n\":1}");
	ARGS("{\"a.b\":1,\"@c\":2,\":d\":3,\"!e\":4,\"[f\":5,\"{g\":6}",
	     "{\"!e\":4,\":d\":3,\"@c\":2,\"[f\":5,\"a.b\":1,\"{g\":6}");
	ARGS("{\"\\\\\":1}", "{\"\\\\\":1}");
}

TEST(queue_unique, selects_fields_sorted_and_leaves_out_what_is_missing)
{
	const char *args = "{\"b\": 2, \"a\": {\"y\": [1, 2], \"x\": \"<\", "
			   "\"n\": {\"m\": null}}, \"c\": null}";

	FIELDS(args, "{\"b\":2,\"c\":null}", "c", "b");
	FIELDS(args, "{\"b\":2}", "b", "missing", "b");
	FIELDS(args, "", "missing", "b.c", "a.y.0", "c.d");
	FIELDS(args, "{\"a\":{\"x\":\"\\u003c\"}}", "a.x");
	FIELDS(args, "{\"a\":{\"x\":\"\\u003c\",\"y\":[1,2]},\"b\":2}", "b",
	       "a.y", "a.x");
	FIELDS(args, "{\"a\":{\"n\":{\"m\":null},\"y\":[1,2]}}", "a.y",
	       "a.n.m");
	FIELDS(args,
	       "{\"a\":{\"y\":[1,2],\"x\":\"\\u003c\",\"n\":{\"m\":null}}}",
	       "a.n.m", "a", "a.y");
	/* '-' sorts before the dot, and so between a and a.b. */
	FIELDS("{\"a\":{\"b\":1},\"a-x\":2}", "{\"a\":{\"b\":1},\"a-x\":2}",
	       "a", "a-x", "a.b");
	FIELDS("{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"ab\":{\"c\":3}}",
	       "{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"ab\":{\"c\":3}}", "ab.c",
	       "a.c.d", "a.b");
	FIELDS("{\"\\u0061\":1}", "{\"a\":1}", "a");
	FIELDS("{\"ab\":1}", "", "a");
}

TEST(queue_unique, counts_periods_from_the_year_one)
{
	static const struct {
		int64_t base_ms, period_ns;
		const char *text;
	} rows[] = {
		/* 2026-01-02 is a Friday: weeks begin on Mondays. */
		{NOW_MS, 7 * 24 * HOUR, "2025-12-29T00:00:00Z"},
		{NOW_MS, 24 * HOUR, "2026-01-02T00:00:00Z"},
		{NOW_MS, WEIR_S, "2026-01-02T03:04:05Z"},
		{NOW_MS, 15 * 60 * WEIR_S, "2026-01-02T03:00:00Z"},
		{NOW_MS, 1500 * WEIR_MS, "2026-01-02T03:04:04Z"},
		{0, 1000 * HOUR, "1969-11-25T00:00:00Z"},
		{NOW_MS, INT64_MAX, "1754-08-30T22:43:41Z"},
		{INT64_C(253402300799999), HOUR, "9999-12-31T23:00:00Z"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct weir_unique u = unique_of(
			"k", WEIR_UNIQUE_PERIOD | WEIR_UNIQUE_NO_KIND, "{}");

		u.base_ms = rows[i].base_ms;
		u.period_ns = rows[i].period_ns;
		(void)key_of(&u);
		CHECK_STR(room.text.data + strlen("&period="), rows[i].text);
	}
}

/*
 * Random args.  What they are comes from one generator and how they are spelled
 * from another, so that the same args can be had in many spellings.
 */
struct writer {
	struct weir_rng what, how;
	struct weir_buf *buf;
};

static size_t
pick(struct weir_rng *rng, size_t n)
{
	return (size_t)weir__rng_below(rng, n);
}

static void
write_blanks(struct writer *w)
{
	static const char blanks[] = " \t\r\n";

	while (pick(&w->how, 3) == 0)
		weir__buf_putc(w->buf, blanks[pick(&w->how, 4)]);
}

/* A character, raw where that may be, or escaped. */
static void
write_character(struct writer *w)
{
	static const struct {
		const char *raw, *units, *brief;
	} all[] = {
		{"a", "\\u0061", NULL},
		{"Z", "\\u005A", NULL},
		{"<", "\\u003c", NULL},
		{">", "\\u003E", NULL},
		{"&", "\\u0026", NULL},
		{"/", "\\u002f", "\\/"},
		{NULL, "\\u0022", "\\\""},
		{NULL, "\\u005c", "\\\\"},
		{NULL, "\\u000a", "\\n"},
		{NULL, "\\u0008", "\\b"},
		{NULL, "\\u001F", NULL},
		{"\x7f", "\\u007f", NULL},
		{"\xc3\xa4", "\\u00e4", NULL},
		{"\xe2\x80\xa8", "\\u2028", NULL},
		{"\xe2\x80\xaa", "\\u202A", NULL},
		{"\xf0\x9f\x98\x80", "\\ud83d\\uDE00", NULL},
		{".", "\\u002e", NULL},
		{" ", "\\u0020", NULL},
	};
	size_t i = pick(&w->what, sizeof(all) / sizeof(all[0]));
	size_t how = pick(&w->how, 3);

	if (how == 0 && all[i].raw)
		weir__buf_puts(w->buf, all[i].raw);
	else if (how == 1 && all[i].brief)
		weir__buf_puts(w->buf, all[i].brief);
	else
		weir__buf_puts(w->buf, all[i].units);
}

/* A string; as the name of the nth member it is like no other. */
static void
write_string(struct writer *w, int nth)
{
	weir__buf_putc(w->buf, '"');
	if (nth >= 0)
		weir__buf_printf(w->buf, "%c", 'b' + nth);
	for (size_t n = pick(&w->what, 5); n > 0; n--)
		write_character(w);
	weir__buf_putc(w->buf, '"');
}

static void
write_value(struct writer *w, int depth)
{
	static const char *const words[] = {
		"null", "true", "1.0", "1e400", "-0", "12345678901234567890"};
	size_t kind = pick(&w->what, depth < 4 ? 4 : 2);
	size_t count = pick(&w->what, 4);

	write_blanks(w);
	if (kind == 0)
		weir__buf_puts(w->buf, words[pick(&w->what, 6)]);
	else if (kind == 1)
		write_string(w, -1);
	if (kind < 2) {
		write_blanks(w);
		return;
	}
	weir__buf_putc(w->buf, kind == 2 ? '[' : '{');
	write_blanks(w);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			weir__buf_putc(w->buf, ',');
		write_blanks(w);
		if (kind == 3) {
			write_string(w, (int)i);
			write_blanks(w);
			weir__buf_putc(w->buf, ':');
		}
		write_value(w, depth + 1);
	}
	weir__buf_putc(w->buf, kind == 2 ? ']' : '}');
	write_blanks(w);
}

/* Args that `what` stands for, spelled and ordered as `how` says. */
static char *
write_args(uint64_t what, uint64_t how)
{
	struct weir_buf members[6] = {{0}}, args = {0};
	struct writer w;
	size_t count, order[6] = {0, 1, 2, 3, 4, 5};

	weir__rng_seed(&w.what, what);
	weir__rng_seed(&w.how, how);
	count = pick(&w.what, 7);
	for (size_t i = 0; i < count; i++) {
		w.buf = &members[i];
		write_blanks(&w);
		write_string(&w, (int)i);
		write_blanks(&w);
		weir__buf_putc(w.buf, ':');
		write_value(&w, 1);
	}
	for (size_t i = count; i > 1; i--) {
		size_t j = pick(&w.how, i), last = order[i - 1];

		order[i - 1] = order[j];
		order[j] = last;
	}
	weir__buf_putc(&args, '{');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			weir__buf_putc(&args, ',');
		weir__buf_append(&args, members[order[i]].data,
				 members[order[i]].len);
	}
	weir__buf_putc(&args, '}');
	for (size_t i = 0; i < 6; i++)
		weir__buf_fini(&members[i]);
	REQUIRE(!args.failed);
	return args.data;
}

TEST(queue_unique, is_the_same_however_args_are_spelled_and_ordered)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 3000; round++) {
		uint64_t what = weir__rng_next(&rng);
		char *one = write_args(what, weir__rng_next(&rng));
		char *two = write_args(what, weir__rng_next(&rng));
		char *text = strdup(args_text_of(one, NULL));

		REQUIRE(text);
		CHECK_STR(args_text_of(two, NULL), text);
		/* Nothing is left to be done to what came out. */
		CHECK_STR(args_text_of(text, NULL), text);
		free(one);
		free(two);
		free(text);
	}
}

TEST(queue_unique, makes_json_of_whatever_fields_there_are)
{
	struct weir_rng rng;
	int some = 0;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 3000; round++) {
		char *args =
			write_args(weir__rng_next(&rng), weir__rng_next(&rng));
		char paths[3][8];
		struct weir_json_fault fault = {0};
		const char *text;

		for (int i = 0; i < 3; i++)
			(void)snprintf(paths[i], sizeof(paths[i]),
				       pick(&rng, 2) ? "%c.%c" : "%c",
				       (int)('b' + pick(&rng, 4)),
				       (int)('b' + pick(&rng, 2)));
		text = args_text_of(args, paths[0], paths[1], paths[2], NULL);
		CHECK_MSG(!*text || weir__json_check(text, strlen(text),
						     WEIR_JSON_OBJECT, &fault),
			  "%s of %s: %s", text, args, fault.why);
		some += *text == '{';
		free(args);
	}
	CHECK_MSG(some > 300 && some < 3000, "%d of 3000 had some", some);
}
