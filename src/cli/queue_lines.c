/*
 * Lines on their way into a store; see queue_batch.h.
 *
 * Design: lines are read as long as there are some, and go into the store a
 * thousand together; when none is there just now, what has come so far goes in
 * before we wait.  So a fast producer gets large commits, and a slow one is not
 * kept waiting.
 */
#include "cli/queue_batch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How many lines are taken between two looks at the signals. */
#define LINES_AT_ONCE 256

static int
cannot_read(struct weir_cli *cli, const char *file, int error_number)
{
	weir__cli_error(cli, "cannot read", "%s (%s)", strerror(error_number),
			file);
	return WEIR_EXIT_FAILURE;
}

int
weir__batch_check_files(struct weir_cli *cli, const char *const *files,
			size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(files[i], "-") != 0 && access(files[i], R_OK) != 0)
			return cannot_read(cli, files[i], errno);
	return -1;
}

void
weir__batch_bad_line(struct queue_lines *lines, const struct weir_line *line,
		     const char *why)
{
	char text[WEIR_ERROR_MAX + 256];

	if (lines->file_count > 1) {
		(void)snprintf(text, sizeof(text), "%s (%s)", why, lines->file);
		why = text;
	}
	weir__batch_bad(lines->batch, line->number, why);
}

static bool
is_blank(const struct weir_line *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (line->text[i] != ' ' && line->text[i] != '\t' &&
		    line->text[i] != '\r')
			return false;
	return true;
}

/* What was read so far goes in; then say why there is no more. */
static void
read_failed(struct queue_lines *lines, int error_number)
{
	struct queue_batch *batch = lines->batch;

	if (weir__batch_flush(batch))
		batch->exit =
			cannot_read(batch->cli, lines->file, error_number);
}

/* One line, or what is there instead.  False: the file is over. */
static bool
take_next(struct queue_lines *lines)
{
	struct weir_line line;

	switch (weir__lines_next(&lines->reader, &line)) {
	case WEIR_LINES_LINE:
		if (!is_blank(&line)) {
			lines->count++;
			lines->take(lines, &line);
		}
		return true;
	case WEIR_LINES_LONG:
		lines->count++;
		weir__batch_bad_line(lines, &line, "the line is too long");
		return true;
	case WEIR_LINES_NONE:
		weir__batch_wait(lines->batch, weir__lines_fd(&lines->reader));
		(void)weir__batch_is_over(lines->batch);
		return true;
	case WEIR_LINES_END:
		return false;
	case WEIR_LINES_ERROR:
		break;
	}
	read_failed(lines, errno);
	return false;
}

static void
read_file(struct queue_lines *lines)
{
	struct queue_batch *batch = lines->batch;
	unsigned taken = 0;

	if (!weir__lines_open(&lines->reader, lines->file)) {
		read_failed(lines, errno);
		return;
	}
	while (batch->exit < 0 && !batch->stopped && take_next(lines))
		if (++taken % LINES_AT_ONCE == 0)
			(void)weir__batch_is_over(batch);
	weir__lines_close(&lines->reader);
}

void
weir__batch_read(struct queue_lines *lines)
{
	static const char *const standard_input[] = {"-"};
	const struct weir_lines_options options = {
		.delimiter = '\n',
		.max = lines->max,
	};

	if (lines->file_count == 0) {
		lines->files = standard_input;
		lines->file_count = 1;
	}
	weir__lines_init(&lines->reader, &options);
	for (size_t i = 0; i < lines->file_count; i++) {
		if (weir__batch_is_over(lines->batch))
			break;
		lines->file = lines->files[i];
		read_file(lines);
	}
	if (!weir__batch_is_over(lines->batch))
		(void)weir__batch_flush(lines->batch);
	weir__lines_fini(&lines->reader);
}
