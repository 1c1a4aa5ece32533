/*
 * Looking at a URL before libcurl does.
 *
 * What passes is http or https with a host, and holds no byte that could end
 * a request line early: no control character, no blank, nothing that is not
 * UTF-8.  It is checked by itself and not left to libcurl because libcurl
 * takes more than that, and because a message here can say what is wrong.
 */
#ifndef WEIR_SRC_FETCH_URL_H
#define WEIR_SRC_FETCH_URL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_FETCH_URL_MAX (16 * 1024)

/* Where the parts of a URL begin and end; offsets into it. */
struct weir_fetch_url {
	bool https;
	size_t authority;      /* behind "://" */
	size_t host, host_end; /* with brackets, behind a user's name */
	size_t path;           /* where the authority ends */
	uint16_t port;         /* as given, or the scheme's */
};

/* NULL, or what is wrong with it, for people. */
const char *weir__fetch_url_check(const char *url, size_t len,
				  struct weir_fetch_url *ret);

/*
 * The same for all URLs of one host and port, and 0 for none: it is the key
 * by which transfers of one host are counted.
 */
uint64_t weir__fetch_url_host_key(const char *url,
				  const struct weir_fetch_url *parts,
				  const uint64_t key[2]);

/*
 * Append text as it may be shown: at most max bytes, and whatever stands
 * between "://" and "@" left out, whether the rest is a URL or not.
 */
void weir__fetch_redact(struct weir_buf *buf, const char *text, size_t len,
			size_t max);

/* Does it have a name or password in it?  Then it must not be shown as is. */
bool weir__fetch_has_secret(const char *text, size_t len);

/* May this be a line of a request's head: "Name: value"?  NULL, or why not. */
const char *weir__fetch_header_check(const char *header, size_t len);

/* May this be a method: letters, digits and a few signs? */
bool weir__fetch_method_check(const char *method, size_t len);

#endif
