/*
 * URLs, header lines and methods, looked at before they are used; see url.h.
 *
 * Design: one pass over the bytes for what must not be in them, one over the
 * authority for its parts.  Nothing is copied or changed.
 *
 * Locking: none; everything here is a pure function.
 */
#include "fetch/url.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <string.h>
#include <strings.h>

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* NULL, or which byte makes the text unfit for a request. */
static const char *
check_bytes(const char *text, size_t len)
{
	size_t step;

	for (size_t i = 0; i < len; i += step) {
		unsigned char c = (unsigned char)text[i];

		step = 1;
		if (c == '\0')
			return "a NUL byte in the URL";
		if (c == '\r' || c == '\n')
			return "a line break in the URL";
		if (c < ' ' || c == 0x7f)
			return "a control character in the URL";
		if (c == ' ')
			return "a blank in the URL";
		if (c == '\\')
			return "a backslash in the URL";
		if (c >= 0x80 && !weir__utf8_next(text + i, len - i, &step))
			return "the URL is not UTF-8";
	}
	return NULL;
}

/* The scheme and "://", or NULL and the reason in *ret. */
static const char *
check_scheme(const char *url, size_t len, struct weir_fetch_url *ret)
{
	const char *colon = memchr(url, ':', len);
	size_t name = colon ? (size_t)(colon - url) : 0;

	if (!colon || len < name + 3 || memcmp(colon, "://", 3) != 0)
		return "not a URL";
	if (name == 5 && strncasecmp(url, "https", 5) == 0)
		ret->https = true;
	else if (name == 4 && strncasecmp(url, "http", 4) == 0)
		ret->https = false;
	else
		return "only http and https are fetched";
	ret->authority = name + 3;
	return NULL;
}

static const char *
check_port(const char *text, size_t len, struct weir_fetch_url *ret)
{
	unsigned long port = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || i == 5)
			return "the port is not a number from 1 to 65535";
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (len > 0 && (port == 0 || port > 65535))
		return "the port is not a number from 1 to 65535";
	ret->port = len > 0 ? (uint16_t)port : ret->https ? 443 : 80;
	return NULL;
}

/* Where the authority that begins at `from` ends. */
static size_t
authority_end(const char *url, size_t len, size_t from)
{
	size_t end = from;

	while (end < len && url[end] != '/' && url[end] != '?' &&
	       url[end] != '#')
		end++;
	return end;
}

static const char *
check_authority(const char *url, size_t len, struct weir_fetch_url *ret)
{
	const char *at, *colon, *bracket;
	size_t end = authority_end(url, len, ret->authority);

	ret->path = end;
	at = memrchr(url + ret->authority, '@', end - ret->authority);
	ret->host = at ? (size_t)(at - url) + 1 : ret->authority;
	bracket = memrchr(url + ret->host, ']', end - ret->host);
	if ((ret->host < end && url[ret->host] == '[') != (bracket != NULL))
		return "a bracket without its fellow in the host";
	ret->host_end = bracket ? (size_t)(bracket - url) + 1 : ret->host;
	colon = memchr(url + ret->host_end, ':', end - ret->host_end);
	if (bracket && ret->host_end < end && colon != url + ret->host_end)
		return "no port behind the address";
	ret->host_end = colon ? (size_t)(colon - url) : end;
	if (ret->host_end == ret->host)
		return "no host in the URL";
	if (!colon)
		return check_port(url, 0, ret);
	return check_port(colon + 1, end - ret->host_end - 1, ret);
}

const char *
weir__fetch_url_check(const char *url, size_t len, struct weir_fetch_url *ret)
{
	const char *why;

	if (len == 0)
		return "no URL";
	if (len > WEIR_FETCH_URL_MAX)
		return "the URL is longer than 16 KiB";
	why = check_bytes(url, len);
	if (!why)
		why = check_scheme(url, len, ret);
	if (!why)
		why = check_authority(url, len, ret);
	return why;
}

uint64_t
weir__fetch_url_host_key(const char *url, const struct weir_fetch_url *parts,
			 const uint64_t key[2])
{
	char name[256 + 2];
	size_t len = parts->host_end - parts->host;
	uint64_t hash;

	/* A longer name is no host; hashing its end keeps them apart, too. */
	if (len > 256)
		len = 256;
	for (size_t i = 0; i < len; i++)
		name[i] = lower(url[parts->host_end - len + i]);
	name[len++] = (char)(parts->port >> 8);
	name[len++] = (char)(parts->port & 0xff);
	hash = weir__hash64(key, name, len);
	return hash ? hash : 1;
}

/*
 * The name and password in text[from...] that end at the last '@' before the
 * path.  False: there are none.
 */
static bool
find_secret(const char *text, size_t len, size_t from, size_t *ret_begin,
	    size_t *ret_end)
{
	const char *at, *colon;
	size_t begin;

	for (colon = memchr(text + from, ':', len - from); colon;
	     colon = memchr(colon + 1, ':', len - (size_t)(colon + 1 - text))) {
		begin = (size_t)(colon - text) + 3;
		if (begin > len || memcmp(colon, "://", 3) != 0)
			continue;
		at = memrchr(text + begin, '@',
			     authority_end(text, len, begin) - begin);
		if (!at)
			continue;
		*ret_begin = begin;
		*ret_end = (size_t)(at - text) + 1;
		return true;
	}
	return false;
}

bool
weir__fetch_has_secret(const char *text, size_t len)
{
	size_t begin, end;

	return find_secret(text, len, 0, &begin, &end);
}

void
weir__fetch_redact(struct weir_buf *buf, const char *text, size_t len,
		   size_t max)
{
	size_t from = 0, begin, end, room = max;

	while (find_secret(text, len, from, &begin, &end)) {
		size_t keep = begin - from < room ? begin - from : room;

		weir__buf_append(buf, text + from, keep);
		room -= keep;
		from = end;
	}
	weir__buf_append(buf, text + from,
			 len - from < room ? len - from : room);
	if (len - from > room)
		weir__buf_puts(buf, "...");
}

const char *
weir__fetch_header_check(const char *header, size_t len)
{
	size_t name = 0;

	while (name < len &&
	       (is_alnum(header[name]) ||
		(header[name] && strchr("!#$%&'*+-.^_`|~", header[name]))))
		name++;
	if (name == 0 || name == len ||
	    (header[name] != ':' && header[name] != ';'))
		return "not 'Name: value'";
	for (size_t i = name; i < len; i++)
		if (header[i] == '\r' || header[i] == '\n' || header[i] == '\0')
			return "a line break or NUL byte in it";
	return NULL;
}

bool
weir__fetch_method_check(const char *method, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(method[i]) && method[i] != '-' &&
		    method[i] != '_')
			return false;
	return len > 0 && len <= 32;
}
