/* What an earlier run has done, from its records. */
#include "harness.h"

#include "fetch/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t key[2] = {3, 4};

static struct weir_fetch_resume *
load(const char *text)
{
	char path[] = "/tmp/weir-test-XXXXXX";
	struct weir_fetch_resume *resume = NULL;
	weir_error error;
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
	REQUIRE(weir__fetch_resume_load(&resume, path, key, &error) == WEIR_OK);
	(void)unlink(path);
	return resume;
}

static enum weir_fetch_before
find(struct weir_fetch_resume *resume, const char *url, const char *id)
{
	return weir__fetch_resume_find(resume,
				       weir__fetch_resume_key(resume, url, id));
}

TEST(resume, knows_what_was_fetched_and_what_has_failed)
{
	struct weir_fetch_resume *resume = load(
		"{\"id\":1,\"url\":\"http://a/1\",\"status\":\"ok\"}\n"
		"{\"id\":2,\"url\":\"http://a/2\",\"status\":\"failed\"}\n"
		"{\"id\":3,\"url\":\"http://a/3\",\"status\":\"cancelled\"}\n"
		"{\"id\":4,\"url\":\"http://a/4\",\"status\":\"failed\"}\n"
		"nonsense\n"
		"{\"id\":4,\"url\":\"http://a/4\",\"status\":\"ok\"}\n"
		"{\"id\":4,\"url\":\"http://a/4\",\"status\":\"failed\"}\n"
		"{\"id\":\"x\",\"url\":\"http://a/5\",\"status\":\"ok\"}\n"
		"{\"id\":6,\"url\":\"http://a/6\",\"status\":\"o");

	CHECK_EQ_INT(find(resume, "http://a/1", NULL), WEIR_FETCH_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "http://a/2", NULL),
		     WEIR_FETCH_BEFORE_FAILED);
	CHECK_EQ_INT(find(resume, "http://a/3", NULL),
		     WEIR_FETCH_BEFORE_UNKNOWN);
	CHECK_EQ_INT(find(resume, "http://a/4", NULL), WEIR_FETCH_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "http://a/5", "x"), WEIR_FETCH_BEFORE_OK);
	CHECK_EQ_INT(find(resume, "http://a/5", "y"),
		     WEIR_FETCH_BEFORE_UNKNOWN);
	CHECK_EQ_INT(find(resume, "http://a/6", NULL),
		     WEIR_FETCH_BEFORE_UNKNOWN);
	weir__fetch_resume_settle(
		resume, weir__fetch_resume_key(resume, "http://a/2", NULL));
	CHECK_EQ_INT(find(resume, "http://a/2", NULL), WEIR_FETCH_BEFORE_OK);
	weir__fetch_resume_free(resume);
}

TEST(resume, grows)
{
	char *text = NULL, url[64];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct weir_fetch_resume *resume;
	int wrong = 0;

	REQUIRE(out);
	for (int i = 0; i < 10000; i++)
		fprintf(out, "{\"url\":\"http://a/%d\",\"status\":\"%s\"}\n", i,
			i % 2 ? "ok" : "failed");
	REQUIRE(fclose(out) == 0);
	resume = load(text);
	for (int i = 0; i < 10000; i++) {
		snprintf(url, sizeof(url), "http://a/%d", i);
		wrong += find(resume, url, NULL) !=
			 (i % 2 ? WEIR_FETCH_BEFORE_OK
				: WEIR_FETCH_BEFORE_FAILED);
	}
	CHECK_EQ_INT(wrong, 0);
	weir__fetch_resume_free(resume);
	free(text);
}
