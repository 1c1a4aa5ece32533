/* Names for files: none leads out of the folder, and none is hidden. */
#include "harness.h"

#include "fetch/folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
check_name(const char *url, const char *out, const char *expected)
{
	char name[WEIR_FETCH_NAME_MAX + 1];

	weir__fetch_file_name(name, url, out);
	CHECK_STR(name, expected);
}

TEST(folder, names_files_after_the_path)
{
	check_name("http://a/b/c.pdf", NULL, "c.pdf");
	check_name("http://a/b/c.pdf?d/e#f/g", NULL, "c.pdf");
	check_name("http://a", NULL, "index.html");
	check_name("http://a/", NULL, "index.html");
	check_name("http://a?b/c", NULL, "index.html");
	check_name("http://a/b/", NULL, "index.html");
	check_name("http://a/b%20c", NULL, "b c");
	check_name("http://a/%zz%4", NULL, "%zz%4");
	check_name("http://a/b", "mine.txt", "mine.txt");
}

TEST(folder, makes_names_harmless)
{
	check_name("http://a/..", NULL, "_.");
	check_name("http://a/.bashrc", NULL, "_bashrc");
	check_name("http://a/-rf", NULL, "_rf");
	check_name("http://a/%2e%2e%2fb", NULL, "_._b");
	check_name("http://a/..%5Cb", NULL, "_._b");
	check_name("http://a/b%00c%0a%7f", NULL, "b_c__");
	check_name("http://a/%ff%fe", NULL, "__");
	check_name("http://a/", "/etc/passwd", "_etc_passwd");
	check_name("http://a/", "../../x", "_._.._x");
	check_name("http://a/", "", "index.html");
}

TEST(folder, cuts_long_names)
{
	char url[2000] = "http://a/", name[WEIR_FETCH_NAME_MAX + 1];

	memset(url + 9, 'x', sizeof(url) - 10);
	weir__fetch_file_name(name, url, NULL);
	CHECK_EQ_INT(strlen(name), WEIR_FETCH_NAME_MAX);
	weir__fetch_file_name(name, "http://a/", url);
	CHECK_EQ_INT(strlen(name), WEIR_FETCH_NAME_MAX);
}

TEST(folder, follows_no_symbolic_link)
{
	char dir[] = "/tmp/weir-test-XXXXXX";
	struct weir_fetch_request request = {.url = "http://a/b",
					     .shown = "http://a/b"};
	struct weir_fetch_folder folder;
	struct weir_fetch_file file = {.fd = -1};
	char *name = NULL;

	REQUIRE(mkdtemp(dir));
	REQUIRE(weir__fetch_folder_open(&folder, dir) == 0);
	REQUIRE(symlinkat("/tmp/weir-test-elsewhere", folder.fd, "b") == 0);
	REQUIRE(weir__fetch_file_open(&folder, &file, &request, false) == 0);
	CHECK_EQ_INT(weir__fetch_file_write(&file, "x", 1), 0);
	CHECK_EQ_INT(weir__fetch_file_commit(&folder, &file, &request, &name),
		     0);
	CHECK(name && strncmp(name, "b-", 2) == 0);
	CHECK(access("/tmp/weir-test-elsewhere", F_OK) != 0);
	if (name)
		(void)unlinkat(folder.fd, name, 0);
	free(name);
	(void)unlinkat(folder.fd, "b", 0);
	weir__fetch_folder_close(&folder);
	CHECK(rmdir(dir) == 0);
}

TEST(folder, keeps_two_transfers_of_one_url_apart)
{
	char dir[] = "/tmp/weir-test-XXXXXX";
	struct weir_fetch_request request = {.url = "http://a/b",
					     .shown = "http://a/b"};
	struct weir_fetch_folder folder;
	struct weir_fetch_file one = {.fd = -1}, two = {.fd = -1};

	REQUIRE(mkdtemp(dir));
	REQUIRE(weir__fetch_folder_open(&folder, dir) == 0);
	REQUIRE(weir__fetch_file_open(&folder, &one, &request, false) == 0);
	REQUIRE(weir__fetch_file_open(&folder, &two, &request, false) == 0);
	CHECK(strcmp(one.temp, two.temp) != 0);
	CHECK_EQ_INT(weir__fetch_file_write(&one, "abc", 3), 0);
	strcpy(one.validator, "\"v1\"");
	CHECK(weir__fetch_file_abandon(&folder, &one, &request, true));
	CHECK(!weir__fetch_file_abandon(&folder, &two, &request, true));
	/* What was left is found again, and only when it is asked for. */
	REQUIRE(weir__fetch_file_open(&folder, &one, &request, true) == 0);
	CHECK_EQ_INT(one.size, 3);
	CHECK_STR(one.validator, "\"v1\"");
	CHECK(!weir__fetch_file_abandon(&folder, &one, &request, false));
	weir__fetch_folder_close(&folder);
	CHECK(rmdir(dir) == 0);
}
