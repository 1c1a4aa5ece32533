/*
 * What the commands of docindex can be told, and what they share.
 */
#ifndef WEIR_EXAMPLES_DOCINDEX_OPTIONS_H
#define WEIR_EXAMPLES_DOCINDEX_OPTIONS_H

#include "cli/command.h"
#include "embed.h"
#include "index.h"

/* Which index, and whose vectors. */
struct api_cli_options {
	const char *db, *vec0;
	const char *url, *model;
	enum embed_encoding encoding;
	int64_t timeout_ns, retries;
};

struct add_cli_options {
	struct api_cli_options api;
	int64_t jobs, width, per_host, channel;
	double rate;
	const char *pdftotext, *queue;
	int64_t pdf_timeout_ns, grace_ns, store_delay_ns;
	uint64_t pdf_memory, text_max;
	bool follow, hidden, keep, json;
};

struct search_cli_options {
	struct api_cli_options api;
	int64_t limit;
	bool json;
};

/* The rows of the table for a struct that has an `api`. */
#define API_AT(kind, type, field) WEIR_OPT_##kind##_AT(type, api.field)

#define API_INDEX_ROWS(type)                                                   \
	WEIR_OPT_HEADING("The index"),                                         \
		{API_AT(FILE, type, db), .name = "db", .arg = "FILE",          \
		 .shown = "index.db", .help = "the index"},                    \
	{                                                                      \
		API_AT(FILE, type, vec0),                                      \
			.name = "vec0", .arg = "FILE",                         \
			.shown = "as it is found",                             \
			.help = "where sqlite-vec is, or `none`",              \
			.more = "A new index uses sqlite-vec if it is found, " \
				"else a "                                      \
				"scan of its own.  Both give the same "        \
				"answers."                                     \
	}

#define API_ROWS(type)                                                         \
	WEIR_OPT_HEADING("The embeddings"),                                    \
		{API_AT(STRING, type, url),                                    \
		 .name = "url",                                                \
		 .arg = "URL",                                                 \
		 .shown = "$OPENAI_BASE_URL",                                  \
		 .example = "http://127.0.0.1:8080/v1",                        \
		 .help = "of an OpenAI-compatible API, such as "               \
			 "http://127.0.0.1:8080/v1",                           \
		 .more = "The key is read from OPENAI_API_KEY and from "       \
			 "nowhere else; without one none is sent."},           \
		{API_AT(STRING, type, model), .name = "model", .arg = "NAME",  \
		 .shown = "that of the index, or " MODEL_DEFAULT,              \
		 .help = "which model"},                                       \
		{API_AT(CHOICE, type, encoding),                               \
		 .name = "encoding",                                           \
		 .arg = "HOW",                                                 \
		 .shown = "float",                                             \
		 .choices = "float|base64",                                    \
		 .help = "how vectors travel: `float`, `base64`",              \
		 .more = "`base64` is a third of the bytes; not every server " \
			 "has it."},                                           \
		{API_AT(DURATION, type, timeout_ns),                           \
		 .name = "timeout",                                            \
		 .arg = "TIME",                                                \
		 .shown = "60s",                                               \
		 .min = WEIR_MS,                                               \
		 .max = 3600 * WEIR_S,                                         \
		 .help = "for one request"},                                   \
	{                                                                      \
		API_AT(INT, type, retries),                                    \
			.name = "retries", .arg = "N", .shown = "5", .min = 0, \
			.max = 1000,                                           \
			.help = "further tries when the API fails",            \
			.more = "After 0.5s, 1s, 2s and so on, at most 30s, "  \
				"less a "                                      \
				"random part; or after what a Retry-After "    \
				"says."                                        \
	}

#define MODEL_DEFAULT "text-embedding-3-small"

#define API_DEFAULTS                                                      \
	{                                                                 \
		.db = "index.db", .timeout_ns = 60 * WEIR_S, .retries = 5 \
	}

/*
 * What an API is asked with, from the options, the environment and the index.
 *
 * Waits:   for stderr to take an error.
 * Threads: the main thread.
 * Owns:    the texts are those of options, index and environment.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int api_setup(struct weir_cli *cli, const struct api_cli_options *options,
	      const struct index *index, struct embed_options *ret);

/*
 * Open the index; what is wrong with it is told with what to do about it.
 *
 * Waits:   for the disk, and for stderr to take an error.
 * Threads: the main thread.
 * Owns:    the caller owns *out.
 * Returns: -1, or the exit status after an error, which has been printed.
 */
int api_open(struct weir_cli *cli, const struct api_cli_options *options,
	     bool write, struct index **out);

/* The commands, each in a file of its own; `run` is in another. */
extern const struct weir_command cmd_add, cmd_search, cmd_work;

int add_run(struct weir_cli *cli);
int search_run(struct weir_cli *cli);
int work_run(struct weir_cli *cli);

#endif
