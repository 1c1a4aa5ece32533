/*
 * What a command says on stderr besides progress and summary.
 *
 * Design: one line is one write(), so that lines of several processes do not
 * mix, and it goes through the progress line's owner when there is one, which
 * would otherwise overwrite it.  The whole line is made harmless at the end:
 * nobody has to remember which of its parts came from outside.
 */
#include "cli/command.h"

#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static void
print_line(struct weir_cli *cli, const struct weir_buf *line)
{
	struct weir_buf clean = {0};

	if (cli->progress) {
		weir__progress_note(cli->progress, weir__buf_str(line));
		return;
	}
	weir__term_clean(&clean, weir__buf_str(line), line->len,
			 weir__term_utf8());
	weir__buf_putc(&clean, '\n');
	if (!clean.failed)
		(void)weir__term_write(STDERR_FILENO, clean.data, clean.len);
	weir__buf_fini(&clean);
}

/* "weir: ", "weir fetch: ", and so on for another program. */
static void
begin_line(struct weir_buf *line, const struct weir_cli *cli)
{
	weir__buf_puts(line, weir__program.name);
	if (cli->command != &weir__program)
		weir__buf_printf(line, " %s", cli->command->name);
	weir__buf_puts(line, ": ");
}

void
weir__cli_error(struct weir_cli *cli, const char *what, const char *format, ...)
{
	struct weir_buf line = {0};
	va_list args;

	begin_line(&line, cli);
	if (what)
		weir__buf_printf(&line, "%s: ", what);
	va_start(args, format);
	weir__buf_vprintf(&line, format, args);
	va_end(args);
	print_line(cli, &line);
	weir__buf_fini(&line);
}

void
weir__cli_try(struct weir_cli *cli, const char *format, ...)
{
	struct weir_buf line = {0};
	va_list args;

	weir__buf_puts(&line, "try: ");
	va_start(args, format);
	weir__buf_vprintf(&line, format, args);
	va_end(args);
	print_line(cli, &line);
	weir__buf_fini(&line);
}

void
weir__cli_note(struct weir_cli *cli, const char *format, ...)
{
	struct weir_buf line = {0};
	va_list args;

	if (cli->common.quiet)
		return;
	begin_line(&line, cli);
	va_start(args, format);
	weir__buf_vprintf(&line, format, args);
	va_end(args);
	print_line(cli, &line);
	weir__buf_fini(&line);
}

int
weir__cli_stdout_failed(struct weir_cli *cli, int error_number)
{
	if (error_number == EPIPE || error_number == EBADF)
		return WEIR_EXIT_STDOUT_CLOSED;
	weir__cli_error(cli, "cannot write", "%s (standard output)",
			strerror(error_number));
	return WEIR_EXIT_FAILURE;
}
