/*
 * weir work: its options and what the manual says of it.
 *
 * The run itself is in work_run.c; what runs the jobs is in src/exec and
 * src/fetch.
 */
#include "cli/cmd_work.h"

#include "cli/signals.h"
#include "weir/base.h"

#define DAY_NS (INT64_C(86400) * WEIR_S)

static const struct work_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
	.per_host = 4,
	.kill_after_ns = 2 * WEIR_S,
	.grace_ns = WEIR_STOP_GRACE_NS,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct work_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("Which jobs, and how many at once"),
	{AT(STRING, jobs), .letter = 'j', .name = "jobs", .arg = "N",
	 .shown = "one for each core; HTTP: 16", .example = "8",
	 .help = "jobs at once: a number, or 200% of the cores"},
	{AT(LIST, kinds), .name = "kind", .arg = "KIND", .only_flag = true,
	 .help = "only jobs of this kind; again for more",
	 .more = "Without it, jobs of all kinds are taken, but for those that "
		 "weir itself makes: `weir.run` and `weir.fetch`."},
	{AT(LIST, limits), .name = "limit", .arg = "KIND=N", .only_flag = true,
	 .help = "at most N jobs of that kind at once; again for more"},
	{AT(RATE, rate), .name = "rate", .arg = "RATE", .example = "20/s",
	 .help = "start at most so many, such as 20/s"},
	{AT(FLAG, until_empty), .name = "until-empty", .only_flag = true,
	 .help = "end when there is nothing to run any more",
	 .more = "Jobs that are to be tried again later, or are scheduled, are "
		 "left where they are.  The exit status is 123 if jobs have "
		 "failed."},

	WEIR_OPT_HEADING("How a job is run"),
	{AT(STRING, http), .name = "http", .arg = "URL", .only_flag = true,
	 .help = "post each job to URL, in place of a command"},
	{AT(FLAG, fetch), .name = "fetch", .only_flag = true,
	 .help = "fetch what `weir fetch --queue` has put there"},
	{AT(DURATION, timeout_ns), .name = "timeout", .arg = "TIME",
	 .shown = "none; HTTP: 5m", .min = WEIR_MS, .max = 365 * DAY_NS,
	 .help = "time for one attempt, if the job itself says none"},
	{AT(DURATION, kill_after_ns), .name = "kill-after", .arg = "TIME",
	 .shown = "2s", .min = 0, .max = DAY_NS,
	 .help = "time between TERM and KILL"},
	{AT(FLAG, output), .name = "output",
	 .help = "keep what it prints, if that is JSON, with the job",
	 .more = "Standard output that is one JSON value of up to 1M, or the "
		 "body of an answer, becomes the job's output, which `weir "
		 "jobs show` prints.  Other output is printed as ever."},
	{AT(DURATION, grace_ns), .name = "grace", .arg = "TIME", .shown = "25s",
	 .min = 0, .max = DAY_NS,
	 .help = "time to finish in after the first TERM"},

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

	WEIR_OPT_HEADING("HTTP"),
	{AT(LIST, headers), .letter = 'H', .name = "header", .arg = "LINE",
	 .example = "'Authorization: Bearer 1234'",
	 .help = "send this header; again for more"},
	{AT(DIR, fetch_dir), .letter = 'o', .name = "output-dir", .arg = "DIR",
	 .help = "with --fetch, write bodies into DIR"},
	{AT(INT, per_host), .name = "per-host", .arg = "N", .shown = "4",
	 .min = 0, .max = 10000,
	 .help = "with --fetch, transfers at once from one host"},
	{AT(FLAG, public_only), .name = "public-only",
	 .help = "refuse addresses that are not public"},
	{AT(FILE, ca_file), .name = "cacert", .arg = "FILE",
	 .help = "trust the certificates in FILE"},
	{AT(FLAG, insecure), .name = "insecure", .only_flag = true,
	 .help = "do not check certificates"},

	WEIR_OPT_HEADING("Output and records"),
	{AT(FLAG, tagged), .name = "tag",
	 .help = "begin each line with the job's id and a tab"},
	{AT(FLAG, lines), .name = "line-buffer",
	 .help = "print whole lines as they come, not a job at a time"},
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each attempt; output to stderr"},
	{AT(FILE, log), .name = "log", .arg = "FILE",
	 .help = "add these JSON objects to FILE"},
	{AT(FLAG, verbose), .letter = 'v', .name = "verbose",
	 .help = "say of each job when it begins and ends"},

	WEIR_OPT_HEADING("The store"),
	{WEIR_QUEUE_DB_ROW},
	{AT(FLAG, alone), .name = "alone",
	 .help = "no other process works this store: faster",
	 .more = "Others may enqueue and look all the same.  Refused while "
		 "another process works the store, as others are refused "
		 "while this one does.  A store in PostgreSQL cannot be worked "
		 "so."},
	{AT(CHOICE, durability), .name = "durability", .arg = "HOW",
	 .shown = "power", .choices = "power|process",
	 .help = "what a result that is written down survives"},
	WEIR_OPT_END_ROW,
};

static const char *const synopsis[] = {
	"[QUEUE[=N]...] [OPTIONS] -- COMMAND [ARGS...]",
	"[QUEUE[=N]...] [OPTIONS] --http URL",
	"[QUEUE[=N]...] [OPTIONS] [--fetch]",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir work mail -j 4 -- ./send-mail",
	 "args are on its standard input"},
	{"weir work mail=4 images=1 -- ./job {kind}",
	 "at most one of images at once"},
	{"weir work hooks --http http://127.0.0.1:8080/jobs",
	 "each job is a POST"},
	{"weir work --until-empty", "what `weir run --queue` has put there"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Takes jobs out of the queues (`default`, if none is named) of a "
	 "store and runs them, until it is told to stop.  Any number of "
	 "workers may do so, in any number of processes on one machine; on "
	 "any machine, if the store is in PostgreSQL.  "
	 "`=N` lets at most N jobs of a queue run at once in this worker.  "
	 "Short jobs are taken as many ahead as last 50 ms, long ones not "
	 "before there is a slot for them; a worker that has nothing to do "
	 "does nothing: it is woken.\n"
	 "\n"
	 "A job runs at least once.  It may run twice: when its worker died "
	 "after the work and before that was written down.  The id is the "
	 "same each time."},
	{"COMMANDS",
	 "COMMAND gets the args of the job, a JSON object, on its standard "
	 "input.  In its ARGS, `{id}`, `{kind}`, `{queue}` and `{attempt}` "
	 "are replaced.  It finds WEIR_JOB_ID, WEIR_JOB_KIND, WEIR_JOB_QUEUE, "
	 "WEIR_JOB_ATTEMPT, WEIR_JOB_MAX_ATTEMPTS and WEIR_JOB_PRIORITY in "
	 "its environment, and lives as under weir-run(1): in a process group "
	 "of its own, with nothing else open, no longer than weir.\n"
	 "\n"
	 "0\tThe job is completed.\n"
	 "65\tIt is discarded: another attempt cannot help.\n"
	 "75\tIt is tried again later; so it is after\n"
	 "other\tany other exit status, a signal, or a time-out; and is "
	 "discarded after its last attempt.\n"
	 "\n"
	 "The last line that it wrote to standard error becomes part of the "
	 "error that is kept with the job, and the last 4 KiB its trace.  A "
	 "command that cannot be started at all is the worker's trouble: the "
	 "job comes back after 10 s, and the attempt does not count.\n"
	 "\n"
	 "Without a COMMAND the jobs that `weir run --queue` has made are "
	 "run, each of which brings its own; their standard input is empty."},
	{"HTTP",
	 "With `--http`, the args are the body of a POST, with the headers "
	 "Content-Type: application/json, Weir-Job-Id, Weir-Job-Kind, "
	 "Weir-Job-Queue, Weir-Job-Attempt, and Idempotency-Key, which is the "
	 "id.  Redirects are not followed.\n"
	 "\n"
	 "2xx\tThe job is completed.\n"
	 "410\tIt is discarded.\n"
	 "other\tIt is tried again later, after what Retry-After says if there "
	 "is one; so it is when no connection could be made.\n"
	 "\n"
	 "With `--fetch`, what `weir fetch --queue` has put there is fetched; "
	 "408, 425, 429, 5xx and failures of the network are tried again "
	 "later, others discarded."},
	{"RECORDS",
	 "With `--json` and `--log`, an object for each attempt, once what "
	 "came of it is in the store:\n"
	 "\n"
	 "id, kind, queue\tthe job\n"
	 "attempt, max_attempts\twhich attempt it was\n"
	 "state\twhat it is now: `completed`, `retryable`, `discarded`, "
	 "`cancelled`, `scheduled`, or `available` if it was handed back; "
	 "`stale` if it was not ours any more\n"
	 "scheduled_at\twhen it is tried again\n"
	 "exit, signal, http_status\thow the attempt ended\n"
	 "error\twhy it is not ok\n"
	 "started\twhen it began\n"
	 "ms\thow long it took"},
	{"SIGNALS",
	 "INT, TERM, HUP\tTakes no more jobs, hands back what has not begun, "
	 "and lets what runs finish.\n"
	 "again, or `--grace` over\tTERM to what runs, KILL after "
	 "`--kill-after`; these jobs are available again, and the attempt "
	 "does not count.  The exit status is 75.\n"
	 "a third time, or QUIT\tKILL, and ends at once; the jobs come back "
	 "when the next worker sees that this one is gone.\n"
	 "USR1\tPrints the state of things.\n"
	 "USR2\tTakes no more jobs, until the next USR2."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,          WEIR_EXIT_FAILURE,     WEIR_EXIT_USAGE,
	WEIR_EXIT_HANDED_BACK, WEIR_EXIT_SOME_FAILED, WEIR_EXIT_CANNOT_RUN,
	WEIR_EXIT_NOT_FOUND,   WEIR_EXIT_HANGUP,      WEIR_EXIT_INTERRUPTED,
	WEIR_EXIT_QUIT,        WEIR_EXIT_TERMINATED,  -1,
};

const struct weir_command weir__cmd_work = {
	.name = "work",
	.summary = "run the jobs of a store, as commands or HTTP calls",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__work_run,
};
