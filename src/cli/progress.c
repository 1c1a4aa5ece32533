/*
 * When and what the progress line, the events and the notes are written.  How
 * the line looks is progress_line.c.
 *
 * Design: the screen is changed in one place, flush_locked(), with one write()
 * that takes the line away, prints what is to scroll, and paints the line
 * again; so it never flickers and nothing of another process gets between.
 *
 *      event ─► events (rendered) ─┐
 *      update ── 10 times a second ┴─► flush: erase, events, line
 *      note ─────────────────────────► flush: erase, note, line
 *
 * Of the events of one second the first 20 are printed, so that a second's
 * worth of a failing site is a screenful and the rest is a number.
 *
 * Locking: see progress.h.  mu is never held while anything is written.
 */
#include "cli/progress.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  (1000 * NS_PER_MS)

#define TICK_NS         (100 * NS_PER_MS)
#define PLAIN_NS        (30 * NS_PER_S)
#define JSON_NS         NS_PER_S
#define EVENTS_A_SECOND 20

/* How far back the smoothed rates look. */
#define RATE_MEMORY_NS (5 * NS_PER_S)

/* Helpers that need a lock; clang checks that whoever calls them has it. */
static void flush_locked(struct weir_progress *p, const struct weir_buf *text,
			 bool show_line) WEIR_REQUIRES(p->screen);
static void update_locked(struct weir_progress *p,
			  const struct weir_progress_counts *counts)
	WEIR_REQUIRES(p->screen);
static void hide_locked(struct weir_progress *p) WEIR_REQUIRES(p->screen);
static void take_events_locked(struct weir_progress *p, int64_t now_ns,
			       bool end) WEIR_REQUIRES(p->screen);
static bool admit_locked(struct weir_progress *p, enum weir_progress_kind kind)
	WEIR_REQUIRES(p->mu);
static void put_event_locked(struct weir_progress *p,
			     enum weir_progress_kind kind, const char *subject,
			     const char *what, const char *note)
	WEIR_REQUIRES(p->mu);
static void more_events_locked(struct weir_progress *p) WEIR_REQUIRES(p->mu);

void
weir__progress_init(struct weir_progress *p,
		    const struct weir_progress_options *options)
{
	*p = (struct weir_progress){
		.fd = options->fd,
		.mode = options->mode,
		.quiet = options->quiet,
		.color = weir__term_color(options->color, options->fd),
		.utf8 = weir__term_utf8(),
		.flush_ns = -1,
	};
	if (p->mode == WEIR_PROGRESS_AUTO)
		p->mode = weir__term_cursor(p->fd) ? WEIR_PROGRESS_BAR
						   : WEIR_PROGRESS_PLAIN;
	weir__mutex_init(&p->mu);
	weir__mutex_init(&p->screen);
}

/* 0 when nothing says how wide the output is. */
static unsigned
columns_of(const struct weir_progress *p)
{
	return p->columns > 0 ? p->columns : weir__term_columns(p->fd);
}

/*
 * A job that was put in the background leaves the line to the shell.  Where
 * fd is no controlling terminal there is no foreground either.
 */
static bool
in_background(const struct weir_progress *p)
{
	pid_t foreground = tcgetpgrp(p->fd);

	return foreground > 0 && foreground != getpgrp();
}

/*
 * Exponential smoothing over uneven steps.  The weight starts at 0 and grows
 * as value does, so that value / weight is right from the first step on and
 * does not have to climb from zero.
 */
static void
rate_update(struct weir_progress_rate *r, uint64_t now, int64_t step_ns)
{
	double alpha = (double)step_ns / (double)(step_ns + RATE_MEMORY_NS);
	double seconds = (double)step_ns / (double)NS_PER_S;
	double gained = now >= r->last ? (double)(now - r->last) : 0;

	r->value += alpha * (gained / seconds - r->value);
	r->weight += alpha * (1 - r->weight);
	r->last = now;
}

static void
update_rates(struct weir_progress *p, const struct weir_progress_counts *counts)
{
	int64_t step_ns = counts->elapsed_ns - p->rated_ns;

	if (step_ns < TICK_NS)
		return;
	rate_update(&p->jobs, counts->ok + counts->failed, step_ns);
	rate_update(&p->bytes, counts->bytes, step_ns);
	for (size_t i = 0; i < counts->stage_count; i++)
		rate_update(&p->stages[i], counts->stages[i].done, step_ns);
	p->rated_ns = counts->elapsed_ns;
}

/* Take what is painted off the screen: up to its first line, and all below. */
static void
put_erase(struct weir_progress *p)
{
	weir__buf_putc(&p->out, '\r');
	if (p->shown > 1)
		weir__buf_printf(&p->out, "\033[%uA\033[J", p->shown - 1);
	else
		weir__buf_puts(&p->out, "\033[K");
}

static unsigned
count_lines(const struct weir_buf *text)
{
	unsigned lines = 1;

	for (size_t i = 0; i < text->len; i++)
		lines += text->data[i] == '\n';
	return lines;
}

/* Erase, what is in text, and the line again if it is to be seen. */
static void
flush_locked(struct weir_progress *p, const struct weir_buf *text,
	     bool show_line)
{
	weir__buf_reset(&p->out);
	if (p->shown)
		put_erase(p);
	weir__buf_append(&p->out, weir__buf_str(text), text->len);
	if (show_line)
		weir__buf_append(&p->out, weir__buf_str(&p->line), p->line.len);
	p->shown = show_line ? count_lines(&p->line) : 0;
	/* Without memory there is no line; the jobs matter more. */
	if (!p->out.failed && p->out.len > 0)
		(void)weir__term_say(p->fd, p->out.data, p->out.len);
	/* A note behind the end: nobody would give it back later. */
	if (p->ended)
		weir__buf_fini(&p->out);
}

static void
json_event(struct weir_buf *buf, const char *type, const char *subject,
	   const char *what, const char *note)
{
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "type");
	weir__json_puts(&j, type);
	if (subject) {
		weir__json_key(&j, "subject");
		weir__json_puts(&j, subject);
	}
	weir__json_key(&j, "what");
	weir__json_puts(&j, what);
	if (note) {
		weir__json_key(&j, "note");
		weir__json_puts(&j, note);
	}
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

static void
json_stages(struct weir_json *j, const struct weir_progress_counts *c)
{
	weir__json_key(j, "stages");
	weir__json_begin_array(j);
	for (size_t i = 0; i < c->stage_count; i++) {
		const struct weir_progress_stage *s = &c->stages[i];
		const struct {
			const char *key;
			uint64_t value;
		} fields[] = {
			{"busy", s->busy},     {"width", s->width},
			{"queued", s->queued}, {"bound", s->bound},
			{"done", s->done},     {"retries", s->retries},
		};

		weir__json_begin_object(j);
		weir__json_key(j, "name");
		weir__json_puts(j, s->name);
		for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]);
		     k++) {
			weir__json_key(j, fields[k].key);
			weir__json_uint(j, fields[k].value);
		}
		weir__json_end_object(j);
	}
	weir__json_end_array(j);
}

static void
json_counts(struct weir_buf *buf, const struct weir_progress_counts *c)
{
	const struct {
		const char *key;
		uint64_t value;
	} fields[] = {
		{"done", c->done},       {"total", c->total},
		{"ok", c->ok},           {"failed", c->failed},
		{"skipped", c->skipped}, {"retries", c->retries},
		{"busy", c->busy},       {"width", c->width},
		{"queued", c->queued},   {"bytes", c->bytes},
	};
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "type");
	weir__json_puts(&j, "progress");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		weir__json_key(&j, fields[i].key);
		weir__json_uint(&j, fields[i].value);
	}
	if (c->stage_count > 0)
		json_stages(&j, c);
	weir__json_key(&j, "total_final");
	weir__json_bool(&j, c->total_final);
	weir__json_key(&j, "elapsed_s");
	weir__json_fixed(&j, (double)c->elapsed_ns / (double)NS_PER_S, 3);
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

/* Blanks, so that what is width columns wide fills columns. */
static void
pad(struct weir_buf *buf, unsigned width, unsigned columns)
{
	for (; width < columns; width++)
		weir__buf_putc(buf, ' ');
}

static void
mark(struct weir_buf *buf, const struct weir_progress *p,
     enum weir_progress_kind kind)
{
	bool failed = kind == WEIR_PROGRESS_FAILED;

	if (p->color)
		weir__buf_puts(buf, failed ? "\033[31m" : "\033[33m");
	if (p->utf8)
		weir__buf_puts(buf, failed ? "✗" : "↻");
	else
		weir__buf_puts(buf, failed ? "x" : "~");
	if (p->color)
		weir__buf_puts(buf, "\033[0m");
}

/*
 *  ✗ https://b.example/404.pdf            404 Not Found              (no retry)
 *    |----- 35, more if wide ----|        |------- 25 -------|       |-- 16 --|
 *
 * Where there is no width to keep to, nothing is shortened.
 */
static void
human_event_locked(struct weir_progress *p, enum weir_progress_kind kind,
		   const char *subject, const char *what, const char *note)
{
	unsigned columns = p->mode == WEIR_PROGRESS_BAR ? columns_of(p) : 0;
	unsigned field = 35, room, width, tail;
	struct weir_buf *buf = &p->events;

	if (columns > 0)
		field = columns < 68 ? 20 : columns > 118 ? 70 : columns - 48;
	/* The reason is the news: what it is about makes room for it. */
	tail = (unsigned)strlen(what);
	if (note && columns >= 80 && tail < 25)
		tail = 25; /* it is filled up, see below */
	tail += 5 + (note ? 2 + (unsigned)strlen(note) : 0);
	if (columns > 0 && field + tail > columns)
		field = columns > tail + 16 ? columns - tail : 16;
	weir__buf_putc(buf, ' ');
	mark(buf, p, kind);
	weir__buf_putc(buf, ' ');
	width = weir__term_shorten(buf, subject, strlen(subject),
				   columns > 0 ? field : UINT32_MAX, p->utf8);
	pad(buf, width, field);
	weir__buf_puts(buf, "  ");
	room = note ? 7 + (unsigned)strlen(note) : 5;
	room = columns > field + room + 25 ? columns - field - room : 25;
	width = weir__term_shorten(buf, what, strlen(what),
				   columns > 0 ? room : UINT32_MAX, p->utf8);
	if (note) {
		pad(buf, width, columns == 0 || columns >= 80 ? 25 : 0);
		weir__buf_puts(buf, "  ");
		weir__term_clean(buf, note, strlen(note), p->utf8);
	}
	weir__buf_putc(buf, '\n');
}

/* Is there room for it in this second?  If not, it is counted. */
static bool
admit_locked(struct weir_progress *p, enum weir_progress_kind kind)
{
	if (p->quiet || p->ended)
		return false;
	if (p->window_events < EVENTS_A_SECOND) {
		p->window_events++;
		return true;
	}
	if (kind == WEIR_PROGRESS_FAILED)
		p->more_failed++;
	else
		p->more_retried++;
	return false;
}

static void
put_event_locked(struct weir_progress *p, enum weir_progress_kind kind,
		 const char *subject, const char *what, const char *note)
{
	bool failed = kind == WEIR_PROGRESS_FAILED;

	if (p->mode == WEIR_PROGRESS_JSON)
		json_event(&p->events, failed ? "failed" : "retry", subject,
			   what, note);
	else
		human_event_locked(p, kind, subject, what, note);
}

void
weir__progress_event(struct weir_progress *p, enum weir_progress_kind kind,
		     const char *subject, const char *what, const char *note)
{
	weir__mutex_lock(&p->mu);
	if (admit_locked(p, kind))
		put_event_locked(p, kind, subject, what, note);
	weir__mutex_unlock(&p->mu);
}

/* " … and 312 more failures, 5 more retries" */
static void
more_events_locked(struct weir_progress *p)
{
	char failed[WEIR_FORMAT_SIZE], retried[WEIR_FORMAT_SIZE];
	struct weir_buf *buf = &p->events;

	if (p->more_failed + p->more_retried == 0)
		return;
	if (p->mode == WEIR_PROGRESS_JSON) {
		weir__buf_printf(buf,
				 "{\"type\":\"more\",\"failed\":%" PRIu64
				 ",\"retry\":%" PRIu64 "}\n",
				 p->more_failed, p->more_retried);
		return;
	}
	weir__format_count(failed, sizeof(failed), p->more_failed);
	weir__format_count(retried, sizeof(retried), p->more_retried);
	weir__buf_puts(buf, p->utf8 ? " … and" : " ... and");
	if (p->more_failed > 0)
		weir__buf_printf(buf, " %s more failure%s", failed,
				 p->more_failed == 1 ? "" : "s");
	if (p->more_failed > 0 && p->more_retried > 0)
		weir__buf_putc(buf, ',');
	if (p->more_retried > 0)
		weir__buf_printf(buf, " %s more retr%s", retried,
				 p->more_retried == 1 ? "y" : "ies");
	weir__buf_putc(buf, '\n');
}

/*
 * Move the events to pending.  Where a new second begins, or at the end, what
 * the last second left out is told after them.
 */
static void
take_events_locked(struct weir_progress *p, int64_t now_ns, bool end)
{
	struct weir_buf empty = p->pending;

	weir__mutex_lock(&p->mu);
	if (end || now_ns - p->window_ns >= NS_PER_S) {
		more_events_locked(p);
		p->more_failed = 0;
		p->more_retried = 0;
		p->window_events = 0;
		p->window_ns = now_ns;
	}
	p->ended = p->ended || end;
	p->pending = p->events;
	p->events = empty;
	weir__buf_reset(&p->events);
	weir__mutex_unlock(&p->mu);
}

/* A line of its own for logs and programs, when it is time for one. */
static void
add_periodic_line(struct weir_progress *p,
		  const struct weir_progress_counts *counts)
{
	bool json = p->mode == WEIR_PROGRESS_JSON;

	if (counts->elapsed_ns - p->line_ns < (json ? JSON_NS : PLAIN_NS))
		return;
	p->line_ns = counts->elapsed_ns;
	if (json) {
		json_counts(&p->pending, counts);
		return;
	}
	weir__progress_render(p, &p->pending, counts, 0);
	weir__progress_render_stages_inline(&p->pending, counts);
	weir__buf_putc(&p->pending, '\n');
}

/* Paint the line into p->line.  True: it differs from what is on screen. */
static bool
paint(struct weir_progress *p, const struct weir_progress_counts *counts)
{
	unsigned columns = columns_of(p);
	bool changed;

	/* The last column is left free: some terminals wrap when it is used. */
	columns = columns > 1 ? columns - 1 : 79;
	weir__buf_reset(&p->out);
	weir__progress_render_stages(p, &p->out, counts, columns);
	weir__progress_render(p, &p->out, counts, columns);
	changed = p->out.len != p->line.len ||
		  memcmp(weir__buf_str(&p->out), weir__buf_str(&p->line),
			 p->out.len) != 0;
	if (changed) {
		weir__buf_reset(&p->line);
		weir__buf_append(&p->line, weir__buf_str(&p->out), p->out.len);
	}
	return changed;
}

static void
update_locked(struct weir_progress *p,
	      const struct weir_progress_counts *counts)
{
	int64_t now_ns = counts->elapsed_ns;
	bool bar = p->mode == WEIR_PROGRESS_BAR && !in_background(p);
	bool changed = false;

	weir_assert(counts->stage_count <= WEIR_PROGRESS_STAGES_MAX);

	p->flush_ns = now_ns;
	update_rates(p, counts);
	take_events_locked(p, now_ns, false);
	if (bar)
		changed = paint(p, counts);
	else if (p->mode == WEIR_PROGRESS_PLAIN ||
		 p->mode == WEIR_PROGRESS_JSON)
		add_periodic_line(p, counts);
	if (p->pending.len > 0 || changed || bar != (p->shown > 0))
		flush_locked(p, &p->pending, bar);
}

void
weir__progress_update(struct weir_progress *p,
		      const struct weir_progress_counts *counts)
{
	/* While nobody reads, events are counted and not written. */
	if (p->quiet || !weir__term_has_room(p->fd))
		return;
	weir__mutex_lock(&p->screen);
	if (!p->ended &&
	    (p->flush_ns < 0 || counts->elapsed_ns - p->flush_ns >= TICK_NS))
		update_locked(p, counts);
	weir__mutex_unlock(&p->screen);
}

void
weir__progress_note(struct weir_progress *p, const char *text)
{
	struct weir_buf line = {0};

	if (p->mode == WEIR_PROGRESS_JSON) {
		json_event(&line, "note", NULL, text, NULL);
	} else {
		weir__term_clean(&line, text, strlen(text), p->utf8);
		weir__buf_putc(&line, '\n');
	}
	weir__mutex_lock(&p->screen);
	flush_locked(p, &line, p->shown > 0);
	weir__mutex_unlock(&p->screen);
	weir__buf_fini(&line);
}

void
weir__progress_status(struct weir_progress *p,
		      const struct weir_progress_counts *counts)
{
	unsigned columns = p->mode == WEIR_PROGRESS_BAR ? columns_of(p) : 0;
	struct weir_buf line = {0};

	weir__mutex_lock(&p->screen);
	if (p->mode == WEIR_PROGRESS_JSON) {
		json_counts(&line, counts);
	} else {
		weir__progress_render(p, &line, counts, columns);
		weir__buf_putc(&line, '\n');
		weir__progress_render_stages(p, &line, counts, columns);
	}
	flush_locked(p, &line, p->shown > 0);
	weir__mutex_unlock(&p->screen);
	weir__buf_fini(&line);
}

static void
hide_locked(struct weir_progress *p)
{
	static const struct weir_buf nothing;

	if (p->shown)
		flush_locked(p, &nothing, false);
}

void
weir__progress_hide(struct weir_progress *p)
{
	weir__mutex_lock(&p->screen);
	hide_locked(p);
	weir__mutex_unlock(&p->screen);
}

int
weir__progress_write(struct weir_progress *p, int to_fd, const char *data,
		     size_t len)
{
	int error_number;

	weir__mutex_lock(&p->screen);
	/* A file or a pipe leaves the line where it is. */
	if (p->shown && isatty(to_fd))
		hide_locked(p);
	error_number = weir__term_write(to_fd, data, len);
	weir__mutex_unlock(&p->screen);
	return error_number;
}

/*
 * The mutexes are left as they are: a thread may still report what comes too
 * late to be shown, and an unlocked mutex holds nothing that could leak.
 */
void
weir__progress_finish(struct weir_progress *p)
{
	weir__mutex_lock(&p->screen);
	take_events_locked(p, 0, true);
	flush_locked(p, &p->pending, false);
	weir__buf_fini(&p->pending);
	weir__buf_fini(&p->line);
	weir__buf_fini(&p->out);
	weir__mutex_lock(&p->mu);
	weir__buf_fini(&p->events);
	weir__mutex_unlock(&p->mu);
	weir__mutex_unlock(&p->screen);
}
