/* Words for shells: what is written is what a shell reads. */
#include "harness.h"

#include "base/quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
expect(const char *word, const char *quoted)
{
	struct weir_buf buf = {0};

	weir__quote_word(&buf, word);
	CHECK_STR(weir__buf_str(&buf), quoted);
	weir__buf_fini(&buf);
}

TEST(quote, leaves_plain_words_alone)
{
	expect("a/b-c_d.e:f@g%h+i,j=9", "a/b-c_d.e:f@g%h+i,j=9");
	expect("", "''");
	expect("a b", "'a b'");
	expect("it's", "'it'\\''s'");
	expect("\xc3\xa9t\xc3\xa9", "'\xc3\xa9t\xc3\xa9'");
}

TEST(quote, makes_what_cannot_be_seen_visible)
{
	expect("a\nb", "$'a\\nb'");
	expect("\x1b[31m'\\", "$'\\x1b[31m\\'\\\\'");
	expect("\x7f\xff\xc2\x85", "$'\\x7f\\xff\\xc2\\x85'");
	expect("\t\xc3\xa9", "$'\\t\xc3\xa9'");
}

TEST(quote, puts_words_on_one_line)
{
	char *words[] = {(char[]){"a=b"}, (char[]){"c=d"}, (char[]){"\n"},
			 NULL};
	struct weir_buf buf = {0};

	weir__quote_words(&buf, words);
	CHECK_STR(weir__buf_str(&buf), "'a=b' c=d $'\\n'");
	weir__buf_fini(&buf);
}

/* bash reads each byte back as it was; what follows a byte does not matter. */
TEST(quote, is_read_back_by_bash)
{
	struct weir_buf script = {0};
	char read_back[8192], expected[8192];
	size_t len = 0, got;
	FILE *out;

	weir__buf_puts(&script, "printf '%s|'");
	for (int c = 1; c < 256; c++) {
		char word[] = {(char)c, 'f', '0', (char)c, '\0'};

		weir__buf_putc(&script, ' ');
		weir__quote_word(&script, word);
		len += (size_t)snprintf(expected + len, sizeof(expected) - len,
					"%s|", word);
	}
	if (access("/bin/bash", X_OK) != 0)
		SKIP("no bash");
	REQUIRE(setenv("WEIR_SCRIPT", weir__buf_str(&script), 1) == 0);
	out = popen("exec /bin/bash -c 'eval \"$WEIR_SCRIPT\"'", "r");
	REQUIRE(out);
	got = fread(read_back, 1, sizeof(read_back), out);
	CHECK_EQ_INT(pclose(out), 0);
	CHECK(got == len && memcmp(read_back, expected, len) == 0);
	weir__buf_fini(&script);
}
