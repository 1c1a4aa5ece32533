/*
 * What all commands need first: the index, and whom to ask for vectors.
 */
#include "options.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Not the retries of a single request: an API may be away for a minute. */
#define DELAY_NS     (500 * WEIR_MS)
#define DELAY_NS_MAX (30 * WEIR_S)

static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value != '\0' ? value : NULL;
}

static int
no_url(struct weir_cli *cli)
{
	weir__cli_error(cli, NULL,
			"which API makes the vectors? --url or "
			"OPENAI_BASE_URL has to say");
	weir__cli_try(cli,
		      "OPENAI_BASE_URL=http://127.0.0.1:8080/v1 docindex %s "
		      "... (docs/pipelines.md has local models)",
		      cli->command->name);
	return WEIR_EXIT_USAGE;
}

static bool
is_http(const char *url)
{
	return strncmp(url, "http://", 7) == 0 ||
	       strncmp(url, "https://", 8) == 0;
}

/* One that libcurl would refuse each time it is asked for. */
static bool
is_url(const char *url)
{
	CURLU *parts = curl_url();
	bool ok = parts &&
		  curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK;

	curl_url_cleanup(parts);
	return ok;
}

/* What is wrong is told without the URL, which may have a password in it. */
static int
check_url(struct weir_cli *cli, const char *from, const char *url)
{
	if (is_http(url) && is_url(url))
		return -1;
	weir__cli_error(cli, from,
			is_http(url) ? "this is no URL"
				     : "it has to begin with http:// or "
				       "https://");
	return WEIR_EXIT_USAGE;
}

/* A line end would end the header, too, and begin another. */
static int
check_key(struct weir_cli *cli, const char *key)
{
	for (; key && *key != '\0'; key++) {
		if ((unsigned char)*key >= ' ' && *key != 0x7f)
			continue;
		weir__cli_error(cli, "OPENAI_API_KEY",
				"there is a line end, or another control "
				"character, in the key");
		return WEIR_EXIT_USAGE;
	}
	return -1;
}

/* The model: as it was said, or that of the index, or what most use. */
static int
choose_model(struct weir_cli *cli, const struct api_cli_options *options,
	     const struct index *index, struct embed_options *ret)
{
	const char *has = index ? index_model(index) : NULL;

	ret->dims = index ? index_dims(index) : 0;
	ret->model = options->model ? options->model
		     : has          ? has
				    : MODEL_DEFAULT;
	if (!has || strcmp(has, ret->model) == 0)
		return -1;
	weir__cli_error(cli, options->db,
			"its vectors are of the model '%s', not '%s'", has,
			ret->model);
	weir__cli_try(cli, "another --db, or --model %s", has);
	return WEIR_EXIT_USAGE;
}

int
api_setup(struct weir_cli *cli, const struct api_cli_options *options,
	  const struct index *index, struct embed_options *ret)
{
	const char *url =
		options->url ? options->url : variable("OPENAI_BASE_URL");

	const char *key = variable("OPENAI_API_KEY");
	int status;

	if (!url)
		return no_url(cli);
	status =
		check_url(cli, options->url ? "--url" : "OPENAI_BASE_URL", url);
	if (status < 0)
		status = check_key(cli, key);
	if (status >= 0)
		return status;
	*ret = (struct embed_options){
		.url = url,
		.key = key,
		.encoding = options->encoding,
		.timeout_ns = options->timeout_ns,
		.retry = {.attempts_max = (uint32_t)options->retries + 1,
			  .delay_ns = DELAY_NS,
			  .delay_ns_max = DELAY_NS_MAX,
			  .jitter = 0.5},
	};
	return choose_model(cli, options, index, ret);
}

/* What to do next, where there is something. */
static void
suggest(struct weir_cli *cli, const struct api_cli_options *options,
	const weir_error *error)
{
	if (error->status == WEIR_NOTFOUND)
		weir__cli_try(cli, "docindex add --db %s FOLDER", options->db);
	else if (error->status == WEIR_FOREIGN)
		weir__cli_try(cli, "another file: --db index.db");
	else if (error->status == WEIR_NEWER)
		weir__cli_try(cli, "a newer docindex, or another --db");
	else if (error->status == WEIR_CORRUPT)
		weir__cli_try(cli, "remove it and index again: nothing is "
				   "in it that is not in your documents");
}

int
api_open(struct weir_cli *cli, const struct api_cli_options *options,
	 bool write, struct index **out)
{
	struct index_options index_options = {
		.path = options->db,
		.create = write,
		.write = write,
		.vec0 = options->vec0,
	};
	weir_error error = {WEIR_OK, 0, ""};

	/* The loader's text would name a file that nobody has given. */
	if (options->vec0 && strcmp(options->vec0, "none") != 0 &&
	    access(options->vec0, R_OK) != 0) {
		weir__cli_error(cli, "--vec0", "%s (%s)", strerror(errno),
				options->vec0);
		weir__cli_try(cli, "--vec0 none");
		return WEIR_EXIT_USAGE;
	}
	if (index_open(out, &index_options, &error) == WEIR_OK)
		return -1;
	weir__cli_error(cli, NULL, "%s", error.message);
	suggest(cli, options, &error);
	return error.status == WEIR_INVAL ? WEIR_EXIT_USAGE : WEIR_EXIT_FAILURE;
}
