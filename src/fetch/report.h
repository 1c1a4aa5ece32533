/*
 * What has been done: counted, put in order, and made into text that waits to
 * be written.
 *
 * Reactors add records and never wait; one thread of the owner's writes what
 * has come together.  When that thread cannot keep up, or with `ordered` one
 * slow URL holds up those behind it, weir__fetch_report_has_room() says so,
 * and no more input is read.  So neither needs more than bounded memory.
 */
#ifndef WEIR_SRC_FETCH_REPORT_H
#define WEIR_SRC_FETCH_REPORT_H

#include "base/buf.h"
#include "base/hist.h"
#include "fetch/engine.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

enum weir_fetch_format {
	WEIR_FETCH_FORMAT_NONE,
	WEIR_FETCH_FORMAT_LINES,
	WEIR_FETCH_FORMAT_JSON,
};

struct weir_fetch_counts {
	uint64_t ok, failed, cancelled, skipped, unstarted, retries;
	uint64_t bytes; /* of ok bodies */
};

/* Text on its way to a descriptor. */
struct weir_fetch_stream {
	struct weir_buf pending; /* guarded by the report's mu */
	struct weir_buf writing; /* the writer's */
	size_t written;          /* of writing */
};

struct weir_fetch_report {
	/* fixed at creation */
	enum weir_fetch_format format; /* of out */
	bool records;                  /* is there a file of records? */
	bool ordered;                  /* out is in the order of the input */
	size_t window;
	int notify_fd; /* an eventfd, written when it is time to write */
	void (*failed)(const struct weir_fetch_record *record, void *user);
	void *user;

	/* guarded by mu */
	struct weir_mutex mu;
	struct weir_fetch_counts counts;
	struct weir_hist latency; /* of ok transfers */
	struct weir_fetch_stream out, file;
	struct weir_fetch_late {
		char *text; /* NULL: nothing to say */
		bool done;
	} * late;      /* by seq, modulo window */
	uint64_t next; /* seq of the next one to be written */

	/* atomic */
	struct weir_u32 full; /* somebody was refused; poke the engine */
};

/* False: no memory. */
bool weir__fetch_report_init(struct weir_fetch_report *report, size_t window);
void weir__fetch_report_fini(struct weir_fetch_report *report);

/* The hooks of the engine. */
void weir__fetch_report_record(struct weir_fetch_report *report,
			       const struct weir_fetch_record *record);
void weir__fetch_report_unstarted(struct weir_fetch_report *report,
				  uint64_t seq);
bool weir__fetch_report_has_room(struct weir_fetch_report *report,
				 uint64_t seq);

/*
 * For the writer: get what is pending, once all before has been written.
 * Whether there is something in stream->writing.
 */
bool weir__fetch_report_take(struct weir_fetch_report *report,
			     struct weir_fetch_stream *stream);

/* Was somebody refused since the last call? */
bool weir__fetch_report_was_full(struct weir_fetch_report *report);

struct weir_fetch_counts weir__fetch_report_counts(
	struct weir_fetch_report *report);

#endif
