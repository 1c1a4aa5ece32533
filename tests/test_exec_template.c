/* Templates: what becomes of places, whatever is in the items. */
#include "harness.h"

#include "base/quote.h"
#include "base/rng.h"
#include "exec/places.h"
#include "exec/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static size_t
length_of(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static struct weir_template *
template_of(const char *const *words, const char *replace)
{
	struct weir_template_options options = {
		.words = words, .count = length_of(words), .replace = replace};
	struct weir_template *t = NULL;
	weir_error error;

	REQUIRE(weir__template_new(&t, &options, &error) == WEIR_OK);
	return t;
}

static struct weir_exec_job *
make(const struct weir_template *t, const char *const *items)
{
	struct weir_items_row row = {
		.seq = 7, .items = items, .count = length_of(items)};
	struct weir_exec_job *job = weir__template_make(t, &row);

	REQUIRE(job);
	return job;
}

/* With these words and items: the arguments, with '|' between them. */
static void
expect_with(const char *const *words, const char *replace,
	    const char *const *items, const char *expected)
{
	struct weir_template *t = template_of(words, replace);
	struct weir_exec_job *job = make(t, items);
	struct weir_buf text = {0};

	for (size_t i = 0; i < job->argc; i++) {
		weir__buf_puts(&text, i ? "|" : "");
		weir__buf_puts(&text, job->argv[i]);
	}
	CHECK_STR(weir__buf_str(&text), expected);
	CHECK_STR(job->bad, "");
	CHECK(!job->argv[job->argc]);
	weir__buf_fini(&text);
	weir__exec_job_free(job);
	weir__template_free(t);
}

static void
expect(const char *const *words, const char *const *items, const char *expected)
{
	expect_with(words, NULL, items, expected);
}

TEST(template, appends_items_when_no_place_is_used)
{
	expect(WORDS("echo"), WORDS("a b"), "echo|a b");
	expect(WORDS("echo", "x"), WORDS("a", "", "b"), "echo|x|a||b");
	expect(WORDS("echo", "{#}"), WORDS("a"), "echo|7");
	expect(WORDS("echo", ""), WORDS("a"), "echo||a");
}

TEST(template, puts_items_in_places)
{
	const char *const *items = WORDS("d/a.b.c", "e");

	expect(WORDS("c", "{1}", "{2}", "{-1}", "{-2}"), items,
	       "c|d/a.b.c|e|e|d/a.b.c");
	expect(WORDS("c", "{1.}", "{1/}", "{1//}", "{1/.}"), items,
	       "c|d/a.b|a.b.c|d|a.b");
	expect(WORDS("c", "x{1}y{2}z{#}"), items, "c|xd/a.b.cyez7");
	expect(WORDS("{2}"), items, "e");
}

TEST(template, makes_an_argument_of_each_item_where_a_place_stands_alone)
{
	const char *const *items = WORDS("a.x", "b c.x");

	expect(WORDS("c", "{}", "d"), items, "c|a.x|b c.x|d");
	expect(WORDS("c", "{.}"), items, "c|a|b c");
	expect(WORDS("c", "<{}>"), items, "c|<a.x b c.x>");
	expect(WORDS("c", "{.}{/}"), items, "c|a b ca.x b c.x");
}

TEST(template, takes_what_is_missing_for_nothing)
{
	expect(WORDS("c", "{3}", "x{2}y", "{-3}"), WORDS("a"), "c|xy");
	expect(WORDS("c", "{1}"), WORDS(""), "c|");
}

TEST(template, leaves_other_braces_alone)
{
	expect(WORDS("c", "{foo}", "{0}", "{01}", "{ 1}", "{1", "${HOME}",
		     "{1.1}", "{-}", "{1#}", "{1%}", "{///}", "{{}}"),
	       WORDS("a"),
	       "c|{foo}|{0}|{01}|{ 1}|{1|${HOME}|{1.1}|{-}|{1#}|{1%}|{///}|"
	       "{a}");
}

TEST(template, takes_another_text_for_the_item)
{
	expect_with(WORDS("c", "%%", "{}", "{/}", "x%%y"), "%%", WORDS("a/b"),
		    "c|a/b|{}|b|xa/by");
	expect_with(WORDS("c", "{}"), "%", WORDS("a"), "c|{}|a");
	expect_with(WORDS("c", "{}"), "{}", WORDS("a"), "c|a");
}

TEST(template, names_the_program_if_it_is_always_the_same)
{
	struct weir_template *t = template_of(WORDS("cat", "{}"), NULL);

	CHECK_STR(weir__template_program(t), "cat");
	weir__template_free(t);
	t = template_of(WORDS("./{}"), NULL);
	CHECK(!weir__template_program(t));
	weir__template_free(t);
}

static void
expect_shell(const char *script, const char *why)
{
	struct weir_template_options options = {
		.words = &script, .count = 1, .shell = true};
	struct weir_template *t = NULL;
	struct weir_exec_job *job;
	weir_error error = {0};
	weir_status status = weir__template_new(&t, &options, &error);

	CHECK_EQ_INT(status, why ? WEIR_INVAL : WEIR_OK);
	if (why)
		CHECK_MSG(strstr(error.message, why), "%s", error.message);
	if (status != WEIR_OK)
		return;
	job = make(t, WORDS("a;b", "c"));
	CHECK_EQ_INT(job->argc, 6);
	CHECK_STR(job->argv[1], "-c");
	CHECK_STR(job->argv[2], script);
	CHECK_STR(job->argv[4], "a;b");
	CHECK_STR(job->argv[5], "c");
	weir__exec_job_free(job);
	weir__template_free(t);
}

TEST(template, gives_items_to_a_script_as_arguments_only)
{
	expect_shell("echo \"$1\" ${1%.*} ${1} ${#} {a,b}", NULL);
	expect_shell("echo {}", "{} cannot be used");
	expect_shell("echo {1.}", "use \"$1\"");
	expect_shell("echo $${} {#}", "{#} cannot");
}

TEST(template, joins_the_words_of_a_script)
{
	const char *const *words = WORDS("wc", "-l", "<\"$1\"");
	struct weir_template_options options = {
		.words = words, .count = 3, .shell = true};
	struct weir_template *t = NULL;
	struct weir_exec_job *job;
	weir_error error;

	REQUIRE(weir__template_new(&t, &options, &error) == WEIR_OK);
	job = make(t, WORDS("x"));
	CHECK_STR(job->argv[2], "wc -l <\"$1\"");
	weir__exec_job_free(job);
	weir__template_free(t);
}

TEST(template, refuses_what_is_no_command)
{
	struct weir_template_options options = {.words = WORDS("c")};
	struct weir_template *t = NULL;
	weir_error error;

	CHECK_EQ_INT(weir__template_new(&t, &options, &error), WEIR_INVAL);
	options.count = 1;
	options.replace = "";
	CHECK_EQ_INT(weir__template_new(&t, &options, &error), WEIR_INVAL);
	CHECK(!t);
}

TEST(template, puts_the_slot_where_its_place_is_and_nowhere_else)
{
	struct weir_template *t =
		template_of(WORDS("c", "{%}", "a{%}b{}{%}", "{}"), NULL);
	struct weir_exec_job *job = make(t, WORDS("{%}\001"));
	char **argv = weir__exec_job_argv(job, 12);

	REQUIRE(argv);
	CHECK_EQ_INT(job->slot_count, 3);
	CHECK_STR(argv[0], "c");
	CHECK_STR(argv[1], "12");
	CHECK_STR(argv[2], "a12b{%}\00112");
	CHECK_STR(argv[3], "{%}\001");
	CHECK(!argv[4]);
	CHECK_STR(job->argv[1], "{%}");
	free(argv);
	weir__exec_job_free(job);
	weir__template_free(t);
}

static struct weir_exec_key
key_of(const char *const *words, const char *const *items)
{
	struct weir_template *t = template_of(words, NULL);
	struct weir_exec_job *job = make(t, items);
	struct weir_exec_key key = job->key;

	weir__exec_job_free(job);
	weir__template_free(t);
	return key;
}

/* The text is in logs: it may never be another. */
TEST(template, knows_a_command_by_its_content)
{
	struct weir_exec_key a = key_of(WORDS("echo", "{}"), WORDS("a", "b"));
	struct weir_exec_key same = key_of(WORDS("echo", "a"), WORDS("b"));
	struct weir_exec_key other = key_of(WORDS("echo"), WORDS("ab"));
	struct weir_exec_key third = key_of(WORDS("echo"), WORDS("a", "", "b"));
	char text[WEIR_EXEC_KEY_TEXT];

	CHECK(memcmp(&a, &same, sizeof(a)) == 0);
	CHECK(a.word[0] != other.word[0] && a.word[1] != other.word[1]);
	CHECK(a.word[0] != third.word[0] && a.word[1] != third.word[1]);
	weir__exec_key_text(text, &a);
	CHECK_STR(text, "7287869fdc36bd02da3e0db79e37895d");
}

TEST(template, refuses_what_the_system_does_not_take)
{
	struct weir_template *t = template_of(WORDS("c", "x{}"), NULL);
	char *big = malloc(WEIR_EXEC_ITEM_MAX + 2);
	const char *many[1000] = {NULL};
	struct weir_exec_job *job;

	REQUIRE(big);
	memset(big, 'y', WEIR_EXEC_ITEM_MAX + 1);
	big[WEIR_EXEC_ITEM_MAX - 1] = '\0';
	job = make(t, WORDS(big));
	CHECK_STR(job->bad, "");
	weir__exec_job_free(job);
	big[WEIR_EXEC_ITEM_MAX - 1] = 'y';
	big[WEIR_EXEC_ITEM_MAX] = '\0';
	job = make(t, WORDS(big));
	CHECK_STR(job->bad, "an argument of 131072 bytes is longer than "
			    "131071");
	CHECK_EQ_INT(job->argc, 0);
	CHECK(!job->argv[0]);
	CHECK(job->item_len > 0 && job->item_len < 4096);
	weir__exec_job_free(job);
	weir__template_free(t);
	t = template_of(WORDS("c"), NULL);
	for (int i = 0; i < 999; i++)
		many[i] = big;
	job = make(t, many);
	CHECK_MSG(strstr(job->bad, "more than the"), "%s", job->bad);
	CHECK_EQ_INT(job->seq, 7);
	weir__exec_job_free(job);
	weir__template_free(t);
	free(big);
}

/* What fits is what the system really takes. */
TEST(template, lets_through_only_what_can_be_run)
{
	struct weir_template *t = template_of(WORDS("true"), NULL);
	static char item[100001];
	size_t room = weir__template_room(t), count;
	const char **items;
	struct weir_exec_job *job;
	int status = -1;
	pid_t pid;

	memset(item, 'x', sizeof(item) - 1);
	count = room / weir__items_cost(sizeof(item) - 1);
	REQUIRE(count > 0);
	items = calloc(count + 1, sizeof(*items));
	REQUIRE(items);
	for (size_t i = 0; i < count; i++)
		items[i] = item;
	job = make(t, items);
	CHECK_STR(job->bad, "");
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		execvp(job->argv[0], job->argv);
		_exit(1);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK_EQ_INT(status, 0);
	weir__exec_job_free(job);
	weir__template_free(t);
	free(items);
}

TEST(template, leaves_less_room_for_what_is_used_twice)
{
	struct weir_template *once = template_of(WORDS("c", "{}"), NULL);
	struct weir_template *twice =
		template_of(WORDS("c", "{}", "{/}"), NULL);
	struct weir_template *word = template_of(WORDS("c", "x{}"), NULL);

	CHECK(weir__template_room(once) > 100000);
	CHECK(weir__template_room(twice) <= weir__template_room(once) / 2);
	CHECK(weir__template_room(word) < WEIR_EXEC_ITEM_MAX);
	weir__template_free(once);
	weir__template_free(twice);
	weir__template_free(word);
}

TEST(template, says_what_was_bad)
{
	struct weir_items_row row = {.seq = 9,
				     .text = "a\0b",
				     .text_len = 3,
				     .why = "line 9 is bad"};
	struct weir_exec_job *job = weir__template_bad(&row);

	REQUIRE(job);
	CHECK_EQ_INT(job->seq, 9);
	CHECK_STR(job->item, "a\xef\xbf\xbd"
			     "b");
	CHECK_STR(job->bad, "line 9 is bad");
	CHECK_EQ_INT(job->argc, 0);
	CHECK(!job->argv[0]);
	weir__exec_job_free(job);
}

static void
random_item(struct weir_rng *rng, char item[16])
{
	size_t len = weir__rng_below(rng, 8);

	for (size_t i = 0; i < len; i++)
		item[i] = "..//ab -"[weir__rng_below(rng, 8)];
	item[len] = '\0';
}

/* parallel is a program in Perl and slow to start: all items at once. */
TEST_LIMIT(template, cuts_items_as_gnu_parallel_does, 60)
{
	static const char *const fixed[] = {
		"a/b.c.d", "a.b/c", "/",  "a/",   ".x", "x",  "a//b", "a.b/",
		"..",      ".",     "a.", "x/.y", "",   "//", "a/b/", "///a",
	};
	const size_t fixed_count = sizeof(fixed) / sizeof(fixed[0]);
	struct weir_template *t = template_of(
		WORDS("{}", "{.}", "{/}", "{//}", "{/.}", "{1/}x{.}"), NULL);
	struct weir_buf script = {0}, ours = {0};
	struct weir_rng rng = {test_seed()};
	char item[16], *theirs = calloc(1, 1 << 20);
	FILE *out;

	if (system("command -v parallel >/dev/null 2>&1") != 0)
		SKIP("no GNU parallel");
	REQUIRE(theirs);
	weir__buf_puts(&script, "home=$(mktemp -d) && PARALLEL_HOME=$home "
				"parallel --will-cite -k -j1 \"printf '[%s]' "
				"{} {.} {/} {//} {/.} "
				"{1/}x{.}; echo\" :::");
	for (size_t i = 0; i < fixed_count + 300; i++) {
		struct weir_exec_job *job;

		random_item(&rng, item);
		job = make(t, WORDS(i < fixed_count ? fixed[i] : item));
		weir__buf_putc(&script, ' ');
		weir__quote_word(&script, i < fixed_count ? fixed[i] : item);
		for (size_t j = 0; j < job->argc; j++)
			weir__buf_printf(&ours, "[%s]", job->argv[j]);
		weir__buf_putc(&ours, '\n');
		weir__exec_job_free(job);
	}
	weir__buf_puts(&script, " 2>/dev/null; s=$?; "
				"rm -rf \"$home\"; exit $s");
	out = popen(weir__buf_str(&script), "r");
	REQUIRE(out);
	REQUIRE(fread(theirs, 1, (1 << 20) - 1, out) > 0);
	CHECK_EQ_INT(pclose(out), 0);
	CHECK_STR(weir__buf_str(&ours), theirs);
	weir__buf_fini(&script);
	weir__buf_fini(&ours);
	weir__template_free(t);
	free(theirs);
}
