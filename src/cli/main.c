/*
 * weir: find the command, read its options, run it.
 */
#include "cli/table.h"

#include "base/assert.h"
#include "cli/signals.h"
#include "weir/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/*
 * Make sure that 0, 1 and 2 are open, or the first socket would be taken for
 * standard output.  They are opened the wrong way round on purpose: using
 * them still fails, as it should.
 */
static void
open_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null",
				   fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* Text of ours to standard output, and the exit status that makes. */
static int
print_out(struct weir_cli *cli, struct weir_buf *text)
{
	int status = WEIR_EXIT_OK, error_number;

	error_number =
		text->failed ? ENOMEM
			     : weir__term_write(STDOUT_FILENO,
						weir__buf_str(text), text->len);
	if (error_number != 0)
		status = weir__cli_stdout_failed(cli, error_number);
	weir__buf_fini(text);
	return status;
}

static int
print_help(struct weir_cli *cli, const struct weir_command *command)
{
	struct weir_buf text = {0};

	weir__help_render(&text, command);
	return print_out(cli, &text);
}

static int
print_version(struct weir_cli *cli)
{
	struct weir_buf text = {0};

	weir__buf_printf(&text, "%s %d.%d.%d\n", weir__program.name,
			 WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
			 WEIR_VERSION_PATCH);
	return print_out(cli, &text);
}

static int
unknown_command(struct weir_cli *cli, const char *name)
{
	const char *guess = weir__command_suggest(name);

	if (guess) {
		weir__cli_error(cli, NULL,
				"unknown command '%s'; did you mean '%s %s'?",
				name, weir__program.name, guess);
	} else {
		weir__cli_error(cli, NULL, "unknown command '%s'", name);
		weir__cli_try(cli, "%s --help", weir__program.name);
	}
	return WEIR_EXIT_USAGE;
}

static int
too_many(struct weir_cli *cli, const char *operand)
{
	weir__cli_error(cli, NULL, "too many arguments: '%s'", operand);
	return WEIR_EXIT_USAGE;
}

/* weir help [COMMAND], weir --help [COMMAND]; it is the operand at `at`. */
static int
run_help(struct weir_cli *cli, size_t at)
{
	const struct weir_command *command = &weir__program;

	if (cli->operand_count > at + 1)
		return too_many(cli, cli->operands[at + 1]);
	if (cli->operand_count > at) {
		command = weir__command_find(cli->operands[at]);
		if (!command)
			return unknown_command(cli, cli->operands[at]);
	}
	return print_help(cli, command);
}

/* weir --generate man COMMAND|weir, weir --generate completion SHELL */
static int
run_generate(struct weir_cli *cli)
{
	const char *what = cli->operand_count == 2 ? cli->operands[0] : "";
	const char *name = cli->operand_count == 2 ? cli->operands[1] : "";
	const struct weir_command *command = NULL;
	struct weir_buf text = {0};

	if (strcmp(what, "completion") == 0 &&
	    weir__completion_render(&text, name))
		return print_out(cli, &text);
	if (strcmp(what, "man") == 0)
		command = strcmp(name, weir__program.name) == 0
				  ? &weir__program
				  : weir__command_find(name);
	if (command) {
		weir__man_render(&text, command);
		return print_out(cli, &text);
	}
	weir__cli_error(cli, "--generate",
			"'man COMMAND' or 'completion SHELL' must follow");
	return WEIR_EXIT_USAGE;
}

/* argv is what follows the command's name, whole all of it. */
static int
run_command(const struct weir_command *command, int argc, char **argv,
	    char **whole)
{
	struct weir_cli cli;
	int status = WEIR_EXIT_FAILURE;

	if (weir__cli_init(&cli, command))
		status = weir__options_parse(&cli, argc, argv);
	else
		weir__cli_error(&cli, NULL, "out of memory");
	cli.argv = whole;
	if (status < 0)
		status = cli.common.help ? print_help(&cli, command)
					 : command->run(&cli);
	weir__cli_fini(&cli);
	return status;
}

/* argv is what follows "weir", argc how much of it there is. */
static int
dispatch(struct weir_cli *cli, int argc, char **argv)
{
	const struct weir_main_options *options = cli->options;
	const struct weir_command *command;
	int at;

	if (options->help)
		return run_help(cli, 0);
	if (options->version)
		return cli->operand_count > 0 ? too_many(cli, cli->operands[0])
					      : print_version(cli);
	if (options->generate)
		return run_generate(cli);
	if (cli->operand_count == 0) {
		weir__cli_error(cli, NULL, "no command given");
		weir__cli_try(cli, "%s --help", weir__program.name);
		return WEIR_EXIT_USAGE;
	}
	if (strcmp(cli->operands[0], "help") == 0)
		return run_help(cli, 1);
	command = weir__command_find(cli->operands[0]);
	if (!command)
		return unknown_command(cli, cli->operands[0]);
	/* All that followed the first operand became operands, too. */
	at = argc - (int)cli->operand_count + 1;
	weir_assert(at > 0 && at <= argc);
	return run_command(command, argc - at, argv + at, cli->argv);
}

int
main(int argc, char **argv)
{
	struct weir_cli cli;
	char **whole = argv;
	int status;

	open_standard_streams();
	weir__signals_block();
	if (argc > 0) {
		argc--;
		argv++;
	}
	if (!weir__cli_init(&cli, &weir__program)) {
		weir__cli_error(&cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	cli.argv = whole;
	status = weir__options_parse(&cli, argc, argv);
	if (status < 0)
		status = dispatch(&cli, argc, argv);
	weir__cli_fini(&cli);
	return status;
}
