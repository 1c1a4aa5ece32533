/*
 * What goes into a store comes out of it byte for byte, or does not go in, and
 * then nothing that came with it does.
 */
#include "harness.h"
#include "scratch.h"

#include "base/rng.h"

#include <weir/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[SCRATCH_MAX];

static weir_store *
store_new(void)
{
	static char path[SCRATCH_MAX + 16];
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = NULL;

	scratch_make(folder);
	(void)snprintf(path, sizeof(path), "%s/jobs.db", folder);
	options.url = path;
	options.create = true;
	CHECK_MSG(weir_store_open(&store, &options, &error) == WEIR_OK, "%s",
		  error.message);
	REQUIRE(store);
	return store;
}

static void
store_remove(weir_store *store)
{
	weir_store_close(store);
	scratch_remove(folder);
}

/* Texts that a list has to give, in the order of ids. */
struct expected {
	const char *const *texts;
	const size_t *lens;
	size_t count, at;
};

static bool
compare(const weir_job_row *row, void *user)
{
	struct expected *e = user;
	const char *text = e->texts[e->at];
	size_t len = e->lens ? e->lens[e->at] : strlen(text);

	CHECK_EQ_INT(row->args_len, len);
	CHECK_EQ_INT(row->metadata_len, len);
	CHECK_MSG(memcmp(row->args, text, len) == 0, "%.80s", text);
	CHECK_MSG(memcmp(row->metadata, text, len) == 0, "%.80s", text);
	CHECK(row->args[len] == '\0' && row->metadata[len] == '\0');
	return ++e->at < e->count;
}

static weir_insert
insert_of(const char *text, size_t len)
{
	weir_insert insert = WEIR_INSERT_INIT;

	insert.kind = "email";
	insert.args = insert.metadata = text;
	insert.args_len = insert.metadata_len = len;
	return insert;
}

static void
check_list(weir_store *store, struct expected expected)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;

	filter.oldest_first = true;
	CHECK_EQ_INT(weir_store_list(store, &filter, compare, &expected, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(expected.at, expected.count);
}

TEST(queue_bytes, come_out_as_they_went_in)
{
	static const char *const texts[] = {
		"{}",
		" {\t}\r\n ",
		"{\"n\":1e400}",
		"{\"n\":-1E-400,\"m\":0.10,\"z\":-0.0,\"e\":1E+2}",
		"{\"n\":123456789012345678901234567890}",
		"{\"n\":9007199254740993,\"m\":-9223372036854775809}",
		"{\"n\":3.14159265358979323846264338327950288}",
		"{\"z\":1,\"a\":2,\"m\":{\"z\":1,\"a\":2}}",
		"{ \"b\" : [ 1 , 2 ] , \"\" : \"\" }",
		"{\"s\":\"\\u0041\\/\\ud83d\\ude00\\u00e9\\b\"}",
		"{\"s\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"}",
		"{\"s\":\"'; DROP TABLE job; --\",\"\\\"\":\"%s%n\"}",
		"{\"\\u0001\":\"\\u001f\",\"__proto__\":null}",
	};
	size_t count = sizeof(texts) / sizeof(texts[0]);
	weir_store *store = store_new();

	for (size_t i = 0; i < count; i++) {
		weir_insert insert = insert_of(texts[i], 0);

		CHECK_EQ_INT(
			weir_store_insert(store, &insert, 1, NULL, NULL, NULL),
			WEIR_OK);
	}
	check_list(store, (struct expected){texts, NULL, count, 0});
	store_remove(store);
}

TEST(queue_bytes, are_no_more_than_was_said)
{
	static const char text[] = "{\"a\":1}{\"b\":2}";
	static const char *const texts[] = {text, text + 7};
	static const size_t lens[] = {7, 7};
	weir_insert inserts[] = {insert_of(text, 7), insert_of(text + 7, 7)};
	weir_store *store = store_new();

	CHECK_EQ_INT(weir_store_insert(store, inserts, 2, NULL, NULL, NULL),
		     WEIR_OK);
	check_list(store, (struct expected){texts, lens, 2, 0});
	store_remove(store);
}

TEST(queue_bytes, may_be_a_megabyte_in_64_levels)
{
	char *text = malloc(WEIR_ARGS_MAX + 1);
	weir_store *store = store_new();
	weir_insert insert;
	size_t len;

	REQUIRE(text);
	memset(text, 'x', WEIR_ARGS_MAX);
	text[WEIR_ARGS_MAX] = '\0';
	len = (size_t)snprintf(text, 8, "{\"a\":");
	memset(text + len, '[', 63);
	text[len + 63] = '"';
	memset(text + len + 64, 'x', WEIR_ARGS_MAX - len - 64);
	text[WEIR_ARGS_MAX - 65] = '"';
	memset(text + WEIR_ARGS_MAX - 64, ']', 63);
	text[WEIR_ARGS_MAX - 1] = '}';
	insert = insert_of(text, 0);
	CHECK_EQ_INT(weir_store_insert(store, &insert, 1, NULL, NULL, NULL),
		     WEIR_OK);
	check_list(store,
		   (struct expected){(const char *const *)&text, NULL, 1, 0});
	free(text);
	store_remove(store);
}

static bool
count_job(const weir_job_row *row, void *user)
{
	++*(int *)user;
	return row->id > 0;
}

/* What makes the i-th way to be bad. */
static const char *
spoil(weir_insert *insert, int i)
{
	static const char *const no_tag[] = {"a,b"};

	switch (i) {
	case 0:
		insert->args = "{\"a\":1,\"a\":2}";
		return "duplicate key";
	case 1:
		insert->args = "{\"a\":\"\\ud800\"}";
		return "surrogate";
	case 2:
		insert->metadata = "[]";
		return "metadata";
	case 3:
		insert->kind = "e mail";
		return "kind";
	case 4:
		insert->queue = "Mail";
		return "queue";
	case 5:
		insert->tags = no_tag;
		insert->tag_count = 1;
		return "tag";
	case 6:
		insert->kind = "weir.exec";
		return "reserved";
	case 7:
		insert->priority = 5;
		return "priority";
	case 8:
		insert->delay_ns = -1;
		return "delay_ns";
	default:
		insert->args = "{\"a\":\"\\u0000\"}";
		return "databases";
	}
}

TEST(queue_bytes, leave_nothing_behind_of_a_batch_with_a_bad_job)
{
	weir_store *store = store_new();
	weir_insert inserts[100];
	weir_inserted rets[100] = {{0}};
	weir_error error;
	int jobs = 0;

	for (int way = 0; way < 10; way++) {
		const char *why;
		char job[16];

		for (int i = 0; i < 100; i++)
			inserts[i] = insert_of("{}", 0);
		why = spoil(&inserts[way * 11], way);
		error = (weir_error){0};
		CHECK_EQ_INT(weir_store_insert(store, inserts, 100, rets, NULL,
					       &error),
			     WEIR_INVAL);
		(void)snprintf(job, sizeof(job), "job %d: ", way * 11);
		CHECK_MSG(strncmp(error.message, job, strlen(job)) == 0 &&
				  strstr(error.message, why),
			  "%s", error.message);
		CHECK_EQ_INT(rets[0].id, 0);
	}
	CHECK_EQ_INT(weir_store_list(store, NULL, count_job, &jobs, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(jobs, 0);
	/* The ids were not used up either. */
	CHECK_EQ_INT(weir_store_insert(store, inserts, 1, rets, NULL, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(rets[0].id, 1);
	store_remove(store);
}

/* Random bytes where JSON should be: in whole, or not at all. */
TEST(queue_bytes, of_any_kind_are_kept_or_refused)
{
	static const char seed[] = "{\"a\":[1e5,\"\\u00e9\",{\"b\":null}]}";
	weir_store *store = store_new();
	struct weir_rng rng;
	char *kept[200];
	size_t lens[200], count = 0;

	weir__rng_seed(&rng, test_seed());
	for (int round = 0; round < 3000 && count < 200; round++) {
		size_t len = strlen(seed);
		char text[64];
		weir_insert insert;
		weir_error error = {WEIR_OK, 0, ""};
		weir_status status;

		memcpy(text, seed, len);
		text[weir__rng_below(&rng, len)] = (char)weir__rng_next(&rng);
		insert = insert_of(text, len);
		status = weir_store_insert(store, &insert, 1, NULL, NULL,
					   &error);
		CHECK(status == WEIR_OK || status == WEIR_INVAL);
		CHECK(status == WEIR_OK || error.message[0]);
		if (status != WEIR_OK)
			continue;
		kept[count] = malloc(len);
		REQUIRE(kept[count]);
		memcpy(kept[count], text, len);
		lens[count++] = len;
	}
	CHECK(count > 20);
	check_list(store, (struct expected){(const char *const *)kept, lens,
					    count, 0});
	while (count > 0)
		free(kept[--count]);
	store_remove(store);
}
