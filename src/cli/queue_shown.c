/*
 * What may be shown of the URL of a store; see queue_open.h.
 *
 * Design: a URL is shown in errors, in logs and in the next step that can be
 * copied, so it is shown as it was given, but for its passwords; libpq finds
 * them elsewhere too, in ~/.pgpass for one.  One that is written so badly that
 * it is not plain where its password ends loses all of it that could be.
 */
#include "cli/queue_open.h"
#include "cli/store.h"

#include "base/assert.h"

#include <stdio.h>

/* A text that is full takes no more. */
static void
put(struct queue_shown *shown, const char *text, size_t len)
{
	size_t used = strlen(shown->text);

	weir_assert(used < sizeof(shown->text));
	snprintf(shown->text + used, sizeof(shown->text) - used, "%.*s",
		 (int)len, text);
}

static bool
is_secret(const char *pair)
{
	return strncmp(pair, "password", 8) == 0 ||
	       strncmp(pair, "sslpassword", 11) == 0;
}

/* "?a=b&c=d", which begins at the "?". */
static void
put_query(struct queue_shown *shown, const char *at)
{
	char before = '?';

	while (*at) {
		size_t len = strcspn(++at, "&");

		/* What is no pair is there by mistake, of a password's. */
		if (memchr(at, '=', len) && !is_secret(at)) {
			put(shown, &before, 1);
			put(shown, at, len);
			before = '&';
		}
		at += len;
	}
}

/*
 * What follows "postgres://": up to the last "@" before the "?" there is a
 * user, and what follows its ":" is a password.
 */
static void
put_rest(struct queue_shown *shown, const char *at)
{
	size_t user = strcspn(at, "@/");
	size_t end = at[user] == '@' ? user + 1 : 0;
	const char *last;

	end += strcspn(at + end, "?");
	last = memrchr(at, '@', end);
	if (last) {
		put(shown, at, strcspn(at, ":@/"));
		put(shown, last, end - (size_t)(last - at));
	} else {
		put(shown, at, end);
	}
	put_query(shown, at + end);
}

/* The end of "keyword = value", which may be quoted. */
static const char *
skip_pair(const char *at)
{
	bool is_quoted = false;

	at += strcspn(at, "= ");
	at += strspn(at, " ");
	at += *at == '=';
	at += strspn(at, " ");
	for (; *at && (is_quoted || *at != ' '); at++) {
		if (*at == '\'')
			is_quoted = !is_quoted;
		else if (*at == '\\' && at[1])
			at++;
	}
	return at;
}

static void
put_pairs(struct queue_shown *shown, const char *at)
{
	bool first = true;

	for (at += strspn(at, " "); *at; at += strspn(at, " ")) {
		const char *end = skip_pair(at);

		if (!is_secret(at)) {
			put(shown, " ", first ? 0 : 1);
			put(shown, at, (size_t)(end - at));
			first = false;
		}
		at = end > at ? end : at + 1;
	}
}

const char *
weir__queue_shown(struct queue_shown *shown, const char *db)
{
	size_t scheme = strcspn(db, ":") + 1;

	if (!weir__db_is_fleet(db)) {
		/* A kind that there is none of: up to its "://". */
		const char *other = strstr(db, "://");

		if (!other || strncmp(db, "sqlite:", 7) == 0)
			return db;
		snprintf(shown->text, sizeof(shown->text), "%.*s",
			 (int)(other - db) + 3, db);
		return shown->text;
	}
	shown->text[0] = '\0';
	put(shown, db, scheme);
	if (strncmp(db + scheme, "//", 2) == 0) {
		put(shown, "//", 2);
		put_rest(shown, db + scheme + 2);
	} else {
		put_pairs(shown, db + scheme);
	}
	return shown->text;
}
