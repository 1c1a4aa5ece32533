/* Channels and pools of one's own types, and the rest of base.h. */
#include "core_util.h"

#include <stdio.h>

struct url {
	char text[24];
};

struct page {
	int length;
};

WEIR_CHAN_TYPE(url_chan, struct url);
WEIR_POOL_TYPE(fetcher, struct url, struct page);

TEST(typed, channels_carry_their_type)
{
	struct url url = {"http://a/"}, got = {""};
	url_chan *ch;

	OK(url_chan_new(&ch, 2));
	CHECK_EQ_INT(weir_chan_capacity(url_chan_untyped(ch)), 2);
	OK(url_chan_send(ch, &url, NULL));
	OK(url_chan_try_send(ch, &url));
	OK(url_chan_recv(ch, &got, NULL));
	CHECK_STR(got.text, "http://a/");
	OK(url_chan_try_recv(ch, &got));
	url_chan_close(ch);
	CHECK_EQ_INT(url_chan_recv(ch, &got, NULL), WEIR_CLOSED);
	CHECK(!url_chan_free(ch));
}

static weir_status
fetch(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct url *url = in;
	struct page *page = out;

	(void)ctx;
	(void)user;
	page->length = (int)strlen(url->text);
	return WEIR_OK;
}

TEST(typed, pools_know_the_sizes_of_their_types)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct url url = {"http://a/"};
	struct page page = {0};
	weir_result result;
	uint64_t id = 0;
	fetcher *f;

	o.workers = 2;
	o.queue = 2;
	o.run = fetch;
	OK(fetcher_new(&f, &o));
	OK(fetcher_submit(f, &url, &id, NULL));
	OK(fetcher_next(f, &result, &page, NULL));
	CHECK_EQ_INT(result.id, id);
	CHECK_EQ_INT(page.length, 9);
	CHECK_EQ_INT(stats_of(fetcher_untyped(f)).delivered, 1);
	fetcher_close(f);
	CHECK_EQ_INT(fetcher_next(f, &result, &page, NULL), WEIR_CLOSED);
	CHECK(!fetcher_free(f));
}

TEST(base, statuses_have_names_and_messages)
{
#define CHECK_STATUS(name, value, message)                    \
	CHECK_STR(weir_status_name(WEIR_##name), #name);      \
	CHECK_STR(weir_status_message(WEIR_##name), message); \
	CHECK_EQ_INT(WEIR_##name, value);
	WEIR_STATUS_TABLE(CHECK_STATUS)
	CHECK_STR(weir_status_name((weir_status)99), "UNKNOWN");
	CHECK_STR(weir_status_message((weir_status)99), "unknown status");
}

TEST(base, version_is_that_of_the_headers)
{
	char version[32];

	(void)snprintf(version, sizeof(version), "%d.%d.%d", WEIR_VERSION_MAJOR,
		       WEIR_VERSION_MINOR, WEIR_VERSION_PATCH);
	CHECK_STR(weir_version(), version);
}

TEST(base, units_of_time_are_nanoseconds)
{
	CHECK(WEIR_NS == 1 && WEIR_US == 1000 && WEIR_MS == 1000000);
	CHECK(WEIR_S == 1000000000 && WEIR_FOREVER == INT64_MAX);
	CHECK(weir_now_ns() >= 0);
}

TEST(base, clock_never_goes_back)
{
	int64_t before_ns = weir_now_ns();

	for (int i = 0; i < 10000; i++) {
		int64_t now_ns = weir_now_ns();

		CHECK(now_ns >= before_ns);
		before_ns = now_ns;
	}
}

TEST(base, init_macros_make_functions_and_calls_agree)
{
	weir_pool_options a = WEIR_POOL_OPTIONS_INIT, b;
	weir_job_options c = WEIR_JOB_OPTIONS_INIT, d;
	weir_pool_stats e = WEIR_POOL_STATS_INIT, f;

	weir_pool_options_init(&b);
	CHECK(a.size == b.size && b.size == sizeof(b));
	CHECK(weir_pool_options_make().size == sizeof(b));
	weir_job_options_init(&d);
	CHECK(c.size == d.size && weir_job_options_make().size == c.size);
	weir_pool_stats_init(&f);
	CHECK(e.size == f.size && weir_pool_stats_make().size == e.size);
}
