/* URLs, header lines and what may be shown of them. */
#include "harness.h"

#include "fetch/url.h"

#include <string.h>

static const char *
check(const char *url)
{
	struct weir_fetch_url parts = {0};

	return weir__fetch_url_check(url, strlen(url), &parts);
}

TEST(url, takes_what_can_be_fetched)
{
	CHECK(!check("http://a"));
	CHECK(!check("https://a/"));
	CHECK(!check("HTTP://A:80/b?c#d"));
	CHECK(!check("http://joe:pw@a:8080/"));
	CHECK(!check("http://[::1]:8080/x"));
	CHECK(!check("http://[2001:db8::1]"));
	CHECK(!check("http://a?b"));
	CHECK(!check("http://a:/"));
	CHECK(!check("http://m\xc3\xbcnchen.example/"));
	CHECK(!check("http://a/b@c:d"));
}

TEST(url, refuses_what_cannot)
{
	static const char *const bad[] = {
		"",
		"a",
		"a.example/",
		"//a",
		"/b",
		"http:/a",
		"http//a",
		"http://",
		"http:///x",
		"http://:80/",
		"http://joe@/",
		"http://a:b/",
		"http://a:0/",
		"http://a:65536/",
		"http://a:123456/",
		"http://[::1/",
		"http://::1]/",
		"http://[::1]x/",
		"ftp://a/",
		"file:///etc",
		"gopher://a/",
		"javascript:1",
		"http://a b/",
		"http://a/\t",
		"http://a/\r",
		"http://a/\n",
		"http://a/\x01",
		"http://a/\x7f",
		"http://a\\b/",
		"http://a/\xff",
		"http://a/\xc0\xaf",
		"https:a",
		" http://a/",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_MSG(check(bad[i]), "%s", bad[i]);
}

TEST(url, refuses_nul_bytes_and_long_ones)
{
	static char url[WEIR_FETCH_URL_MAX + 2] = "http://a/";
	struct weir_fetch_url parts;

	CHECK(weir__fetch_url_check("http://a/\0b", 11, &parts));
	memset(url + 9, 'x', sizeof(url) - 10);
	CHECK(weir__fetch_url_check(url, WEIR_FETCH_URL_MAX + 1, &parts));
	CHECK(!weir__fetch_url_check(url, WEIR_FETCH_URL_MAX, &parts));
}

static uint64_t
host_key(const char *url)
{
	static const uint64_t key[2] = {1, 2};
	struct weir_fetch_url parts = {0};

	REQUIRE(!weir__fetch_url_check(url, strlen(url), &parts));
	return weir__fetch_url_host_key(url, &parts, key);
}

TEST(url, counts_hosts_by_name_and_port)
{
	CHECK(host_key("http://a/b") == host_key("http://A:80/c?d"));
	CHECK(host_key("https://a/") == host_key("http://a:443/"));
	CHECK(host_key("http://joe:pw@a/") == host_key("http://a/"));
	CHECK(host_key("http://a/") != host_key("https://a/"));
	CHECK(host_key("http://a/") != host_key("http://b/"));
	CHECK(host_key("http://a:1/") != host_key("http://a:2/"));
	CHECK(host_key("http://[::1]/") != host_key("http://[::2]/"));
	CHECK(host_key("http://a/") != 0);
}

static void
check_redacted(const char *text, size_t max, const char *expected)
{
	struct weir_buf buf = {0};

	weir__fetch_redact(&buf, text, strlen(text), max);
	CHECK_STR(weir__buf_str(&buf), expected);
	weir__buf_fini(&buf);
}

TEST(url, shows_no_names_and_passwords)
{
	check_redacted("http://joe:pw@a/b@c", 99, "http://a/b@c");
	check_redacted("http://joe@x:y@a", 99, "http://a");
	check_redacted("http://a/b@c", 99, "http://a/b@c");
	check_redacted("x http://j:p@a/ http://k:q@b/", 99,
		       "x http://a/ http://b/");
	check_redacted("ftp://joe:pw@a/", 99, "ftp://a/");
	check_redacted("no url at@all", 99, "no url at@all");
	check_redacted("http://joe:pw@a/long", 10, "http://a/l...");
	check_redacted("://", 99, "://");
	check_redacted("a:", 99, "a:");
	check_redacted("", 99, "");
}

static bool
is_header(const char *header)
{
	return !weir__fetch_header_check(header, strlen(header));
}

TEST(url, takes_headers_that_are_one_line)
{
	CHECK(is_header("X: y"));
	CHECK(is_header("X-Y_z:"));
	CHECK(is_header("X;"));
	CHECK(!is_header("X"));
	CHECK(!is_header(": y"));
	CHECK(!is_header("X y: z"));
	CHECK(!is_header("X: y\r\nZ: a"));
	CHECK(!is_header("X: y\n"));
	CHECK(weir__fetch_header_check("X: \0", 4));
}

TEST(url, takes_methods_that_are_a_word)
{
	CHECK(weir__fetch_method_check("PUT", 3));
	CHECK(weir__fetch_method_check("M-SEARCH", 8));
	CHECK(!weir__fetch_method_check("", 0));
	CHECK(!weir__fetch_method_check("GET /", 5));
	CHECK(!weir__fetch_method_check("GET\r", 4));
}
