/*
 * How the progress line looks:
 *
 *  1 204/5 000 ━━━━━━╺━━━━━━━━━━━━━━━━━━ 24%  ok 1 198  fail 6  retry 11 |
 *      16/16 busy, 64 queued | 182/s  4.1 MB/s  eta 21s      (all on one line)
 *
 * Design: a terminal is as wide as it is, so the line is made with everything
 * first and then with less and less, until it fits; the levels below say what
 * goes in which order.  That is ten small renderings at worst, ten times a
 * second.
 */
#include "cli/progress.h"

#include "base/units.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_S 1e9

/* What a line holds; each level is the one before it, less something. */
struct level {
	unsigned bar; /* columns */
	bool queued, bytes, busy, retries, eta, rate;
};

static const struct level levels[] = {
	{25, true, true, true, true, true, true},
	{15, true, true, true, true, true, true},
	{15, false, true, true, true, true, true},
	{15, false, false, true, true, true, true},
	{8, false, false, true, true, true, true},
	{8, false, false, false, true, true, true},
	{0, false, false, false, true, true, true},
	{0, false, false, false, false, true, true},
	{0, false, false, false, false, false, true},
	{0, false, false, false, false, false, false},
};

#define LEVELS (sizeof(levels) / sizeof(levels[0]))

/* The line being made. */
struct painter {
	const struct weir_progress *p;
	const struct weir_progress_counts *counts;
	struct weir_buf *buf;
	bool color;
};

static void
put_color(const struct painter *t, const char *code)
{
	if (t->color)
		weir__buf_printf(t->buf, "\033[%sm", code);
}

static void
put_count(const struct painter *t, const char *before, uint64_t count,
	  const char *after)
{
	char text[WEIR_FORMAT_SIZE];

	weir__format_count(text, sizeof(text), count);
	weir__buf_printf(t->buf, "%s%s%s", before, text, after);
}

void
weir__progress_format_rate(struct weir_buf *buf, double per_second)
{
	char text[WEIR_FORMAT_SIZE];

	/* Beyond what a count can hold it is not a rate but a division by 0. */
	if (!(per_second < 1e15))
		per_second = 1e15;
	if (per_second < 9.95) {
		weir__buf_printf(buf, "%.1f/s", per_second);
		return;
	}
	weir__format_count(text, sizeof(text), (uint64_t)(per_second + 0.5));
	weir__buf_printf(buf, "%s/s", text);
}

double
weir__progress_rate_of(const struct weir_progress_rate *r, uint64_t count,
		       int64_t elapsed_ns)
{
	if (r->weight > 0)
		return r->value / r->weight;
	if (elapsed_ns <= 0)
		return 0;
	return (double)count / ((double)elapsed_ns / NS_PER_S);
}

static bool
total_is_known(const struct weir_progress_counts *c)
{
	return c->total_final && c->total > 0 && c->done <= c->total;
}

/*
 * Filled, a tip, and the rest.  In colour the rest is dim; without colour the
 * tip alone shows how far it is, and that is enough.
 */
static void
put_bar(const struct painter *t, unsigned columns)
{
	double share = (double)t->counts->done / (double)t->counts->total;
	unsigned filled = (unsigned)(share * columns);
	bool utf8 = t->p->utf8;

	weir__buf_putc(t->buf, ' ');
	put_color(t, "32");
	for (unsigned i = 0; i < filled; i++)
		weir__buf_puts(t->buf, utf8 ? "━" : "=");
	put_color(t, "0;2");
	for (unsigned i = filled; i < columns; i++) {
		if (i == filled)
			weir__buf_puts(t->buf, utf8 ? "╺" : ">");
		else
			weir__buf_puts(t->buf, utf8 ? "━" : "-");
	}
	put_color(t, "0");
}

/* " 1 204/5 000 ━━━╺━━━ 24%", " 120/412+", " 120" */
static void
put_done(const struct painter *t, unsigned bar)
{
	const struct weir_progress_counts *c = t->counts;

	put_count(t, " ", c->done, "");
	if (c->total > 0)
		put_count(t, "/", c->total, c->total_final ? "" : "+");
	if (!total_is_known(c))
		return;
	if (bar > 0)
		put_bar(t, bar);
	weir__buf_printf(t->buf, " %u%%",
			 (unsigned)((double)c->done / (double)c->total * 100));
}

/* "  ok 1 198  fail 6  retry 11  skip 20" */
static void
put_outcomes(const struct painter *t, bool retries)
{
	const struct weir_progress_counts *c = t->counts;

	put_count(t, "  ok ", c->ok, "");
	if (c->failed > 0)
		put_color(t, "31");
	put_count(t, "  fail ", c->failed, "");
	if (c->failed > 0)
		put_color(t, "0");
	if (retries && c->retries > 0)
		put_count(t, "  retry ", c->retries, "");
	if (retries && c->skipped > 0)
		put_count(t, "  skip ", c->skipped, "");
}

static void
put_slots(const struct painter *t, bool queued)
{
	const struct weir_progress_counts *c = t->counts;

	if (c->width == 0)
		return;
	weir__buf_printf(t->buf, " | %" PRIu64 "/%" PRIu64 " busy", c->busy,
			 c->width);
	if (queued && c->queued > 0)
		put_count(t, ", ", c->queued, " queued");
}

static void
put_eta(const struct painter *t, double per_second)
{
	const struct weir_progress_counts *c = t->counts;
	char text[WEIR_FORMAT_SIZE];
	double seconds;

	if (!total_is_known(c) || c->done == c->total || per_second <= 0)
		return;
	seconds = (double)(c->total - c->done) / per_second;
	if (seconds < 59.5)
		weir__buf_printf(t->buf, "  eta %.0fs", seconds);
	else if (seconds < 1e9)
		weir__buf_printf(
			t->buf, "  eta %s",
			weir__format_duration(text, sizeof(text),
					      (int64_t)(seconds * NS_PER_S)));
}

static void
put_speed(const struct painter *t, const struct level *level)
{
	const struct weir_progress_counts *c = t->counts;
	double jobs = weir__progress_rate_of(&t->p->jobs, c->ok + c->failed,
					     c->elapsed_ns);
	double bytes =
		weir__progress_rate_of(&t->p->bytes, c->bytes, c->elapsed_ns);
	char text[WEIR_FORMAT_SIZE];

	if (!level->rate || c->elapsed_ns <= 0)
		return;
	weir__buf_puts(t->buf, " | ");
	weir__progress_format_rate(t->buf, jobs);
	if (level->bytes && c->bytes > 0 && bytes < 1e18)
		weir__buf_printf(t->buf, "  %s/s",
				 weir__format_bytes(text, sizeof(text),
						    (uint64_t)bytes));
	if (level->eta)
		put_eta(t, jobs);
}

static void
put_line(const struct painter *t, const struct level *level)
{
	bool bar = t->p->mode == WEIR_PROGRESS_BAR;

	put_done(t, bar ? level->bar : 0);
	put_outcomes(t, level->retries);
	if (level->busy)
		put_slots(t, level->queued);
	put_speed(t, level);
}

void
weir__progress_cut(struct weir_buf *buf, size_t start, unsigned columns)
{
	size_t at = start;

	while (at < buf->len) {
		size_t next = at + 1;

		while (next < buf->len && (buf->data[next] & 0xc0) == 0x80)
			next++;
		if (columns == 0)
			break;
		columns--;
		at = next;
	}
	if (at < buf->len) {
		buf->len = at;
		buf->data[at] = '\0';
	}
}

void
weir__progress_render(const struct weir_progress *p, struct weir_buf *buf,
		      const struct weir_progress_counts *counts,
		      unsigned columns)
{
	struct painter t = {
		.p = p, .counts = counts, .buf = buf, .color = p->color};
	size_t start = buf->len;

	for (size_t i = 0; i < LEVELS; i++) {
		put_line(&t, &levels[i]);
		if (columns == 0 || buf->failed ||
		    weir__term_width(buf->data + start, buf->len - start) <=
			    columns)
			return;
		buf->len = start;
	}
	/* Nothing fits: the barest line, and of it as much as does. */
	t.color = false;
	put_line(&t, &levels[LEVELS - 1]);
	if (!buf->failed)
		weir__progress_cut(buf, start, columns);
}
