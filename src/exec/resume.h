/*
 * What an earlier run has done, from its log: JSON lines, or a joblog of ours
 * or of GNU parallel's.
 *
 * A job is known by its content, never by its number: by the key of a JSON
 * line, by the command as it is shown of a joblog's.  Of each eight bytes are
 * kept.  A job that was ok once counts as ok.  Lines that cannot be read, such
 * as a last one that was torn, are passed over.
 */
#ifndef WEIR_SRC_EXEC_RESUME_H
#define WEIR_SRC_EXEC_RESUME_H

#include "exec/job.h"

struct weir_exec_resume;

enum weir_exec_before {
	WEIR_EXEC_BEFORE_UNKNOWN,
	WEIR_EXEC_BEFORE_OK,
	WEIR_EXEC_BEFORE_FAILED,
};

/* WEIR_OK, WEIR_NOMEM, WEIR_SYSTEM (reterr says why). */
WEIR_NODISCARD weir_status weir__exec_resume_load(struct weir_exec_resume **out,
						  const char *path,
						  weir_error *reterr);
struct weir_exec_resume *weir__exec_resume_free(
	struct weir_exec_resume *resume);

/* Is the log that was read a joblog? */
bool weir__exec_resume_is_joblog(const struct weir_exec_resume *resume);

enum weir_exec_before weir__exec_resume_find(
	const struct weir_exec_resume *resume, const struct weir_exec_job *job);

#endif
