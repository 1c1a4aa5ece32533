/*
 * Records as text; see record.h.
 *
 * Design: every JSON record has the same keys in the same order, null where
 * there is nothing to tell, so that a reader in any language needs no cases.
 * Whatever could hold a user's name and password passes weir__fetch_redact().
 *
 * Locking: none; pure functions.
 */
#include "fetch/record.h"

#include "base/json.h"
#include "base/units.h"
#include "base/utf8.h"
#include "fetch/url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define URL_SHOWN_MAX 4096

const char *
weir__fetch_status_name(enum weir_fetch_status status)
{
	switch (status) {
	case WEIR_FETCH_OK:
		return "ok";
	case WEIR_FETCH_FAILED:
		return "failed";
	case WEIR_FETCH_CANCELLED:
		return "cancelled";
	case WEIR_FETCH_SKIPPED:
		return "skipped";
	}
	return "failed";
}

static void
put_text(struct weir_json *j, const char *key, const char *text)
{
	weir__json_key(j, key);
	if (text && *text)
		weir__json_puts(j, text);
	else
		weir__json_null(j);
}

static void
put_redacted(struct weir_json *j, const char *key, const char *text, size_t len)
{
	struct weir_buf shown = {0};

	weir__json_key(j, key);
	if (len <= WEIR_FETCH_URL_MAX && !weir__fetch_has_secret(text, len)) {
		weir__json_string(j, text, len);
		return;
	}
	weir__fetch_redact(&shown, text, len, URL_SHOWN_MAX);
	weir__json_string(j, weir__buf_str(&shown), shown.len);
	weir__buf_fini(&shown);
}

static void
put_ms(struct weir_json *j, const char *key, int64_t us, bool known)
{
	weir__json_key(j, key);
	if (known)
		weir__json_fixed(j, (double)us / 1000, 3);
	else
		weir__json_null(j);
}

static const char *
http_version_name(long version)
{
	switch (version) {
	case CURL_HTTP_VERSION_1_0:
		return "1.0";
	case CURL_HTTP_VERSION_1_1:
		return "1.1";
	case CURL_HTTP_VERSION_2_0:
		return "2";
	case CURL_HTTP_VERSION_3:
		return "3";
	default:
		return NULL;
	}
}

static void
put_sha256(struct weir_json *j, const struct weir_fetch_outcome *outcome)
{
	char hex[2 * sizeof(outcome->sha256) + 1];

	weir__json_key(j, "sha256");
	if (!outcome || !outcome->has_sha256) {
		weir__json_null(j);
		return;
	}
	for (size_t i = 0; i < 2 * sizeof(outcome->sha256); i++)
		hex[i] = "0123456789abcdef"[outcome->sha256[i / 2] >>
						    (i % 2 ? 0 : 4) &
					    15];
	weir__json_string(j, hex, sizeof(hex) - 1);
}

static void
put_times(struct weir_json *j, const struct weir_fetch_record *record)
{
	const struct weir_fetch_outcome *o = record->outcome;
	bool answered = o && o->http_status > 0;

	put_ms(j, "wait_ms", record->wait_ns / 1000, o);
	put_ms(j, "dns_ms", o ? o->dns_us : 0, o && o->dns_us > 0);
	put_ms(j, "connect_ms", o ? o->connect_us : 0, answered);
	put_ms(j, "tls_ms", o ? o->tls_us : 0, o && o->tls_us > 0);
	put_ms(j, "ttfb_ms", o ? o->ttfb_us : 0, answered);
	put_ms(j, "total_ms", record->total_ns / 1000, o);
}

static void
put_answer(struct weir_json *j, const struct weir_fetch_record *record)
{
	const struct weir_fetch_outcome *o = record->outcome;

	weir__json_key(j, "http_status");
	if (o && o->http_status > 0)
		weir__json_int(j, o->http_status);
	else
		weir__json_null(j);
	weir__json_key(j, "attempts");
	weir__json_uint(j, record->attempts);
	weir__json_key(j, "bytes");
	weir__json_uint(j, o ? o->bytes : 0);
	put_sha256(j, o);
	put_text(j, "file", o ? o->file : NULL);
}

void
weir__fetch_record_json(struct weir_buf *buf,
			const struct weir_fetch_record *record)
{
	const struct weir_fetch_outcome *o = record->outcome;
	const char *final_url = o ? o->final_url : NULL;
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "id");
	if (record->id)
		weir__json_puts(&j, record->id);
	else
		weir__json_uint(&j, record->seq);
	put_redacted(&j, "url", record->url, record->url_len);
	if (final_url || (o && o->http_status > 0))
		put_redacted(&j, "final_url",
			     final_url ? final_url : record->url,
			     final_url ? strlen(final_url) : record->url_len);
	else
		put_text(&j, "final_url", NULL);
	put_text(&j, "status", weir__fetch_status_name(record->status));
	put_answer(&j, record);
	put_times(&j, record);
	put_text(&j, "remote", o ? o->remote : NULL);
	put_text(&j, "http_version",
		 o ? http_version_name(o->http_version) : NULL);
	put_text(&j, "error", record->error);
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

/* Text from outside: no control characters, and nothing that is not UTF-8. */
static void
put_clean(struct weir_buf *buf, const char *text, size_t len)
{
	size_t step, from = 0;

	for (size_t i = 0; i < len; i += step) {
		bool is_good = weir__utf8_next(text + i, len - i, &step);
		unsigned char c = (unsigned char)text[i];

		if (is_good && c >= ' ' && c != 0x7f &&
		    !(c == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
			continue;
		weir__buf_append(buf, text + from, i - from);
		weir__buf_puts(buf, WEIR_UTF8_REPLACEMENT);
		from = i + step;
	}
	if (from < len)
		weir__buf_append(buf, text + from, len - from);
}

void
weir__fetch_record_line(struct weir_buf *buf,
			const struct weir_fetch_record *record)
{
	const struct weir_fetch_outcome *o = record->outcome;
	char code[16] = "-", took[WEIR_FORMAT_SIZE], size[WEIR_FORMAT_SIZE];
	struct weir_buf shown = {0};

	if (o && o->http_status > 0)
		snprintf(code, sizeof(code), "%d", o->http_status);
	weir__buf_printf(
		buf, "%s %s %6s %8s ", weir__fetch_status_name(record->status),
		code, weir__format_duration(took, sizeof(took), record->run_ns),
		weir__format_bytes(size, sizeof(size), o ? o->bytes : 0));
	if (record->url_len <= WEIR_FETCH_URL_MAX &&
	    !weir__fetch_has_secret(record->url, record->url_len)) {
		put_clean(buf, record->url, record->url_len);
	} else {
		weir__fetch_redact(&shown, record->url, record->url_len,
				   URL_SHOWN_MAX);
		put_clean(buf, weir__buf_str(&shown), shown.len);
		weir__buf_fini(&shown);
	}
	weir__buf_putc(buf, '\n');
}
