/*
 * weir fetch --queue: the lines become jobs of a store, and none is fetched.
 *
 * Design: a line is judged by what judges lines of a fetch, and goes into the
 * store as it stands: an object stays what it is, byte for byte.  What flags
 * say of all lines is added to those that do not say it themselves.
 */
#include "cli/fetch_run.h"

#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "cli/queue_batch.h"
#include "cli/queue_open.h"
#include "cli/queue_refuse.h"
#include "fetch/draft.h"
#include "fetch/input.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct queue_refusal refusals[] = {
	{"jobs per-host rate limit-rate connect-timeout first-byte-timeout "
	 "stall-timeout max-size max-time grace exit-code user-agent "
	 "compressed http1.1 http2 ipv4 ipv6 public-only insecure cacert proxy "
	 "use-env-proxy",
	 "how lines are fetched is for weir work to say"},
	{"keep-order output-dir checksum records",
	 "nothing is fetched, so there is no output"},
	{"resume retry-failed",
	 "a store knows by itself what is done; see weir jobs"},
	{"head", "say \"method\": \"HEAD\" in the lines"},
};

struct queueing {
	struct fetch_run *run; /* its options are checked as for a fetch */
	struct queue_batch *batch;
	weir_insert template;
	struct weir_buf headers; /* the object of -H; empty: none */
	struct weir_buf args;    /* of one job */
};

static int
usage(struct queueing *q, const char *what, const char *why)
{
	weir__cli_error(q->run->cli, what, "%s", why);
	return WEIR_EXIT_USAGE;
}

/* Is it there twice?  An object has a name once. */
static bool
has_twin(const struct weir_option_list *headers, size_t i)
{
	size_t len = strcspn(headers->items[i], ":;");

	for (size_t k = 0; k < i; k++)
		if (strcspn(headers->items[k], ":;") == len &&
		    strncasecmp(headers->items[k], headers->items[i], len) == 0)
			return true;
	return false;
}

/* "Name: value", as a member. */
static void
put_header(struct weir_json *j, const char *header)
{
	size_t len = strcspn(header, ":;");
	struct weir_buf name = {0};
	const char *value = header + len + (header[len] != '\0');

	weir__buf_append(&name, header, len);
	weir__json_key(j, weir__buf_str(&name));
	weir__json_puts(j, value + strspn(value, " \t"));
	if (name.failed)
		j->buf->failed = true;
	weir__buf_fini(&name);
}

static int
take_headers(struct queueing *q)
{
	const struct weir_option_list *headers = &q->run->options->headers;
	struct weir_json j;

	if (headers->count == 0)
		return -1;
	weir__json_init(&j, &q->headers);
	weir__json_begin_object(&j);
	for (size_t i = 0; i < headers->count; i++) {
		if (has_twin(headers, i))
			return usage(q, "--header",
				     "with --queue, a name may come once");
		if (!weir__utf8_is_valid(headers->items[i],
					 strlen(headers->items[i])))
			return usage(q, "--header",
				     "with --queue, it has to be UTF-8");
		put_header(&j, headers->items[i]);
	}
	weir__json_end_object(&j);
	return q->headers.failed ? weir__fetch_no_memory(q->run) : -1;
}

static int
take_options(struct queueing *q)
{
	const struct fetch_cli_options *o = q->run->options;
	const struct weir_fetch_options *e = &q->run->engine_options;
	int status = weir__queue_refuse(q->run->cli, refusals,
					sizeof(refusals) / sizeof(refusals[0]));

	if (status < 0)
		status = weir__fetch_take_options(q->run);
	if (status < 0)
		status = take_headers(q);
	if (status < 0 && e->body && !weir__utf8_is_valid(e->body, e->body_len))
		status = usage(q, "--data", "with --queue, it has to be UTF-8");
	if (status < 0)
		status = weir__fetch_take_operands(q->run);
	weir_insert_init(&q->template);
	q->template.kind = "weir.fetch";
	q->template.queue = o->queue;
	q->template.max_attempts = (uint32_t)o->retries + 1;
	q->template.timeout_ns = o->timeout_ns;
	return status < 0 ? weir__batch_check(q->run->cli, &q->template, true)
			  : status;
}

/* Members that a line has of its own. */
struct own {
	bool method, headers, body;
};

static void
copy_members(struct weir_json *j, const char *line, size_t len, struct own *own)
{
	struct weir_json_scan scan;
	struct weir_json_member m;
	struct weir_buf name = {0};

	weir__json_scan_init(&scan, line, len);
	while (weir__json_scan_next(&scan, &m)) {
		own->method |= weir__json_is(m.name, m.name_len, "method");
		own->headers |= weir__json_is(m.name, m.name_len, "headers");
		own->body |= weir__json_is(m.name, m.name_len, "body");
		/* The names are known ones, so nothing in them is escaped. */
		weir__buf_reset(&name);
		weir__buf_append(&name, m.name + 1, m.name_len - 2);
		weir__json_key(j, weir__buf_str(&name));
		weir__json_raw(j, m.value, m.value_len);
	}
	weir__buf_fini(&name);
}

/* What the flags say, and the line does not. */
static void
put_flags(struct queueing *q, struct weir_json *j, const struct own *own)
{
	const struct weir_fetch_options *e = &q->run->engine_options;

	if (e->method && !own->method) {
		weir__json_key(j, "method");
		weir__json_puts(j, e->method);
	}
	if (q->headers.len > 0 && !own->headers) {
		weir__json_key(j, "headers");
		weir__json_raw(j, q->headers.data, q->headers.len);
	}
	if (e->body && !own->body) {
		weir__json_key(j, "body");
		weir__json_string(j, e->body, e->body_len);
	}
}

static void
put_args(struct queueing *q, const char *text, size_t len)
{
	struct own own = {0};
	struct weir_json j;

	weir__buf_reset(&q->args);
	weir__json_init(&j, &q->args);
	weir__json_begin_object(&j);
	if (text[0] == '{') {
		copy_members(&j, text, len, &own);
	} else {
		weir__json_key(&j, "url");
		weir__json_string(&j, text, len);
	}
	put_flags(q, &j, &own);
	weir__json_end_object(&j);
}

static void
add_line(struct queueing *q, const struct weir_line *line, const char *text,
	 size_t len)
{
	weir_insert insert = q->template;

	put_args(q, text, len);
	if (q->args.failed) {
		q->batch->exit = weir__queue_no_memory(q->run->cli);
		return;
	}
	insert.args = weir__batch_keep(q->batch, q->args.data, q->args.len);
	insert.args_len = q->args.len;
	if (insert.args)
		weir__batch_add(q->batch, &insert, line->number, q->args.len);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void
take_line(struct queue_lines *lines, const struct weir_line *line)
{
	static const uint64_t key[2];
	struct queueing *q = lines->user;
	struct weir_fetch_request *request = NULL;
	const char *text = line->text;
	size_t len = line->len;
	char why[WEIR_ERROR_MAX];
	weir_status status;

	for (; len > 0 && is_blank(*text); len--)
		text++;
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	if (len == 0 || *text == '#') {
		lines->count--;
		return;
	}
	status = weir__fetch_draft(&request, text, len, key, why, sizeof(why));
	weir__fetch_request_free(request);
	if (status == WEIR_NOMEM)
		q->batch->exit = weir__queue_no_memory(q->run->cli);
	else if (status != WEIR_OK)
		weir__batch_bad_line(lines, line, why);
	else if (!weir__utf8_is_valid(text, len))
		weir__batch_bad_line(lines, line, "it is no UTF-8");
	else
		add_line(q, line, text, len);
}

static int
enqueue(struct queueing *q)
{
	struct queue_lines lines = {
		.files = q->run->files,
		.file_count = q->run->file_count,
		.max = WEIR_FETCH_LINE_MAX,
		.take = take_line,
		.user = q,
	};
	int status = weir__batch_begin(&q->batch, q->run->cli,
				       q->run->options->db, WEIR_DURABLE_POWER);

	if (status >= 0)
		return status;
	q->batch->json = q->run->options->json;
	q->batch->ours = true;
	lines.batch = q->batch;
	weir__batch_read(&lines);
	if (lines.count == 0 && !weir__batch_is_over(q->batch))
		weir__cli_note(q->run->cli, "no URLs in the input");
	return weir__batch_end(q->batch);
}

int
weir__fetch_enqueue(struct weir_cli *cli)
{
	struct fetch_run *run = calloc(1, sizeof(*run));
	struct queueing q = {.run = run};
	int status;

	if (!run)
		return weir__queue_no_memory(cli);
	run->cli = cli;
	run->options = cli->options;
	status = take_options(&q);
	if (status < 0)
		status = enqueue(&q);
	weir__batch_free(q.batch);
	weir__buf_fini(&q.args);
	weir__buf_fini(&q.headers);
	curl_slist_free_all(run->engine_options.headers);
	free(run->body);
	free(run);
	return status;
}
