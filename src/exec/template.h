/*
 * A command with places in it, and what is made of it.
 *
 *      {}    the items, each an argument where {} stands alone
 *      {.}   without its extension        {/}   its last component
 *      {//}  its directory                {/.}  both
 *      {#}   the number of the job        {%}   the number of its slot
 *      {1}   the first item, and so on;   {1.} {1/} {1//} {1/.}
 *
 *      {-1}  the last item, and so on
 *
 * When no place is used, the items are appended.  Where several items meet
 * inside a word they are joined by blanks, and an item that is missing is
 * nothing there; a place that stands alone and is nothing makes no argument.
 * The text around a place and what takes its place are always one argument,
 * whatever is in the item.  What looks like a place and is none stays as it is.
 *
 * With `shell` the command is the text of a script: argv is sh -c SCRIPT sh
 * ITEM..., and places are refused in it, because no quoting could make them
 * safe wherever they stand.
 */
#ifndef WEIR_SRC_EXEC_TEMPLATE_H
#define WEIR_SRC_EXEC_TEMPLATE_H

#include "base/buf.h"
#include "exec/items.h"
#include "exec/job.h"

struct weir_template;

struct weir_template_options {
	/* The command; must stay.  None with shell: each item is a script. */
	const char *const *words;
	size_t count;
	const char *replace; /* in place of {}; NULL: {} */
	bool shell;
};

/* WEIR_OK, WEIR_NOMEM, WEIR_INVAL (why says what is wrong: for people). */
WEIR_NODISCARD weir_status weir__template_new(
	struct weir_template **out, const struct weir_template_options *options,
	weir_error *reterr);
struct weir_template *weir__template_free(struct weir_template *t);

/* argv[0] of all commands if it is the same for all, else NULL. */
const char *weir__template_program(const struct weir_template *t);

/* How many bytes of items surely fit on one command line: for -n. */
size_t weir__template_room(const struct weir_template *t);

/*
 * The command for these items.  NULL: no memory.  Too many or too long
 * arguments for the system give a job that is `bad`.
 */
struct weir_exec_job *weir__template_make(const struct weir_template *t,
					  const struct weir_items_row *row);
/* One that cannot be run, for a row that was BAD. */
struct weir_exec_job *weir__template_bad(const struct weir_items_row *row);
void weir__exec_job_free(struct weir_exec_job *job);

/*
 * A copy of argv with the number of the slot wherever slots says; one block, to
 * be freed with free().  NULL: no memory.
 */
char **weir__exec_job_argv(const struct weir_exec_job *job, uint32_t slot);

/* Append argv as one line that a shell would take for the same words. */
void weir__exec_show(struct weir_buf *buf, char *const *argv);

/* 32 hexadecimal digits. */
void weir__exec_key_text(char text[WEIR_EXEC_KEY_TEXT],
			 const struct weir_exec_key *key);

#endif
