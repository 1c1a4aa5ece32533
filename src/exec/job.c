/*
 * What is to be known of a job besides its fields; see job.h and template.h.
 */
#include "exec/template.h"

#include "base/quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK_LEN 3 /* of "{%}" */

void
weir__exec_job_free(struct weir_exec_job *job)
{
	free(job);
}

/* Copy argument arg to out with the number in it.  Where the copy ends. */
static char *
copy_argument(char *out, const struct weir_exec_job *job, size_t arg,
	      const struct weir_exec_slot **slot, const char *number)
{
	const struct weir_exec_slot *end = job->slots + job->slot_count;
	const char *from = job->argv[arg], *at = from;

	for (; *slot < end && (*slot)->arg == arg; ++*slot) {
		out = mempcpy(out, at, (size_t)(from + (*slot)->offset - at));
		out = stpcpy(out, number);
		at = from + (*slot)->offset + MARK_LEN;
	}
	return stpcpy(out, at) + 1;
}

char **
weir__exec_job_argv(const struct weir_exec_job *job, uint32_t slot)
{
	const struct weir_exec_slot *next = job->slots;
	char number[16], **argv, *text;
	size_t size = (job->argc + 1) * sizeof(*argv);

	snprintf(number, sizeof(number), "%" PRIu32, slot);
	for (size_t i = 0; i < job->argc; i++)
		size += strlen(job->argv[i]) + 1;
	argv = malloc(size + job->slot_count * sizeof(number));
	if (!argv)
		return NULL;
	text = (char *)(argv + job->argc + 1);
	for (size_t i = 0; i < job->argc; i++) {
		argv[i] = text;
		text = copy_argument(text, job, i, &next, number);
	}
	argv[job->argc] = NULL;
	return argv;
}

void
weir__exec_show(struct weir_buf *buf, char *const *argv)
{
	weir__quote_words(buf, argv);
}

void
weir__exec_key_text(char text[WEIR_EXEC_KEY_TEXT],
		    const struct weir_exec_key *key)
{
	snprintf(text, WEIR_EXEC_KEY_TEXT, "%016" PRIx64 "%016" PRIx64,
		 key->word[0], key->word[1]);
}
