/*
 * The JSON validator: a table of texts that are JSON and of texts that are not,
 * what it says of the latter, and jansson's opinion where jansson has one.
 */
#include "harness.h"

#include "base/json_check.h"
#include "base/rng.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_json(const char *text, size_t len, struct weir_json_fault *fault)
{
	/* A copy that ends where it ends, for AddressSanitizer to guard. */
	char *copy = malloc(len ? len : 1);
	bool good;

	REQUIRE(copy);
	memcpy(copy, text, len);
	good = weir__json_check(copy, len, WEIR_JSON_ANY, fault);
	free(copy);
	return good;
}

/* A string literal with its length, so that NUL bytes can be in it. */
#define T(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

struct text {
	const char *at;
	size_t len;
};

static const struct text good[] = {
	T("{}"),
	T("[]"),
	T("null"),
	T("true"),
	T("false"),
	T("0"),
	T("-0"),
	T("\"\""),
	T(" \t\r\n{ } \t\r\n"),
	T("[ ]"),
	T("[1,2,[3,[]],{}]"),
	T("{\"num\":1}"),
	T("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}"),
	T("[{\"a\":1},{\"a\":1}]"),
	T("{\"\":0}"),
	T("{\"a\":1,\"A\":1,\"a \":1,\"aa\":1}"),
	T("{\"12345678\":1,\"123456789\":1,\"1234567\":1}"),
	/* Numbers are not looked at as numbers. */
	T("1e400"),
	T("-1E-400"),
	T("1E+2"),
	T("0.10"),
	T("0e1"),
	T("123456789012345678901234567890"),
	T("-9223372036854775809"),
	T("3.14159265358979323846264338327950288"),
	T("[0.0,-0.0,1e+0]"),
	/* Strings. */
	T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
	T("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\uD83D\\uDE00\""),
	T("\"\\u0001\\uffff\\udbff\\udfff\\ud800\\udc00\""),
	T("\"\x7f\xc2\x80\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\""),
	T("\"\xee\x80\x80\xef\xbf\xbf\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\""),
	T("\"\\\\u0000\""),
	T("\"/*'*/\""),
};

TEST(base_json_check, takes_what_is_json)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct weir_json_fault fault = {0};

		CHECK_MSG(is_json(good[i].at, good[i].len, &fault),
			  "%s: %s (at byte %zu)", good[i].at, fault.why,
			  fault.at);
	}
}

static const struct {
	struct text text;
	size_t at;
	const char *why;
} bad[] = {
	/* Nothing, or too much. */
	{T(""), 0, "no JSON at all"},
	{T(" \n"), 2, "no JSON at all"},
	{T("\xef\xbb\xbf{}"), 0, "a byte order mark"},
	{T("{} {}"), 3, "{ where the end should be"},
	{T("1 2"), 2, "2 where the end should be"},
	{T("[]]"), 2, "] where the end should be"},
	{T("{}\0"), 2, "byte 0x00 where the end should be"},
	{T("\f1"), 0, "byte 0x0c where a value should be"},
	{T("\xc2\xa0{}"), 0, "byte 0xc2 where a value should be"},
	{T("// no\n1"), 0, "/ where a value should be"},
	/* Words. */
	{T("nul"), 0, "n where a value should be"},
	{T("True"), 0, "T where a value should be"},
	{T("nullx"), 4, "x where the end should be"},
	{T("NaN"), 0, "N where a value should be"},
	{T("-Infinity"), 1, "I where a digit should be"},
	{T("undefined"), 0, "u where a value should be"},
	{T("'a'"), 0, "' where a value should be"},
	/* Numbers. */
	{T("01"), 0, "a number that begins with 0"},
	{T("-01"), 1, "a number that begins with 0"},
	{T("00.5"), 0, "a number that begins with 0"},
	{T("-"), 1, "it ends where a digit should be"},
	{T("+1"), 0, "+ where a value should be"},
	{T(".5"), 0, ". where a value should be"},
	{T("5."), 2, "it ends where a digit should be"},
	{T("5.e1"), 2, "e where a digit should be"},
	{T("1e"), 2, "it ends where a digit should be"},
	{T("1e+"), 3, "it ends where a digit should be"},
	{T("1e1.5"), 3, ". where the end should be"},
	{T("0x10"), 1, "x where the end should be"},
	{T("--1"), 1, "- where a digit should be"},
	{T("1_000"), 1, "_ where the end should be"},
	{T("[1 000]"), 3, "0 where a comma or ] should be"},
	/* Arrays and objects. */
	{T("["), 1, "it ends where a value should be"},
	{T("[1"), 2, "it ends where a comma or ] should be"},
	{T("[1,"), 3, "it ends where a value should be"},
	{T("[1,]"), 3, "] where a value should be"},
	{T("[,1]"), 1, ", where a value should be"},
	{T("[1,,2]"), 3, ", where a value should be"},
	{T("[1}"), 2, "} where a comma or ] should be"},
	{T("{\"a\":1]"), 6, "] where a comma or } should be"},
	{T("{"), 1, "it ends where a key in double quotes should be"},
	{T("{\"a\""), 4, "it ends where a colon should be"},
	{T("{\"a\":"), 5, "it ends where a value should be"},
	{T("{\"a\":}"), 5, "} where a value should be"},
	{T("{\"a\" 1}"), 5, "1 where a colon should be"},
	{T("{\"a\":1"), 6, "it ends where a comma or } should be"},
	{T("{\"a\":1,}"), 7, "} where a key in double quotes should be"},
	{T("{,}"), 1, ", where a key in double quotes should be"},
	{T("{a:1}"), 1, "a where a key in double quotes should be"},
	{T("{1:1}"), 1, "1 where a key in double quotes should be"},
	{T("{'a':1}"), 1, "' where a key in double quotes should be"},
	{T("{\"a\":1;\"b\":2}"), 6, "; where a comma or } should be"},
	/* Strings. */
	{T("\""), 1, "it ends inside a string"},
	{T("\"a"), 2, "it ends inside a string"},
	{T("\"\\"), 2, "it ends inside a string"},
	{T("\"\\\""), 3, "it ends inside a string"},
	{T("\"a\nb\""), 2,
	 "a control character in a string, 0x0a, without its escape"},
	{T("\"a\0b\""), 2,
	 "a control character in a string, 0x00, without its escape"},
	{T("\"\\x41\""), 1, "a backslash that begins no escape"},
	{T("\"\\\0\""), 1, "a backslash that begins no escape"},
	{T("\"\\'\""), 1, "a backslash that begins no escape"},
	{T("\"\\U0041\""), 1, "a backslash that begins no escape"},
	{T("\"\\u12"), 1, "\\u without four hexadecimal digits"},
	{T("\"\\u12g4\""), 1, "\\u without four hexadecimal digits"},
	{T("\"\\u-123\""), 1, "\\u without four hexadecimal digits"},
	{T("\"\\u0000\""), 1, "\\u0000, which databases cannot keep"},
	{T("{\"\\u0000\":1}"), 2, "\\u0000, which databases cannot keep"},
	{T("\"\\ud800\""), 1, "half of a surrogate pair, \\ud800"},
	{T("\"\\uDFFF\""), 1, "half of a surrogate pair, \\uDFFF"},
	{T("\"\\ud800\\ud800\""), 1, "half of a surrogate pair, \\ud800"},
	{T("\"\\ud83d\\n\""), 1, "half of a surrogate pair, \\ud83d"},
	{T("\"\\ud83d\\u"), 1, "half of a surrogate pair, \\ud83d"},
	{T("\"\\ud83dabcdef\""), 1, "half of a surrogate pair, \\ud83d"},
	{T("\"\x80\""), 1, "a string that is not UTF-8"},
	{T("\"\xc3\""), 1, "a string that is not UTF-8"},
	{T("\"\xc0\xaf\""), 1, "a string that is not UTF-8"},
	{T("\"\xed\xa0\x80\""), 1, "a string that is not UTF-8"},
	{T("\"\xf4\x90\x80\x80\""), 1, "a string that is not UTF-8"},
	{T("\"ab\xe2\x82"), 3, "a string that is not UTF-8"},
	{T("\"\xff\""), 1, "a string that is not UTF-8"},
	/* Keys. */
	{T("{\"a\":1,\"a\":2}"), 7, "duplicate key \"a\""},
	{T("{\"a\":1,\"b\":1,\"\\u0061\":2}"), 13, "duplicate key \"\\u0061\""},
	{T("{\"\":1,\"\":2}"), 6, "duplicate key \"\""},
	{T("{\"a/b\":1,\"a\\/b\":2}"), 9, "duplicate key \"a\\/b\""},
	{T("{\"\\n\":1,\"\\u000A\":2}"), 8, "duplicate key \"\\u000A\""},
	{T("{\"\xe2\x82\xac\":1,\"\\u20ac\":2}"), 9,
	 "duplicate key \"\\u20ac\""},
	{T("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}"), 10,
	 "duplicate key \"\\ud83d\\ude00\""},
	{T("{\"12345678\":1,\"12345678\":1}"), 14,
	 "duplicate key \"12345678\""},
	{T("{\"12345678x\":1,\"12345678y\":1,\"12345678\\u0078\":1}"), 29,
	 "duplicate key \"12345678\\u0078\""},
	{T("{\"a\":{\"b\":1},\"c\":{\"d\":1,\"d\":1}}"), 24,
	 "duplicate key \"d\""},
	{T("{\"a\":{\"x\":1},\"a\":1}"), 13, "duplicate key \"a\""},
	{T("{\"\x7f\xc2\x9b\xc2\xa0\":1,\"\x7f\xc2\x9b\xc2\xa0\":1}"), 11,
	 "duplicate key \"??\xc2\xa0\""},
	{T("{\"0123456789012345678901234567890123456789\":1,"
	   "\"0123456789012345678901234567890123456789\":1}"),
	 46, "duplicate key \"0123456789012345678901234567890123456...\""},
};

TEST(base_json_check, says_where_and_why_a_text_is_none)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct weir_json_fault fault = {0};

		CHECK_MSG(!is_json(bad[i].text.at, bad[i].text.len, &fault),
			  "%s was taken", bad[i].text.at);
		CHECK_STR(fault.why, bad[i].why);
		CHECK_MSG(fault.at == bad[i].at, "%s: at %zu, not %zu",
			  bad[i].text.at, fault.at, bad[i].at);
		CHECK(!fault.no_memory);
	}
}

TEST(base_json_check, may_be_told_to_want_an_object)
{
	struct weir_json_fault fault;

	CHECK(weir__json_check(" {}", 3, WEIR_JSON_OBJECT, &fault));
	CHECK(!weir__json_check("[{}]", 4, WEIR_JSON_OBJECT, &fault));
	CHECK_STR(fault.why, "[ where an object in {} should be");
	CHECK(!weir__json_check("null", 4, WEIR_JSON_OBJECT, &fault));
	CHECK(!weir__json_check("", 0, WEIR_JSON_OBJECT, &fault));
	CHECK_STR(fault.why, "no JSON at all");
}

/* depth times open, then close. */
static bool
nested_is_json(int depth, const char *open, const char *close,
	       struct weir_json_fault *fault)
{
	char text[1024];
	size_t len = 0;

	for (int i = 0; i < depth; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
					open);
	for (int i = 0; i < depth; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
					i == 0 && *open == '{' ? "0}" : close);
	return is_json(text, len, fault);
}

TEST(base_json_check, goes_down_64_levels_and_no_more)
{
	struct weir_json_fault fault;

	CHECK(nested_is_json(64, "[", "]", &fault));
	CHECK(!nested_is_json(65, "[", "]", &fault));
	CHECK_STR(fault.why, "more than 64 levels deep");
	CHECK_EQ_INT(fault.at, 64);
	CHECK(nested_is_json(64, "{\"a\":", "}", &fault));
	CHECK(!nested_is_json(65, "{\"a\":", "}", &fault));
	CHECK_EQ_INT(fault.at, 64 * 5);
}

/*
 * An object of n keys, "k0" to "k<n-1>" in a random order, of which the ones
 * at `first` and `second` are the same; *ret_at is where the second stands.
 */
static char *
make_object(struct weir_rng *rng, unsigned n, unsigned first, unsigned second,
	    size_t *ret_len, size_t *ret_at)
{
	char *text = malloc((size_t)n * 24 + 3);
	unsigned *names = calloc(n, sizeof(*names));
	size_t len = 0;

	REQUIRE(text && names);
	for (unsigned i = 0; i < n; i++)
		names[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned j = (unsigned)weir__rng_below(rng, i);
		unsigned name = names[i - 1];

		names[i - 1] = names[j];
		names[j] = name;
	}
	names[second] = names[first];
	for (unsigned i = 0; i < n; i++) {
		len += (size_t)snprintf(text + len, 24, "%c",
					i == 0 ? '{' : ',');
		if (i == second)
			*ret_at = len;
		len += (size_t)snprintf(text + len, 24, "\"key %u\":0",
					names[i]);
	}
	text[len++] = '}';
	*ret_len = len;
	free(names);
	return text;
}

TEST(base_json_check, finds_a_key_that_is_there_twice_among_any_number)
{
	static const unsigned counts[] = {2,  11, 12, 13,  14,
					  31, 32, 33, 100, 5000};
	struct weir_json_fault fault;
	struct weir_rng rng;
	size_t len, at = 0;

	weir__rng_seed(&rng, test_seed());
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned n = counts[i];
		unsigned second = 1 + (unsigned)weir__rng_below(&rng, n - 1);
		unsigned first = (unsigned)weir__rng_below(&rng, second);
		char *text = make_object(&rng, n, first, second, &len, &at);

		CHECK(!is_json(text, len, &fault));
		CHECK_MSG(fault.at == at, "%u keys, %u and %u: at %zu, not %zu",
			  n, first, second, fault.at, at);
		free(text);
		text = make_object(&rng, n, second, second, &len, &at);
		CHECK(is_json(text, len, &fault));
		free(text);
	}
}

TEST(base_json_check, names_the_first_of_several_keys_that_are_there_twice)
{
	char text[1024] = "{";
	struct weir_json_fault fault;
	size_t len = 1, at;

	for (int i = 0; i < 40; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"\"%d\":0,", 99 - i);
	at = len;
	len += (size_t)snprintf(text + len, sizeof(text) - len,
				"\"70\":0,\"70\":0,\"65\":0,\"90\":0}");
	CHECK(!is_json(text, len, &fault));
	CHECK_STR(fault.why, "duplicate key \"70\"");
	CHECK_EQ_INT(fault.at, at);
}

/* A megabyte of what is worst: nothing but keys, in each level some. */
TEST(base_json_check, takes_no_long_time_for_a_megabyte_of_keys)
{
	size_t size = 1 << 20, len = 0;
	char *text = malloc(size + 64);
	struct weir_json_fault fault;
	unsigned n = 0;

	REQUIRE(text);
	while (len < size)
		len += (size_t)snprintf(text + len, 64, "%c\"%x\":0",
					len == 0 ? '{' : ',', n++);
	text[len++] = '}';
	CHECK(n > 80000);
	CHECK(is_json(text, len, &fault));
	len--;
	len += (size_t)snprintf(text + len, 64, ",\"1\":0}");
	CHECK(!is_json(text, len, &fault));
	CHECK_STR(fault.why, "duplicate key \"1\"");
	free(text);
}

/* What random texts are made of. */
static const char *const pieces[] = {
	"{",    "}",         "[",       "]",       ",",    ":",    "\"",
	"\\",   "\\u",       "\\ud83d", "\\ude00", "\\n",  "0",    "1",
	"-",    ".",         "e",       "+",       "true", "null", "false",
	" ",    "\n",        "\"a\":",  "\"b\":",  "\"\"", "\xc3", "\xa4",
	"\x80", "\xe2\x82",  "\xac",    "\x7f",    "\x01", "a",    "\\u0061",
	"[[[[", "{\"a\":{}", "\"a\":1", "]]]]",    "1e5",  "\\/",  "0000",
};

/* Change text in place, at one random spot; its new length. */
static size_t
mutate(struct weir_rng *rng, char *text, size_t len, size_t room)
{
	size_t at = weir__rng_below(rng, len + 1), some;
	const char *piece = pieces[weir__rng_below(
		rng, sizeof(pieces) / sizeof(pieces[0]))];

	switch (weir__rng_below(rng, 4)) {
	case 0: /* take some out */
		some = weir__rng_below(rng, 4);
		if (some > len - at)
			some = len - at;
		memmove(text + at, text + at + some, len - at - some);
		return len - some;
	case 1: /* another byte */
		if (at < len)
			text[at] = (char)weir__rng_next(rng);
		return len;
	case 2: /* the same piece again */
		some = weir__rng_below(rng, 12);
		if (some > len - at)
			some = len - at;
		if (len + some > room)
			return len;
		memmove(text + at + some, text + at, len - at);
		return len + some;
	default:
		some = strlen(piece);
		if (len + some > room)
			return len;
		memmove(text + at + some, text + at, len - at);
		memcpy(text + at, piece, some);
		return len + some;
	}
}

/*
 * Does jansson agree?  It has no say on numbers that it cannot hold, nor on a
 * byte of 0, which it passes over behind a number.
 */
static void
check_with_jansson(const char *text, size_t len, int *taken)
{
	struct weir_json_fault fault = {0};
	bool ours = is_json(text, len, &fault);
	json_error_t error;
	json_t *theirs = json_loadb(
		text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	*taken += ours;
	CHECK(ours || (fault.at <= len && fault.why[0]));
	if (memchr(text, '\0', len))
		CHECK(!ours);
	else if (theirs ||
		 json_error_code(&error) != json_error_numeric_overflow)
		CHECK_MSG(ours == !!theirs, "%.*s: we say %s, jansson %s",
			  (int)len, text, ours ? "ok" : fault.why,
			  theirs ? "ok" : error.text);
	json_decref(theirs);
}

TEST(base_json_check, agrees_with_jansson_on_texts_that_were_spoilt)
{
	static const char *const seeds[] = {
		"{\"to\":\"a@b.example\",\"n\":[1,-2.5e3,true,null]}",
		"[{\"a\":{\"b\":[[],{}]},\"c\":\"\\u00e9\\ud83d\\ude00\"}]",
		("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,"
		 "\"h\":8,\"i\":9,\"j\":1,\"k\":2,\"l\":3,\"m\":4,\"n\":5}"),
		"{\"\xc3\xa4\":\"\xe2\x82\xac\",\"x\\n\":\"\\\\\"}",
	};
	struct weir_rng rng;
	int taken = 0;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 60000; round++) {
		const char *seed = seeds[round % 4];
		size_t len = strlen(seed), times = 1 + (size_t)round / 4 % 4;
		char text[256];

		memcpy(text, seed, len);
		for (size_t i = 0; i < times; i++)
			len = mutate(&rng, text, len, sizeof(text));
		check_with_jansson(text, len, &taken);
	}
	/* Both kinds were there. */
	CHECK_MSG(taken > 3000 && taken < 57000, "%d of 60000 taken", taken);
}
