/*
 * How transfers are made: plain values, set once, the same for all threads.
 */
#ifndef WEIR_SRC_FETCH_OPTIONS_H
#define WEIR_SRC_FETCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct curl_slist;

/* In the order of the command's choices. */
enum weir_fetch_http {
	WEIR_FETCH_HTTP_ANY,
	WEIR_FETCH_HTTP_1,
	WEIR_FETCH_HTTP_2,
};

enum weir_fetch_ip {
	WEIR_FETCH_IP_ANY,
	WEIR_FETCH_IP_4,
	WEIR_FETCH_IP_6,
};

#define WEIR_FETCH_REDIRECTS_MAX 10
#define WEIR_FETCH_HEADERS_MAX   (256 * 1024)
#define WEIR_FETCH_RATIO_MAX     100
/* Below this size no ratio is a bomb. */
#define WEIR_FETCH_RATIO_FREE (1024 * 1024)

struct weir_fetch_options {
	/* how much at once */
	uint32_t jobs;       /* slots */
	uint32_t threads;    /* reactors; 0: as many as make sense */
	uint32_t per_host;   /* 0: no cap */
	uint32_t retries;    /* attempts after the first */
	double rate;         /* starts a second; 0: any */
	uint64_t limit_rate; /* bytes a second, all together; 0: any */

	/* how long, in nanoseconds */
	int64_t timeout_ns, connect_ns, first_byte_ns, stall_ns;
	int64_t retry_after_ns_max; /* a longer Retry-After is cut to this */

	/* how much */
	uint64_t body_max; /* 0: any */

	/* what is sent */
	const char *method, *user_agent;
	const char *body; /* NULL: none */
	size_t body_len;
	struct curl_slist *headers;
	bool head, compressed;
	/* An answer that points elsewhere is the answer, and not a good one. */
	bool no_redirects;
	enum weir_fetch_http http;
	enum weir_fetch_ip ip;

	/* whom to trust */
	bool insecure, public_only;
	const char *ca_file;
	const char *proxy; /* NULL: none */
	bool env_proxy;    /* as the environment says */

	/* what is kept */
	bool details;  /* times and addresses, for JSON records */
	bool checksum; /* the bodies' SHA-256 */
	bool resume_parts;
	size_t capture; /* bytes of each body in its outcome; 0: none */
};

#endif
