#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/summary.h"
#include "harness.h"
#include "weir/base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct weir_progress p;
static struct weir_hist latency;
static struct weir_tally reasons;

/* The counts of the picture in the documentation. */
static struct weir_progress_counts
example(void)
{
	return (struct weir_progress_counts){
		.done = 1204,
		.total = 5000,
		.total_final = true,
		.ok = 1198,
		.failed = 6,
		.retries = 11,
		.busy = 16,
		.width = 16,
		.queued = 64,
		.bytes = 27100000,
		.elapsed_ns = 6615 * WEIR_MS,
	};
}

/* A progress of that mode that writes to a file, without colours. */
static void
start(enum weir_progress_mode mode, const char *locale, unsigned columns)
{
	struct weir_progress_options options = {
		.mode = mode,
		.color = WEIR_COLOR_NEVER,
		.fd = memfd_create("progress", MFD_CLOEXEC),
	};

	(void)setenv("LC_ALL", locale, 1);
	weir__progress_init(&p, &options);
	p.columns = columns;
}

/* All that was written since the last call. */
static const char *
written(void)
{
	static char text[65536];
	static off_t at;
	ssize_t n = pread(p.fd, text, sizeof(text) - 1, at);

	REQUIRE(n >= 0);
	text[n] = '\0';
	at += n;
	return text;
}

static const char *
line(const struct weir_progress_counts *counts, unsigned columns)
{
	static struct weir_buf buf;

	weir__buf_reset(&buf);
	weir__progress_render(&p, &buf, counts, columns);
	return weir__buf_str(&buf);
}

static void
tick(const struct weir_progress_counts *counts, int64_t elapsed_ns)
{
	struct weir_progress_counts c = *counts;

	c.elapsed_ns = elapsed_ns;
	weir__progress_update(&p, &c);
}

TEST(progress, shows_everything_where_there_is_room)
{
	struct weir_progress_counts c = example();

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 0);
	CHECK_STR(line(&c, 0),
		  " 1 204/5 000 ━━━━━━╺━━━━━━━━━━━━━━━━━━ 24%  ok 1 198  fail "
		  "6  retry 11 | 16/16 busy, 64 queued | 182/s  4.1 MB/s  eta "
		  "21s");
}

TEST(progress, leaves_out_what_matters_least_when_it_is_narrow)
{
	struct weir_progress_counts c = example();

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 0);
	CHECK_STR(line(&c, 79), " 1 204/5 000 ━╺━━━━━━ 24%  ok 1 198  fail 6  "
				"retry 11 | 182/s  eta 21s");
	CHECK_STR(line(&c, 40), " 1 204/5 000 24%  ok 1 198  fail 6");
	CHECK_STR(line(&c, 10), " 1 204/5 0");
	for (unsigned columns = 1; columns < 140; columns++)
		CHECK(weir__term_width(line(&c, columns),
				       strlen(line(&c, columns))) <= columns);
}

/* Three pools in a row, the second of which is too slow. */
static const struct weir_progress_stage stages[] = {
	{.name = "extract",
	 .busy = 2,
	 .width = 2,
	 .queued = 16,
	 .bound = 16,
	 .done = 120},
	{.name = "embed",
	 .busy = 16,
	 .width = 16,
	 .queued = 9,
	 .bound = 16,
	 .done = 100,
	 .retries = 3},
	{.name = "store",
	 .busy = 1,
	 .width = 16,
	 .queued = 0,
	 .bound = 16,
	 .done = 100},
};

static struct weir_progress_counts
staged_example(void)
{
	return (struct weir_progress_counts){
		.done = 100,
		.total = 200,
		.ok = 100,
		.elapsed_ns = 10 * WEIR_S,
		.stages = stages,
		.stage_count = 3,
	};
}

static const char *
stage_lines(const struct weir_progress_counts *counts, unsigned columns)
{
	static struct weir_buf buf;

	weir__buf_reset(&buf);
	weir__progress_render_stages(&p, &buf, counts, columns);
	return weir__buf_str(&buf);
}

TEST(progress, gives_each_stage_of_a_pipeline_a_line)
{
	struct weir_progress_counts c = staged_example();

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 0);
	CHECK_STR(stage_lines(&c, 0),
		  " extract    2/2 busy  ━━━━━━━━━━ 16/16 queued  12/s\n"
		  " embed    16/16 busy  ━━━━━╺━━━━  9/16 queued  10/s  retry "
		  "3\n"
		  " store     1/16 busy  ╺━━━━━━━━━  0/16 queued  10/s\n");
}

TEST(progress, keeps_the_lines_of_stages_within_a_narrow_terminal)
{
	struct weir_progress_counts c = staged_example();

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 0);
	CHECK_STR(stage_lines(&c, 50),
		  " extract    2/2 busy  16/16 queued  12/s\n"
		  " embed    16/16 busy   9/16 queued  10/s  retry 3\n"
		  " store     1/16 busy   0/16 queued  10/s\n");
	p.color = true;
	for (unsigned columns = 1; columns < 100; columns++) {
		char *text = strdup(stage_lines(&c, columns)), *rest = text;
		unsigned lines = 0;

		REQUIRE(text);
		for (char *one; (one = strsep(&rest, "\n")) && rest; lines++)
			CHECK(weir__term_width(one, strlen(one)) <= columns);
		CHECK_EQ_INT(lines, 3);
		free(text);
	}
}

TEST(progress, takes_all_lines_of_stages_off_the_screen_again)
{
	struct weir_progress_counts c = staged_example();

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 80);
	tick(&c, 10 * WEIR_S);
	CHECK(strncmp(written(), " extract", 8) == 0);
	c.ok++;
	tick(&c, 11 * WEIR_S);
	/* Three lines up from the fourth, and everything below goes. */
	CHECK(strncmp(written(), "\r\033[3A\033[J extract", 16) == 0);
	weir__progress_finish(&p);
	CHECK_STR(written(), "\r\033[3A\033[J");
}

TEST(progress, tells_of_stages_in_one_line_or_as_json_without_a_terminal)
{
	struct weir_progress_counts c = staged_example();

	c.stage_count = 1;
	start(WEIR_PROGRESS_PLAIN, "C.UTF-8", 0);
	tick(&c, 31 * WEIR_S);
	CHECK_STR(written(), " 100/200+  ok 100  fail 0 | 3.2/s | extract 2/2 "
			     "busy, 16/16 queued\n");
	weir__progress_finish(&p);
	start(WEIR_PROGRESS_JSON, "C.UTF-8", 0);
	tick(&c, 2 * WEIR_S);
	CHECK(strstr(written(),
		     "\"stages\":[{\"name\":\"extract\",\"busy\":2,"
		     "\"width\":2,\"queued\":16,\"bound\":16,\"done\":120,"
		     "\"retries\":0}]"));
	weir__progress_finish(&p);
}

TEST(progress, is_ascii_in_another_locale)
{
	struct weir_progress_counts c = example();

	start(WEIR_PROGRESS_BAR, "C", 0);
	CHECK_STR(line(&c, 0),
		  " 1 204/5 000 ======>------------------ 24%  ok 1 198  fail "
		  "6  retry 11 | 16/16 busy, 64 queued | 182/s  4.1 MB/s  eta "
		  "21s");
}

TEST(progress, marks_a_total_that_still_grows)
{
	struct weir_progress_counts c = {
		.done = 80, .ok = 80, .total = 412, .elapsed_ns = 10 * WEIR_S};

	start(WEIR_PROGRESS_BAR, "C", 0);
	CHECK_STR(line(&c, 0), " 80/412+  ok 80  fail 0 | 8.0/s");
	c.total = 0;
	CHECK_STR(line(&c, 0), " 80  ok 80  fail 0 | 8.0/s");
}

TEST(progress, has_a_full_bar_and_no_eta_when_all_is_done)
{
	struct weir_progress_counts c = {.done = 8,
					 .ok = 6,
					 .skipped = 2,
					 .total = 8,
					 .total_final = true,
					 .elapsed_ns = WEIR_S};

	start(WEIR_PROGRESS_BAR, "C", 0);
	CHECK_STR(line(&c, 0), " 8/8 ========================= 100%  ok 6  "
			       "fail 0  skip 2 | 6.0/s");
}

TEST(progress, colours_do_not_count_as_width)
{
	struct weir_progress_counts c = example();

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 0);
	p.color = true;
	CHECK(strstr(line(&c, 125), "\033[32m━━━━━━\033[0;2m╺━"));
	CHECK(strstr(line(&c, 125), "64 queued"));
	CHECK(!strchr(line(&c, 10), '\033'));
}

TEST(progress, repaints_at_most_ten_times_a_second)
{
	struct weir_progress_counts c = example();

	start(WEIR_PROGRESS_BAR, "C", 41);
	tick(&c, 1000 * WEIR_MS);
	CHECK_STR(written(), " 1 204/5 000 24%  ok 1 198  fail 6");
	c.ok++;
	c.done++;
	tick(&c, 1099 * WEIR_MS);
	CHECK_STR(written(), "");
	tick(&c, 1100 * WEIR_MS);
	CHECK_STR(written(), "\r\033[K 1 205/5 000 24%  ok 1 199  fail 6");
	/* What has not changed is not written again. */
	tick(&c, 1200 * WEIR_MS);
	CHECK_STR(written(), "");
}

TEST(progress, scrolls_events_above_the_line)
{
	struct weir_progress_counts c = {.total = 5};

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 83);
	tick(&c, 0);
	CHECK_STR(written(), " 0/5+  ok 0  fail 0");
	weir__progress_event(&p, WEIR_PROGRESS_FAILED,
			     "https://b.example/404.pdf", "404 Not Found",
			     "(no retry)");
	weir__progress_event(&p, WEIR_PROGRESS_RETRY,
			     "https://c.example/big.iso", "503, Retry-After 7s",
			     "try 2/4 in 7.0s");
	CHECK_STR(written(), "");
	p.columns = 83;
	tick(&c, 100 * WEIR_MS);
	CHECK_STR(written(), "\r\033[K"
			     " ✗ https://b.example/404.pdf            "
			     "404 Not Found              (no retry)\n"
			     " ↻ https://c.example/big.iso            "
			     "503, Retry-After 7s        try 2/4 in 7.0s\n"
			     " 0/5+  ok 0  fail 0 | 0.0/s");
	weir__progress_finish(&p);
	CHECK_STR(written(), "\r\033[K");
}

TEST(progress, shortens_a_long_url_in_the_middle)
{
	struct weir_progress_counts c = {.total = 5};

	start(WEIR_PROGRESS_BAR, "C.UTF-8", 70);
	weir__progress_event(&p, WEIR_PROGRESS_FAILED,
			     "https://b.example/a/long/path/404.pdf",
			     "404 Not Found", NULL);
	tick(&c, 0);
	CHECK(strstr(written(), " ✗ https://b.e…th/404.pdf  404 Not Found\n"));
}

TEST(progress, neutralises_escape_sequences)
{
	struct weir_progress_counts c = {.total = 5};

	start(WEIR_PROGRESS_PLAIN, "C.UTF-8", 0);
	weir__progress_event(&p, WEIR_PROGRESS_FAILED,
			     "http://x/\033]0;title\007\xc2\x9b"
			     "2J\n\xff\xe2\x80\xae",
			     "a\rb", "n\tm");
	tick(&c, 0);
	CHECK_STR(written(), " ✗ http://x/�]0;title��2J���"
			     "            a�b                        n�m\n");
	weir__progress_note(&p, "note \033[2J");
	CHECK_STR(written(), "note �[2J\n");
}

TEST(progress, counts_what_comes_too_fast)
{
	struct weir_progress_counts c = {.total = 5};
	unsigned lines = 0;

	start(WEIR_PROGRESS_NONE, "C.UTF-8", 0);
	for (int i = 0; i < 332; i++)
		weir__progress_event(&p, WEIR_PROGRESS_FAILED, "u", "w", NULL);
	weir__progress_event(&p, WEIR_PROGRESS_RETRY, "u", "w", NULL);
	tick(&c, 0);
	for (const char *s = written(); *s; s++)
		lines += *s == '\n';
	CHECK_EQ_INT(lines, 20);
	tick(&c, WEIR_S);
	CHECK_STR(written(), " … and 312 more failures, 1 more retry\n");
	weir__progress_event(&p, WEIR_PROGRESS_FAILED, "u", "w", NULL);
	weir__progress_finish(&p);
	CHECK_STR(written(), " ✗ u                                    w\n");
}

TEST(progress, is_a_line_every_30_seconds_when_plain)
{
	struct weir_progress_counts c = {.done = 5, .ok = 5, .total = 50};

	start(WEIR_PROGRESS_AUTO, "C", 0);
	CHECK_EQ_INT(p.mode, WEIR_PROGRESS_PLAIN);
	tick(&c, 0);
	tick(&c, 29900 * WEIR_MS);
	CHECK_STR(written(), "");
	tick(&c, 30 * WEIR_S);
	CHECK(strstr(written(), " 5/50+  ok 5  fail 0 | "));
	tick(&c, 59 * WEIR_S);
	CHECK_STR(written(), "");
	weir__progress_finish(&p);
	CHECK_STR(written(), "");
}

TEST(progress, is_an_object_a_second_as_json)
{
	struct weir_progress_counts c = {.done = 5, .ok = 5, .total = 50};

	start(WEIR_PROGRESS_JSON, "C", 0);
	weir__progress_event(&p, WEIR_PROGRESS_FAILED, "u\"\033", "404", NULL);
	tick(&c, WEIR_S);
	CHECK_STR(written(),
		  "{\"type\":\"failed\",\"subject\":\"u\\\"\\u001b\","
		  "\"what\":\"404\"}\n"
		  "{\"type\":\"progress\",\"done\":5,\"total\":50,\"ok\":5,"
		  "\"failed\":0,\"skipped\":0,\"retries\":0,\"busy\":0,"
		  "\"width\":0,\"queued\":0,\"bytes\":0,\"total_final\":false,"
		  "\"elapsed_s\":1.000}\n");
}

TEST(progress, says_nothing_when_quiet_but_notes)
{
	struct weir_progress_counts c = example();

	start(WEIR_PROGRESS_BAR, "C", 80);
	p.quiet = true;
	weir__progress_event(&p, WEIR_PROGRESS_FAILED, "u", "w", NULL);
	tick(&c, WEIR_S);
	CHECK_STR(written(), "");
	weir__progress_note(&p, "draining");
	CHECK_STR(written(), "draining\n");
	weir__progress_finish(&p);
	CHECK_STR(written(), "");
}

TEST(progress, steps_aside_for_others_and_comes_back)
{
	struct weir_progress_counts c = {.total = 5};

	start(WEIR_PROGRESS_BAR, "C", 80);
	weir__progress_hide(&p);
	CHECK_STR(written(), "");
	tick(&c, 0);
	(void)written();
	weir__progress_hide(&p);
	weir__progress_hide(&p);
	CHECK_STR(written(), "\r\033[K");
	tick(&c, 0);
	CHECK_STR(written(), "");
	tick(&c, 100 * WEIR_MS);
	CHECK_STR(written(), " 0/5+  ok 0  fail 0 | 0.0/s");
	weir__progress_note(&p, "draining");
	CHECK_STR(written(), "\r\033[Kdraining\n 0/5+  ok 0  fail 0 | 0.0/s");
}

static void *
report_failures(void *unused)
{
	for (int i = 0; i < 500; i++)
		weir__progress_event(&p, WEIR_PROGRESS_FAILED, "u", "w", NULL);
	return unused;
}

TEST(progress, takes_events_from_many_threads)
{
	struct weir_progress_counts c = {.total = 5};
	pthread_t threads[4];
	unsigned lines = 0;

	start(WEIR_PROGRESS_NONE, "C", 0);
	for (size_t i = 0; i < 4; i++)
		REQUIRE(pthread_create(&threads[i], NULL, report_failures,
				       NULL) == 0);
	for (int i = 0; i < 9; i++)
		tick(&c, i * 100 * WEIR_MS);
	weir__progress_note(&p, "note");
	for (size_t i = 0; i < 4; i++)
		REQUIRE(pthread_join(threads[i], NULL) == 0);
	tick(&c, WEIR_S);
	for (const char *s = written(); *s; s++)
		lines += *s == '\n';
	/* 20 failures, the note, and "1 980 more". */
	CHECK_EQ_INT(lines, 22);
}

TEST(progress, writes_to_a_file_without_stepping_aside)
{
	struct weir_progress_counts c = {.total = 5};
	int file = memfd_create("stdout", MFD_CLOEXEC);
	char text[8] = "";

	start(WEIR_PROGRESS_BAR, "C", 80);
	tick(&c, 0);
	(void)written();
	CHECK_EQ_INT(weir__progress_write(&p, file, "hello\n", 6), 0);
	CHECK_STR(written(), "");
	CHECK_EQ_INT(pread(file, text, sizeof(text) - 1, 0), 6);
	CHECK_STR(text, "hello\n");
	(void)close(file);
	CHECK_EQ_INT(weir__progress_write(&p, file, "x", 1), EBADF);
}

TEST(progress, takes_nothing_but_notes_after_the_end)
{
	struct weir_progress_counts c = {.total = 5};

	start(WEIR_PROGRESS_BAR, "C", 80);
	weir__progress_finish(&p);
	weir__progress_event(&p, WEIR_PROGRESS_FAILED, "u", "w", NULL);
	tick(&c, 0);
	weir__progress_finish(&p);
	CHECK_STR(written(), "");
	weir__progress_note(&p, "late");
	CHECK_STR(written(), "late\n");
}

TEST(progress, rates_follow_recent_seconds)
{
	struct weir_progress_counts c = {0};

	start(WEIR_PROGRESS_BAR, "C", 80);
	for (int i = 1; i <= 600; i++) {
		c.ok += 10;
		tick(&c, i * 100 * WEIR_MS);
	}
	c.elapsed_ns = 60 * WEIR_S;
	CHECK(strstr(line(&c, 0), " | 100/s"));
	for (int i = 601; i <= 1200; i++)
		tick(&c, i * 100 * WEIR_MS);
	CHECK(strstr(line(&c, 0), " | 0.0/s"));
}

static const char *
summary(const struct weir_summary *s)
{
	static struct weir_buf buf;

	weir__buf_reset(&buf);
	weir__summary_render(&buf, s, true);
	return weir__buf_str(&buf);
}

static void
fail(const char *reason, int times)
{
	while (times-- > 0)
		weir__tally_add(&reasons, reason);
}

TEST(summary, tells_what_was_done_and_how_to_resume)
{
	struct weir_summary s = {
		.verb = "fetched",
		.counts = {.done = 5000,
			   .total = 5000,
			   .ok = 4991,
			   .failed = 9,
			   .bytes = 1900000000,
			   .elapsed_ns = 27800 * WEIR_MS},
		.latency = &latency,
		.reasons = &reasons,
		.records = "out/weir-fetch.jsonl",
		.next = "weir fetch --resume out/weir-fetch.jsonl "
			"--retry-failed",
	};

	fail("timeout", 1);
	fail("404", 7);
	fail("tls", 1);
	for (int i = 0; i < 98; i++)
		weir__hist_add(&latency, 61 * WEIR_MS);
	weir__hist_add(&latency, 1900 * WEIR_MS);
	weir__hist_add(&latency, 1900 * WEIR_MS);
	CHECK_STR(summary(&s),
		  "fetched 4 991 of 5 000 in 27.8s  (1.9 GB, 180/s, p50 61ms "
		  "p99 1.9s)\n"
		  "9 failed: 7×404 1×timeout 1×tls      records: "
		  "out/weir-fetch.jsonl\n"
		  "try: weir fetch --resume out/weir-fetch.jsonl "
		  "--retry-failed\n");
}

TEST(summary, is_one_line_when_all_is_well_and_none_when_quiet)
{
	struct weir_summary s = {
		.verb = "ran",
		.counts = {.done = 30,
			   .ok = 20,
			   .skipped = 10,
			   .retries = 1,
			   .elapsed_ns = 10 * WEIR_S},
	};

	CHECK_STR(summary(&s),
		  "ran 20 of 30 in 10.0s  (2.0/s, 1 retry, 10 skipped)\n");
	s.quiet = true;
	CHECK_STR(summary(&s), "");
	s.counts.failed = 1;
	CHECK(strstr(summary(&s), "1 failed\n"));
}

TEST(summary, tells_what_a_signal_left)
{
	struct weir_summary s = {
		.verb = "ran",
		.stopped = "stopped after drain",
		.counts = {.done = 89,
			   .total_final = true,
			   .ok = 88,
			   .failed = 1},
		.not_started = 111,
		.next = "weir run --resume run.jsonl",
		.quiet = true,
	};

	CHECK_STR(summary(&s), "stopped after drain: ok 88  failed 1  not "
			       "started 111\n"
			       "try: weir run --resume run.jsonl\n");
	s.cancelled = 8;
	CHECK(strstr(summary(&s), "failed 1  cancelled 8  not started 111\n"));
	/* There may be more in the input. */
	s.counts.total_final = false;
	CHECK(strstr(summary(&s), "not started 111+\n"));
}

TEST(summary, a_tally_never_grows)
{
	for (int i = 0; i < 100; i++) {
		char name[] = {'x', (char)(' ' + i % 90), '\0'};

		weir__tally_add(&reasons, name);
	}
	CHECK_EQ_INT(reasons.len, WEIR_TALLY_MAX);
	CHECK(reasons.other > 0);
}

TEST(stop, drains_then_cancels_then_leaves)
{
	struct weir_stop s;

	weir__stop_init(&s, 25 * WEIR_S);
	CHECK_EQ_INT(weir__stop_sleep_ns(&s, 0), WEIR_FOREVER);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGUSR1, 0), WEIR_STOP_STATUS);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGUSR2, 0), WEIR_STOP_NOTHING);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGINT, 0), WEIR_STOP_DRAIN);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGTERM, 1), WEIR_STOP_CANCEL);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGHUP, 2), WEIR_STOP_LEAVE);
	CHECK_EQ_INT(s.signal, SIGINT);
}

TEST(stop, goes_on_by_itself_within_30_seconds)
{
	struct weir_stop s;

	weir__stop_init(&s, WEIR_STOP_GRACE_NS);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGTERM, WEIR_S), WEIR_STOP_DRAIN);
	CHECK_EQ_INT(weir__stop_sleep_ns(&s, 2 * WEIR_S), 24 * WEIR_S);
	CHECK_EQ_INT(weir__stop_tick(&s, 26 * WEIR_S - 1), WEIR_STOP_NOTHING);
	CHECK_EQ_INT(weir__stop_tick(&s, 26 * WEIR_S), WEIR_STOP_CANCEL);
	CHECK_EQ_INT(weir__stop_tick(&s, 26 * WEIR_S), WEIR_STOP_NOTHING);
	CHECK_EQ_INT(weir__stop_tick(&s, 30 * WEIR_S), WEIR_STOP_LEAVE);
	CHECK_EQ_INT(s.signal, SIGTERM);
}

TEST(stop, quit_leaves_at_once)
{
	struct weir_stop s;

	weir__stop_init(&s, WEIR_FOREVER);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGINT, 5), WEIR_STOP_DRAIN);
	CHECK_EQ_INT(weir__stop_tick(&s, INT64_MAX - 1), WEIR_STOP_NOTHING);
	CHECK_EQ_INT(weir__stop_signal(&s, SIGQUIT, 6), WEIR_STOP_LEAVE);
	CHECK_EQ_INT(s.signal, SIGQUIT);
}

TEST(signals, are_taken_by_who_waits)
{
	weir__signals_block();
	CHECK_EQ_INT(weir__signals_wait(0), 0);
	REQUIRE(raise(SIGINT) == 0);
	CHECK_EQ_INT(weir__signals_wait(WEIR_FOREVER), SIGINT);
	weir__signals_wake();
	CHECK_EQ_INT(weir__signals_wait(WEIR_S), SIGUSR2);
	CHECK_EQ_INT(weir__signals_wait(WEIR_MS), 0);
}

TEST(signals, that_were_ignored_stay_ignored)
{
	(void)signal(SIGHUP, SIG_IGN);
	weir__signals_block();
	REQUIRE(raise(SIGHUP) == 0);
	CHECK_EQ_INT(weir__signals_wait(0), 0);
}
