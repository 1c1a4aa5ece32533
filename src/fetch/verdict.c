/*
 * What an attempt came to: ok, failed but worth another try, failed for good.
 *
 * Design: another try is for what may be different next time by itself: no
 * connection, 408, 425, 429 and 5xx.  In the pool's terms that is WEIR_FAILED,
 * and everything else is WEIR_PERMANENT.
 *
 * Locking: as transfer.c.
 */
#include "fetch/reactor.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct http_text {
	int status;
	const char *text;
} http_texts[] = {
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
	{508, "Loop Detected"},
	{511, "Network Authentication Required"},
};

const char *
weir__fetch_http_text(int http_status)
{
	for (size_t i = 0; i < sizeof(http_texts) / sizeof(http_texts[0]); i++)
		if (http_texts[i].status == http_status)
			return http_texts[i].text;
	return "";
}

static weir_status
say(struct weir_fetch_transfer *t, weir_status status, const char *reason,
    const char *why)
{
	snprintf(t->outcome->reason, sizeof(t->outcome->reason), "%s", reason);
	return weir_job_fail(t->ctx, status, "%s", why);
}

static bool
is_worth_a_retry(int http_status)
{
	return http_status == 408 || http_status == 425 || http_status == 429 ||
	       http_status >= 500;
}

/* There was an answer, and it is not a good one. */
static weir_status
judge_http(struct weir_fetch_transfer *t, int http_status)
{
	const char *text = weir__fetch_http_text(http_status);
	char reason[16], why[64];
	curl_off_t after_s = 0;

	snprintf(reason, sizeof(reason), "%d", http_status);
	snprintf(why, sizeof(why), "%d%s%s", http_status, *text ? " " : "",
		 text);
	/* The part that is there is not part of what is there now. */
	if (http_status == 416 && t->ranged)
		return say(t, WEIR_FAILED, reason, why);
	if (!is_worth_a_retry(http_status))
		return say(t, WEIR_PERMANENT, reason, why);
	curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after_s);
	if (after_s > 0) {
		int64_t most_ns = t->engine->options.retry_after_ns_max;
		int64_t after_ns =
			after_s < most_ns / WEIR_S ? after_s * WEIR_S : most_ns;

		t->outcome->retry_after_ns = after_ns;
		weir_job_retry_after(t->ctx, after_ns);
	}
	return say(t, WEIR_FAILED, reason, why);
}

static const struct curl_verdict {
	CURLcode code;
	weir_status status;
	const char *reason;
	const char *why; /* NULL: libcurl's own words */
} curl_verdicts[] = {
	{CURLE_COULDNT_RESOLVE_HOST, WEIR_FAILED, "dns", NULL},
	{CURLE_COULDNT_RESOLVE_PROXY, WEIR_FAILED, "dns", NULL},
	{CURLE_COULDNT_CONNECT, WEIR_FAILED, "connect", NULL},
	{CURLE_SSL_CONNECT_ERROR, WEIR_FAILED, "tls", NULL},
	{CURLE_PEER_FAILED_VERIFICATION, WEIR_PERMANENT, "tls", NULL},
	{CURLE_SSL_CACERT_BADFILE, WEIR_PERMANENT, "tls", NULL},
	{CURLE_SSL_CERTPROBLEM, WEIR_PERMANENT, "tls", NULL},
	{CURLE_SSL_CIPHER, WEIR_PERMANENT, "tls", NULL},
	{CURLE_OPERATION_TIMEDOUT, WEIR_PERMANENT, "timeout", NULL},
	{CURLE_GOT_NOTHING, WEIR_PERMANENT, "reset",
	 "closed without an answer"},
	{CURLE_SEND_ERROR, WEIR_PERMANENT, "reset", NULL},
	{CURLE_RECV_ERROR, WEIR_PERMANENT, "reset", NULL},
	{CURLE_PARTIAL_FILE, WEIR_PERMANENT, "cut short", NULL},
	{CURLE_TOO_MANY_REDIRECTS, WEIR_PERMANENT, "redirects",
	 "more than 10 redirects"},
	{CURLE_UNSUPPORTED_PROTOCOL, WEIR_PERMANENT, "redirect",
	 "redirected to a protocol that is not allowed"},
	{CURLE_URL_MALFORMAT, WEIR_PERMANENT, "url", NULL},
	{CURLE_BAD_CONTENT_ENCODING, WEIR_PERMANENT, "encoding", NULL},
	{CURLE_OUT_OF_MEMORY, WEIR_PERMANENT, "memory", NULL},
};

static weir_status
judge_curl(struct weir_fetch_transfer *t, CURLcode code)
{
	const char *why =
		t->curl_error[0] ? t->curl_error : curl_easy_strerror(code);

	for (size_t i = 0; i < sizeof(curl_verdicts) / sizeof(curl_verdicts[0]);
	     i++) {
		const struct curl_verdict *v = &curl_verdicts[i];

		if (v->code == code)
			return say(t, v->status, v->reason,
				   v->why ? v->why : why);
	}
	return say(t, WEIR_PERMANENT, "http", why);
}

/* A reason of our own: most are final. */
static weir_status
judge_ours(struct weir_fetch_transfer *t)
{
	bool again = strcmp(t->reason, "connect") == 0 ||
		     strcmp(t->reason, "range") == 0;

	if (weir__fetch_transfer_is_canceled(t))
		return say(t, WEIR_CANCELED, t->reason, t->why);
	return say(t, again ? WEIR_FAILED : WEIR_PERMANENT, t->reason, t->why);
}

static int64_t
info_us(CURL *easy, CURLINFO info)
{
	curl_off_t us = 0;

	curl_easy_getinfo(easy, info, &us);
	return us;
}

static void
take_remote(struct weir_fetch_transfer *t)
{
	struct weir_fetch_outcome *outcome = t->outcome;
	char *address = NULL;
	long port = 0;

	curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address);
	curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_PORT, &port);
	if (!address || !*address)
		return;
	snprintf(outcome->remote, sizeof(outcome->remote),
		 strchr(address, ':') ? "[%s]:%ld" : "%s:%ld", address, port);
}

/* What JSON records tell. libcurl counts times from the start; we part them. */
static void
take_details(struct weir_fetch_transfer *t)
{
	struct weir_fetch_outcome *outcome = t->outcome;
	int64_t dns_us = info_us(t->easy, CURLINFO_NAMELOOKUP_TIME_T);
	int64_t connect_us = info_us(t->easy, CURLINFO_CONNECT_TIME_T);
	int64_t tls_us = info_us(t->easy, CURLINFO_APPCONNECT_TIME_T);
	char *url = NULL;

	outcome->dns_us = dns_us;
	outcome->connect_us = connect_us > dns_us ? connect_us - dns_us : 0;
	outcome->tls_us = tls_us > connect_us ? tls_us - connect_us : 0;
	outcome->ttfb_us = info_us(t->easy, CURLINFO_STARTTRANSFER_TIME_T);
	curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION,
			  &outcome->http_version);
	take_remote(t);
	free(outcome->final_url);
	outcome->final_url = NULL;
	curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
	if (url && strcmp(url, t->request->url) != 0)
		outcome->final_url = strdup(url);
}

/* The body is complete: its sum, and its name. */
static weir_status
complete(struct weir_fetch_transfer *t)
{
	int failed;

	/* A body of no bytes is one, too. */
	if (!t->body_begun && !weir__fetch_transfer_body_begins(t))
		return judge_ours(t);
	/* Of a continuation without bytes, nothing has been read yet. */
	if (!weir__fetch_transfer_digest_old(t, UINT64_MAX))
		return judge_ours(t);
	if (t->digest) {
		EVP_DigestFinal_ex(t->digest, t->outcome->sha256, NULL);
		t->outcome->has_sha256 = true;
	}
	if (t->engine->folder.fd < 0)
		return WEIR_OK;
	failed = weir__fetch_file_commit(&t->engine->folder, &t->file,
					 t->request, &t->outcome->file);
	if (failed == 0)
		return WEIR_OK;
	t->fatal = failed;
	snprintf(t->why, sizeof(t->why), "cannot write the file: %s",
		 strerror(failed));
	return say(t, WEIR_PERMANENT, "file", t->why);
}

static weir_status
judge(struct weir_fetch_transfer *t, CURLcode code, int http_status)
{
	if (t->blocked && (code == CURLE_COULDNT_CONNECT || t->reason[0]))
		return say(t, WEIR_PERMANENT, "not public",
			   "the address is not public");
	if (t->reason[0])
		return judge_ours(t);
	if (code != CURLE_OK)
		return judge_curl(t, code);
	if (http_status < 200 || http_status > 299)
		return judge_http(t, http_status);
	return complete(t);
}

/* A file that stays for another try: the beginning of a good answer. */
static void
leave_file(struct weir_fetch_transfer *t)
{
	bool keep = t->keep_body && strcmp(t->reason, "range") != 0 &&
		    t->fatal == 0;

	/* Nothing of the rest has come: the beginning is as it was. */
	if (t->ranged && !t->keep_body)
		keep = t->outcome->http_status != 416;
	t->outcome->partial = weir__fetch_file_abandon(
		&t->engine->folder, &t->file, t->request, keep);
}

static void
tell_retry(struct weir_fetch_transfer *t)
{
	const struct weir_fetch_hooks *hooks = &t->engine->hooks;
	struct weir_fetch_retry retry = {
		.url = t->request->shown,
		.attempt = weir_job_attempt(t->ctx),
		.attempts_max = t->engine->options.retries + 1,
		.delay_ns = -1,
	};
	curl_off_t after_s = 0;
	char why[WEIR_ERROR_MAX];
	long http_status = t->outcome->http_status;

	if (t->reason[0])
		retry.why = t->why;
	else if (http_status >= 300) {
		const char *text = weir__fetch_http_text((int)http_status);

		snprintf(why, sizeof(why), "%ld%s%s", http_status,
			 *text ? " " : "", text);
		curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after_s);
		retry.why = why;
	} else {
		retry.why =
			t->curl_error[0] ? t->curl_error : t->outcome->reason;
	}
	if (after_s > 0) {
		int64_t most_ns = t->engine->options.retry_after_ns_max;

		retry.delay_ns =
			after_s < most_ns / WEIR_S ? after_s * WEIR_S : most_ns;
	}
	hooks->retry(&retry, hooks->user);
}

weir_status
weir__fetch_verdict(struct weir_fetch_transfer *t, CURLcode code)
{
	long http_status = 0;
	weir_status status;

	/* After a redirect that failed this is the redirect's. */
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &http_status);
	t->outcome->http_status = (int)http_status;
	t->outcome->bytes = t->body;
	t->outcome->reason[0] = '\0';
	if (t->engine->options.details)
		take_details(t);
	status = judge(t, code, (int)http_status);
	if (t->file.fd >= 0)
		leave_file(t);
	if (t->fatal)
		weir__fetch_engine_fatal(t->engine, t->fatal);
	if (status == WEIR_FAILED && weir_job_will_retry(t->ctx, status))
		tell_retry(t);
	return status;
}
