/*
 * Chunks: examples that a person can read, and properties over random texts
 * whose author knows where the sentences end.
 */
#include "docindex/chunk.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>

/* A text that is being written, and where in it sentences end and begin. */
struct author {
	struct text text;
	struct weir_buf raw;
	size_t *ends, *starts;
	size_t count, cap;
};

/* A sentence ends here, with these bytes between it and the next. */
static void
write_end(struct author *a, const char *between)
{
	if (a->count == a->cap) {
		a->cap = a->cap * 2 + 64;
		a->ends = reallocarray(a->ends, a->cap, sizeof(size_t));
		a->starts = reallocarray(a->starts, a->cap, sizeof(size_t));
		REQUIRE(a->ends && a->starts);
	}
	a->ends[a->count] = a->raw.len;
	weir__buf_puts(&a->raw, between);
	a->starts[a->count++] = a->raw.len;
}

static void
author_done(struct author *a)
{
	text_init(&a->text, 1 << 24);
	CHECK_EQ_INT(text_feed(&a->text, weir__buf_str(&a->raw), a->raw.len),
		     TEXT_OK);
	CHECK_EQ_INT(text_end(&a->text), TEXT_OK);
}

static void
author_fini(struct author *a)
{
	text_fini(&a->text);
	weir__buf_fini(&a->raw);
	free(a->ends);
	free(a->starts);
}

/* n bytes of words of nine letters and a blank, the last one cut short. */
static void
write_words(struct author *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		weir__buf_putc(&a->raw, i % 10 == 9 ? ' ' : 'w');
}

/* n bytes that end in `end` and a blank, where no sentence ends before. */
static void
write_sentence(struct author *a, size_t n, const char *end)
{
	write_words(a, n - strlen(end) - 1);
	if (a->raw.data[a->raw.len - 1] == ' ')
		a->raw.data[a->raw.len - 1] = 'w';
	weir__buf_puts(&a->raw, end);
	weir__buf_putc(&a->raw, ' ');
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\n';
}

/* Check each chunk by itself and that together they are the text. */
static size_t
check_chunks(const struct text *t)
{
	const char *s = weir__buf_str(&t->data);
	struct chunk c, before = {0};
	size_t count = 0, end = 0;

	for (size_t at = 0; chunk_next(t, &at, &c); count++) {
		REQUIRE(c.len > 0 && c.len <= CHUNK_MAX);
		REQUIRE(c.at + c.len <= t->data.len);
		CHECK(weir__utf8_is_valid(s + c.at, c.len));
		CHECK(!is_white(s[c.at]) && !is_white(s[c.at + c.len - 1]));
		CHECK_EQ_INT(c.page, text_page(t, c.at + c.len / 2));
		if (count > 0) {
			CHECK(c.at > before.at && c.at + c.len > end);
			CHECK(c.at <= end && end - c.at >= OVERLAP_MIN);
			CHECK(end - c.at <= OVERLAP_MAX);
			CHECK(before.len >= CHUNK_MIN);
		}
		before = c;
		end = c.at + c.len;
	}
	CHECK_EQ_INT(end, t->data.len);
	return count;
}

/* Where the first chunk of a ends, if it is not all. */
static size_t
first_end(struct author *a)
{
	struct chunk c;
	size_t at = 0;

	author_done(a);
	(void)check_chunks(&a->text);
	REQUIRE(chunk_next(&a->text, &at, &c));
	return c.len;
}

static size_t
second_start(const struct author *a)
{
	struct chunk c;
	size_t at = 0;

	REQUIRE(chunk_next(&a->text, &at, &c));
	return at;
}

TEST(chunk, is_not_made_of_nothing)
{
	struct author a = {0};

	author_done(&a);
	CHECK_EQ_INT(check_chunks(&a.text), 0);
	author_fini(&a);
}

TEST(chunk, is_the_whole_of_a_short_text)
{
	struct author a = {0};

	write_words(&a, CHUNK_MAX);
	a.raw.data[CHUNK_MAX - 1] = 'x';
	CHECK_EQ_INT(first_end(&a), CHUNK_MAX);
	CHECK_EQ_INT(check_chunks(&a.text), 1);
	author_fini(&a);
}

TEST(chunk, ends_at_the_last_sentence_in_reach)
{
	struct author a = {0};

	write_sentence(&a, 850, ".");
	write_sentence(&a, 100, ".");
	write_sentence(&a, 100, ".");
	CHECK_EQ_INT(first_end(&a), 949);
	CHECK_EQ_INT(second_start(&a), 850);
	author_fini(&a);
}

TEST(chunk, may_end_at_the_very_limits)
{
	struct author a = {0}, b = {0}, c = {0};

	write_sentence(&a, CHUNK_MIN + 1, ".");
	write_words(&a, 500);
	CHECK_EQ_INT(first_end(&a), CHUNK_MIN);
	write_sentence(&b, CHUNK_MAX + 1, ".");
	write_words(&b, 500);
	CHECK_EQ_INT(first_end(&b), CHUNK_MAX);
	/* One byte too early: a blank is taken. */
	write_sentence(&c, CHUNK_MIN, ".");
	write_words(&c, 500);
	CHECK_EQ_INT(first_end(&c), CHUNK_MAX - 1);
	author_fini(&a);
	author_fini(&b);
	author_fini(&c);
}

/* Does a sentence that ends in this, followed by a blank, end a chunk? */
static bool
ends_sentence(const char *end)
{
	struct author a = {0};
	bool ended;

	write_words(&a, 890);
	weir__buf_puts(&a.raw, end);
	weir__buf_putc(&a.raw, ' ');
	write_words(&a, 500);
	ended = first_end(&a) == 890 + strlen(end);
	author_fini(&a);
	return ended;
}

TEST(chunk, knows_the_end_of_a_sentence)
{
	static const char *const yes[] = {
		"end.",      "end!",       "end?",         "end.\"",
		"end.)",     "end?\u201d", "end.\u00bb)",  "end.\u201c",
		"end\u3002", "end\uff01",  "end\uff1f\"",  "end\u3002\u300d",
		"etc.",      "in 1945.",   "of 2.5.",      "...",
		"USA.",      "vitamin c.", "(see there.)", "\"Really?!\"",
		"Mr.x.",
	};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		CHECK_MSG(ends_sentence(yes[i]), "not at %s", yes[i]);
}

TEST(chunk, knows_what_is_no_end_of_a_sentence)
{
	static const char *const no[] = {
		"e.g.",   "i.e.",   "(e.g.",     "Dr.",      "(Dr.", "J.",
		"J.R.R.", "J.-P.",  "3.",        "18.",      "123.", "(3.",
		"comma,", "z.B.",   "end)",      "\"",       "a:",   "word",
		"end.x",  "(i.e.)", "\u201cDr.", "\u3002J.",
	};

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		CHECK_MSG(!ends_sentence(no[i]), "at %s", no[i]);
}

TEST(chunk, ends_at_the_end_of_a_paragraph_whatever_it_ends_in)
{
	struct author a = {0};

	write_words(&a, 890);
	weir__buf_puts(&a.raw, "A Heading by J.\n\n");
	write_words(&a, 500);
	CHECK_EQ_INT(first_end(&a), 890 + strlen("A Heading by J."));
	author_fini(&a);
}

TEST(chunk, needs_no_blanks_where_sentences_have_none)
{
	struct author a = {0};

	for (int i = 0; i < 100; i++)
		weir__buf_puts(&a.raw, "\u3042\u3044\u3046\u3048"
				       "\u300c\u3042\uff1f\uff01\u300d"
				       "\u304a\u3002");
	/* 33 bytes each; they may end behind 27 of them, too. */
	CHECK_EQ_INT(first_end(&a), 30 * 33);
	CHECK_EQ_INT(second_start(&a), 28 * 33);
	author_fini(&a);
}

TEST(chunk, ends_at_a_blank_without_a_sentence)
{
	struct author a = {0};

	write_words(&a, 3000);
	CHECK_EQ_INT(first_end(&a), 999);
	CHECK_EQ_INT(second_start(&a), 890);
	author_fini(&a);
}

TEST(chunk, ends_with_a_whole_character_without_a_blank)
{
	struct author a = {0};

	for (int i = 0; i < 700; i++)
		weir__buf_puts(&a.raw, "\u3042");
	CHECK_EQ_INT(first_end(&a), 999);
	CHECK_EQ_INT(second_start(&a), 897);
	author_fini(&a);
}

TEST(chunk, takes_all_the_overlap_there_is_for_a_short_rest)
{
	struct author a = {0};

	write_sentence(&a, 780, ".");
	write_sentence(&a, 60, ".");
	write_sentence(&a, 60, ".");
	write_sentence(&a, 60, ".");
	weir__buf_puts(&a.raw, "This is what comes at the very end of it.");
	CHECK_EQ_INT(first_end(&a), 959);
	CHECK_EQ_INT(second_start(&a), 780);
	CHECK_EQ_INT(check_chunks(&a.text), 2);
	author_fini(&a);
}

TEST(chunk, says_on_which_page_most_of_it_is)
{
	struct author a = {0};
	struct chunk c;
	size_t at = 0;

	write_sentence(&a, 700, ".");
	weir__buf_putc(&a.raw, '\f');
	write_sentence(&a, 300, ".");
	weir__buf_putc(&a.raw, '\f');
	write_sentence(&a, 900, ".");
	author_done(&a);
	REQUIRE(chunk_next(&a.text, &at, &c));
	CHECK_EQ_INT(c.page, 1);
	REQUIRE(chunk_next(&a.text, &at, &c));
	/* Of page 2 there is but the overlap. */
	CHECK_EQ_INT(text_page(&a.text, c.at), 2);
	CHECK_EQ_INT(c.page, 3);
	REQUIRE(chunk_next(&a.text, &at, &c));
	CHECK_EQ_INT(c.page, 3);
	CHECK(!chunk_next(&a.text, &at, &c));
	author_fini(&a);
}

static const char *
one_of(struct weir_rng *rng, const char *const *list, size_t n)
{
	return list[weir__rng_below(rng, n)];
}
#define ONE_OF(rng, list) one_of(rng, list, sizeof(list) / sizeof(*(list)))

/* A word in no way remarkable, an enormous one, or one with a full stop. */
static void
random_word(struct weir_rng *rng, struct author *a, bool last)
{
	static const char *const letters[] = {
		"a", "n", "o", "t", "r", "l", "e", "\u00fc", "\u3042",
	};
	static const char *const stops[] = {
		"e.g.", "i.e.", "Dr.", "J.", "3.", "12.", "J.R.R.", "(cf.",
	};
	size_t n = 1 + weir__rng_below(rng, 12);

	if (!last && weir__rng_below(rng, 12) == 0) {
		weir__buf_puts(&a->raw, ONE_OF(rng, stops));
		return;
	}
	if (weir__rng_below(rng, 500) == 0)
		n = weir__rng_below(rng, 1500) + 1;
	while (n-- > 0)
		weir__buf_puts(&a->raw, ONE_OF(rng, letters));
}

static void
random_sentence(struct weir_rng *rng, struct author *a, size_t words)
{
	static const char *const ends[] = {
		".", "!", "?", ".\"", "?!)", ".\u201d", "\u3002\u300d",
	};
	static const char *const wide[] = {
		"\u3002",
		"\uff01",
		"\uff1f\uff01",
		"\u3002\u201d",
	};
	static const char *const none[] = {"", " x", ",", ":", "-"};

	for (size_t i = 0; i < words; i++) {
		random_word(rng, a, i + 1 == words);
		if (i + 1 < words)
			weir__buf_putc(&a->raw, ' ');
	}
	switch (weir__rng_below(rng, 8)) {
	case 0:
		weir__buf_puts(&a->raw, ONE_OF(rng, none));
		write_end(a, "\n");
		break;
	case 1:
	case 2:
		weir__buf_puts(&a->raw, ONE_OF(rng, wide));
		write_end(a, "");
		break;
	default:
		weir__buf_puts(&a->raw, ONE_OF(rng, ends));
		write_end(a, " ");
	}
}

/* Sentences of up to so many words, and some bytes at the end. */
static void
random_text(struct weir_rng *rng, struct author *a)
{
	size_t size = weir__rng_below(rng, 12000), most;

	most = weir__rng_below(rng, 3) == 0 ? 400 : 30;
	while (a->raw.len < size)
		random_sentence(rng, a, 1 + weir__rng_below(rng, most));
	weir__buf_putc(&a->raw, 'e');
	text_init(&a->text, a->raw.len);
	a->text.data = a->raw;
	a->raw = (struct weir_buf){0};
}

static size_t
last_within(const size_t *places, size_t count, size_t low, size_t high)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (places[i] >= low && places[i] <= high)
			found = places[i];
	return found;
}

static bool
is_among(const size_t *places, size_t count, size_t place)
{
	return place > 0 && last_within(places, count, place, place) == place;
}

/* Chunks end and begin where the author says, if there is such a place. */
static void
check_sentences(const struct author *a)
{
	struct chunk c;

	for (size_t at = 0; chunk_next(&a->text, &at, &c);) {
		size_t end = c.at + c.len;
		size_t last = last_within(a->ends, a->count, c.at + CHUNK_MIN,
					  c.at + CHUNK_MAX);

		if (end == a->text.data.len)
			continue;
		if (last > 0)
			CHECK_EQ_INT(end, last);
		if (last_within(a->starts, a->count, end - OVERLAP_MAX,
				end - OVERLAP_MIN) > 0)
			CHECK(is_among(a->starts, a->count, at));
		else if (memchr(a->text.data.data + end - OVERLAP_MAX, ' ',
				OVERLAP_MAX - OVERLAP_MIN))
			CHECK(is_white(a->text.data.data[at - 1]));
	}
}

TEST(chunk, covers_any_text_in_whole_sentences_where_it_can)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 1500; round++) {
		struct author a = {0};

		random_text(&rng, &a);
		(void)check_chunks(&a.text);
		check_sentences(&a);
		author_fini(&a);
	}
}
