/*
 * The summary; see summary.h.
 *
 * Design: it is read in two places, by a person in a hurry and by the same
 * person next morning in a log.  So the first line says how it went, the
 * second what is wrong, the third what to do, and a line with nothing to say
 * is left out.  The totals are those of the progress line; only here the rate
 * is the average over the whole run and not a smoothed one.
 *
 * Locking: none.  A tally belongs to one thread, and a summary is made when
 * the jobs are over.
 */
#include "cli/summary.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
weir__tally_add(struct weir_tally *tally, const char *reason)
{
	char name[WEIR_TALLY_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%s", reason);
	for (unsigned i = 0; i < tally->len; i++)
		if (strcmp(tally->rows[i].name, name) == 0) {
			tally->rows[i].count++;
			return;
		}
	if (tally->len == WEIR_TALLY_MAX) {
		tally->other++;
		return;
	}
	memcpy(tally->rows[tally->len].name, name, sizeof(name));
	tally->rows[tally->len++].count = 1;
}

static void
put_count(struct weir_buf *buf, const char *before, uint64_t count,
	  const char *after)
{
	char text[WEIR_FORMAT_SIZE];

	weir__format_count(text, sizeof(text), count);
	weir__buf_printf(buf, "%s%s%s", before, text, after);
}

/* text has room for WEIR_FORMAT_SIZE bytes; two of them stand in one printf. */
static const char *
duration(char *text, int64_t ns)
{
	return weir__format_duration(text, WEIR_FORMAT_SIZE, ns);
}

/* "(1.9 GB, 180/s, 11 retries, 20 skipped, p50 61ms p99 1.9s)" */
static void
put_figures(struct weir_buf *buf, const struct weir_summary *s)
{
	const struct weir_progress_counts *c = &s->counts;
	char text[WEIR_FORMAT_SIZE], high[WEIR_FORMAT_SIZE];
	double seconds = (double)c->elapsed_ns / 1e9;

	weir__buf_puts(buf, "  (");
	if (c->bytes > 0)
		weir__buf_printf(
			buf, "%s, ",
			weir__format_bytes(text, sizeof(text), c->bytes));
	weir__progress_format_rate(
		buf, seconds > 0 ? (double)(c->ok + c->failed) / seconds : 0);
	if (c->retries > 0)
		put_count(buf, ", ", c->retries,
			  c->retries == 1 ? " retry" : " retries");
	if (c->skipped > 0)
		put_count(buf, ", ", c->skipped, " skipped");
	if (s->latency && s->latency->count > 0)
		weir__buf_printf(
			buf, ", p50 %s p99 %s",
			duration(text, weir__hist_quantile(s->latency, 0.5)),
			duration(high, weir__hist_quantile(s->latency, 0.99)));
	weir__buf_puts(buf, ")\n");
}

/* "fetched 4 991 of 5 000 in 27.8s  (...)" */
static void
put_done(struct weir_buf *buf, const struct weir_summary *s)
{
	const struct weir_progress_counts *c = &s->counts;
	uint64_t total = c->total > c->done ? c->total : c->done;
	char text[WEIR_FORMAT_SIZE];

	weir__buf_printf(buf, "%s ", s->verb);
	put_count(buf, "", c->ok, "");
	if (c->ok != total)
		put_count(buf, " of ", total, "");
	weir__buf_printf(buf, " in %s", duration(text, c->elapsed_ns));
	put_figures(buf, s);
}

/*
 * "stopped after drain: ok 88  failed 1  not started 111"; with a plus where
 * there may be more in an input that was not read to its end.
 */
static void
put_stopped(struct weir_buf *buf, const struct weir_summary *s)
{
	const struct weir_progress_counts *c = &s->counts;

	weir__buf_printf(buf, "%s: ", s->stopped);
	put_count(buf, "ok ", c->ok, "");
	put_count(buf, "  failed ", c->failed, "");
	if (c->retries > 0)
		put_count(buf, "  retried ", c->retries, "");
	if (c->skipped > 0)
		put_count(buf, "  skipped ", c->skipped, "");
	if (s->cancelled > 0)
		put_count(buf, "  cancelled ", s->cancelled, "");
	put_count(buf, "  not started ", s->not_started,
		  c->total_final ? "\n" : "+\n");
}

/* The most frequent first; by name where they are equal, to be the same twice.
 */
static int
by_count(const void *a, const void *b)
{
	const struct weir_tally_row *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* A reason may be a server's text, so it is made harmless. */
static void
put_reason(struct weir_buf *buf, const char *name, uint64_t count, bool utf8)
{
	put_count(buf, " ", count, utf8 ? "×" : "x");
	weir__term_clean(buf, name, strlen(name), utf8);
}

/* ": 7×404 1×timeout 1×tls", the most frequent first. */
static void
put_reasons(struct weir_buf *buf, const struct weir_tally *tally, bool utf8)
{
	struct weir_tally sorted = *tally;

	if (tally->len == 0)
		return;
	qsort(sorted.rows, sorted.len, sizeof(sorted.rows[0]), by_count);
	weir__buf_putc(buf, ':');
	for (unsigned i = 0; i < sorted.len; i++)
		put_reason(buf, sorted.rows[i].name, sorted.rows[i].count,
			   utf8);
	if (sorted.other > 0)
		put_reason(buf, "other", sorted.other, utf8);
}

/* "9 failed: 7×404 1×timeout 1×tls      records: out/weir-fetch.jsonl" */
static void
put_failed(struct weir_buf *buf, const struct weir_summary *s, bool utf8)
{
	put_count(buf, "", s->counts.failed, " failed");
	if (s->reasons)
		put_reasons(buf, s->reasons, utf8);
	if (s->records) {
		weir__buf_puts(buf, "      records: ");
		weir__term_clean(buf, s->records, strlen(s->records), utf8);
	}
	weir__buf_putc(buf, '\n');
}

void
weir__summary_render(struct weir_buf *buf, const struct weir_summary *s,
		     bool utf8)
{
	if (s->quiet && s->counts.failed == 0 && !s->stopped)
		return;
	if (s->stopped) {
		put_stopped(buf, s);
	} else {
		put_done(buf, s);
		if (s->counts.failed > 0)
			put_failed(buf, s, utf8);
	}
	if (s->next) {
		weir__buf_puts(buf, "try: ");
		weir__term_clean(buf, s->next, strlen(s->next), utf8);
		weir__buf_putc(buf, '\n');
	}
}

void
weir__summary_print(int fd, const struct weir_summary *s)
{
	struct weir_buf buf = {0};

	weir__summary_render(&buf, s, weir__term_utf8());
	/* Who was told to stop must not wait for a reader for ever. */
	if (!buf.failed && s->stopped)
		(void)weir__term_say(fd, weir__buf_str(&buf), buf.len);
	else if (!buf.failed)
		(void)weir__term_write(fd, weir__buf_str(&buf), buf.len);
	weir__buf_fini(&buf);
}
