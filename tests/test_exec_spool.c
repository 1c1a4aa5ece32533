/* Bytes that wait, in memory and in files without a name. */
#include "harness.h"

#include "exec/spool.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static char
byte_at(uint64_t at)
{
	return (char)(at * 2654435761U >> 13);
}

/* Append len bytes of the sequence, in pieces of piece. */
static int
append(struct weir_spool *spool, uint64_t len, size_t piece)
{
	static char text[100000];
	int failed = 0;

	while (len > 0 && !failed) {
		size_t now = len < piece ? (size_t)len : piece;

		for (size_t i = 0; i < now; i++)
			text[i] = byte_at(spool->len + i);
		failed = weir__spool_append(spool, text, now);
		len -= now;
	}
	return failed;
}

/* Read all that is left; is it the sequence? */
static bool
read_back(struct weir_spool *spool, size_t piece)
{
	static char text[100000];
	uint64_t at = spool->read;
	long len;

	while ((len = weir__spool_read(spool, text, piece)) > 0)
		for (long i = 0; i < len; i++)
			if (text[i] != byte_at(at++))
				return false;
	return len == 0 && at == spool->len;
}

static int
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	REQUIRE(dir);
	while (readdir(dir))
		count++;
	(void)closedir(dir);
	return count;
}

TEST(spool, keeps_bytes_in_memory_while_they_are_few)
{
	struct weir_spool_budget budget = {.max = 100000};
	struct weir_spool spool = {.budget = &budget};
	int before = open_files();

	CHECK_EQ_INT(append(&spool, 40000, 777), 0);
	CHECK_EQ_INT(spool.len, 40000);
	CHECK_EQ_INT(open_files(), before);
	CHECK(weir__u64_load(&budget.used, WEIR_RELAXED) >= 40000);
	CHECK(read_back(&spool, 1000));
	weir__spool_fini(&spool);
	CHECK_EQ_INT(weir__u64_load(&budget.used, WEIR_RELAXED), 0);
	CHECK_EQ_INT(spool.len, 0);
}

TEST(spool, spills_into_a_file_that_nobody_sees)
{
	struct weir_spool_budget budget = {.max = 10000};
	struct weir_spool spool = {.budget = &budget};
	char dir[] = "/tmp/weir-test-XXXXXX";
	int before = open_files();

	REQUIRE(mkdtemp(dir) && setenv("TMPDIR", dir, 1) == 0);
	CHECK_STR(weir__spool_dir(), dir);
	CHECK_EQ_INT(append(&spool, 1000000, 4097), 0);
	CHECK_EQ_INT(spool.len, 1000000);
	CHECK_EQ_INT(open_files(), before + 1);
	/* It can be removed, so there is nothing in it. */
	CHECK_EQ_INT(rmdir(dir), 0);
	CHECK(weir__u64_load(&budget.used, WEIR_RELAXED) <= 20000);
	CHECK(read_back(&spool, 3001));
	weir__spool_fini(&spool);
	CHECK_EQ_INT(open_files(), before);
}

TEST(spool, is_read_in_order_while_it_grows)
{
	struct weir_spool_budget budget = {.max = 5000};
	struct weir_spool spool = {.budget = &budget};

	for (int i = 0; i < 50; i++) {
		CHECK_EQ_INT(append(&spool, 997, 100), 0);
		CHECK(read_back(&spool, 64));
	}
	weir__spool_fini(&spool);
}

TEST(spool, goes_to_memory_again_when_others_have_left)
{
	struct weir_spool_budget budget = {.max = 10000};
	struct weir_spool first = {.budget = &budget};
	struct weir_spool second = {.budget = &budget};

	CHECK_EQ_INT(append(&first, 9000, 9000), 0);
	CHECK_EQ_INT(append(&second, 9000, 9000), 0);
	CHECK(first.file == 0 && second.file != 0);
	weir__spool_fini(&first);
	/* What is in a file goes on there: the order is plain. */
	CHECK_EQ_INT(append(&second, 100, 100), 0);
	CHECK_EQ_INT(second.memory.len, 0);
	CHECK_EQ_INT(append(&first, 100, 100), 0);
	CHECK(first.file == 0);
	CHECK(read_back(&second, 5000));
	weir__spool_fini(&first);
	weir__spool_fini(&second);
	CHECK_EQ_INT(weir__u64_load(&budget.used, WEIR_RELAXED), 0);
}

TEST(spool, moves_with_all_it_has)
{
	struct weir_spool_budget budget = {.max = 1000};
	struct weir_spool from = {.budget = &budget}, dest;

	CHECK_EQ_INT(append(&from, 600, 600), 0);
	CHECK_EQ_INT(append(&from, 5000, 600), 0);
	weir__spool_move(&dest, &from);
	CHECK_EQ_INT(from.len, 0);
	CHECK_EQ_INT(dest.len, 5600);
	CHECK_EQ_INT(append(&from, 10, 10), 0);
	CHECK(read_back(&dest, 512));
	CHECK(read_back(&from, 512));
	weir__spool_fini(&dest);
	weir__spool_fini(&from);
	CHECK_EQ_INT(weir__u64_load(&budget.used, WEIR_RELAXED), 0);
}

TEST(spool, shows_its_tail_and_is_as_it_was)
{
	struct weir_spool_budget budget = {.max = 1000};
	struct weir_spool spool = {.budget = &budget};
	char tail[2000];

	CHECK_EQ_INT(weir__spool_tail(&spool, tail, sizeof(tail)), 0);
	CHECK_EQ_INT(append(&spool, 600, 600), 0);
	/* Shorter than what is asked for; then across memory and file. */
	CHECK_EQ_INT(weir__spool_tail(&spool, tail, sizeof(tail)), 600);
	CHECK_EQ_INT(append(&spool, 1000, 600), 0);
	CHECK_EQ_INT(weir__spool_tail(&spool, tail, 1500), 1500);
	for (size_t i = 0; i < 1500; i++)
		if (!CHECK_EQ_INT(tail[i], byte_at(100 + i)))
			break;
	CHECK(read_back(&spool, 512));
	weir__spool_fini(&spool);
}

TEST(spool, says_why_there_can_be_no_file)
{
	struct weir_spool_budget budget = {.max = 1000};
	struct weir_spool spool = {.budget = &budget};

	REQUIRE(setenv("TMPDIR", "/no/such/place", 1) == 0);
	CHECK_EQ_INT(append(&spool, 900, 900), 0);
	CHECK_EQ_INT(append(&spool, 1000, 1000), ENOENT);
	/* What was there is. */
	CHECK_EQ_INT(spool.len, 900);
	CHECK(read_back(&spool, 512));
	weir__spool_fini(&spool);
}

TEST(spool, loses_nothing_that_was_there_when_the_disk_is_full)
{
	struct weir_spool_budget budget = {.max = 1000};
	struct weir_spool spool = {.budget = &budget};
	char dir[] = "/tmp/weir-test-XXXXXX";

	if (unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    !mkdtemp(dir))
		SKIP("no file system can be mounted here");
	if (mount("tmpfs", dir, "tmpfs", 0, "size=65536") != 0) {
		(void)rmdir(dir);
		SKIP("no file system can be mounted here");
	}
	REQUIRE(setenv("TMPDIR", dir, 1) == 0);
	CHECK_EQ_INT(append(&spool, 200000, 10000), ENOSPC);
	CHECK(spool.len >= 60000 && spool.len < 70000);
	CHECK(read_back(&spool, 4096));
	weir__spool_fini(&spool);
	CHECK_EQ_INT(umount(dir), 0);
	CHECK_EQ_INT(rmdir(dir), 0);
}
