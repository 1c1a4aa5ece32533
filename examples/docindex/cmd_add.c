/*
 * docindex add: its options and what is said of it.  What it does is in
 * add_run.c.
 */
#include "options.h"

#include "cli/signals.h"

static const struct add_cli_options defaults = {
	.api = API_DEFAULTS,
	.width = 16,
	.channel = 16,
	.pdftotext = "pdftotext",
	.pdf_timeout_ns = 60 * WEIR_S,
	.pdf_memory = 512 * 1024 * 1024,
	.text_max = 16 * 1024 * 1024,
	.grace_ns = WEIR_STOP_GRACE_NS,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct add_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("Which documents"),
	{AT(FLAG, follow), .letter = 'L', .name = "follow",
	 .help = "follow symbolic links on the way"},
	{AT(FLAG, hidden), .name = "hidden",
	 .help = "names with a leading dot, too"},
	{AT(FLAG, keep), .name = "keep",
	 .help = "do not forget what is no longer there"},

	WEIR_OPT_HEADING("How much at once"),
	{AT(INT, jobs), .letter = 'j', .name = "jobs", .arg = "N",
	 .shown = "one for each core", .min = 0, .max = 1024,
	 .help = "documents whose text is extracted at once"},
	{AT(INT, width), .name = "width", .arg = "N", .shown = "16", .min = 1,
	 .max = 1024, .help = "documents that are embedded at once"},
	{AT(INT, per_host), .name = "per-host", .arg = "N",
	 .shown = "as --width", .min = 0, .max = 1024,
	 .help = "connections to the API at once"},
	{AT(RATE, rate), .name = "rate", .arg = "RATE", .shown = "any",
	 .help = "documents whose embedding is begun, such as 20/s"},
	{AT(INT, channel), .name = "channel", .arg = "N", .shown = "16",
	 .min = 1, .max = 1000,
	 .help = "documents that may wait before each stage"},

	API_INDEX_ROWS(struct add_cli_options),
	API_ROWS(struct add_cli_options),

	WEIR_OPT_HEADING("PDFs"),
	{AT(FILE, pdftotext), .name = "pdftotext", .arg = "PROGRAM",
	 .shown = "pdftotext", .help = "what extracts their text"},
	{AT(DURATION, pdf_timeout_ns), .name = "pdf-timeout", .arg = "TIME",
	 .shown = "60s", .min = WEIR_S, .max = 86400 * WEIR_S,
	 .help = "for one of them"},
	{AT(SIZE, pdf_memory), .name = "pdf-memory", .arg = "SIZE",
	 .shown = "512M", .min = 64 * 1024 * 1024,
	 .help = "address space for one of them"},
	{AT(SIZE, text_max), .name = "text-max", .arg = "SIZE", .shown = "16M",
	 .min = 1024, .max = 1024 * 1024 * 1024,
	 .help = "text of a document, at most"},

	WEIR_OPT_HEADING("The run"),
	{AT(FILE, queue), .name = "queue", .arg = "STORE",
	 .help = "each document becomes a job that survives, in STORE",
	 .more = "A file as `weir work` has it.  The jobs are worked at once; "
		 "`docindex work` works those that others enqueue."},
	{AT(FLAG, json), .name = "json",
	 .help = "a JSON object for each document on standard output"},
	{AT(DURATION, grace_ns), .name = "grace", .arg = "TIME", .shown = "25s",
	 .max = 86400 * WEIR_S,
	 .help = "after a first Ctrl-C, for what is on its way"},
	{AT(DURATION, store_delay_ns), .name = "store-delay", .arg = "TIME",
	 .hidden = true, .max = 60 * WEIR_S,
	 .help = "a transaction takes so long at least"},
	WEIR_OPT_END_ROW,
};

static const char *const synopsis[] = {
	"[OPTIONS] FOLDER|FILE...",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"docindex add --db index.db ~/papers", "index all that is there"},
	{"docindex add --url http://127.0.0.1:8080/v1 report.pdf",
	 "one document, by a local model"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Finds PDFs, text and Markdown, extracts their text, cuts it into "
	 "chunks of 800 to 1000 bytes that end where sentences do, has the API "
	 "make a vector of each, and puts them into the index.\n"
	 "\n"
	 "A document that is in the index as it is, is left alone; one that "
	 "has changed replaces what there was; one that is gone from a FOLDER "
	 "is forgotten.  A run that was stopped, or killed, goes on where it "
	 "was when it is started again."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,          WEIR_EXIT_FAILURE,       WEIR_EXIT_USAGE,
	WEIR_EXIT_SOME_FAILED, WEIR_EXIT_INTERRUPTED,   WEIR_EXIT_QUIT,
	WEIR_EXIT_TERMINATED,  WEIR_EXIT_STDOUT_CLOSED, -1,
};

const struct weir_command cmd_add = {
	.name = "add",
	.summary = "put documents into the index",
	.group = "Commands",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.operands_are_files = true,
	.run = add_run,
};

/* The same options, without operands. */
static const char *const work_synopsis[] = {
	"--queue STORE [OPTIONS]",
	NULL,
};

static const struct weir_command_example work_examples[] = {
	{"docindex work --queue jobs.db --db index.db",
	 "index what is enqueued, until Ctrl-C"},
	{0},
};

static const struct weir_command_section work_sections[] = {
	{"DESCRIPTION",
	 "Works the jobs of the kind `docindex.add` in the queue `docindex` of "
	 "STORE, until it is stopped.  `docindex add --queue` makes them, and "
	 "so does whoever has a new document:\n"
	 "\n"
	 "  weir enqueue docindex --db jobs.db --kind docindex.add --args "
	 "'{\"path\":\"/srv/report.pdf\"}'"},
	{0},
};

const struct weir_command cmd_work = {
	.name = "work",
	.summary = "index the documents that others enqueue",
	.group = "Commands",
	.synopsis = work_synopsis,
	.examples = work_examples,
	.sections = work_sections,
	.exits = exits,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = work_run,
};
