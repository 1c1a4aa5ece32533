/*
 * Drafts, JSON and unique keys when memory runs out: each allocation of each
 * is refused, alone and with all after it.  What is said is WEIR_NOMEM, never
 * that the caller's JSON is bad; and nothing leaks, which the address sanitizer
 * looks for.
 */
#include "harness.h"
#include "refuse.h"

#include "base/json_check.h"
#include "queue/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_MS INT64_C(1767323045678)

static const struct weir_draft_rules rules = {.now_ms = NOW_MS};

/* An object of n members. */
static char *
make_args(int n)
{
	size_t size = (size_t)n * 16 + 3, len = 0;
	char *text = malloc(size);

	REQUIRE(text);
	text[len++] = '{';
	for (int i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, size - len, "%s\"k%d\":%d",
					i > 0 ? "," : "", i, i);
	(void)snprintf(text + len, size - len, "}");
	return text;
}

/* With the nth allocation refused; false: there was no such one. */
static bool
try_drafts(const weir_insert *inserts, size_t count, long nth, bool all,
	   long *failures)
{
	struct weir_drafts drafts;
	weir_error error = {WEIR_OK, 0, ""};
	weir_status status;
	long refused;

	refuse_arm(nth, all);
	status = weir__drafts_init(&drafts, inserts, count, &rules, &error);
	refused = refuse_disarm();
	/* qsort() asks for memory, too, and can do without. */
	CHECK(status == WEIR_OK || (status == WEIR_NOMEM && refused > 0));
	*failures += status == WEIR_NOMEM;
	CHECK_EQ_INT(drafts.count, status == WEIR_OK ? count : 0);
	CHECK(status == WEIR_OK || strstr(error.message, "out of memory"));
	weir__drafts_fini(&drafts);
	return refused > 0;
}

TEST(queue_no_memory, is_what_drafts_say_of_each_allocation)
{
	static const char *const tags[] = {"abc", "defg"};
	static const char *const fields[] = {"k7", "k1", "k3.x"};
	char *args = make_args(500);
	weir_insert inserts[8];
	long nth;

	if (!REFUSE_WORKS)
		SKIP("the sanitizer's allocator cannot fail");
	for (int i = 0; i < 8; i++) {
		inserts[i] = (weir_insert)WEIR_INSERT_INIT;
		inserts[i].kind = "email";
		inserts[i].args = i % 2 ? args : "{\"a\":1}";
		inserts[i].tags = tags;
		inserts[i].tag_count = 2;
		inserts[i].unique = WEIR_UNIQUE_ARGS;
		if (i < 4)
			continue;
		inserts[i].unique_fields = fields;
		inserts[i].unique_field_count = 3;
	}
	for (int all = 0; all < 2; all++) {
		long failures = 0;

		for (nth = 1; try_drafts(inserts, 8, nth, all, &failures);
		     nth++)
			CHECK(nth < 1000);
		CHECK_MSG(failures > 10, "%ld of %ld failed", failures, nth);
	}
	free(args);
}

TEST(queue_no_memory, is_not_needed_for_a_plain_job)
{
	weir_insert insert = WEIR_INSERT_INIT;
	long failures = 0;

	if (!REFUSE_WORKS)
		SKIP("the sanitizer's allocator cannot fail");
	insert.kind = "email";
	insert.args = "{\"to\":\"a@b.example\",\"n\":[1,{\"b\":\"\\u00e9\"}]}";
	insert.metadata = "{\"by\":\"me\"}";
	CHECK(!try_drafts(&insert, 1, 1, true, &failures));
}

TEST(queue_no_memory, is_no_fault_of_a_text)
{
	char *text = make_args(300);
	struct weir_json_fault fault;
	long nth = 1, refused;
	bool good;

	if (!REFUSE_WORKS)
		SKIP("the sanitizer's allocator cannot fail");
	do {
		refuse_arm(nth, true);
		good = weir__json_check(text, strlen(text), WEIR_JSON_OBJECT,
					&fault);
		refused = refuse_disarm();
		CHECK(good == (refused == 0));
		CHECK(good || fault.no_memory);
		CHECK(good || strcmp(fault.why, "out of memory") == 0);
	} while (refused > 0 && ++nth < 100);
	/* 32 keys need none, 64, 128, 256 and 512 do. */
	CHECK_EQ_INT(nth, 5);
	free(text);
}
