/* Items: every way to read them, combine them and cut them into rows. */
#include "harness.h"

#include "exec/items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOURCES_MAX 4

/* Sources that are put together in a test, with files that go with it. */
struct setup {
	struct weir_items_options options;
	struct weir_item_source sources[SOURCES_MAX];
	char paths[SOURCES_MAX][32];
	const char *words[SOURCES_MAX][8];
};

static void
add_file(struct setup *s, const char *text, size_t len,
	 enum weir_item_link link)
{
	size_t i = s->options.source_count++;
	int fd;

	strcpy(s->paths[i], "/tmp/weir-test-XXXXXX");
	fd = mkstemp(s->paths[i]);
	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, len) == (ssize_t)len);
	(void)close(fd);
	s->sources[i] =
		(struct weir_item_source){.file = s->paths[i], .link = link};
}

/* Operands, with blanks between them in text, which stays. */
static void
add_operands(struct setup *s, char *text, enum weir_item_link link)
{
	size_t i = s->options.source_count++, n = 0;

	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		s->words[i][n++] = word;
	s->sources[i] = (struct weir_item_source){
		.items = s->words[i], .count = n, .link = link};
}

static struct weir_items *
begin(struct setup *s)
{
	struct weir_items *items = NULL;

	s->options.sources = s->sources;
	for (size_t i = 0; i < s->options.source_count; i++)
		if (s->paths[i][0]) /* the struct may have been copied */
			s->sources[i].file = s->paths[i];
	REQUIRE(weir__items_new(&items, &s->options) == WEIR_OK);
	return items;
}

static void
finish(struct setup *s, struct weir_items *items)
{
	weir__items_free(items);
	for (size_t i = 0; i < s->options.source_count; i++)
		if (s->sources[i].file)
			(void)unlink(s->paths[i]);
}

/* All rows as text: items joined by ',' and rows by ' '; "!" is a bad one. */
static void
expect_rows(struct setup *s, const char *expected)
{
	struct weir_items *items = begin(s);
	struct weir_items_row row;
	enum weir_items_what what;
	uint64_t seq = 0, total = weir__items_total(items);
	char *text = NULL;
	size_t len = 0;
	bool end;
	FILE *out = open_memstream(&text, &len);

	REQUIRE(out);
	while ((what = weir__items_next(items, &row)) == WEIR_ITEMS_ROW ||
	       what == WEIR_ITEMS_BAD) {
		CHECK_EQ_INT(row.seq, ++seq);
		if (seq > 1)
			fputc(' ', out);
		if (what == WEIR_ITEMS_BAD)
			fprintf(out, "!");
		for (size_t i = 0; i < row.count; i++)
			fprintf(out, "%s%s", i ? "," : "", row.items[i]);
	}
	REQUIRE(fclose(out) == 0);
	CHECK_EQ_INT(what, WEIR_ITEMS_END);
	CHECK_STR(text, expected);
	CHECK_EQ_INT(weir__items_count(items, &end), seq);
	CHECK(end);
	if (total > 0)
		CHECK_EQ_INT(total, seq);
	free(text);
	finish(s, items);
}

static struct setup
of_lines(const char *text)
{
	struct setup s = {.options = {.delimiter = '\n'}};

	add_file(&s, text, strlen(text), WEIR_LINK_NONE);
	return s;
}

TEST(items, are_lines_byte_for_byte)
{
	struct setup s = of_lines("a\n b \n\nc\r\n\xff\xfe\nlast");

	expect_rows(&s, "a  b   c\r \xff\xfe last");
}

TEST(items, may_be_blank_or_not)
{
	struct setup s = of_lines("\na\n\n \n\n");

	s.options.skip_blank = true;
	expect_rows(&s, "a  ");
	s = of_lines("\n\n");
	expect_rows(&s, " ");
	s = of_lines("");
	expect_rows(&s, "");
}

TEST(items, may_have_newlines_in_them)
{
	struct setup s = {.options = {.delimiter = '\0'}};

	add_file(&s, "a\nb\0c\0", 6, WEIR_LINK_NONE);
	expect_rows(&s, "a\nb c");
}

TEST(items, say_which_line_is_bad_and_go_on)
{
	size_t len = 3 * WEIR_EXEC_ITEM_MAX;
	struct setup s = {.options = {.delimiter = '\n'}};
	char *text = malloc(len);
	struct weir_items_row row;
	struct weir_items *items;

	REQUIRE(text);
	memset(text, 'x', len);
	memcpy(text, "a\nb\0c\n", 6);
	memcpy(text + len - 3, "\nd\n", 3);
	/* Exactly as long as is allowed: the third line. */
	text[6 + WEIR_EXEC_ITEM_MAX] = '\n';
	add_file(&s, text, len, WEIR_LINK_NONE);
	items = begin(&s);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ROW);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_BAD);
	CHECK_STR(row.why, "line 2 has a NUL byte in it; use -0");
	CHECK_EQ_INT(row.line, 2);
	CHECK(row.text_len == 3 && memcmp(row.text, "b\0c", 3) == 0);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ROW);
	CHECK_EQ_INT(strlen(row.items[0]), WEIR_EXEC_ITEM_MAX);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_BAD);
	CHECK_STR(row.why, "line 4 is longer than 131071 bytes");
	CHECK(row.text_len > 0 && row.text_len < 4096);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ROW);
	CHECK_STR(row.items[0], "d");
	CHECK_EQ_INT(row.line, 5);
	CHECK_EQ_INT(row.seq, 5);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_END);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_END);
	finish(&s, items);
	free(text);
}

TEST(items, are_combined_with_the_last_source_fastest)
{
	char a[] = "a b", one[] = "1 2 3", x[] = "x";
	struct setup s = of_lines("f\ng\n");

	add_operands(&s, one, WEIR_LINK_NONE);
	expect_rows(&s, "f,1 f,2 f,3 g,1 g,2 g,3");
	s = (struct setup){0};
	add_operands(&s, a, WEIR_LINK_NONE);
	add_operands(&s, x, WEIR_LINK_NONE);
	add_file(&s, "1\n2\n", 4, WEIR_LINK_NONE);
	s.options.delimiter = '\n';
	expect_rows(&s, "a,x,1 a,x,2 b,x,1 b,x,2");
}

TEST(items, are_none_when_a_source_is_empty)
{
	char a[] = "a b", none[] = "";
	struct setup s = {0};

	add_operands(&s, a, WEIR_LINK_NONE);
	add_operands(&s, none, WEIR_LINK_NONE);
	expect_rows(&s, "");
	s.sources[1].link = WEIR_LINK_WRAP;
	expect_rows(&s, "");
}

TEST(items, go_along_until_the_shorter_list_ends)
{
	char a[] = "a b c", one[] = "1 2", x[] = "x y z";
	struct setup s = {0};

	add_operands(&s, a, WEIR_LINK_NONE);
	add_operands(&s, one, WEIR_LINK_CUT);
	expect_rows(&s, "a,1 b,2");
	add_operands(&s, x, WEIR_LINK_NONE);
	expect_rows(&s, "a,1,x a,1,y a,1,z b,2,x b,2,y b,2,z");
	s.sources[2].link = WEIR_LINK_CUT;
	s.sources[1].link = WEIR_LINK_NONE;
	expect_rows(&s, "a,1,x a,2,y b,1,x b,2,y c,1,x c,2,y");
}

TEST(items, begin_again_when_linked_to_a_longer_list)
{
	char a[] = "a b c", one[] = "1 2", x[] = "x y z v";
	struct setup s = {0};

	add_operands(&s, a, WEIR_LINK_NONE);
	add_operands(&s, one, WEIR_LINK_WRAP);
	expect_rows(&s, "a,1 b,2 c,1");
	add_operands(&s, x, WEIR_LINK_WRAP);
	/* As parallel: each list begins again by itself. */
	expect_rows(&s, "a,1,x b,2,y c,1,z a,2,v");
	s = of_lines("1\n2");
	add_file(&s, "v\nw\nx\ny\nz\n", 10, WEIR_LINK_WRAP);
	expect_rows(&s, "1,v 2,w 1,x 2,y 1,z");
}

TEST(items, keep_their_places_when_one_of_a_list_is_bad)
{
	struct setup s = {.options = {.delimiter = '\n'}};

	add_file(&s, "a\nb\nc\n", 6, WEIR_LINK_NONE);
	add_file(&s, "1\n\0\n3\n", 6, WEIR_LINK_CUT);
	expect_rows(&s, "a,1 ! c,3");
}

TEST(items, are_split_into_columns)
{
	char one[] = "1 2";
	struct setup s = of_lines("a::b\n::\nc\n");

	s.options.colsep = "::";
	expect_rows(&s, "a,b , c");
	s = of_lines("a::b\nc\n");
	s.options.colsep = "::";
	add_operands(&s, one, WEIR_LINK_NONE);
	expect_rows(&s, "a,b,1 a,b,2 c,1 c,2");
}

TEST(items, come_several_to_a_row)
{
	char one[] = "1 2", a[] = "a b c d e f g";
	struct setup s = {.options = {.delimiter = '\n', .max_args = 2}};

	add_file(&s, "a\nb\nc\n\0\nd\ne", 11, WEIR_LINK_NONE);
	expect_rows(&s, "a,b ! c,d e");
	s = (struct setup){.options = {.max_args = 3}};
	add_operands(&s, a, WEIR_LINK_NONE);
	expect_rows(&s, "a,b,c d,e,f g");
	s = of_lines("a b\nc d\ne f\n");
	s.options.max_args = 2;
	s.options.colsep = " ";
	expect_rows(&s, "a,b,c,d e,f");
	s = of_lines("a\nb\nc\n");
	add_operands(&s, one, WEIR_LINK_NONE);
	s.options.max_args = 4;
	expect_rows(&s, "a,1,a,2,b,1,b,2 c,1,c,2");
}

TEST(items, come_fewer_to_a_row_that_would_be_too_long)
{
	char a[] = "a bbbbbbbb c d eeeeeeeeeeeeeeeeeeeeeeeee f";
	struct setup s = {.options = {.max_args = 3,
				      .max_bytes = 2 * weir__items_cost(3)}};

	add_operands(&s, a, WEIR_LINK_NONE);
	expect_rows(&s, "a bbbbbbbb c,d eeeeeeeeeeeeeeeeeeeeeeeee f");
}

TEST(items, wait_for_a_pipe_without_blocking)
{
	struct setup s = {.options = {.delimiter = '\n', .max_args = 2}};
	struct weir_items_row row;
	struct weir_items *items;
	char name[32];
	int fds[2];

	REQUIRE(pipe(fds) == 0);
	snprintf(name, sizeof(name), "/dev/fd/%d", fds[0]);
	s.options.source_count = 1;
	s.sources[0].file = name;
	items = begin(&s);
	CHECK_EQ_INT(weir__items_fd(items), -1);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_NONE);
	CHECK(weir__items_fd(items) >= 0);
	REQUIRE(write(fds[1], "a\nb", 3) == 3);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_NONE);
	REQUIRE(write(fds[1], "b\nc", 3) == 3);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ROW);
	CHECK_EQ_INT(row.count, 2);
	CHECK_STR(row.items[1], "bb");
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_NONE);
	(void)close(fds[1]);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ROW);
	CHECK_STR(row.items[0], "c");
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_END);
	CHECK_EQ_INT(weir__items_fd(items), -1);
	s.options.source_count = 0;
	weir__items_free(items);
	(void)close(fds[0]);
}

static void
expect_error(const char *file, const char *why)
{
	struct setup s = {.options = {.delimiter = '\n', .source_count = 1}};
	struct weir_items_row row;
	struct weir_items *items;

	s.sources[0].file = file;
	items = begin(&s);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ERROR);
		CHECK_STR(row.why, why);
	}
	weir__items_free(items);
}

TEST(items, say_what_cannot_be_read)
{
	expect_error("/nowhere/list",
		     "cannot read /nowhere/list: No such file or directory");
	expect_error("/", "cannot read /: Is a directory");
}

TEST(items, keep_no_more_than_is_allowed)
{
	struct setup s = of_lines("a\n");
	struct weir_items_row row;
	struct weir_items *items;
	char *text = malloc(4 * 1024 * 1024);

	REQUIRE(text);
	memset(text, '\n', 4 * 1024 * 1024);
	add_file(&s, text, 4 * 1024 * 1024, WEIR_LINK_NONE);
	free(text);
	s.options.kept_max = 1024 * 1024;
	items = begin(&s);
	CHECK_EQ_INT(weir__items_next(items, &row), WEIR_ITEMS_ERROR);
	CHECK_MSG(strstr(row.why, "kept in memory, up to 1 MiB; give the "
				  "longest one first"),
		  "%s", row.why);
	finish(&s, items);
}

TEST(items, keep_only_as_much_of_the_first_list_as_may_come_again)
{
	struct setup s = {
		.options = {.delimiter = '\n', .kept_max = 1024 * 1024}};
	char one[] = "1 2 3";
	char *text = malloc(4 * 1024 * 1024);
	struct weir_items_row row;
	struct weir_items *items;
	uint64_t rows = 0;
	enum weir_items_what what;

	REQUIRE(text);
	memset(text, '\n', 4 * 1024 * 1024);
	add_file(&s, text, 4 * 1024 * 1024, WEIR_LINK_NONE);
	free(text);
	add_operands(&s, one, WEIR_LINK_WRAP);
	items = begin(&s);
	while ((what = weir__items_next(items, &row)) == WEIR_ITEMS_ROW)
		if (strcmp(row.items[1],
			   (const char *[]){"1", "2", "3"}[rows++ % 3]))
			break;
	CHECK_EQ_INT(what, WEIR_ITEMS_END);
	CHECK_EQ_INT(rows, 4 * 1024 * 1024);
	finish(&s, items);
}
