/* Until log.c and template.c are there. */
#include "exec/log.h"
#include "exec/template.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WEAK __attribute__((weak))
WEAK void
weir__exec_why(char *text, size_t size, const struct weir_exec_attempt *attempt)
{
	snprintf(text, size, "exit %d", attempt->code);
}
WEAK void
weir__exec_job_free(struct weir_exec_job *job)
{
	free(job);
}
WEAK char **
weir__exec_job_argv(const struct weir_exec_job *job, uint32_t slot)
{
	char **argv = calloc(job->argc + 1, sizeof(*argv));
	(void)slot;
	if (argv)
		memcpy(argv, job->argv, job->argc * sizeof(*argv));
	return argv;
}
