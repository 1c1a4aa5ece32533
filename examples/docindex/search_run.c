/*
 * docindex search: the words become a vector, and the index says what is near.
 *
 * Design.  The words are a document of one chunk, and go through the same
 * stage that documents go through, in a pipeline of that stage alone.  So
 * retries, time-outs and what the API's errors mean are the same for both.
 */
#include "options.h"

#include "base/json.h"
#include "cli/signals.h"
#include "doc.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
	struct weir_cli *cli;
	const struct search_cli_options *options;
	struct index *index;
	struct weir_buf out;
	uint64_t hits;
	unsigned columns;
	bool utf8;
};

static bool
join_words(struct search *s, struct doc *words)
{
	struct text *text = &words->text;
	enum text_status status = TEXT_OK;

	text_init(text, 64 * 1024);
	for (size_t i = 0; i < s->cli->operand_count && status == TEXT_OK;
	     i++) {
		const char *word = s->cli->operands[i];

		status = text_feed(text, i > 0 ? " " : "", i > 0 ? 1 : 0);
		if (status == TEXT_OK)
			status = text_feed(text, word, strlen(word));
	}
	if (status == TEXT_OK)
		status = text_end(text);
	if (status == TEXT_OK && text->data.len > 0)
		return true;
	weir__cli_error(
		s->cli, NULL,
		status == TEXT_OK ? "search for which words?"
		: status == TEXT_TOO_LONG
			? "these are more words than can be searched for"
			: "the words are not UTF-8");
	return false;
}

/* One chunk of all there is, however long. */
static bool
make_chunk(struct doc *words)
{
	words->chunks = calloc(1, sizeof(*words->chunks));
	if (!words->chunks)
		return false;
	words->chunks[0].len = words->text.data.len;
	words->chunk_count = 1;
	return true;
}

static weir_status
embed_words(struct doc *words, struct embed_options *embed,
	    weir_pipeline_result *ret)
{
	weir_pipeline_options options = WEIR_PIPELINE_OPTIONS_INIT;
	weir_pipeline *pipeline;
	weir_stage stage;
	weir_status status;

	embed->width = embed->queue = embed->per_host = 1;
	embed_stage(&stage, embed);
	options.stages = &stage;
	options.stage_count = 1;
	options.in_size = sizeof(words);
	status = weir_pipeline_new(&pipeline, &options);
	if (status != WEIR_OK)
		return status;
	status = weir_pipeline_submit(pipeline, &words, NULL, NULL);
	if (status == WEIR_OK)
		status = weir_pipeline_next(pipeline, ret, NULL, NULL);
	weir_pipeline_free(pipeline);
	return status == WEIR_OK ? ret->result.status : status;
}

static void
put_json(struct search *s, const struct index_hit *hit)
{
	struct weir_json j;

	weir__json_init(&j, &s->out);
	weir__json_begin_object(&j);
	weir__json_key(&j, "score");
	weir__json_fixed(&j, hit->score, 4);
	weir__json_key(&j, "path");
	weir__json_puts(&j, hit->path);
	if (hit->page > 0) {
		weir__json_key(&j, "page");
		weir__json_uint(&j, hit->page);
	}
	weir__json_key(&j, "chunk");
	weir__json_uint(&j, hit->number);
	weir__json_key(&j, "text");
	weir__json_string(&j, hit->text, hit->len);
	weir__json_end_object(&j);
	weir__buf_putc(&s->out, '\n');
}

/* The beginning of the passage, on two lines at most. */
static void
put_passage(struct search *s, const struct index_hit *hit)
{
	size_t room = s->columns > 20 ? 2 * (size_t)s->columns - 16 : 140;
	size_t len = hit->len < room ? hit->len : room;
	struct weir_buf line = {0};

	while (len > 0 && len < hit->len && (hit->text[len] & 0xc0) == 0x80)
		len--;
	for (size_t i = 0; i < len; i++)
		weir__buf_putc(&line,
			       hit->text[i] == '\n' ? ' ' : hit->text[i]);
	weir__buf_puts(&s->out, "      ");
	weir__term_clean(&s->out, weir__buf_str(&line), line.len, s->utf8);
	if (len < hit->len)
		weir__buf_puts(&s->out, s->utf8 ? "…" : "...");
	weir__buf_putc(&s->out, '\n');
	weir__buf_fini(&line);
}

static void
put_text(struct search *s, const struct index_hit *hit)
{
	/* Nothing has no sign. */
	weir__buf_printf(&s->out, "%.2f  ",
			 fabs(hit->score) < 0.005 ? 0.0 : hit->score);
	weir__term_clean(&s->out, hit->path, strlen(hit->path), s->utf8);
	if (hit->page > 0)
		weir__buf_printf(&s->out, "  page %" PRIu32, hit->page);
	weir__buf_putc(&s->out, '\n');
	put_passage(s, hit);
}

static bool
on_hit(const struct index_hit *hit, void *user)
{
	struct search *s = user;

	s->hits++;
	if (s->options->json)
		put_json(s, hit);
	else
		put_text(s, hit);
	return !s->out.failed;
}

static int
print_hits(struct search *s, const struct doc *words)
{
	weir_error error = {WEIR_OK, 0, ""};
	int failed;

	if (index_search(s->index, words->vectors, words->dims,
			 (uint32_t)s->options->limit, on_hit, s,
			 &error) != WEIR_OK) {
		weir__cli_error(s->cli, NULL, "%s", error.message);
		return WEIR_EXIT_FAILURE;
	}
	failed = s->out.failed
			 ? ENOMEM
			 : weir__term_write(STDOUT_FILENO,
					    weir__buf_str(&s->out), s->out.len);
	if (failed)
		return weir__cli_stdout_failed(s->cli, failed);
	if (s->hits > 0)
		return WEIR_EXIT_OK;
	weir__cli_note(s->cli, "the index is empty");
	weir__cli_try(s->cli, "docindex add --db %s FOLDER",
		      s->options->api.db);
	return WEIR_EXIT_SOME_FAILED;
}

/* A person waits, so that it is told what for. */
static void
on_again(const struct doc *doc, const char *why, uint32_t attempt, void *user)
{
	struct search *s = user;

	(void)doc;
	weir__cli_note(s->cli, "%s; try %u/%u", why, attempt + 1,
		       (unsigned)s->options->api.retries + 1);
}

static int
search_words(struct search *s, struct doc *words)
{
	struct embed_options embed;
	weir_pipeline_result result = {.stage = 0};
	int status = api_open(s->cli, &s->options->api, false, &s->index);

	if (status < 0)
		status = api_setup(s->cli, &s->options->api, s->index, &embed);
	if (status >= 0)
		return status;
	embed.again = on_again;
	embed.user = s;
	if (make_chunk(words) &&
	    curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
	    embed_words(words, &embed, &result) == WEIR_OK)
		return print_hits(s, words);
	weir__cli_error(s->cli, NULL, "no vector for these words: %s",
			result.result.error[0] != '\0' ? result.result.error
						       : "out of memory");
	weir__cli_try(s->cli, "--url URL of a server that answers; see "
			      "docs/pipelines.md");
	return WEIR_EXIT_FAILURE;
}

int
search_run(struct weir_cli *cli)
{
	struct search s = {
		.cli = cli,
		.options = cli->options,
		.columns = weir__term_columns(STDOUT_FILENO),
		.utf8 = weir__term_utf8(),
	};
	struct doc *words = doc_new("");
	int status = WEIR_EXIT_USAGE;

	/* There is nothing to finish here: a signal ends it. */
	weir__signals_release();
	if (!words) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	if (join_words(&s, words))
		status = search_words(&s, words);
	index_close(s.index);
	weir__buf_fini(&s.out);
	doc_free(words);
	return status;
}
