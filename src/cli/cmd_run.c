/*
 * weir run: its options and what the manual says of it.
 *
 * The run itself is in run_run.c, and what does the work in src/exec.
 */
#include "cli/cmd_run.h"

#include "cli/cmd_queue.h"
#include "cli/signals.h"
#include "weir/base.h"

#define DAY_NS (INT64_C(86400) * WEIR_S)

static const struct run_cli_options defaults = {
	.backoff = "200ms..30s",
	.retry_on = "any",
	.timeout_ns = WEIR_FOREVER,
	.kill_after_ns = 2 * WEIR_S,
	.grace_ns = WEIR_STOP_GRACE_NS,
	.halt = "never",
	.db = WEIR_QUEUE_DB_DEFAULT,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct run_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("What to run it for"),
	{AT(LIST, files), .letter = 'a', .name = "arg-file", .arg = "FILE",
	 .help = "items are the lines of FILE; again for more sources"},
	{AT(FLAG, null), .letter = '0', .name = "null",
	 .help = "items end with a NUL byte, as from find -print0"},
	{AT(STRING, delimiter), .letter = 'd', .name = "delimiter", .arg = "C",
	 .help = "items end with this character, such as , or \\t"},
	{AT(STRING, colsep), .letter = 'C', .name = "colsep", .arg = "TEXT",
	 .help = "split each item into columns {1}, {2}... at TEXT"},
	{AT(INT, max_args), .letter = 'n', .name = "max-args", .arg = "N",
	 .shown = "1", .min = 1, .max = 100000,
	 .help = "give so many items to one command"},
	{AT(STRING, replace), .letter = 'I', .name = "replace", .arg = "TEXT",
	 .shown = "{}", .help = "put the item where TEXT stands"},
	{AT(FLAG, link), .name = "link",
	 .help = "take one item from each source at a time",
	 .more = "Without it, several sources give each item of one with each "
		 "of the others.  `:::+` in place of `:::` links one source to "
		 "the one before it."},
	{AT(FLAG, skip_blank), .letter = 'r', .name = "no-run-if-empty",
	 .help = "leave out empty items"},
	{AT(FLAG, shell), .name = "shell",
	 .help = "the command is a script; its items are $1, $2...",
	 .more = "The words are joined by blanks and given to `sh -c`.  An "
		 "item "
		 "never becomes part of the script, so nothing in it is "
		 "special.  Without a command, each item is a script of its "
		 "own."},

	WEIR_OPT_HEADING("How much at once, and when"),
	{AT(STRING, jobs), .letter = 'j', .name = "jobs", .arg = "N",
	 .shown = "one for each core", .example = "8",
	 .help = "commands at once: a number, or 200% of the cores"},
	{AT(STRING, jobs), .letter = 'P', .name = "max-procs", .arg = "N",
	 .hidden = true, .only_flag = true, .help = "the same, as in xargs"},
	{AT(RATE, rate), .name = "rate", .arg = "RATE", .example = "20/s",
	 .help = "start at most so many, such as 20/s"},
	{AT(DURATION, delay_ns), .name = "delay", .arg = "TIME", .min = 0,
	 .max = DAY_NS, .help = "time between two starts"},
	{AT(STRING, load), .name = "load", .arg = "N",
	 .help = "start none while the load is above N, or 100% of the cores"},
	{AT(SIZE, memfree), .name = "memfree", .arg = "SIZE",
	 .help = "start none while less memory is available"},
	{AT(FLAG, jobserver), .name = "jobserver",
	 .help = "share the jobs of the GNU make that started us"},

	WEIR_OPT_HEADING("Failures"),
	{AT(INT, retries), .name = "retries", .arg = "N", .shown = "0",
	 .min = 0, .max = 1000, .help = "tries after the first"},
	{AT(STRING, backoff), .name = "backoff", .arg = "MIN..MAX",
	 .shown = "200ms..30s",
	 .help = "wait before another try, doubled each time",
	 .more = "The wait is a random part of that, so that jobs that failed "
		 "together do not come back together."},
	{AT(STRING, retry_on), .name = "retry-on", .arg = "LIST",
	 .shown = "any",
	 .help = "try again after these: 1,75 or signal, timeout, any"},
	{AT(DURATION, timeout_ns), .name = "timeout", .arg = "TIME",
	 .shown = "none", .min = WEIR_MS, .max = 365 * DAY_NS,
	 .help = "time for one try; then TERM to its process group"},
	{AT(DURATION, kill_after_ns), .name = "kill-after", .arg = "TIME",
	 .shown = "2s", .min = 0, .max = DAY_NS,
	 .help = "time between TERM and KILL"},
	{AT(STRING, halt), .name = "halt", .arg = "WHEN,WHY", .shown = "never",
	 .example = "now,fail=1",
	 .help = "stop early: now|soon, fail|success|done, =N or =N%",
	 .more = "`soon` starts nothing more, `now` ends what runs as well; "
		 "the "
		 "exit status is 124 then."},
	{AT(DURATION, max_time_ns), .name = "max-time", .arg = "TIME", .min = 0,
	 .max = 365 * DAY_NS,
	 .help = "time for the whole run; then exit with 124"},
	{AT(DURATION, grace_ns), .name = "grace", .arg = "TIME", .shown = "25s",
	 .min = 0, .max = DAY_NS,
	 .help = "time to finish in after the first Ctrl-C"},
	{AT(CHOICE, exit_code), .name = "exit-code", .arg = "HOW",
	 .shown = "xargs", .choices = "xargs|count|first|max",
	 .help = "123 if some failed; or how many; or a status of theirs",
	 .more = "`count` is GNU parallel's way: 1 to 100 failed, or 101 when "
		 "it was more.  `first` is the status of the first that "
		 "failed, "
		 "`max` the largest of all: 128 and the signal where one was "
		 "killed."},

	WEIR_OPT_HEADING("Output"),
	{AT(FLAG, ordered), .letter = 'k', .name = "keep-order",
	 .help = "print in the order of the input"},
	{AT(FLAG, tagged), .name = "tag",
	 .help = "begin each line with its item and a tab"},
	{AT(FLAG, lines), .name = "line-buffer",
	 .help = "print whole lines as they come, not a job at a time"},
	{AT(FLAG, direct), .letter = 'u', .name = "ungroup",
	 .help = "commands write by themselves, as with xargs"},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each try; output goes to stderr"},
	{AT(FILE, log), .name = "log", .arg = "FILE",
	 .help = "write these JSON objects to FILE"},
	{AT(FILE, joblog), .name = "joblog", .arg = "FILE",
	 .help = "write a log as GNU parallel does"},
	{AT(FILE, resume), .name = "resume", .arg = "LOG",
	 .help = "leave out what this log, of either kind, says was ok",
	 .more = "A job is known by its whole command, not by its place in the "
		 "input, so that lines may be added, moved and removed.  Two "
		 "jobs with the same command are one to it: if one of them was "
		 "ok, both are left out.  "
		 "Further records are added to the same file, unless `--log` "
		 "or "
		 "`--joblog` names another."},
	{AT(FLAG, only_failed), .name = "retry-failed",
	 .help = "with --resume, run only what has failed"},
	{AT(FLAG, verbose), .letter = 't', .name = "verbose",
	 .help = "print each command on stderr before it runs"},
	{AT(FLAG, dry_run), .name = "dry-run",
	 .help = "print the commands, and run none"},

	WEIR_OPT_HEADING("What a command may take"),
	{AT(SIZE, mem_limit), .name = "mem-limit", .arg = "SIZE",
	 .help = "address space of a process"},
	{AT(DURATION, cpu_limit_ns), .name = "cpu-limit", .arg = "TIME",
	 .min = WEIR_S, .max = 365 * DAY_NS,
	 .help = "processor time of a process, in whole seconds"},
	{AT(INT, nofile), .name = "nofile", .arg = "N", .min = 3,
	 .max = 1 << 30, .help = "open files of a process"},
	{AT(DIR, dir), .name = "chdir", .arg = "DIR",
	 .help = "run the commands in DIR"},

	WEIR_OPT_HEADING("Not now, but later"),
	{AT(STRING, queue), .name = "queue", .arg = "NAME", .only_flag = true,
	 .help = "enqueue the commands for weir work, and run none",
	 .more = "See QUEUE below."},
	{WEIR_QUEUE_DB_ROW},
	WEIR_OPT_END_ROW,
};

static const char *const synopsis[] = {
	"[OPTIONS] [--] COMMAND [ARGS...] [::: ITEMS...]",
	"[OPTIONS] --shell [--] SCRIPT [::: ITEMS...]",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"ls *.png | weir run -j8 -- ./shrink {} small/{/}", "eight at a time"},
	{"weir run -k --tag host {} ::: a.example b.example",
	 "for each word, with the output in order"},
	{"find . -name '*.log' -print0 | weir run -0 -n 100 gzip",
	 "a hundred at a time, whatever their names"},
	{"weir run --shell 'sort \"$1\" | uniq -c' ::: *.c",
	 "a script, with the item as $1"},
	{"weir run --log run.jsonl --resume run.jsonl -a jobs.txt ./job {}",
	 "go on where an earlier run has stopped"},
	{"weir run --queue night --retries 3 ./render {} ::: *.scene",
	 "run them when somebody works the queue"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Runs a command for each item of its input, several at once, and "
	 "loses "
	 "nothing: no output, no failure, no process.  The input is read as "
	 "slots fall free, so it may be endless, and memory does not grow with "
	 "it."},
	{"PLACES",
	 "The item is put where `{}` stands in the command, or at its end when "
	 "no place is used.  It is part of one argument, whatever is in it; no "
	 "shell sees it.\n"
	 "\n"
	 "{}\tthe item; with `-n`, all items of this command\n"
	 "{.}\twithout its extension\n"
	 "{/}\twithout its directory\n"
	 "{//}\tits directory\n"
	 "{/.}\twithout directory and extension\n"
	 "{#}\tthe number of the job, from 1\n"
	 "{%}\tthe number of its slot, from 1\n"
	 "{1} {2}...\tthe first, second... column or source; also {1.}, {1/}, "
	 "{1//}, {1/.}"},
	{"INPUT",
	 "Items are the lines of standard input, of the files of `-a` and of "
	 "those after `::::`, or the words after `:::`.  Several of these are "
	 "combined, each item of one with each of the others."},
	{"PROCESSES",
	 "A command leads a process group of its own, has nothing open but its "
	 "three standard streams, of which input is empty, and finds WEIR_SEQ, "
	 "WEIR_SLOT and WEIR_ATTEMPT in its environment.  It does not outlive "
	 "weir, and what it leaves behind does not either: a second after the "
	 "command has ended, what still holds its output is ended too."},
	{"OUTPUT",
	 "The output of a command is printed when it has ended, all of it "
	 "together.  What does not fit into two megabytes of memory waits in a "
	 "file without a name in TMPDIR.  Of tries that are followed by "
	 "another "
	 "only standard error is printed."},
	{"RECORDS",
	 "With `--json` and `--log`, an object for each try:\n"
	 "\n"
	 "seq\tthe number of the job\n"
	 "key\ta hash of the command, by which `--resume` knows it\n"
	 "argv\tthe command; or `item`, of which none could be made\n"
	 "attempt\tthe number of the try\n"
	 "status\t`ok`, `failed`, `cancelled`\n"
	 "exit, signal\thow it ended\n"
	 "error\twhy it is not ok\n"
	 "started\twhen\n"
	 "wall_ms, user_ms, sys_ms\thow long, and processor time\n"
	 "max_rss\tits peak of memory, in bytes\n"
	 "stdout_bytes, stderr_bytes\twhat it wrote\n"
	 "slot, pid\twhere it ran\n"
	 "will_retry\twhether another try follows"},
	{"QUEUE",
	 "With `--queue` each command becomes a job of the kind `weir.run` in "
	 "a store, and `weir work NAME` runs it, in this or any other process "
	 "on this machine.  What is printed is the job's id.  `--retries` "
	 "(without it a job has 25 attempts, as durable jobs have) and "
	 "`--timeout` go along with it; how many run at once, and what becomes "
	 "of their output, is the worker's to say, and such options are "
	 "refused.\n"
	 "\n"
	 "The job's args are all that is needed to run it later:\n"
	 "\n"
	 "  {\"argv\": [\"gzip\", \"a.log\"], \"dir\": \"/var/log\"}\n"
	 "\n"
	 "`dir` is that of `--chdir`, or the one that `weir run` was started "
	 "in.  Words that are no UTF-8, which JSON cannot hold, are written as "
	 "{\"base64\": \"...\"}.  The environment does not go along."},
	{"SIGNALS",
	 "INT, TERM, HUP\tStarts nothing more, and lets what runs finish.\n"
	 "again, or `--grace` over\tTERM to what runs, and KILL after "
	 "`--kill-after`.\n"
	 "a third time, or QUIT\tKILL, and ends at once.\n"
	 "USR1\tPrints the state of things."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,
	WEIR_EXIT_FAILURE,
	WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED,
	WEIR_EXIT_HALTED,
	WEIR_EXIT_CANNOT_RUN,
	WEIR_EXIT_NOT_FOUND,
	WEIR_EXIT_HANGUP,
	WEIR_EXIT_INTERRUPTED,
	WEIR_EXIT_QUIT,
	WEIR_EXIT_STDOUT_CLOSED,
	WEIR_EXIT_TERMINATED,
	-1,
};

const struct weir_command weir__cmd_run = {
	.name = "run",
	.summary = "run a command for each item of a list, many at once",
	.group = "Run jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.stop_at_operand = true,
	.run = weir__run_run,
};
