/* Times of day and words of commands, as the commands on a store have them. */
#include "base/rng.h"
#include "cli/queue_time.h"
#include "cli/queue_words.h"
#include "harness.h"

#include <base/units.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t
at(const char *text)
{
	int64_t ms = -1;

	CHECK_MSG(weir__time_parse(text, &ms), "%s", text);
	return ms;
}

TEST(cli_time, reads_rfc_3339)
{
	CHECK_EQ_INT(at("1970-01-01T00:00:00Z"), 0);
	CHECK_EQ_INT(at("2027-01-31T09:00:00Z"), INT64_C(1801386000000));
	CHECK_EQ_INT(at("2027-01-31t09:00:00z"), at("2027-01-31 09:00:00Z"));
	CHECK_EQ_INT(at("2027-01-31T09:00:00+02:00"),
		     at("2027-01-31T07:00:00Z"));
	CHECK_EQ_INT(at("2027-01-31T09:00:00-00:30"),
		     at("2027-01-31T09:30:00Z"));
	CHECK_EQ_INT(at("2028-02-29T00:00:00.2509999Z"),
		     at("2028-02-29T00:00:00Z") + 250);
	CHECK_EQ_INT(at("2026-12-31T23:59:60Z"), at("2027-01-01T00:00:00Z"));
}

TEST(cli_time, refuses_what_is_no_time)
{
	static const char *const texts[] = {
		"",
		"2027",
		"2027-01-31",
		"2027-01-31T09:00",
		"2027-01-31T09:00:00",
		"2027-02-29T09:00:00Z",
		"2100-02-29T09:00:00Z",
		"2027-13-01T09:00:00Z",
		"2027-00-01T09:00:00Z",
		"2027-01-00T09:00:00Z",
		"2027-01-31T24:00:00Z",
		"2027-01-31T09:60:00Z",
		"2027-01-31T09:00:61Z",
		"2027-01-31T09:00:00.Z",
		"2027-01-31T09:00:00+2",
		"2027-01-31T09:00:00Zx",
		"1969-12-31T23:59:59Z",
		"1970-01-01T00:00:00+01:00",
		"+2027-01-31T09:00:00Z",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int64_t ms = 4711;

		CHECK_MSG(!weir__time_parse(texts[i], &ms), "%s", texts[i]);
		CHECK_EQ_INT(ms, 4711);
	}
}

TEST(cli_time, writes_what_it_reads)
{
	struct weir_rng rng;
	char text[WEIR_TIME_SIZE];

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 1000; i++) {
		int64_t ms = (int64_t)weir__rng_below(
			&rng, UINT64_C(250000000000000));

		if (i % 2)
			ms -= ms % 1000;
		CHECK_EQ_INT(at(weir__time_format(text, ms)), ms);
	}
}

TEST(cli_time, knows_the_next_time_of_the_local_clock)
{
	int64_t now_ms = INT64_C(1801386000000), ms; /* 09:00 in UTC */

	REQUIRE(setenv("TZ", "UTC", 1) == 0);
	tzset();
	REQUIRE(weir__time_parse_at("09:01", now_ms, &ms));
	CHECK_EQ_INT(ms - now_ms, 60 * 1000);
	REQUIRE(weir__time_parse_at("09:00", now_ms, &ms));
	CHECK_EQ_INT(ms - now_ms, 24 * 3600 * 1000);
	REQUIRE(weir__time_parse_at("08:59", now_ms, &ms));
	CHECK_EQ_INT(ms - now_ms, 24 * 3600 * 1000 - 60 * 1000);
	CHECK(!weir__time_parse_at("24:00", now_ms, &ms));
	CHECK(!weir__time_parse_at("9:00", now_ms, &ms));
	CHECK(!weir__time_parse_at("tomorrow 09:00", now_ms, &ms));
	REQUIRE(weir__time_parse_at("2027-01-31T09:00:00Z", now_ms, &ms));
	CHECK_EQ_INT(ms, now_ms);
}

TEST(cli_time, goes_back_by_a_duration)
{
	int64_t ms;

	REQUIRE(weir__time_parse_since("1h", 10000000, &ms));
	CHECK_EQ_INT(ms, 10000000 - 3600 * 1000);
	/* 0 would be no filter at all. */
	REQUIRE(weir__time_parse_since("1d", 10000000, &ms));
	CHECK_EQ_INT(ms, 1);
	CHECK(!weir__time_parse_since("1", 10000000, &ms));
}

TEST(cli_time, writes_durations_that_are_read_back)
{
	static const int64_t values[] = {
		1, 999, 1000, 1500000, 90 * INT64_C(1000000000), 1234567890123,
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct weir_buf text = {0};
		int64_t ns = 0;

		weir__time_put_duration(&text, values[i]);
		CHECK_MSG(weir__parse_duration(weir__buf_str(&text), &ns), "%s",
			  weir__buf_str(&text));
		CHECK_EQ_INT(ns, values[i]);
		weir__buf_fini(&text);
	}
}

static const char *
as_json(struct weir_buf *buf, const char *word)
{
	struct weir_json j;

	weir__buf_reset(buf);
	weir__json_init(&j, buf);
	weir__words_put(&j, word);
	return weir__buf_str(buf);
}

TEST(cli_words, are_strings_if_they_are_characters)
{
	struct weir_buf buf = {0};

	CHECK_STR(as_json(&buf, ""), "\"\"");
	CHECK_STR(as_json(&buf, "a\"\n\xc3\xa9"), "\"a\\\"\\n\xc3\xa9\"");
	CHECK_STR(as_json(&buf, "\xff"), "{\"base64\":\"/w==\"}");
	CHECK_STR(as_json(&buf, "c\xff"), "{\"base64\":\"Y/8=\"}");
	CHECK_STR(as_json(&buf, "c\xff\x64"), "{\"base64\":\"Y/9k\"}");
	/* Half of a surrogate pair is no character. */
	CHECK_STR(as_json(&buf, "\xed\xa0\x80"), "{\"base64\":\"7aCA\"}");
	weir__buf_fini(&buf);
}

TEST(cli_words, come_back_byte_for_byte)
{
	const size_t head = strlen("{\"base64\":\""), tail = strlen("\"}");
	struct weir_buf buf = {0}, back = {0};
	struct weir_rng rng;
	char word[64];

	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 1000; i++) {
		size_t len = 1 + weir__rng_below(&rng, sizeof(word) - 2);

		for (size_t k = 0; k < len; k++)
			word[k] = (char)(1 + weir__rng_below(&rng, 255));
		word[0] = '\xff';
		word[len] = '\0';
		(void)as_json(&buf, word);
		weir__buf_reset(&back);
		REQUIRE(weir__words_decode(&back, buf.data + head,
					   buf.len - head - tail));
		CHECK_STR(weir__buf_str(&back), word);
	}
	weir__buf_fini(&buf);
	weir__buf_fini(&back);
}

TEST(cli_words, refuse_what_is_no_base64)
{
	static const char *const texts[] = {"Y",    "Y/8",   "Y/8==", "Y/ k",
					    "Y=9k", "=====", "Y/9-",  "===="};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct weir_buf back = {0};

		CHECK_MSG(
			!weir__words_decode(&back, texts[i], strlen(texts[i])),
			"%s", texts[i]);
		weir__buf_fini(&back);
	}
}
