/*
 * What has come of the jobs: counted, put in order, and on its way to
 * descriptors.
 *
 * Reactors add output and records and never wait; one thread of the owner's
 * writes.  When that thread cannot keep up, or in the order of the input one
 * slow job holds up those behind it, weir__exec_report_has_room() says so, and
 * no more input is read.
 *
 * Output comes in chunks, which are written whole and one after the other, so
 * that lines of two jobs never mix.  Records are chunks too, behind the output
 * that they stand for: whoever finds a job in a log can rely on its output.
 */
#ifndef WEIR_SRC_EXEC_REPORT_H
#define WEIR_SRC_EXEC_REPORT_H

#include "base/hist.h"
#include "base/list.h"
#include "exec/engine.h"
#include "sync/mutex.h"

enum weir_exec_format {
	WEIR_EXEC_FORMAT_NONE,
	WEIR_EXEC_FORMAT_JSON,
	WEIR_EXEC_FORMAT_JOBLOG,
};

struct weir_exec_counts {
	uint64_t ok, failed, cancelled, skipped, unstarted, retries;
	int first_code, max_code; /* of failed jobs, as an exit status */
};

/* Where a chunk goes. */
enum weir_exec_target {
	WEIR_EXEC_TO_OUT,
	WEIR_EXEC_TO_ERR,
	WEIR_EXEC_TO_LOG,
	WEIR_EXEC_TO_JOBLOG,
	WEIR_EXEC_TARGETS,
};

/* Records on their way to a file, the writer's. */
struct weir_exec_text {
	struct weir_buf text;
	size_t written;
};

/* Bytes for standard output, or error. */
struct weir_exec_piece {
	const char *data;
	size_t len;
	bool is_err;
};

struct weir_exec_chunk;

struct weir_exec_report {
	/* fixed at creation */
	bool ordered; /* output in the order of the input */
	bool tagged;  /* each line begins with the item */
	bool json;    /* records on standard output, and output on error */
	bool aside;   /* output on error, for others write to standard output */
	size_t window;
	struct weir_spool_budget *budget; /* for what waits for its turn */
	int notify_fd; /* an eventfd, written when it is time to write */
	/* A job has failed; with mu held, so it must not call back. */
	void (*failed)(const struct weir_exec_result *result, void *user);
	void *user;

	/* guarded by mu */
	struct weir_mutex mu;
	struct weir_exec_counts counts;
	struct weir_hist latency;           /* of ok jobs */
	struct weir_list chunks;            /* to be written, in this order */
	uint64_t chunk_count, output_count; /* all, and those for people */
	struct weir_exec_late *late;        /* by seq, modulo window */
	uint64_t next; /* seq of the job whose turn it is */
	bool has_log, has_joblog;
	int error; /* errno of a spool that could not be kept; or 0 */

	/* the writer's */
	struct weir_exec_text log, joblog;
	struct weir_exec_chunk *current;
	struct weir_buf line; /* what of it is being written */
	size_t written;
	bool mid_line;

	/* atomic */
	struct weir_u32 full; /* somebody was refused; poke the engine */
};

/* Set what is fixed, then this.  False: no memory. */
bool weir__exec_report_init(struct weir_exec_report *report);
void weir__exec_report_fini(struct weir_exec_report *report);

/* The hooks of the engine. */
void weir__exec_report_attempt(struct weir_exec_report *report,
			       const struct weir_exec_job *job,
			       const struct weir_exec_attempt *attempt);
void weir__exec_report_ended(struct weir_exec_report *report,
			     const struct weir_exec_result *result);
void weir__exec_report_unstarted(struct weir_exec_report *report,
				 const struct weir_exec_job *job);
bool weir__exec_report_chunk(struct weir_exec_report *report,
			     const struct weir_exec_job *job, bool is_err,
			     struct weir_spool *spool);
bool weir__exec_report_has_room(struct weir_exec_report *report, uint64_t seq);

/* A job that is not run, because it was done before. */
void weir__exec_report_skipped(struct weir_exec_report *report, uint64_t seq);

/* Text of ours, in the turn of seq: --dry-run, --verbose. */
void weir__exec_report_say(struct weir_exec_report *report, uint64_t seq,
			   bool is_err, const char *text, size_t len);

/*
 * For the writer: what to write next, and how much of it was.  False: nothing
 * is there now, or log or joblog have to be written first, which have become
 * longer by the records of what was written.
 */
bool weir__exec_report_piece(struct weir_exec_report *report,
			     struct weir_exec_piece *ret);
void weir__exec_report_wrote(struct weir_exec_report *report, size_t len);

/* Was somebody refused since the last call? */
bool weir__exec_report_was_full(struct weir_exec_report *report);

struct weir_exec_counts weir__exec_report_counts(
	struct weir_exec_report *report);

#endif
