/*
 * What a job's process is called with: argv, and its variables.
 *
 * Design: texts are put behind one another, each with its NUL, and counted;
 * then all of it moves into one block with the job.
 *
 *      | struct weir_exec_job | argv | env | texts |
 *
 * The texts are the arguments, the folder if there is one, the variables, and
 * the item.
 *
 * Nothing of a job but its id, kind, queue and attempt can get into an
 * argument, and none of these can hold more than letters, digits and a few
 * marks: see queue/names.h.  What is the job's own are its args, and they go
 * to standard input.
 *
 * Locking: none.
 */
#include "cli/work_run.h"

#include "base/json_check.h"
#include "base/json_scan.h"
#include "base/json_text.h"
#include "cli/queue_words.h"
#include "exec/job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct draft {
	struct weir_buf texts;
	size_t argc, env_count;
	bool has_dir; /* a text between argv and the variables */
};

/* The value of a place that text begins with; its length, or 0: it is none. */
static size_t
put_place(struct weir_buf *buf, const char *text, const weir_job_row *row)
{
	if (strncmp(text, "{id}", 4) == 0) {
		weir__buf_printf(buf, "%" PRId64, row->id);
		return 4;
	}
	if (strncmp(text, "{kind}", 6) == 0) {
		weir__buf_puts(buf, row->kind);
		return 6;
	}
	if (strncmp(text, "{queue}", 7) == 0) {
		weir__buf_puts(buf, row->queue);
		return 7;
	}
	if (strncmp(text, "{attempt}", 9) == 0) {
		weir__buf_printf(buf, "%" PRIu32, row->attempt);
		return 9;
	}
	return 0;
}

static void
put_word(struct draft *draft, const char *word, const weir_job_row *row)
{
	while (*word) {
		size_t len = put_place(&draft->texts, word, row);

		if (len == 0)
			weir__buf_putc(&draft->texts, *word);
		word += len > 0 ? len : 1;
	}
	weir__buf_putc(&draft->texts, '\0');
	draft->argc++;
}

/* A JSON string, without its quotes, as an argument. */
static void
put_string(struct draft *draft, const char *string, size_t len)
{
	struct weir_json_text text;
	unsigned char byte;

	weir__json_text_init(&text, string, len);
	while ((byte = weir__json_text_next(&text)) != 0)
		weir__buf_putc(&draft->texts, (char)byte);
	weir__buf_putc(&draft->texts, '\0');
	draft->argc++;
}

/* {"base64": "..."}: a word that is no text; see queue_words.h. */
static bool
put_bytes(struct draft *draft, const char *object, size_t len)
{
	struct weir_json_scan scan;
	struct weir_json_member m;
	size_t begin = draft->texts.len;
	bool good = false;

	weir__json_scan_init(&scan, object, len);
	while (weir__json_scan_next(&scan, &m))
		good = begin == draft->texts.len && m.value[0] == '"' &&
		       weir__json_is(m.name, m.name_len, "base64") &&
		       weir__words_decode(&draft->texts, m.value + 1,
					  m.value_len - 2);
	if (!good ||
	    (draft->texts.len > begin &&
	     memchr(draft->texts.data + begin, '\0', draft->texts.len - begin)))
		return false;
	weir__buf_putc(&draft->texts, '\0');
	draft->argc++;
	return true;
}

/* Behind the quote that ends the string at `at`, which begins with one. */
static const char *
end_of_string(const char *at)
{
	for (at++; *at != '"'; at++)
		at += *at == '\\';
	return at + 1;
}

/*
 * A text, or bytes: as an argument.  What is behind it, or NULL.  In base64
 * there is no bracket, so that the first one ends the object; if there is, it
 * is none.
 */
static const char *
put_element(struct draft *draft, const char *at)
{
	const char *end;

	if (*at == '"') {
		end = end_of_string(at);
		put_string(draft, at + 1, (size_t)(end - at) - 2);
		return end;
	}
	end = *at == '{' ? strchr(at, '}') : NULL;
	return end && put_bytes(draft, at, (size_t)(end - at) + 1) ? end + 1
								   : NULL;
}

/* The array of words in good JSON; why not, or NULL. */
static const char *
put_array(struct draft *draft, const char *at)
{
	static const char blanks[] = " \t\r\n";
	const char *end;

	if (*at++ != '[')
		return "argv is no array";
	for (at += strspn(at, blanks); *at != ']';) {
		end = put_element(draft, at);
		if (!end)
			return "argv holds what is no word";
		at = end + strspn(end, blanks);
		if (*at == ',')
			at += 1 + strspn(at + 1, blanks);
	}
	return draft->argc > 0 ? NULL : "argv is empty";
}

/* The argv that a job of weir run brings along; why not, or NULL. */
static const char *
put_args(struct draft *draft, const weir_job_row *row)
{
	struct weir_json_fault fault;
	struct weir_json_member member, dir = {0};
	struct weir_json_scan scan;
	const char *why = "its args have no argv";

	if (!weir__json_check(row->args, row->args_len, WEIR_JSON_OBJECT,
			      &fault))
		return "its args are no JSON object";
	weir__json_scan_init(&scan, row->args, row->args_len);
	while (weir__json_scan_next(&scan, &member)) {
		if (weir__json_is(member.name, member.name_len, "argv"))
			why = put_array(draft, member.value);
		else if (weir__json_is(member.name, member.name_len, "dir"))
			dir = member;
	}
	if (why || !dir.value)
		return why;
	/* Behind the arguments; build() tells it from them. */
	draft->has_dir = true;
	if (!put_element(draft, dir.value))
		return "dir is no word";
	draft->argc--;
	return NULL;
}

static void __attribute__((format(printf, 2, 3)))
put_variable(struct draft *draft, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	weir__buf_vprintf(&draft->texts, format, args);
	va_end(args);
	weir__buf_putc(&draft->texts, '\0');
	draft->env_count++;
}

static void
put_variables(struct draft *draft, const weir_job_row *row)
{
	put_variable(draft, "WEIR_JOB_ID=%" PRId64, row->id);
	put_variable(draft, "WEIR_JOB_KIND=%s", row->kind);
	put_variable(draft, "WEIR_JOB_QUEUE=%s", row->queue);
	put_variable(draft, "WEIR_JOB_ATTEMPT=%" PRIu32, row->attempt);
	put_variable(draft, "WEIR_JOB_MAX_ATTEMPTS=%" PRIu32,
		     row->max_attempts);
	put_variable(draft, "WEIR_JOB_PRIORITY=%" PRIu32, row->priority);
}

/* Each text with a pointer of its own; behind the last of them. */
static char *
point_at(char **pointers, size_t count, char *text)
{
	for (size_t i = 0; i < count; i++) {
		pointers[i] = text;
		text += strlen(text) + 1;
	}
	return text;
}

/* All of it in one block. */
static struct weir_exec_job *
build(const struct draft *draft, const weir_job_row *row)
{
	size_t pointers = draft->argc + 1 + draft->env_count + 1;
	struct weir_exec_job *job;
	char **env, *text;

	if (draft->texts.failed)
		return NULL;
	job = calloc(1, sizeof(*job) + pointers * sizeof(char *) +
				draft->texts.len);
	if (!job)
		return NULL;
	job->argv = (char **)(job + 1);
	job->argc = draft->argc;
	env = job->argv + job->argc + 1;
	text = (char *)(job->argv + pointers);
	memcpy(text, draft->texts.data, draft->texts.len);
	text = point_at(job->argv, draft->argc, text);
	if (draft->has_dir) {
		job->dir = text;
		text += strlen(text) + 1;
	}
	text = point_at(env, draft->env_count, text);
	job->env = env;
	job->item = text;
	job->item_len = strlen(text);
	job->bad = "";
	job->attempts_before = row->attempt > 0 ? row->attempt - 1 : 0;
	return job;
}

weir_status
weir__work_make_argv(const struct work_run *run, const weir_job_row *row,
		     struct weir_exec_job **ret, const char **error)
{
	struct draft draft = {0};
	const char *why = NULL;

	if (run->command)
		for (size_t i = 0; i < run->command_count; i++)
			put_word(&draft, run->command[i], row);
	else
		why = put_args(&draft, row);
	if (!why) {
		put_variables(&draft, row);
		/* For --tag. */
		weir__buf_printf(&draft.texts, "%" PRId64, row->id);
		weir__buf_putc(&draft.texts, '\0');
		*ret = build(&draft, row);
	}
	weir__buf_fini(&draft.texts);
	if (why) {
		*error = why;
		return WEIR_INVAL;
	}
	return *ret ? WEIR_OK : WEIR_NOMEM;
}
