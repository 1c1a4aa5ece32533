/*
 * Opening a store: which kind it is, by its url.
 *
 * Design: a file of the name "postgres:" is rarer than somebody who believes
 * that this library speaks to PostgreSQL.  So whatever begins like the scheme
 * of a url is one, and a path that looks like that has to be written with
 * "sqlite:" or "./" in front.
 */
#include "queue/store.h"

#include "base/assert.h"
#include "base/options.h"

#include <string.h>

/* A url beyond it is no path: PATH_MAX, and a scheme. */
#define URL_MAX 8192

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * How long is the scheme in front of the colon?  0: there is none; one letter
 * is none either.
 */
static size_t
scheme_len(const char *url)
{
	size_t len = 0;

	while (is_letter(url[len]) ||
	       (len > 0 && url[len] && strchr("0123456789+.-", url[len])))
		len++;
	return url[len] == ':' && len > 1 ? len : 0;
}

/* What is behind "sqlite:"; NULL, and *reterr says why not. */
static const char *
sqlite_path(const char *url, weir_error *reterr)
{
	static const char ours[] = "sqlite";
	size_t scheme = scheme_len(url);
	const char *path = url;

	if (scheme > 0) {
		if (scheme != sizeof(ours) - 1 ||
		    memcmp(url, ours, scheme) != 0) {
			/* What follows may hold a password. */
			(void)weir__queue_error(
				reterr, WEIR_INVAL, 0,
				"no store of that kind in this build, \"%.*s:\""
				"; a file is PATH or sqlite:PATH",
				(int)(scheme < 40 ? scheme : 40), url);
			return NULL;
		}
		path = url + scheme + 1;
	}
	/* sqlite://jobs.db would be /jobs.db, which nobody means. */
	if (strncmp(path, "//", 2) == 0 && path[2] != '/' && path != url) {
		(void)weir__queue_error(reterr, WEIR_INVAL, 0,
					"sqlite: takes a path, not a host; "
					"write sqlite:PATH");
		return NULL;
	}
	/* SQLite has a meaning of its own for both. */
	if (!*path || *path == ':') {
		(void)weir__queue_error(reterr, WEIR_INVAL, 0,
					"the url of the store names no file");
		return NULL;
	}
	return path;
}

static weir_status
check_options(const weir_store_options *o, weir_error *reterr)
{
	if (!o->url)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the store has no url");
	if (strnlen(o->url, URL_MAX + 1) > URL_MAX)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the url of the store is too long");
	if (o->read_only && (o->create || o->migrate))
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "a store cannot be made or migrated "
					 "read_only");
	if (o->durability != WEIR_DURABLE_POWER &&
	    o->durability != WEIR_DURABLE_PROCESS)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "no such durability");
	if (o->busy_ns < 0)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "busy_ns is negative");
	return WEIR_OK;
}

weir_status
weir_store_open(weir_store **out, const weir_store_options *options,
		weir_error *reterr)
{
	weir_store_options ours = {0};
	weir_error error;
	const char *path;
	weir_status status;

	if (!reterr)
		reterr = &error;
	if (!out || !options ||
	    !weir__options_copy(&ours, sizeof(ours), options, options->size,
				sizeof(size_t)))
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the options of the store have no "
					 "size that is known");
	status = check_options(&ours, reterr);
	if (status != WEIR_OK)
		return status;
	path = sqlite_path(ours.url, reterr);
	if (!path)
		return WEIR_INVAL;
	if (ours.busy_ns == 0)
		ours.busy_ns = WEIR_STORE_BUSY_NS;
	status = weir__sqlite_open(out, path, &ours, reterr);
	weir_assert(status != WEIR_OK || (*out)->ops);
	return status;
}
