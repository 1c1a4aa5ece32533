/*
 * Opening a store: which kind it is, by its url.
 *
 * Design: a file of the name "postgres:" is rarer than somebody who means a
 * store of another kind.  So whatever begins like the scheme of a url is one,
 * and a path that looks like that has to be written with "sqlite:" or "./" in
 * front.
 */
#include "queue/options.h"
#include "queue/store.h"

#include "base/assert.h"

#include <string.h>

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

/* That of the other library, which needs libpq; see weir/fleet.h. */
static bool
is_fleet(const char *url, size_t scheme)
{
	return (scheme == 8 && memcmp(url, "postgres", 8) == 0) ||
	       (scheme == 10 && memcmp(url, "postgresql", 10) == 0);
}

/* What follows the scheme may hold a password. */
static void
refuse_scheme(const char *url, size_t scheme, weir_error *reterr)
{
	if (is_fleet(url, scheme))
		(void)weir__queue_error(reterr, WEIR_INVAL, 0,
					"a store in PostgreSQL is opened with "
					"weir_fleet_open(), of libweir-fleet");
	else
		(void)weir__queue_error(
			reterr, WEIR_INVAL, 0,
			"no store of that kind in this build, \"%.*s:\"; a "
			"file is PATH or sqlite:PATH",
			(int)(scheme < 40 ? scheme : 40), url);
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
			refuse_scheme(url, scheme, reterr);
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
	status = weir__store_options_take(&ours, out, options, reterr);
	if (status != WEIR_OK)
		return status;
	path = sqlite_path(ours.url, reterr);
	if (!path)
		return WEIR_INVAL;
	status = weir__sqlite_open(out, path, &ours, reterr);
	weir_assert(status != WEIR_OK || (*out)->ops);
	return status;
}
