/*
 * Inserts made into drafts: defaults, checks, and what is said of bad ones.
 */
#include "harness.h"

#include "base/rng.h"
#include "queue/draft.h"

#include <jansson.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_MS INT64_C(1767323045678) /* 2026-01-02T03:04:05.678Z */

static const struct weir_draft_rules rules = {.now_ms = NOW_MS};

static weir_insert
email(void)
{
	weir_insert insert = WEIR_INSERT_INIT;

	insert.kind = "email";
	return insert;
}

/* The draft of one job, whose drafts are given back with the next one. */
static const struct weir_draft *
draft_with(const weir_insert *insert, const struct weir_draft_rules *with)
{
	static struct weir_drafts drafts;
	weir_error error = {0};

	weir__drafts_fini(&drafts);
	REQUIRE(weir__drafts_init(&drafts, insert, 1, with, &error) == WEIR_OK);
	REQUIRE(drafts.count == 1);
	return drafts.all;
}

static const struct weir_draft *
draft_of(const weir_insert *insert)
{
	return draft_with(insert, &rules);
}

static const char *
fault_of(const weir_insert *inserts, size_t count,
	 const struct weir_draft_rules *with)
{
	static weir_error error;
	struct weir_drafts drafts;

	error = (weir_error){0};
	CHECK_EQ_INT(weir__drafts_init(&drafts, inserts, count, with, &error),
		     WEIR_INVAL);
	CHECK_EQ_INT(error.status, WEIR_INVAL);
	CHECK_EQ_INT(drafts.count, 0);
	weir__drafts_fini(&drafts);
	return error.message;
}

/* What is said of an email with these members set. */
#define REFUSED(text, ...)                                                  \
	do {                                                                \
		weir_insert bad = {                                         \
			.size = sizeof(bad), .kind = "email", __VA_ARGS__}; \
		CHECK_STR(fault_of(&bad, 1, &rules), text);                 \
	} while (0)

TEST(queue_draft, fills_in_the_defaults)
{
	weir_insert insert = email();
	const struct weir_draft *draft = draft_of(&insert);

	CHECK_STR(draft->queue, "default");
	CHECK_EQ_INT(draft->queue_len, 7);
	CHECK_STR(draft->kind, "email");
	CHECK_EQ_INT(draft->kind_len, 5);
	CHECK_STR(draft->args, "{}");
	CHECK_EQ_INT(draft->args_len, 2);
	CHECK(!draft->metadata && draft->metadata_len == 0);
	CHECK(!draft->tags && draft->tags_len == 0);
	CHECK_EQ_INT(draft->state, WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(draft->priority, 1);
	CHECK_EQ_INT(draft->max_attempts, WEIR_MAX_ATTEMPTS);
	CHECK_EQ_INT(draft->created_at_ms, NOW_MS);
	CHECK_EQ_INT(draft->scheduled_at_ms, NOW_MS);
	CHECK_EQ_INT(draft->timeout_ns, 0);
	CHECK(!draft->unique_key && draft->unique_states == 0);
}

TEST(queue_draft, lends_the_texts_of_the_caller)
{
	weir_insert insert = email();
	const struct weir_draft *draft;
	char args[] = "{\"n\":1e400}, and more";

	insert.args = args;
	insert.args_len = 11;
	insert.metadata = "{ }";
	insert.priority = 4;
	insert.max_attempts = WEIR_MAX_ATTEMPTS_MAX;
	insert.timeout_ns = WEIR_FOREVER;
	draft = draft_of(&insert);
	CHECK(draft->args == args);
	CHECK_EQ_INT(draft->args_len, 11);
	CHECK(draft->metadata == insert.metadata);
	CHECK_EQ_INT(draft->metadata_len, 3);
	CHECK_EQ_INT(draft->priority, 4);
	CHECK_EQ_INT(draft->max_attempts, WEIR_MAX_ATTEMPTS_MAX);
	CHECK(draft->timeout_ns == WEIR_FOREVER);
}

TEST(queue_draft, makes_a_json_array_of_tags)
{
	static const char *const tags[] = {"abc", "x-1", "a_b"};
	weir_insert insert = email();
	const struct weir_draft *draft;
	json_t *json;

	insert.tags = tags;
	insert.tag_count = 3;
	draft = draft_of(&insert);
	json = json_loadb(draft->tags, draft->tags_len, 0, NULL);
	REQUIRE(json);
	CHECK_EQ_INT(json_array_size(json), 3);
	for (size_t i = 0; i < 3; i++)
		CHECK_STR(json_string_value(json_array_get(json, i)), tags[i]);
	json_decref(json);
	insert.tag_count = 1;
	draft = draft_of(&insert);
	CHECK_EQ_INT(draft->tags_len, 7);
	CHECK(memcmp(draft->tags, "[\"abc\"]", 7) == 0);
}

TEST(queue_draft, takes_tags_as_long_and_as_many_as_fit)
{
	static const char *tags[5000];
	char long_tag[257];
	weir_insert insert = email();

	memset(long_tag, 't', 256);
	long_tag[256] = '\0';
	for (int i = 0; i < 5000; i++)
		tags[i] = long_tag;
	insert.tags = tags;
	insert.tag_count = 1;
	CHECK(strstr(fault_of(&insert, 1, &rules), "more than 255 bytes"));
	long_tag[255] = '\0';
	CHECK_EQ_INT(draft_of(&insert)->tags_len, 255 + 4);
	insert.tag_count = 4000;
	CHECK_EQ_INT(draft_of(&insert)->tags_len, 4000 * 258 + 1);
	insert.tag_count = 5000;
	CHECK_STR(fault_of(&insert, 1, &rules),
		  "tags: more than 1048576 bytes");
}

TEST(queue_draft, schedules_what_has_a_time_even_if_it_is_past)
{
	weir_insert insert = email();
	const struct weir_draft *draft;

	insert.delay_ns = 1;
	draft = draft_of(&insert);
	CHECK_EQ_INT(draft->state, WEIR_JOB_SCHEDULED);
	CHECK_EQ_INT(draft->scheduled_at_ms, NOW_MS + 1);
	insert.delay_ns = 90 * WEIR_S;
	CHECK_EQ_INT(draft_of(&insert)->scheduled_at_ms, NOW_MS + 90000);
	insert.delay_ns = 0;
	insert.scheduled_at_ms = 1000;
	draft = draft_of(&insert);
	CHECK_EQ_INT(draft->state, WEIR_JOB_SCHEDULED);
	CHECK_EQ_INT(draft->scheduled_at_ms, 1000);
	CHECK_EQ_INT(draft->created_at_ms, NOW_MS);
	insert.scheduled_at_ms = INT64_C(253402300799999);
	CHECK_EQ_INT(draft_of(&insert)->scheduled_at_ms,
		     insert.scheduled_at_ms);
	insert.scheduled_at_ms = 1000;
	insert.pending = true;
	draft = draft_of(&insert);
	CHECK_EQ_INT(draft->state, WEIR_JOB_PENDING);
	CHECK_EQ_INT(draft->scheduled_at_ms, 1000);
	insert.scheduled_at_ms = 0;
	CHECK_EQ_INT(draft_of(&insert)->state, WEIR_JOB_PENDING);
}

TEST(queue_draft, makes_the_unique_key_of_the_time_that_the_job_runs_at)
{
	static const char key[] =
		"\x6f\x20\x26\x2e\x7b\x1f\xa9\xbe\xaf\x98\x25\x5f\x23\x03\x08"
		"\x00\x37\x66\x36\x48\x4a\x98\xb2\x0c\x2c\x04\xa3\x03\xba\xb5"
		"\xa8\xd5";
	weir_insert insert = WEIR_INSERT_INIT;
	const struct weir_draft *draft;

	insert.kind = "conformance_simple";
	insert.queue = "priority_emails";
	insert.args = " { \"id\": 42 } ";
	insert.unique = WEIR_UNIQUE_ARGS | WEIR_UNIQUE_PERIOD |
			WEIR_UNIQUE_QUEUE | WEIR_UNIQUE_KIND;
	insert.unique_period_ns = 60 * WEIR_S;
	insert.scheduled_at_ms = INT64_C(1767331265000);
	draft = draft_of(&insert);
	REQUIRE(draft->unique_key);
	CHECK(memcmp(draft->unique_key, key, 32) == 0);
	CHECK_EQ_INT(draft->unique_states, WEIR_UNIQUE_STATES_DEFAULT);
	insert.unique_states = WEIR_UNIQUE_STATES_REQUIRED;
	CHECK_EQ_INT(draft_of(&insert)->unique_states,
		     WEIR_UNIQUE_STATES_REQUIRED);
	insert.scheduled_at_ms = 0;
	CHECK(memcmp(draft_of(&insert)->unique_key, key, 32) != 0);
}

TEST(queue_draft, keeps_kinds_of_the_command_for_the_command)
{
	struct weir_draft_rules ours = {.now_ms = NOW_MS, .ours = true};
	weir_insert insert = email();

	insert.kind = "weir.exec";
	CHECK_STR(fault_of(&insert, 1, &rules),
		  "kind \"weir.exec\" is reserved for the command weir");
	CHECK_STR(draft_with(&insert, &ours)->kind, "weir.exec");
	insert.kind = "weird";
	CHECK_STR(draft_of(&insert)->kind, "weird");
}

TEST(queue_draft, leaves_out_the_times_of_a_job_of_a_schedule)
{
	struct weir_draft_rules timeless = {.now_ms = NOW_MS, .timeless = true};
	weir_insert insert = email();
	const struct weir_draft *draft;

	insert.delay_ns = -1;
	insert.scheduled_at_ms = -1;
	draft = draft_with(&insert, &timeless);
	CHECK_EQ_INT(draft->state, WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(draft->scheduled_at_ms, NOW_MS);
	insert.unique = WEIR_UNIQUE_PERIOD;
	insert.unique_period_ns = WEIR_S;
	CHECK_STR(fault_of(&insert, 1, &timeless),
		  "unique by period: a schedule fires once for each of its "
		  "ticks anyway");
}

TEST(queue_draft, says_what_is_wrong_with_a_name)
{
	static const char *const short_tag[] = {"abc", "ab"};
	static const char *const no_tag[] = {NULL};
	weir_insert nameless = WEIR_INSERT_INIT;

	CHECK_STR(fault_of(&nameless, 1, &rules), "kind is missing");
	REFUSED("queue \"Mail\" has something else than a-z, 0-9, _ and -",
		.queue = "Mail");
	REFUSED("queue \"\" is empty", .queue = "");
	REFUSED("queue \"a?b???\" has something else than a-z, 0-9, _ and -",
		.queue = "a\nb\x7f\xc2\x9b\xff");
	REFUSED("tag \"ab\" has less than 3 bytes", .tags = short_tag,
		.tag_count = 2);
	REFUSED("tag 0 is missing", .tags = no_tag, .tag_count = 1);
	REFUSED("tag_count without tags", .tag_count = 1);
	nameless.kind = "0123456789012345678901234567890123456789"
			"0123456789 and more";
	CHECK_STR(fault_of(&nameless, 1, &rules),
		  "kind \"01234567890123456789012345678901234567890...\" has "
		  "something else than letters, digits, _ and "
		  "-[]<>/.\xc2\xb7:+");
}

TEST(queue_draft, says_what_is_wrong_with_json_and_where)
{
	REFUSED("args: duplicate key \"a\" (at byte 7)",
		.args = "{\"a\":1,\"a\":2}");
	REFUSED("args: [ where an object in {} should be (at byte 0)",
		.args = "[1]");
	REFUSED("args: no JSON at all (at byte 0)", .args = "");
	REFUSED("args: it ends where a comma or } should be (at byte 6)",
		.args = "{\"a\":1}", .args_len = 6);
	REFUSED("metadata: n where an object in {} should be (at byte 0)",
		.metadata = "null");
	REFUSED("args_len without args", .args_len = 1);
	REFUSED("metadata_len without metadata", .metadata_len = 1);
	REFUSED("args: more than 1048576 bytes", .args = "{}",
		.args_len = WEIR_ARGS_MAX + 1);
}

TEST(queue_draft, takes_args_as_deep_as_is_said_and_no_deeper)
{
	char args[3 * WEIR_ARGS_DEPTH_MAX] = "{\"a\":";
	weir_insert insert = email();
	size_t len = strlen(args), depth = WEIR_ARGS_DEPTH_MAX - 1;

	memset(args + len, '[', depth);
	memset(args + len + depth, ']', depth);
	args[len + 2 * depth] = '}';
	insert.args = args;
	CHECK_EQ_INT(draft_of(&insert)->args_len, len + 2 * depth + 1);
	depth++;
	memset(args + len, '[', depth);
	memset(args + len + depth, ']', depth);
	args[len + 2 * depth] = '}';
	CHECK_STR(fault_of(&insert, 1, &rules),
		  "args: more than 64 levels deep (at byte 68)");
}

TEST(queue_draft, takes_a_megabyte_of_args_and_not_a_byte_more)
{
	char *args = malloc(WEIR_ARGS_MAX + 2);
	weir_insert insert = email();

	REQUIRE(args);
	memset(args, ' ', WEIR_ARGS_MAX + 1);
	args[0] = '{';
	args[1] = '}';
	args[WEIR_ARGS_MAX] = '\0';
	insert.args = args;
	CHECK_EQ_INT(draft_of(&insert)->args_len, WEIR_ARGS_MAX);
	args[WEIR_ARGS_MAX] = ' ';
	args[WEIR_ARGS_MAX + 1] = '\0';
	CHECK_STR(fault_of(&insert, 1, &rules),
		  "args: more than 1048576 bytes");
	free(args);
}

TEST(queue_draft, says_what_is_wrong_with_a_number)
{
	REFUSED("priority 5 is not one of 1 to 4", .priority = 5);
	REFUSED("max_attempts 32768 is more than 32767", .max_attempts = 32768);
	REFUSED("timeout_ns is negative", .timeout_ns = -1);
	REFUSED("delay_ns is negative", .delay_ns = -1);
	REFUSED("scheduled_at_ms is negative", .scheduled_at_ms = -1);
	REFUSED("both delay_ns and scheduled_at_ms are given", .delay_ns = 1,
		.scheduled_at_ms = 1);
	REFUSED("it would run after the year 9999",
		.scheduled_at_ms = INT64_MAX);
	REFUSED("it would run after the year 9999",
		.scheduled_at_ms = INT64_C(253402300800000));
}

TEST(queue_draft, says_what_is_wrong_with_a_unique_job)
{
	static const char *const fields[] = {"a", "b..c"};
	static const char *const dots[] = {".a", "a.", "", ".", NULL};

	REFUSED("unique has an unknown bit", .unique = 32);
	REFUSED("unique by WEIR_UNIQUE_NO_KIND alone: all jobs would be the "
		"same",
		.unique = WEIR_UNIQUE_NO_KIND);
	REFUSED("unique both by kind and whatever the kind",
		.unique = WEIR_UNIQUE_NO_KIND | WEIR_UNIQUE_KIND);
	REFUSED("unique_period_ns without WEIR_UNIQUE_PERIOD",
		.unique = WEIR_UNIQUE_KIND, .unique_period_ns = WEIR_S);
	REFUSED("unique_period_ns is less than a second",
		.unique = WEIR_UNIQUE_PERIOD, .unique_period_ns = WEIR_S - 1);
	REFUSED("unique_period_ns is less than a second",
		.unique = WEIR_UNIQUE_PERIOD);
	REFUSED("unique_states without unique",
		.unique_states = WEIR_UNIQUE_STATES_DEFAULT);
	REFUSED("unique_states has an unknown bit", .unique = WEIR_UNIQUE_KIND,
		.unique_states = 0x1ff);
	REFUSED("unique_states lacks one of available, pending, running and "
		"scheduled",
		.unique = WEIR_UNIQUE_KIND,
		.unique_states = WEIR_UNIQUE_STATES_REQUIRED & ~1u);
	REFUSED("unique_fields without WEIR_UNIQUE_ARGS",
		.unique = WEIR_UNIQUE_KIND, .unique_fields = fields,
		.unique_field_count = 1);
	REFUSED("unique_field_count without unique_fields",
		.unique = WEIR_UNIQUE_ARGS, .unique_field_count = 1);
	REFUSED("unique field 1 has an empty name", .unique = WEIR_UNIQUE_ARGS,
		.unique_fields = fields, .unique_field_count = 2);
	for (size_t i = 0; i < 5; i++)
		REFUSED("unique field 0 has an empty name",
			.unique = WEIR_UNIQUE_ARGS, .unique_fields = dots + i,
			.unique_field_count = 1);
}

TEST(queue_draft, takes_the_shorter_struct_of_an_older_program)
{
	struct {
		size_t size;
		const char *kind, *queue, *args;
	} old[3] = {{sizeof(old[0]), "email", NULL, "{\"n\":0}"},
		    {sizeof(old[0]), "other", "mail", "{\"n\":1}"},
		    {sizeof(old[0]), "email", NULL, NULL}};
	struct weir_drafts drafts;

	REQUIRE(weir__drafts_init(&drafts, (const weir_insert *)(void *)old, 3,
				  &rules, NULL) == WEIR_OK);
	CHECK_STR(drafts.all[0].args, "{\"n\":0}");
	CHECK_STR(drafts.all[1].queue, "mail");
	CHECK_STR(drafts.all[1].kind, "other");
	CHECK_STR(drafts.all[2].args, "{}");
	CHECK_EQ_INT(drafts.all[2].priority, 1);
	weir__drafts_fini(&drafts);
}

TEST(queue_draft, refuses_what_a_newer_program_asks_for_and_it_does_not_know)
{
	struct {
		weir_insert known;
		uint64_t unknown;
	} newer[2] = {{email(), 0}, {email(), 0}};
	struct weir_drafts drafts;

	newer[0].known.size = newer[1].known.size = sizeof(newer[0]);
	newer[1].known.priority = 3;
	REQUIRE(weir__drafts_init(&drafts, &newer[0].known, 2, &rules, NULL) ==
		WEIR_OK);
	CHECK_EQ_INT(drafts.all[1].priority, 3);
	weir__drafts_fini(&drafts);
	newer[1].unknown = 1;
	CHECK(strstr(fault_of(&newer[0].known, 2, &rules), "job 1: its size"));
}

TEST(queue_draft, refuses_sizes_that_were_never_set)
{
	weir_insert inserts[2] = {email(), email()};

	inserts[1].size = 0;
	CHECK(strstr(fault_of(inserts, 2, &rules), "job 1: its size"));
	inserts[0].size = 0;
	CHECK_STR(fault_of(inserts, 1, &rules),
		  "its size, 0, is none of a weir_insert");
	inserts[0].size = 8;
	CHECK(strstr(fault_of(inserts, 1, &rules), "its size, 8"));
	inserts[0].size = SIZE_MAX;
	CHECK(strstr(fault_of(inserts, 1, &rules), "its size"));
	CHECK_STR(fault_of(NULL, 1, &rules), "there are no jobs");
}

TEST(queue_draft, counts_the_jobs_of_a_batch_in_what_it_says)
{
	weir_insert inserts[20];

	for (int i = 0; i < 20; i++)
		inserts[i] = email();
	inserts[17].args = "{\"a\":1,\"b\":2,\"a\":3}";
	CHECK_STR(fault_of(inserts, 20, &rules),
		  "job 17: args: duplicate key \"a\" (at byte 13)");
}

TEST(queue_draft, of_no_jobs_are_no_drafts)
{
	struct weir_drafts drafts;

	CHECK_EQ_INT(weir__drafts_init(&drafts, NULL, 0, &rules, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(drafts.count, 0);
	weir__drafts_fini(&drafts);
}

#if !SANITIZED
/* mallinfo2() does not see what sanitizers hand out. */
static size_t
bytes_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

TEST(queue_draft, takes_no_memory_for_a_plain_job)
{
	weir_insert insert = email();
	struct weir_drafts drafts;
	size_t before = bytes_in_use();

	insert.args = "{\"num\":1,\"to\":\"a@b.example\"}";
	insert.metadata = "{}";
	CHECK_EQ_INT(weir__drafts_init(&drafts, &insert, 1, &rules, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(bytes_in_use(), before);
	weir__drafts_fini(&drafts);
}

TEST(queue_draft, gives_back_what_it_took_whether_it_went_well_or_not)
{
	static const char *const tags[] = {"abc"};
	static const char *const fields[] = {"a"};
	weir_insert inserts[100];
	struct weir_drafts drafts;
	size_t before;

	for (int i = 0; i < 100; i++) {
		inserts[i] = email();
		inserts[i].tags = tags;
		inserts[i].tag_count = 1;
		inserts[i].args = "{\"a\":1}";
		inserts[i].unique = WEIR_UNIQUE_ARGS;
		inserts[i].unique_fields = fields;
		inserts[i].unique_field_count = 1;
	}
	/* What malloc() keeps for the next time it has kept after this. */
	CHECK_EQ_INT(weir__drafts_init(&drafts, inserts, 100, &rules, NULL),
		     WEIR_OK);
	weir__drafts_fini(&drafts);
	before = bytes_in_use();
	CHECK_EQ_INT(weir__drafts_init(&drafts, inserts, 100, &rules, NULL),
		     WEIR_OK);
	CHECK(bytes_in_use() > before);
	weir__drafts_fini(&drafts);
	CHECK_EQ_INT(bytes_in_use(), before);
	inserts[99].priority = 9;
	(void)fault_of(inserts, 100, &rules);
	CHECK_EQ_INT(bytes_in_use(), before);
}
#endif

/* A number that is likely to be at the end of something. */
static int64_t
odd_number(struct weir_rng *rng)
{
	static const int64_t numbers[] = {
		0,
		1,
		2,
		4,
		5,
		-1,
		32767,
		32768,
		0xd1,
		0xf5,
		0xff,
		0x100,
		WEIR_S - 1,
		WEIR_S,
		INT64_MAX,
		INT64_MIN,
		UINT32_MAX,
		253402300799999,
		253402300800000,
	};
	size_t n = sizeof(numbers) / sizeof(numbers[0]);

	return numbers[weir__rng_below(rng, n)];
}

/* Mostly the default, which is what most callers leave. */
static int64_t
maybe(struct weir_rng *rng)
{
	return weir__rng_below(rng, 4) ? 0 : odd_number(rng);
}

static weir_insert
odd_insert(struct weir_rng *rng)
{
	static const char *const kinds[] = {"email", "ab", "x", NULL, ""};
	static const char *const queues[] = {NULL, "mail", "M", NULL, "a--b"};
	static const char *const args[] = {NULL, "{}", "{\"a\":1}", "[]", ""};
	static const char *const list[] = {"abc", "a.b", "a-b"};
	weir_insert insert = email();

	if (weir__rng_below(rng, 3) == 0)
		insert.kind = kinds[weir__rng_below(rng, 5)];
	if (weir__rng_below(rng, 3) == 0)
		insert.queue = queues[weir__rng_below(rng, 5)];
	insert.args = args[weir__rng_below(rng, 5)];
	insert.metadata = args[weir__rng_below(rng, 5) % 3];
	insert.tags = list;
	insert.tag_count = (size_t)weir__rng_below(rng, 2);
	insert.priority = (uint32_t)maybe(rng);
	insert.max_attempts = (uint32_t)maybe(rng);
	insert.delay_ns = maybe(rng);
	insert.scheduled_at_ms = maybe(rng);
	insert.timeout_ns = maybe(rng);
	insert.pending = weir__rng_below(rng, 2) == 0;
	insert.unique = (uint32_t)weir__rng_below(rng, 40);
	if (weir__rng_below(rng, 2) == 0)
		insert.unique = 0;
	insert.unique_period_ns = maybe(rng);
	insert.unique_states = (uint32_t)maybe(rng);
	insert.unique_fields = list;
	insert.unique_field_count = (size_t)weir__rng_below(rng, 4) % 3;
	return insert;
}

static void
check_draft(const struct weir_draft *draft)
{
	CHECK(draft->queue_len == strlen(draft->queue) && draft->queue_len > 0);
	CHECK(draft->kind_len == strlen(draft->kind) && draft->kind_len > 1);
	CHECK(draft->args_len >= 2 && draft->args[0] == '{');
	CHECK(draft->priority >= 1 && draft->priority <= 4);
	CHECK(draft->max_attempts >= 1 &&
	      draft->max_attempts <= WEIR_MAX_ATTEMPTS_MAX);
	CHECK(draft->timeout_ns >= 0);
	CHECK_EQ_INT(draft->created_at_ms, NOW_MS);
	CHECK(draft->scheduled_at_ms > 0 &&
	      draft->scheduled_at_ms <= INT64_C(253402300799999));
	CHECK(draft->state == WEIR_JOB_AVAILABLE ||
	      draft->state == WEIR_JOB_SCHEDULED ||
	      draft->state == WEIR_JOB_PENDING);
	CHECK(draft->state != WEIR_JOB_AVAILABLE ||
	      draft->scheduled_at_ms == NOW_MS);
	CHECK((draft->unique_key != NULL) == (draft->unique_states != 0));
	CHECK(!draft->unique_key ||
	      (draft->unique_states & WEIR_UNIQUE_STATES_REQUIRED) ==
		      WEIR_UNIQUE_STATES_REQUIRED);
	CHECK(draft->unique_states <= WEIR_JOB_STATES_ALL);
}

TEST(queue_draft, is_a_good_one_or_none_whatever_the_numbers_are)
{
	struct weir_rng rng;
	int taken = 0;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 50000; round++) {
		weir_insert insert = odd_insert(&rng);
		weir_error error = {WEIR_OK, 0, ""};
		struct weir_drafts drafts;
		weir_status status =
			weir__drafts_init(&drafts, &insert, 1, &rules, &error);

		CHECK(status == WEIR_OK ||
		      (status == WEIR_INVAL && error.message[0]));
		if (status == WEIR_OK)
			check_draft(drafts.all);
		taken += status == WEIR_OK;
		weir__drafts_fini(&drafts);
	}
	CHECK_MSG(taken > 500 && taken < 40000, "%d of 50000", taken);
}
