/*
 * The text of a document: examples that a person can read, and properties over
 * random input.
 */
#include "docindex/text.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "harness.h"
#include "refuse.h"

#include <string.h>

static const size_t plenty = 1 << 20;

/* Feed len bytes, step at a time, and end. */
static enum text_status
text_of_bytes(struct text *t, const char *bytes, size_t len, size_t step)
{
	text_init(t, plenty);
	for (size_t i = 0; i < len; i += step)
		(void)text_feed(t, bytes + i, step < len - i ? step : len - i);
	return text_end(t);
}

static void
check_cleaned(const char *from, const char *to)
{
	struct text t;

	CHECK_EQ_INT(text_of_bytes(&t, from, strlen(from), plenty), TEXT_OK);
	CHECK_STR(weir__buf_str(&t.data), to);
	text_fini(&t);
}

TEST(text, keeps_clean_text_as_it_is)
{
	check_cleaned("One two.\nThree \u00fc \u3042 \U0001f600.",
		      "One two. Three \u00fc \u3042 \U0001f600.");
	check_cleaned("", "");
}

TEST(text, collapses_white_space_to_one_blank)
{
	check_cleaned(" a \t b\u00a0c\u3000\u2003d\ne\r\nf\rg\u2028h\vi  \n",
		      "a b c d e f g h i");
}

TEST(text, keeps_the_end_of_a_paragraph)
{
	check_cleaned("\n\na\n\nb\n \t\n\n\nc\r\n\r\nd\r\re\u2029f\n\n",
		      "a\nb\nc\nd\ne\nf");
}

TEST(text, drops_a_byte_order_mark_only_at_the_start)
{
	check_cleaned("\ufeffa", "a");
	check_cleaned("\ufeff\ufeffa", "\ufeffa");
	check_cleaned("\ufeff", "");
}

TEST(text, drops_control_characters)
{
	check_cleaned("a\x01"
		      "b\x7f"
		      "c\xc2\x80"
		      "d \x1b\n\x02\n e",
		      "abcd\ne");
}

TEST(text, joins_a_hyphenated_word)
{
	check_cleaned("an exam-\nple", "an example");
	check_cleaned("an exam- \r\n   ple", "an example");
	check_cleaned("Pr\u00fc-\nf\u00fc-\n\u00fcung",
		      "Pr\u00fcf\u00fc\u00fcung");
	check_cleaned("\u03bb\u03cc-\n\u03b3\u03bf\u03c2",
		      "\u03bb\u03cc\u03b3\u03bf\u03c2");
	check_cleaned("a soft hy\u00adphen at a line\u00ad\nend",
		      "a soft hyphen at a lineend");
}

TEST(text, leaves_other_hyphens_alone)
{
	check_cleaned("A-\nb", "A- b");
	check_cleaned("Jean-\nPaul", "Jean- Paul");
	check_cleaned("1914-\n1918", "1914- 1918");
	check_cleaned("a -\nb --\nc", "a - b -- c");
	check_cleaned("up- and down", "up- and down");
	check_cleaned("end-\n\nnext", "end-\nnext");
	check_cleaned("-\na", "- a");
	check_cleaned("Soft\u00ad\nHyphen", "Soft Hyphen");
	check_cleaned("SOFT\u00ad\nhyphen", "SOFT hyphen");
	check_cleaned("so\u00adft\nhyphen", "soft hyphen");
	check_cleaned("soft \u00ad\nhyphen", "soft hyphen");
}

TEST(text, takes_form_feeds_as_pages)
{
	struct text t;
	const char *from = "First.\fSecond,\n\fthird.\f\fFifth para-\fno\f\f";

	CHECK_EQ_INT(text_of_bytes(&t, from, strlen(from), plenty), TEXT_OK);
	CHECK_STR(weir__buf_str(&t.data),
		  "First. Second, third. Fifth para- no");
	REQUIRE(t.page_count == 6);
	CHECK_EQ_INT(t.pages[0], 0);
	CHECK_EQ_INT(t.pages[1], 7);
	CHECK_EQ_INT(t.pages[2], 15);
	CHECK_EQ_INT(t.pages[3], 22);
	CHECK_EQ_INT(t.pages[4], 22);
	CHECK_EQ_INT(text_page(&t, 0), 1);
	CHECK_EQ_INT(text_page(&t, 6), 1);
	CHECK_EQ_INT(text_page(&t, 7), 2);
	CHECK_EQ_INT(text_page(&t, 21), 3);
	CHECK_EQ_INT(text_page(&t, 22), 5);
	CHECK_EQ_INT(text_page(&t, t.data.len), 6);
	text_fini(&t);
}

TEST(text, joins_a_word_across_pages)
{
	struct text t;

	CHECK_EQ_INT(text_of_bytes(&t, "exam-\n\fple", 10, plenty), TEXT_OK);
	CHECK_STR(weir__buf_str(&t.data), "example");
	CHECK_EQ_INT(text_page(&t, 3), 1);
	CHECK_EQ_INT(text_page(&t, 4), 2);
	text_fini(&t);
}

TEST(text, without_form_feeds_has_no_pages)
{
	struct text t;

	CHECK_EQ_INT(text_of_bytes(&t, "a b", 3, plenty), TEXT_OK);
	CHECK_EQ_INT(text_page(&t, 2), 0);
	text_fini(&t);
	CHECK_EQ_INT(text_of_bytes(&t, "a b\f", 4, plenty), TEXT_OK);
	CHECK_EQ_INT(text_page(&t, 2), 1);
	text_fini(&t);
}

TEST(text, is_made_of_the_example_in_the_header)
{
	struct text t;
	const char *from = "\ufeff  An exam-\n  ple.\n\n\n Next\fpage\n";

	CHECK_EQ_INT(text_of_bytes(&t, from, strlen(from), plenty), TEXT_OK);
	CHECK_STR(weir__buf_str(&t.data), "An example.\nNext page");
	REQUIRE(t.page_count == 2);
	CHECK_EQ_INT(t.pages[1], 17);
	text_fini(&t);
}

static void
check_bad(const char *bytes, size_t len, enum text_status status, size_t at,
	  const char *kept)
{
	for (size_t step = 1; step <= len; step++) {
		struct text t;

		CHECK_EQ_INT(text_of_bytes(&t, bytes, len, step), status);
		CHECK_EQ_INT(t.bad_at, at);
		CHECK_STR(weir__buf_str(&t.data), kept);
		CHECK_EQ_INT(text_feed(&t, "more", 4), status);
		CHECK_STR(weir__buf_str(&t.data), kept);
		text_fini(&t);
	}
}

TEST(text, says_where_the_bytes_are_no_utf8)
{
	check_bad("ab\xff"
		  "c",
		  4, TEXT_NOT_UTF8, 2, "ab");
	check_bad("\xff\xfe"
		  "a",
		  3, TEXT_NOT_UTF8, 0, "");
	check_bad("a \xc3(b", 5, TEXT_NOT_UTF8, 2, "a");
	check_bad("a\xed\xa0\x80", 4, TEXT_NOT_UTF8, 1, "a");
	check_bad("a\xc0\xaf", 3, TEXT_NOT_UTF8, 1, "a");
	check_bad("a\xf0\x9f\x98", 4, TEXT_NOT_UTF8, 1, "a");
	check_bad("a\xe3\x81", 3, TEXT_NOT_UTF8, 1, "a");
	check_bad("a\x80", 2, TEXT_NOT_UTF8, 1, "a");
}

TEST(text, does_not_wait_for_more_of_what_cannot_become_a_character)
{
	static const char *const bad[] = {
		"\x80", "\xc0", "\xc1", "\xf5", "\xff", "\xe0\x80", "\xf4\x90",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct text t;

		text_init(&t, plenty);
		CHECK_EQ_INT(text_feed(&t, bad[i], strlen(bad[i])),
			     TEXT_NOT_UTF8);
		text_fini(&t);
	}
}

TEST(text, calls_a_nul_binary)
{
	check_bad("ab \0c", 5, TEXT_BINARY, 3, "ab");
	check_bad("\0\xff", 2, TEXT_BINARY, 0, "");
}

/* What is kept of bytes if there is room for max. */
static void
check_too_long(const char *bytes, size_t max, const char *kept)
{
	for (size_t step = 1; step <= strlen(bytes); step++) {
		struct text t;

		text_init(&t, max);
		for (size_t i = 0; i < strlen(bytes); i += step)
			(void)text_feed(&t, bytes + i,
					strnlen(bytes + i, step));
		CHECK_EQ_INT(text_end(&t), TEXT_TOO_LONG);
		CHECK_STR(weir__buf_str(&t.data), kept);
		text_fini(&t);
	}
}

TEST(text, keeps_whole_characters_of_what_is_too_long)
{
	check_too_long("abcd", 3, "abc");
	check_too_long("abc d", 4, "abc");
	check_too_long("ab\u3042", 4, "ab");
	check_too_long("abc-\nde", 4, "abcd");
	check_too_long("a", 0, "");
}

TEST(text, counts_only_what_is_kept_against_its_length)
{
	struct text t;

	text_init(&t, 3);
	for (int i = 0; i < 1000; i++)
		CHECK_EQ_INT(text_feed(&t, " \n", 2), TEXT_OK);
	CHECK_EQ_INT(text_feed(&t, "a\n  b  \n", 8), TEXT_OK);
	CHECK_EQ_INT(text_end(&t), TEXT_OK);
	CHECK_STR(weir__buf_str(&t.data), "a b");
	text_fini(&t);
}

TEST(text, has_no_more_pages_than_there_is_room_for)
{
	struct text t;

	text_init(&t, plenty);
	for (int i = 1; i < TEXT_PAGES_MAX; i++)
		(void)text_feed(&t, "\f", 1);
	CHECK_EQ_INT(text_feed(&t, "a", 1), TEXT_OK);
	CHECK_EQ_INT(text_page(&t, 0), TEXT_PAGES_MAX);
	CHECK_EQ_INT(text_feed(&t, "\f", 1), TEXT_OK);
	CHECK_EQ_INT(text_feed(&t, "b", 1), TEXT_TOO_LONG);
	CHECK_STR(weir__buf_str(&t.data), "a");
	text_fini(&t);
}

static void
check_same(const struct text *a, const struct text *b)
{
	CHECK_EQ_INT(a->status, b->status);
	CHECK_EQ_INT(a->bad_at, b->bad_at);
	CHECK_STR(weir__buf_str(&a->data), weir__buf_str(&b->data));
	REQUIRE(a->page_count == b->page_count);
	for (size_t i = 0; i < a->page_count; i++)
		CHECK_EQ_INT(a->pages[i], b->pages[i]);
}

/* Append something that the cleaner has to do with. */
static void
random_input(struct weir_rng *rng, struct weir_buf *b)
{
	static const char *const parts[] = {
		" ",      "\n",     "\r",        "\r\n",   "\f",
		"-",      "\t",     "a",         "b",      "Z",
		"7",      ".",      "\u00fc",    "\u3042", "\U0001f600",
		"\u00ad", "\u00a0", "\u2029",    "\ufeff", "\x01",
		"-\n",    "\n\n",   "\n\f",      "\v",     "\xc2\x85",
		"\u2028", "word",   "\u03bb-\n",
	};
	static const char *const bad[] = {"\xff", "\xc3", "\xe3\x81", "\x80"};
	size_t n = sizeof(parts) / sizeof(parts[0]);

	for (size_t i = weir__rng_below(rng, 60); i > 0; i--)
		weir__buf_puts(b, parts[weir__rng_below(rng, n)]);
	if (weir__rng_below(rng, 4) == 0)
		weir__buf_puts(b, bad[weir__rng_below(rng, 4)]);
	if (weir__rng_below(rng, 4) == 0)
		weir__buf_puts(b, parts[weir__rng_below(rng, n)]);
}

TEST(text, does_not_depend_on_how_the_input_is_cut)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 3000; round++) {
		struct weir_buf in = {0};
		struct text whole, pieces;

		random_input(&rng, &in);
		(void)text_of_bytes(&whole, in.data, in.len, plenty);
		for (size_t step = 1; step <= 7; step++) {
			(void)text_of_bytes(&pieces, in.data, in.len, step);
			check_same(&whole, &pieces);
			text_fini(&pieces);
		}
		text_fini(&whole);
		weir__buf_fini(&in);
	}
}

/* No white space at the ends, none doubled, and whole characters. */
static void
check_clean(const struct text *t)
{
	const char *s = weir__buf_str(&t->data);

	CHECK(weir__utf8_is_valid(s, t->data.len));
	CHECK_EQ_INT(strlen(s), t->data.len);
	for (size_t i = 0; i < t->data.len; i++) {
		bool white = s[i] == ' ' || s[i] == '\n';

		CHECK(white || (unsigned char)s[i] > ' ');
		CHECK(!white || (i > 0 && s[i - 1] != ' ' && s[i - 1] != '\n' &&
				 i + 1 < t->data.len));
	}
	for (size_t i = 0; i < t->page_count; i++) {
		CHECK(i == 0 || t->pages[i] >= t->pages[i - 1]);
		CHECK(t->pages[i] == 0 || t->pages[i] < t->data.len);
	}
}

TEST(text, is_clean_whatever_it_was_and_cleaned_only_once)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 5000; round++) {
		struct weir_buf in = {0};
		struct text t;

		random_input(&rng, &in);
		text_init(&t, weir__rng_below(&rng, 2) == 0 ? 20 : plenty);
		(void)text_feed(&t, in.data, in.len);
		(void)text_end(&t);
		check_clean(&t);
		CHECK(t.data.len <= t.max);
		text_fini(&t);
		weir__buf_fini(&in);
	}
}

TEST(text, says_when_there_is_no_memory)
{
	const char *from = "a\fb\f c";
	long asked = 1;

	if (!REFUSE_WORKS)
		SKIP("the sanitizer has the allocator");
	for (long n = 1; n <= asked; n++) {
		struct text t;

		refuse_arm(n, false);
		(void)text_of_bytes(&t, from, strlen(from), 1);
		CHECK_EQ_INT(refuse_disarm(), 1);
		CHECK_EQ_INT(text_end(&t), TEXT_NO_MEMORY);
		check_clean(&t);
		text_fini(&t);
		refuse_arm(1000, false);
		CHECK_EQ_INT(text_of_bytes(&t, from, strlen(from), 1), TEXT_OK);
		(void)refuse_disarm();
		asked = refuse_asked();
		text_fini(&t);
	}
	CHECK(asked > 0);
}
