/*
 * How the stages of a pipeline look above the progress line:
 *
 *  extract     2/2 busy    ━━━━━━━━━━ 16/16 queued   38/s
 *  embed     16/16 busy    ━━━━━╺━━━━  9/16 queued   51/s  retry 3
 *  store      1/16 busy    ╺━━━━━━━━━  0/16 queued   51/s
 *
 * The bar is the channel before the stage.  One that is full stands before the
 * stage that all others wait for.
 *
 * Design: columns of one width in all lines, so that numbers stay where they
 * are while they change.  In a narrow terminal the bar goes first, then what
 * is on the right.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BAR_COLUMNS 10
#define FIELD_MAX   48

/* What all lines have in common. */
struct layout {
	const struct weir_progress *p;
	int name, busy, queued; /* columns */
	bool bar, rate;
};

static int
wider(int columns, int than)
{
	return columns > than ? columns : than;
}

static int
share_width(uint64_t part, uint64_t whole)
{
	char text[FIELD_MAX];

	return snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64,
			part > whole ? part : whole, whole);
}

static void
put_share(struct weir_buf *buf, uint64_t part, uint64_t whole, int columns)
{
	char text[FIELD_MAX];

	snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64, part, whole);
	weir__buf_printf(buf, "%*s", columns, text);
}

/* The same looks as the bar of the progress line; full is a warning. */
static void
put_channel(struct weir_buf *buf, const struct layout *l,
	    const struct weir_progress_stage *s)
{
	bool full = s->bound > 0 && s->queued >= s->bound, utf8 = l->p->utf8;
	unsigned filled = BAR_COLUMNS;

	if (s->bound > 0 && !full)
		filled = (unsigned)(s->queued * BAR_COLUMNS / s->bound);
	if (l->p->color)
		weir__buf_puts(buf, full ? "\033[33m" : "\033[32m");
	for (unsigned i = 0; i < filled; i++)
		weir__buf_puts(buf, utf8 ? "━" : "=");
	if (l->p->color)
		weir__buf_puts(buf, "\033[0;2m");
	for (unsigned i = filled; i < BAR_COLUMNS; i++) {
		if (i == filled)
			weir__buf_puts(buf, utf8 ? "╺" : ">");
		else
			weir__buf_puts(buf, utf8 ? "━" : "-");
	}
	if (l->p->color)
		weir__buf_puts(buf, "\033[0m");
	weir__buf_putc(buf, ' ');
}

static void
put_stage(struct weir_buf *buf, const struct layout *l,
	  const struct weir_progress_stage *s,
	  const struct weir_progress_rate *rate, int64_t elapsed_ns)
{
	weir__buf_printf(buf, " %-*s  ", l->name, s->name);
	put_share(buf, s->busy, s->width, l->busy);
	weir__buf_puts(buf, " busy  ");
	if (l->bar)
		put_channel(buf, l, s);
	put_share(buf, s->queued, s->bound, l->queued);
	weir__buf_puts(buf, " queued");
	if (l->rate && elapsed_ns > 0) {
		weir__buf_puts(buf, "  ");
		weir__progress_format_rate(
			buf, weir__progress_rate_of(rate, s->done, elapsed_ns));
	}
	if (l->rate && s->retries > 0)
		weir__buf_printf(buf, "  retry %" PRIu64, s->retries);
}

/* All lines.  False: one of them is too wide; without a bar it is cut. */
static bool
put_stages(struct weir_buf *buf, const struct layout *l,
	   const struct weir_progress_counts *counts, unsigned columns)
{
	bool fits = true;

	for (size_t i = 0; i < counts->stage_count; i++) {
		size_t start = buf->len;

		put_stage(buf, l, &counts->stages[i], &l->p->stages[i],
			  counts->elapsed_ns);
		if (buf->failed)
			return true;
		if (columns > 0 &&
		    weir__term_width(buf->data + start, buf->len - start) >
			    columns) {
			fits = false;
			if (!l->bar)
				weir__progress_cut(buf, start, columns);
		}
		weir__buf_putc(buf, '\n');
	}
	return fits;
}

void
weir__progress_render_stages(const struct weir_progress *p,
			     struct weir_buf *buf,
			     const struct weir_progress_counts *counts,
			     unsigned columns)
{
	struct layout l = {.p = p};

	for (size_t i = 0; i < counts->stage_count; i++) {
		const struct weir_progress_stage *s = &counts->stages[i];

		l.name = wider((int)strlen(s->name), l.name);
		l.busy = wider(share_width(s->busy, s->width), l.busy);
		l.queued = wider(share_width(s->queued, s->bound), l.queued);
	}
	for (int level = 0; level < 3; level++) {
		size_t start = buf->len;

		l.bar = level < 1;
		l.rate = level < 2;
		if (put_stages(buf, &l, counts, columns) || level == 2)
			return;
		buf->len = start;
	}
}

void
weir__progress_render_stages_inline(struct weir_buf *buf,
				    const struct weir_progress_counts *counts)
{
	for (size_t i = 0; i < counts->stage_count; i++) {
		const struct weir_progress_stage *s = &counts->stages[i];

		weir__buf_printf(buf,
				 " | %s %" PRIu64 "/%" PRIu64 " busy, %" PRIu64
				 "/%" PRIu64 " queued",
				 s->name, s->busy, s->width, s->queued,
				 s->bound);
	}
}
