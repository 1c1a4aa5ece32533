/*
 * weir fetch: its options and what the manual says of it.
 *
 * The run itself is in fetch_run.c, and what does the work in src/fetch.
 */
#include "cli/cmd_fetch.h"

#include "cli/cmd_queue.h"
#include "cli/signals.h"
#include "weir/base.h"

static const struct fetch_cli_options defaults = {
	.jobs = 16,
	.per_host = 4,
	.retries = 3,
	.max_size = UINT64_C(64) << 20,
	.timeout_ns = 300 * WEIR_S,
	.connect_ns = 10 * WEIR_S,
	.first_byte_ns = 30 * WEIR_S,
	.stall_ns = 30 * WEIR_S,
	.grace_ns = WEIR_STOP_GRACE_NS,
	.db = WEIR_QUEUE_DB_DEFAULT,
};

#define DAY_NS          (INT64_C(86400) * WEIR_S)
#define AT(kind, field) WEIR_OPT_##kind##_AT(struct fetch_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("How much at once"),
	{AT(INT, jobs), .letter = 'j', .name = "jobs", .arg = "N",
	 .shown = "16", .min = 1, .max = 10000, .help = "transfers at once"},
	{AT(INT, per_host), .name = "per-host", .arg = "N", .shown = "4",
	 .min = 0, .max = 10000,
	 .help = "transfers at once from one host; 0: no cap",
	 .more = "A host is a name and a port.  Lines whose host is busy wait, "
		 "at most four for each of `-j`, while those behind them "
		 "start."},
	{AT(RATE, rate), .name = "rate", .arg = "RATE", .example = "20/s",
	 .help = "start at most so many, such as 20/s"},
	{AT(BYTE_RATE, limit_rate), .name = "limit-rate", .arg = "BYTES",
	 .example = "2M",
	 .help = "receive at most so many bytes a second, "
		 "all transfers together"},

	WEIR_OPT_HEADING("How long, how large, how often"),
	{AT(INT, retries), .name = "retries", .arg = "N", .shown = "3",
	 .min = 0, .max = 100,
	 .help = "tries after the first, when it may help",
	 .more = "Tried again are connections that cannot be made and the "
		 "answers 408, 425, 429 and 5xx, after a random time that "
		 "doubles from 500ms on, or after what Retry-After says, at "
		 "most five minutes."},
	{AT(DURATION, timeout_ns), .name = "timeout", .arg = "TIME",
	 .shown = "5m", .min = WEIR_MS, .max = 30 * DAY_NS,
	 .help = "time for one try"},
	{AT(DURATION, connect_ns), .name = "connect-timeout", .arg = "TIME",
	 .shown = "10s", .min = WEIR_MS, .max = DAY_NS,
	 .help = "time to make a connection, names and TLS included"},
	{AT(DURATION, first_byte_ns), .name = "first-byte-timeout",
	 .arg = "TIME", .shown = "30s", .min = WEIR_MS, .max = DAY_NS,
	 .help = "time until the answer begins"},
	{AT(DURATION, stall_ns), .name = "stall-timeout", .arg = "TIME",
	 .shown = "30s", .min = WEIR_MS, .max = DAY_NS,
	 .help = "time in which nothing may arrive"},
	{AT(SIZE, max_size), .name = "max-size", .arg = "SIZE",
	 .shown = "64M; none with -o",
	 .help = "the largest body, counted as it arrives; 0: any"},
	{AT(DURATION, max_time_ns), .name = "max-time", .arg = "TIME", .min = 0,
	 .max = 365 * DAY_NS,
	 .help = "time for the whole run; then exit with 124"},
	{AT(DURATION, grace_ns), .name = "grace", .arg = "TIME", .shown = "25s",
	 .min = 0, .max = DAY_NS,
	 .help = "time to finish in after the first Ctrl-C"},

	WEIR_OPT_HEADING("Where it goes"),
	{AT(FLAG, json), .name = "json",
	 .help = "print a JSON object for each URL",
	 .more = "See RECORDS below."},
	{AT(FLAG, ordered), .letter = 'k', .name = "keep-order",
	 .help = "print in the order of the input"},
	{AT(DIR, dir), .letter = 'o', .name = "output-dir", .arg = "DIR",
	 .help = "write bodies to files in DIR, and records beside them",
	 .more = "A body is written under a hidden name and gets its own when "
		 "it is complete: the last part of the URL's path, or `out` of "
		 "the line, made harmless.  If that name is taken, a hash of "
		 "the URL is put into it."},
	{AT(FLAG, checksum), .name = "checksum",
	 .help = "compute the bodies' SHA-256; always done with -o"},
	{AT(FILE, records), .name = "records", .arg = "FILE",
	 .shown = "DIR/weir-fetch.jsonl with -o",
	 .help = "write the JSON objects to FILE, too"},
	{AT(FILE, resume), .name = "resume", .arg = "RECORDS",
	 .help = "leave out what these records say was fetched",
	 .more = "Further records are added to the same file, unless "
		 "`--records` names another.  With `-o`, files of which only "
		 "the beginning is there are continued, if the server says "
		 "that they are still the same (If-Range).  A line with a "
		 "method or body of its own is left out only if it has an "
		 "`id`, for a URL alone does not name it.  Eight bytes of "
		 "memory are kept for each URL in RECORDS."},
	{AT(FLAG, only_failed), .name = "retry-failed",
	 .help = "with --resume, fetch only what has failed",
	 .more = "Without a FILE, the URLs are those in RECORDS.  Methods, "
		 "headers and bodies are not recorded: where lines have them, "
		 "give the FILE again."},
	{AT(CHOICE, exit_code), .name = "exit-code", .arg = "HOW",
	 .shown = "xargs", .choices = "xargs|count",
	 .help = "`xargs`: 123 if some failed; `count`: how many",
	 .more = "`count` is GNU parallel's way: 1 to 100 failed, or 101 when "
		 "it was more.  A count of 1 or 2 then looks like a failure of "
		 "weir's own or a wrong command line.  Its ways `first` and "
		 "`max` are about the exit statuses of commands, which URLs "
		 "do not have."},

	WEIR_OPT_HEADING("What is sent"),
	{AT(STRING, method), .letter = 'X', .name = "request", .arg = "METHOD",
	 .help = "the method, in place of GET or POST"},
	{AT(LIST, headers), .letter = 'H', .name = "header",
	 .arg = "'NAME: VALUE'", .help = "another header; again for more"},
	{AT(LIST, data), .letter = 'd', .name = "data", .arg = "TEXT",
	 .help = "send this with POST; @FILE: the file, without line breaks"},
	{AT(FLAG, head), .letter = 'I', .name = "head",
	 .help = "ask for the head alone"},
	{AT(STRING, user_agent), .letter = 'A', .name = "user-agent",
	 .arg = "TEXT", .shown = "weir/VERSION",
	 .help = "what we call ourselves"},
	{AT(FLAG, compressed), .name = "compressed",
	 .help = "ask for compressed bodies, and unpack them"},
	{AT(FLAG, http1), .name = "http1.1", .help = "use HTTP/1.1"},
	{AT(FLAG, http2), .name = "http2",
	 .help = "use HTTP/2 where the server has it"},
	{AT(FLAG, ipv4), .letter = '4', .name = "ipv4",
	 .help = "use IPv4 only"},
	{AT(FLAG, ipv6), .letter = '6', .name = "ipv6",
	 .help = "use IPv6 only"},

	WEIR_OPT_HEADING("Whom to trust"),
	{AT(FLAG, public_only), .name = "public-only",
	 .help = "connect to public addresses only",
	 .more = "Checked is the address that is connected to, after redirects "
		 "too, so that no name can lead into a private network.  For "
		 "lists from strangers."},
	{AT(FLAG, insecure), .name = "insecure",
	 .help = "do not check certificates"},
	{AT(FILE, ca_file), .name = "cacert", .arg = "FILE",
	 .help = "trust the certificates in FILE"},
	{AT(STRING, proxy), .name = "proxy", .arg = "URL",
	 .help = "go through this proxy"},
	{AT(FLAG, env_proxy), .name = "use-env-proxy",
	 .help = "go through the proxy that http_proxy and so on name"},

	WEIR_OPT_HEADING("Not now, but later"),
	{AT(STRING, queue), .name = "queue", .arg = "NAME", .only_flag = true,
	 .help = "enqueue the lines for weir work, and fetch none",
	 .more = "See QUEUE below."},
	{WEIR_QUEUE_DB_ROW},
	WEIR_OPT_END_ROW,
};

static const char *const synopsis[] = {
	"[OPTIONS] [FILE...|-]",
	"[OPTIONS] --resume RECORDS --retry-failed",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir fetch urls.txt -o out/", "fetch each line of a file into out/"},
	{"weir fetch --json -j 100 <urls.txt >records.jsonl",
	 "look at many, and keep what came of each"},
	{"weir fetch --resume out/weir-fetch.jsonl -o out/ urls.txt",
	 "go on where an earlier run has stopped"},
	{"weir fetch --queue night urls.txt",
	 "fetch them when somebody works the queue"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Fetches each URL of a list over HTTP or HTTPS, several at once, and "
	 "says what came of it: one line for each on standard output, as they "
	 "end.  The list is read as slots fall free, so it may be endless, "
	 "and memory does not grow with it."},
	{"INPUT",
	 "A line is a URL, or a JSON object with `url` and, as wanted, "
	 "`method`, `headers` (an object), `body` (a text, or JSON that is "
	 "sent as such), `out` (the name of the file) and `id` (repeated in "
	 "the record).  Blank lines and lines that begin with `#` are left "
	 "out.  A line that cannot be used is a failure like others, and the "
	 "rest goes on.\n"
	 "\n"
	 "  {\"url\": \"https://a.example/\", \"method\": \"PUT\", "
	 "\"body\": {\"n\": 1}}"},
	{"RECORDS",
	 "Each has all of these, null where there is nothing to tell.\n"
	 "\n"
	 "id\tthat of the line, or the line's place in the input\n"
	 "url, final_url\tbefore and after redirects, without passwords\n"
	 "status\t`ok`, `failed`, `cancelled` or `skipped`\n"
	 "http_status\tof the last answer\n"
	 "attempts\thow often it was tried\n"
	 "bytes\tof the body\n"
	 "sha256, file\twith `--checksum`, with `-o`\n"
	 "wait_ms\tfrom reading the line to the first try\n"
	 "dns_ms, connect_ms, tls_ms\tof the last try; ttfb_ms from its "
	 "beginning to the first byte\n"
	 "total_ms\tfrom reading the line to the end\n"
	 "remote, http_version\tof the last connection\n"
	 "error\twhy it is not ok"},
	{"QUEUE",
	 "With `--queue` each line becomes a job of the kind `weir.fetch` in a "
	 "store, and `weir work NAME --fetch` fetches it, in this or any other "
	 "process on this machine.  What is printed is the job's id.  The "
	 "job's args "
	 "are the line's object, or one with its `url`, and what `--request`, "
	 "`--header` and `--data` say where the line does not.  `--retries` "
	 "and `--timeout` go along with the job; everything else is the "
	 "worker's to say, and such options are refused.  Mind that headers "
	 "and bodies stand in the store as they are, secrets too."},
	{"SAFETY",
	 "Redirects go to http and https only, at most ten of them, and from "
	 "https never back.  Names and passwords in URLs, and the headers "
	 "Authorization and Cookie, are not sent on to another host or port "
	 "and are shown nowhere; other headers of yours are sent on.  Neither "
	 "`.netrc` nor the environment's proxy is used unless asked for."},
	{"SIGNALS",
	 "INT, TERM, HUP\tReads no more, ends sleeps between tries, and lets "
	 "what runs finish.\n"
	 "again, or `--grace` over\tCancels what runs.\n"
	 "a third time, or QUIT\tEnds at once.\n"
	 "USR1\tPrints the state of things."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,
	WEIR_EXIT_FAILURE,
	WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED,
	WEIR_EXIT_HALTED,
	WEIR_EXIT_HANGUP,
	WEIR_EXIT_INTERRUPTED,
	WEIR_EXIT_QUIT,
	WEIR_EXIT_STDOUT_CLOSED,
	WEIR_EXIT_TERMINATED,
	-1,
};

const struct weir_command weir__cmd_fetch = {
	.name = "fetch",
	.summary = "fetch a list of URLs, many at once",
	.group = "Run jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.operands_are_files = true,
	.run = weir__fetch_run,
};
