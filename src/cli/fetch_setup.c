/*
 * Before the run of weir fetch: from options and operands to what the engine
 * takes, and everything that can be refused is refused here.
 *
 * Locking: none; there is one thread yet.
 */
#include "cli/fetch_run.h"

#include "cli/live.h"
#include "cli/nofile.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_MAX (64 * 1024 * 1024)

int
weir__fetch_fail(struct fetch_run *run, const char *what, int error_number,
		 const char *where)
{
	weir__cli_error(run->cli, what, "%s (%s)", strerror(error_number),
			where);
	return WEIR_EXIT_FAILURE;
}

int
weir__fetch_no_memory(struct fetch_run *run)
{
	weir__cli_error(run->cli, NULL, "out of memory");
	return WEIR_EXIT_FAILURE;
}

static int
check_options(struct fetch_run *run)
{
	const struct fetch_cli_options *o = run->options;
	const char *wrong = NULL;

	if (o->ipv4 && o->ipv6)
		wrong = "--ipv4 and --ipv6 exclude each other";
	else if (o->http1 && o->http2)
		wrong = "--http1.1 and --http2 exclude each other";
	else if (o->public_only && (o->proxy || o->env_proxy))
		wrong = "--public-only cannot see through a proxy";
	else if (o->only_failed && !o->resume)
		wrong = "--retry-failed needs --resume RECORDS";
	else if (o->head && o->data.count > 0)
		wrong = "--head and --data exclude each other";
	else if (o->head && o->dir)
		wrong = "--head leaves nothing for --output-dir to write";
	else if (o->method &&
		 !weir__fetch_method_check(o->method, strlen(o->method)))
		wrong = "--request takes a word, such as PUT";
	if (!wrong)
		return -1;
	weir__cli_error(run->cli, NULL, "%s", wrong);
	return WEIR_EXIT_USAGE;
}

static int
take_headers(struct fetch_run *run)
{
	const struct weir_option_list *headers = &run->options->headers;

	for (size_t i = 0; i < headers->count; i++) {
		const char *header = headers->items[i];
		const char *why =
			weir__fetch_header_check(header, strlen(header));
		struct curl_slist *list;

		if (why) {
			/* The value may be a secret: say which, not what. */
			weir__cli_error(run->cli, "--header",
					"number %zu is %s", i + 1, why);
			return WEIR_EXIT_USAGE;
		}
		list = curl_slist_append(run->engine_options.headers, header);
		if (!list)
			return weir__fetch_no_memory(run);
		run->engine_options.headers = list;
	}
	return -1;
}

/* As curl does: without line breaks and NUL bytes. */
static int
read_data(struct fetch_run *run, const char *path, struct weir_buf *data)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[16 * 1024];
	ssize_t got = 0;

	while (fd >= 0 && data->len < DATA_MAX &&
	       (got = read(fd, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < got; i++)
			if (piece[i] != '\n' && piece[i] != '\r' &&
			    piece[i] != '\0')
				weir__buf_putc(data, piece[i]);
	if (fd >= 0 && got >= 0) {
		(void)close(fd);
		return -1;
	}
	got = errno;
	if (fd >= 0)
		(void)close(fd);
	return weir__fetch_fail(run, "cannot read", (int)got, path);
}

static int
take_data(struct fetch_run *run)
{
	const struct weir_option_list *items = &run->options->data;
	struct weir_buf data = {0};
	int status = -1;

	if (items->count == 0)
		return -1;
	for (size_t i = 0; i < items->count && status < 0; i++) {
		if (i > 0)
			weir__buf_putc(&data, '&');
		if (items->items[i][0] == '@')
			status = read_data(run, items->items[i] + 1, &data);
		else
			weir__buf_puts(&data, items->items[i]);
	}
	weir__buf_reserve(&data, 1);
	run->body = data.data;
	run->engine_options.body = data.data;
	run->engine_options.body_len = data.len;
	return status < 0 && data.failed ? weir__fetch_no_memory(run) : status;
}

int
weir__fetch_take_options(struct fetch_run *run)
{
	const struct fetch_cli_options *o = run->options;
	struct weir_fetch_options *e = &run->engine_options;
	bool size_given =
		weir__option_source(run->cli, "max-size") != WEIR_FROM_DEFAULT;
	int status;

	*e = (struct weir_fetch_options){
		.jobs = (uint32_t)o->jobs,
		.per_host = (uint32_t)o->per_host,
		.retries = (uint32_t)o->retries,
		.rate = o->rate,
		.limit_rate = o->limit_rate,
		.timeout_ns = o->timeout_ns,
		.connect_ns = o->connect_ns,
		.first_byte_ns = o->first_byte_ns,
		.stall_ns = o->stall_ns,
		.retry_after_ns_max = 300 * WEIR_S,
		.body_max = o->dir && !size_given ? 0 : o->max_size,
		.method = o->method,
		.user_agent = o->user_agent,
		.head = o->head,
		.compressed = o->compressed,
		.http = o->http1   ? WEIR_FETCH_HTTP_1
			: o->http2 ? WEIR_FETCH_HTTP_2
				   : WEIR_FETCH_HTTP_ANY,
		.ip = o->ipv4   ? WEIR_FETCH_IP_4
		      : o->ipv6 ? WEIR_FETCH_IP_6
				: WEIR_FETCH_IP_ANY,
		.insecure = o->insecure,
		.public_only = o->public_only,
		.ca_file = o->ca_file,
		.proxy = o->proxy,
		.env_proxy = o->env_proxy,
		.details = o->json || o->records || o->dir || o->resume,
		.checksum = o->checksum || o->dir,
		.resume_parts = o->resume != NULL,
	};
	if (!e->user_agent)
		e->user_agent = "weir/0.1.0";
	status = check_options(run);
	if (status < 0)
		status = take_headers(run);
	if (status < 0)
		status = take_data(run);
	return status;
}

/* The number of jobs for which so many descriptors are enough. */
static uint32_t
jobs_that_fit(struct weir_fetch_options options, bool files, uint64_t most)
{
	while (options.jobs > 1 &&
	       weir__fetch_engine_descriptors(&options, files) > most)
		options.jobs--;
	return options.jobs;
}

/* Make sure that -j transfers can have their descriptors. */
int
weir__fetch_raise_limit(struct fetch_run *run)
{
	bool files = run->options->dir != NULL;
	uint64_t need =
		weir__fetch_engine_descriptors(&run->engine_options, files);
	struct weir_nofile found;

	if (weir__cli_raise_nofile(run->cli, run->engine_options.jobs, need,
				   &found))
		return -1;
	weir__cli_try(run->cli, "weir fetch -j %u",
		      jobs_that_fit(run->engine_options, files, found.max));
	return WEIR_EXIT_FAILURE;
}

/* Which lists?  They should be there before anything is fetched. */
int
weir__fetch_take_operands(struct fetch_run *run)
{
	static const char *const standard_input[] = {"-"};

	run->files = run->cli->operands;
	run->file_count = run->cli->operand_count;
	if (run->file_count == 0 && run->options->only_failed) {
		run->resume_file[0] = run->options->resume;
		run->files = run->resume_file;
		run->file_count = 1;
		run->from_records = true;
	} else if (run->file_count == 0) {
		run->files = standard_input;
		run->file_count = 1;
		if (isatty(STDIN_FILENO)) {
			weir__cli_note(run->cli, "nothing to fetch; give a "
						 "FILE of URLs, or pipe them "
						 "in");
			return WEIR_EXIT_OK;
		}
	}
	for (size_t i = 0; i < run->file_count; i++)
		if (strcmp(run->files[i], "-") != 0 &&
		    access(run->files[i], R_OK) != 0)
			return weir__fetch_fail(run, "cannot read", errno,
						run->files[i]);
	return -1;
}

/* Where the records go, and whether to add to what is there. */
int
weir__fetch_open_records(struct fetch_run *run)
{
	const struct fetch_cli_options *o = run->options;
	struct weir_buf path = {0};

	if (o->records)
		weir__buf_puts(&path, o->records);
	else if (o->resume)
		weir__buf_puts(&path, o->resume);
	else if (o->dir)
		weir__buf_printf(&path, "%s%sweir-fetch.jsonl", o->dir,
				 o->dir[strlen(o->dir) - 1] == '/' ? "" : "/");
	else
		return -1;
	if (path.failed)
		return weir__fetch_no_memory(run);
	run->records_path = path.data;
	run->report.records = true;
	return weir__records_open(
		run->cli, path.data, o->resume != NULL, run->files,
		run->from_records ? 0 : run->file_count, &run->records_fd);
}
