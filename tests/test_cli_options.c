#include "cli/table.h"
#include "harness.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A command with a row of each kind. */
struct tool {
	int64_t jobs, wait_ns, offset;
	double rate;
	uint64_t size, speed;
	const char *name, *file, *dir;
	struct weir_option_list items;
	bool keep, verify;
	int mode;
};

static const struct weir_option tool_table[] = {
	WEIR_OPT_HEADING("Things"),
	{WEIR_OPT_INT_AT(struct tool, jobs), .letter = 'j', .name = "jobs",
	 .arg = "N", .shown = "16", .min = 1, .max = 1000,
	 .help = "how many at once"},
	{WEIR_OPT_INT_AT(struct tool, offset), .name = "offset", .arg = "N",
	 .min = INT64_MIN, .help = "any number"},
	{WEIR_OPT_DURATION_AT(struct tool, wait_ns), .letter = 'w',
	 .name = "wait", .arg = "TIME", .help = "how long"},
	{WEIR_OPT_RATE_AT(struct tool, rate), .name = "rate", .arg = "RATE",
	 .help = "how often"},
	{WEIR_OPT_SIZE_AT(struct tool, size), .name = "size", .arg = "SIZE",
	 .min = 1024, .max = 1 << 30, .help = "how large"},
	{WEIR_OPT_BYTE_RATE_AT(struct tool, speed), .name = "speed",
	 .arg = "RATE", .help = "how fast"},
	{WEIR_OPT_STRING_AT(struct tool, name), .name = "name", .arg = "TEXT",
	 .help = "what it is called"},
	{WEIR_OPT_FILE_AT(struct tool, file), .name = "file", .arg = "FILE",
	 .help = "where from"},
	{WEIR_OPT_DIR_AT(struct tool, dir), .letter = 'o', .name = "output",
	 .arg = "DIR", .help = "where to"},
	{WEIR_OPT_LIST_AT(struct tool, items), .letter = 'H', .name = "header",
	 .arg = "LINE", .help = "one of many"},
	{WEIR_OPT_FLAG_AT(struct tool, keep), .letter = 'k',
	 .name = "keep-order", .help = "in order, and it's `quoted` [so]"},
	{WEIR_OPT_SWITCH_AT(struct tool, verify), .name = "verify",
	 .shown = "on", .help = "look twice"},
	{WEIR_OPT_CHOICE_AT(struct tool, mode), .name = "mode", .arg = "MODE",
	 .choices = "first|second|third", .help = "which"},
	{WEIR_OPT_FLAG_AT(struct tool, keep), .name = "secret", .hidden = true,
	 .help = "shown nowhere"},
	WEIR_OPT_END_ROW,
};

static const struct tool tool_defaults = {.jobs = 16, .verify = true};
static const char *const tool_synopsis[] = {"[OPTIONS] [FILE...]", NULL};
static const struct weir_command_example tool_examples[] = {
	{"weir tool -j8 file", "use the tool"}, {0}};
static const struct weir_command_section tool_sections[] = {
	{"DESCRIPTION", ".dot and \\ are `safe`.\n\n  weir tool\nterm\ttext\n"},
	{0}};
static const int tool_exits[] = {WEIR_EXIT_OK, WEIR_EXIT_USAGE, -1};

static const struct weir_command tool = {
	.name = "tool",
	.summary = "do things",
	.group = "Test",
	.synopsis = tool_synopsis,
	.examples = tool_examples,
	.sections = tool_sections,
	.exits = tool_exits,
	.options = tool_table,
	.defaults = &tool_defaults,
	.options_size = sizeof(tool_defaults),
	.operands_are_files = true,
};

static const struct weir_option late_table[] = {
	{WEIR_OPT_FLAG_AT(struct tool, keep), .name = "eager", .help = "now"},
	WEIR_OPT_END_ROW,
};

/* Like xargs: what follows the first operand is the operand's. */
static const struct weir_command late = {
	.name = "late",
	.summary = "stop at operands",
	.group = "Test",
	.synopsis = tool_synopsis,
	.examples = tool_examples,
	.options = late_table,
	.options_size = sizeof(struct tool),
	.stop_at_operand = true,
};

const struct weir_command *const weir__commands[] = {&tool, &late, NULL};
const bool weir__commands_are_all = true;

/* The cli under test, and what it said on stderr. */
static struct weir_cli cli;
static char said[4096];

static const struct tool *
got(void)
{
	return cli.options;
}

/* Parse the words of line, which are parted by blanks. */
static int
parse_for(const struct weir_command *command, const char *line)
{
	static char text[512];
	static char *argv[64];
	int saved = dup(2), out = memfd_create("stderr", MFD_CLOEXEC);
	int argc = 0, status;
	ssize_t n;

	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	REQUIRE(weir__cli_init(&cli, command));
	REQUIRE(saved >= 0 && out >= 0 && dup2(out, 2) == 2);
	status = weir__options_parse(&cli, argc, argv);
	(void)dup2(saved, 2);
	(void)close(saved);
	n = pread(out, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	(void)close(out);
	return status;
}

/* Without weir.conf, unless the test names one. */
static int
parse(const char *line)
{
	(void)setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	return parse_for(&tool, line);
}

#define CHECK_REFUSED(line, text)                           \
	do {                                                \
		CHECK_EQ_INT(parse(line), WEIR_EXIT_USAGE); \
		CHECK_STR(said, text);                      \
		weir__cli_fini(&cli);                       \
	} while (0)

TEST(options, keeps_the_defaults_without_arguments)
{
	CHECK_EQ_INT(parse(""), -1);
	CHECK_EQ_INT(got()->jobs, 16);
	CHECK(got()->verify && !got()->keep);
	CHECK_EQ_INT(cli.operand_count, 0);
	CHECK_EQ_INT(weir__option_source(&cli, "jobs"), WEIR_FROM_DEFAULT);
	CHECK_STR(said, "");
	weir__cli_fini(&cli);
}

TEST(options, takes_each_kind_of_value)
{
	CHECK_EQ_INT(parse("--jobs=8 --offset -5 --wait 1.5s --rate 600/m "
			   "--size 10M --speed 2M/s --name= --file - "
			   "--output d --mode third --no-verify"),
		     -1);
	CHECK_EQ_INT(got()->jobs, 8);
	CHECK_EQ_INT(got()->offset, -5);
	CHECK_EQ_INT(got()->wait_ns, 1500000000);
	CHECK(got()->rate == 10.0);
	CHECK_EQ_INT(got()->size, 10 << 20);
	CHECK_EQ_INT(got()->speed, 2 << 20);
	CHECK_STR(got()->name, "");
	CHECK_STR(got()->file, "-");
	CHECK_STR(got()->dir, "d");
	CHECK_EQ_INT(got()->mode, 2);
	CHECK(!got()->verify);
	CHECK_EQ_INT(weir__option_source(&cli, "verify"), WEIR_FROM_FLAG);
	weir__cli_fini(&cli);
}

TEST(options, takes_letters_alone_joined_and_bundled)
{
	CHECK_EQ_INT(parse("-j 3 -qkw2s -od"), -1);
	CHECK_EQ_INT(got()->jobs, 3);
	CHECK_EQ_INT(got()->wait_ns, 2000000000);
	CHECK(got()->keep && cli.common.quiet);
	CHECK_STR(got()->dir, "d");
	weir__cli_fini(&cli);
}

TEST(options, lets_the_last_of_two_win)
{
	CHECK_EQ_INT(parse("-j3 --jobs 4 --no-verify --verify"), -1);
	CHECK_EQ_INT(got()->jobs, 4);
	CHECK(got()->verify);
	weir__cli_fini(&cli);
}

TEST(options, mixes_with_operands_until_two_dashes)
{
	CHECK_EQ_INT(parse("a -k - b -- -j3 --x c"), -1);
	REQUIRE(cli.operand_count == 6);
	CHECK_STR(cli.operands[0], "a");
	CHECK_STR(cli.operands[1], "-");
	CHECK_STR(cli.operands[2], "b");
	CHECK_STR(cli.operands[3], "-j3");
	CHECK_STR(cli.operands[5], "c");
	CHECK_EQ_INT(cli.operands_before_dashes, 3);
	CHECK(got()->keep);
	CHECK_EQ_INT(got()->jobs, 16);
	weir__cli_fini(&cli);
}

TEST(options, end_at_the_first_operand_where_the_command_says_so)
{
	CHECK_EQ_INT(parse_for(&late, "--eager ls --eager -l -- x"), -1);
	REQUIRE(cli.operand_count == 5);
	CHECK_STR(cli.operands[1], "--eager");
	CHECK_STR(cli.operands[3], "--");
	weir__cli_fini(&cli);
}

TEST(options, collects_a_list_in_order)
{
	CHECK_EQ_INT(parse("-H a --header b -Hc"), -1);
	REQUIRE(got()->items.count == 3);
	CHECK_STR(got()->items.items[0], "a");
	CHECK_STR(got()->items.items[1], "b");
	CHECK_STR(got()->items.items[2], "c");
	weir__cli_fini(&cli);
}

TEST(options, says_what_was_meant)
{
	CHECK_REFUSED("--job 3", "weir tool: unknown option '--job'; did you "
				 "mean '--jobs N'?\n");
	CHECK_REFUSED("--keeporder", "weir tool: unknown option '--keeporder'; "
				     "did you mean '--keep-order'?\n");
	CHECK_REFUSED("--colour=x", "weir tool: unknown option '--colour'; did "
				    "you mean '--color WHEN'?\n");
	CHECK_REFUSED("--no-keep-order",
		      "weir tool: unknown option '--no-keep-order'; did you "
		      "mean '--keep-order'?\n");
	CHECK_REFUSED("-Z", "weir tool: unknown option '-Z'\n"
			    "try: weir tool --help\n");
	CHECK_REFUSED("--zzzzz=3", "weir tool: unknown option '--zzzzz'\n"
				   "try: weir tool --help\n");
	/* A hidden one is never offered. */
	CHECK_REFUSED("--secre", "weir tool: unknown option '--secre'\n"
				 "try: weir tool --help\n");
}

TEST(options, takes_no_abbreviations)
{
	CHECK_EQ_INT(parse("--keep"), WEIR_EXIT_USAGE);
	weir__cli_fini(&cli);
}

TEST(options, says_why_a_value_is_refused)
{
	CHECK_REFUSED("--wait 30", "weir tool: --wait: '30' needs a unit, such "
				   "as 30s\n");
	CHECK_REFUSED("-w x", "weir tool: -w: 'x' is no duration, such as "
			      "30s\n");
	CHECK_REFUSED("--rate 20",
		      "weir tool: --rate: '20' needs a unit, such as 20/s\n");
	CHECK_REFUSED("--speed 2",
		      "weir tool: --speed: '2' needs a unit, such as 2M/s\n");
	CHECK_REFUSED("--size x",
		      "weir tool: --size: 'x' is no size, such as 10M\n");
	CHECK_REFUSED("--size 1",
		      "weir tool: --size: 1 is below the minimum, 1K\n");
	CHECK_REFUSED("--size 2G",
		      "weir tool: --size: 2G is above the maximum, 1G\n");
	CHECK_REFUSED("-j0", "weir tool: -j: 0 is below the minimum, 1\n");
	CHECK_REFUSED("-j99999999999999999999",
		      "weir tool: -j: 99999999999999999999 is above the "
		      "maximum, 1000\n");
	CHECK_REFUSED("--jobs=3x",
		      "weir tool: --jobs: '3x' is no whole number\n");
	CHECK_REFUSED("--jobs=", "weir tool: --jobs: '' is no whole number\n");
	CHECK_REFUSED("--mode secnd",
		      "weir tool: --mode: 'secnd' is none of first, second, "
		      "third; did you mean 'second'?\n");
	CHECK_REFUSED("--output=",
		      "weir tool: --output: a name is needed, not ''\n");
	CHECK_REFUSED("-k --jobs",
		      "weir tool: --jobs: N is missing, such as --jobs 4\n");
	CHECK_REFUSED("-kH", "weir tool: -H: LINE is missing\n");
	CHECK_REFUSED("--verify=no",
		      "weir tool: --verify: takes no value, but got 'no'\n");
}

TEST(options, prints_no_control_characters_in_errors)
{
	(void)setenv("LC_ALL", "C", 1);
	CHECK_REFUSED("--\033[31mred",
		      "weir tool: unknown option '--?[31mred'\n"
		      "try: weir tool --help\n");
}

TEST(options, come_from_the_environment_below_flags)
{
	(void)setenv("WEIR_JOBS", "5", 1);
	(void)setenv("WEIR_TOOL_JOBS", "6", 1);
	(void)setenv("WEIR_OUTPUT", "general", 1);
	(void)setenv("WEIR_KEEP_ORDER", "yes", 1);
	(void)setenv("WEIR_VERIFY", "off", 1);
	(void)setenv("WEIR_NAME", "", 1);
	(void)setenv("WEIR_TOOL_HEADER", "env", 1);
	(void)setenv("WEIR_COLOR", "never", 1);
	CHECK_EQ_INT(parse("-H flag"), -1);
	CHECK_EQ_INT(got()->jobs, 6);
	CHECK_STR(got()->dir, "general");
	CHECK(got()->keep && !got()->verify && !got()->name);
	CHECK_EQ_INT(cli.common.color, WEIR_COLOR_NEVER);
	REQUIRE(got()->items.count == 1);
	CHECK_STR(got()->items.items[0], "flag");
	CHECK_EQ_INT(weir__option_source(&cli, "jobs"), WEIR_FROM_ENV_COMMAND);
	CHECK_STR(said, "");
	weir__cli_fini(&cli);
}

TEST(options, names_the_variable_that_is_wrong)
{
	(void)setenv("WEIR_TOOL_WAIT", "30", 1);
	/* Also when a flag hides it. */
	CHECK_REFUSED("--wait 1s", "weir tool: WEIR_TOOL_WAIT: '30' needs a "
				   "unit, such as 30s\n");
}

TEST(options, warns_of_a_variable_for_nothing)
{
	(void)setenv("WEIR_TOOL_JOB", "30", 1);
	CHECK_EQ_INT(parse(""), -1);
	CHECK_STR(said, "weir tool: warning: the variable WEIR_TOOL_JOB is no "
			"option's\n");
	weir__cli_fini(&cli);
}

/* Write a weir.conf where the parser looks for it, and parse. */
static int
parse_with_config(const char *text, const char *line)
{
	static const char path[] = "weir/weir.conf";
	char dir[] = "/tmp/weir-test-XXXXXX";
	int fd, status, at;

	REQUIRE(mkdtemp(dir));
	at = open(dir, O_RDONLY | O_DIRECTORY);
	REQUIRE(mkdirat(at, "weir", 0700) == 0);
	fd = openat(at, path, O_WRONLY | O_CREAT, 0600);
	REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
	(void)setenv("XDG_CONFIG_HOME", dir, 1);
	status = parse_for(&tool, line);
	(void)unlinkat(at, path, 0);
	(void)unlinkat(at, "weir", AT_REMOVEDIR);
	(void)close(at);
	(void)rmdir(dir);
	return status;
}

/* What was said, behind the path that differs each time. */
static const char *
said_of_config(void)
{
	const char *at = strstr(said, "weir.conf:");

	return at ? at : said;
}

TEST(config, sections_win_over_what_stands_above_them)
{
	CHECK_EQ_INT(parse_with_config("# a comment\n"
				       "jobs = 2\r\n"
				       "  name =  a # b  \n"
				       "eager = yes\n"
				       "\n"
				       "[tool]\n"
				       "jobs=3\n"
				       "header = x\n"
				       "header = y\n"
				       "[ late ]\n"
				       "eager = yes",
				       ""),
		     -1);
	CHECK_STR(said, "");
	CHECK_EQ_INT(got()->jobs, 3);
	CHECK_STR(got()->name, "a # b");
	REQUIRE(got()->items.count == 2);
	CHECK_STR(got()->items.items[1], "y");
	weir__cli_fini(&cli);
}

TEST(config, loses_to_the_environment_and_to_flags)
{
	(void)setenv("WEIR_JOBS", "5", 1);
	CHECK_EQ_INT(
		parse_with_config("[tool]\njobs = 3\nwait = 2s\n", "-w 9s"),
		-1);
	CHECK_EQ_INT(got()->jobs, 5);
	CHECK_EQ_INT(got()->wait_ns, 9000000000);
	weir__cli_fini(&cli);
}

TEST(config, is_not_read_when_told_so)
{
	CHECK_EQ_INT(parse_with_config("nonsense", "--no-config"), -1);
	weir__cli_fini(&cli);
	CHECK_EQ_INT(parse_with_config("nonsense", "--help"), -1);
	CHECK(cli.common.help);
	weir__cli_fini(&cli);
	CHECK_EQ_INT(parse_with_config("jobs = 3", "--config /dev/null"), -1);
	CHECK_EQ_INT(got()->jobs, 16);
	weir__cli_fini(&cli);
}

#define CHECK_CONFIG_REFUSED(config, text)                                    \
	do {                                                                  \
		CHECK_EQ_INT(parse_with_config(config, ""), WEIR_EXIT_USAGE); \
		CHECK_STR(said_of_config(), text);                            \
		weir__cli_fini(&cli);                                         \
	} while (0)

TEST(config, errors_name_file_and_line)
{
	CHECK_CONFIG_REFUSED("\njob = 3\n",
			     "weir.conf:2: unknown option 'job'; did you mean "
			     "'jobs'?\n");
	CHECK_CONFIG_REFUSED("[tool]\nwait = 30\n",
			     "weir.conf:2: wait: '30' needs a unit, such as "
			     "30s\n");
	CHECK_CONFIG_REFUSED("[tol]\n", "weir.conf:1: no command 'tol'; did "
					"you mean [tool]?\n");
	CHECK_CONFIG_REFUSED("[tool\n", "weir.conf:1: ']' is missing behind "
					"'[tool'\n");
	CHECK_CONFIG_REFUSED("jobs 3\n",
			     "weir.conf:1: '=' is missing in 'jobs 3'\n");
	CHECK_CONFIG_REFUSED("help = yes\n",
			     "weir.conf:1: 'help' has no place in a file\n");
	CHECK_CONFIG_REFUSED("no-verify = yes\n",
			     "weir.conf:1: write 'verify = no' instead of "
			     "'no-verify'\n");
	CHECK_CONFIG_REFUSED("[late]\nkeep-order = yes\n",
			     "weir.conf:2: unknown option 'keep-order'\n");
	CHECK_CONFIG_REFUSED("keep-order = maybe\n",
			     "weir.conf:1: keep-order: 'maybe' is neither yes "
			     "nor no\n");
}

TEST(config, a_file_that_was_named_must_be_there)
{
	CHECK_REFUSED("--config /nonexistent/weir.conf",
		      "weir tool: cannot read the configuration: No such file "
		      "or directory (/nonexistent/weir.conf)\n");
}

TEST(help, shows_an_example_and_every_option_in_80_columns)
{
	struct weir_buf text = {0};
	const char *line;

	weir__help_render(&text, &tool);
	line = weir__buf_str(&text);
	CHECK(strstr(line, "Example: weir tool -j8 file    # use the tool\n"));
	CHECK(strstr(line,
		     "  -j, --jobs N            how many at once (16)\n"));
	CHECK(strstr(line, "      --[no-]verify       look twice (on)\n"));
	CHECK(strstr(line, "it's quoted [so]"));
	CHECK(!strstr(line, "secret"));
	for (; *line != '\0'; line += strcspn(line, "\n") + 1)
		CHECK(strcspn(line, "\n") < 80);
	weir__buf_fini(&text);
}

TEST(man, escapes_what_roff_would_take_for_its_own)
{
	struct weir_buf text = {0};

	weir__man_render(&text, &tool);
	CHECK(strstr(weir__buf_str(&text),
		     ".SH DESCRIPTION\n"
		     "\\&.dot and \\e are \\fBsafe\\fR.\n"
		     ".PP\n.RS 4\n.nf\nweir tool\n.fi\n.RE\n"
		     ".TP\nterm\ntext\n"));
	CHECK(strstr(weir__buf_str(&text),
		     ".TP\n\\fB\\-j\\fR, \\fB\\-\\-jobs\\fR=\\fIN\\fR\n"
		     "How many at once (default: 16).\n"));
	weir__buf_fini(&text);
}

TEST(completion, quotes_help_for_each_shell)
{
	struct weir_buf text = {0};

	CHECK(weir__completion_render(&text, "bash"));
	CHECK(strstr(weir__buf_str(&text), "-o | --output) _weir_files -d; "));
	weir__buf_reset(&text);
	CHECK(weir__completion_render(&text, "zsh"));
	CHECK(strstr(weir__buf_str(&text),
		     "'[in order, and it'\\''s quoted \\[so\\]]'"));
	weir__buf_reset(&text);
	CHECK(weir__completion_render(&text, "fish"));
	CHECK(strstr(weir__buf_str(&text),
		     " -l mode -x -a 'first second third' -d 'which'\n"));
	weir__buf_reset(&text);
	CHECK(!weir__completion_render(&text, "tcsh"));
	weir__buf_fini(&text);
}
