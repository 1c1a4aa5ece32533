/*
 * The index of docindex in trouble: killed at each write, out of space at each
 * write, without memory at each allocation, two processes at once, and one
 * that does not let go.
 *
 * Writes are met where SQLite makes them: it lets its system calls be replaced.
 */
#include "docindex_index_util.h"
#include "refuse.h"

#include "base/rng.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/* How many writes are let through, and what becomes of the next. */
static long writes_left;
static enum { WRITE_FINE, WRITE_FULL, WRITE_KILL } writes_then;

static bool
write_fails(void)
{
	if (writes_then == WRITE_FINE || writes_left-- > 0)
		return false;
	if (writes_then == WRITE_KILL)
		(void)raise(SIGKILL);
	errno = ENOSPC;
	return true;
}

static ssize_t
my_write(int fd, const void *bytes, size_t len)
{
	return write_fails() ? -1 : write(fd, bytes, len);
}

static ssize_t
my_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return write_fails() ? -1 : pwrite(fd, bytes, len, at);
}

static void
replace_writes(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	REQUIRE(vfs && vfs->iVersion >= 3);
	(void)vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)my_write);
	(void)vfs->xSetSystemCall(vfs, "pwrite",
				  (sqlite3_syscall_ptr)my_pwrite);
	(void)vfs->xSetSystemCall(vfs, "pwrite64",
				  (sqlite3_syscall_ptr)my_pwrite);
}

static bool
is_there(struct index *index, const char *path, unsigned version)
{
	return see(index, path, version) == INDEX_UNCHANGED;
}

/* Three documents in one transaction, which replace each other's versions. */
static weir_status
put_three(struct index *index, unsigned version, weir_error *reterr)
{
	static struct made made[3];
	const struct index_doc *docs[] = {&made[0].doc, &made[1].doc,
					  &made[2].doc};

	make_doc(&made[0], "a", version, CHUNKS_MAX);
	make_doc(&made[1], "b", version, version % CHUNKS_MAX);
	make_doc(&made[2], "c", version, 1);
	return index_put(index, docs, 3, "model", DIMS, reterr);
}

/* All of that version, or all of the one before. */
static unsigned
check_version(const char *vec0, unsigned version)
{
	struct index *index = open_index(made_path, vec0);
	unsigned found = is_there(index, "a", version) ? version : version - 1;

	if (found > 0) {
		CHECK(is_there(index, "a", found));
		CHECK(is_there(index, "b", found));
		CHECK(is_there(index, "c", found));
	}
	CHECK_EQ_INT(counts(index).documents, found > 0 ? 3 : 0);
	(void)index_close(index);
	check_whole(made_path);
	if (found > 0)
		check_vectors(made_path, strcmp(vec0, "none") != 0);
	return found;
}

/* Fork one that dies at that write.  False: it came to its end. */
static bool
put_and_die(const char *vec0, unsigned version, long writes)
{
	int how = 0;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		struct index *index;

		replace_writes();
		index = open_index(made_path, vec0);
		writes_left = writes;
		writes_then = WRITE_KILL;
		if (put_three(index, version, NULL) != WEIR_OK)
			_exit(3);
		(void)index_close(index);
		_exit(0);
	}
	REQUIRE(waitpid(pid, &how, 0) == pid);
	CHECK(WIFSIGNALED(how) ? WTERMSIG(how) == SIGKILL
			       : WEXITSTATUS(how) == 0);
	return WIFSIGNALED(how);
}

static void
die_at_each_write(const char *vec0)
{
	unsigned version = 0, lost = 0;
	long writes = 0;

	(void)index_close(open_index(new_path(), vec0));
	while (put_and_die(vec0, version + 1, writes)) {
		unsigned found = check_version(vec0, version + 1);

		lost += found == version;
		version = found;
		writes++;
		REQUIRE(writes < 1000);
	}
	CHECK_EQ_INT(check_version(vec0, version + 1), version + 1);
	CHECK_MSG(writes > 10 && lost > 5 && version > 0,
		  "%ld writes, %u lost, %u kept", writes, lost, version);
	done();
}

TEST_LIMIT(docindex_index_trouble, killed_at_any_write_a_document_is_whole, 120)
{
	die_at_each_write("none");
}

TEST_LIMIT(docindex_index_trouble,
	   killed_at_any_write_a_document_is_whole_with_sqlite_vec, 120)
{
	die_at_each_write(test_vec0());
}

/* Puts until it is killed, and tells of each put by a byte. */
static _Noreturn void
put_for_ever(const char *vec0, int fd)
{
	struct index *index = open_index(made_path, vec0);

	for (unsigned version = 1;; version++)
		if (put_three(index, version, NULL) != WEIR_OK ||
		    write(fd, "", 1) != 1)
			_exit(3);
}

TEST_LIMIT(docindex_index_trouble, killed_at_any_moment_a_document_is_whole, 60)
{
	struct weir_rng rng;
	char byte;

	weir__rng_seed(&rng, test_seed());
	(void)index_close(open_index(new_path(), "none"));
	for (int round = 0; round < 20; round++) {
		uint64_t puts = weir__rng_below(&rng, 30) + 1;
		int fds[2], how;
		pid_t pid;

		REQUIRE(pipe(fds) == 0 && (pid = fork()) >= 0);
		if (pid == 0)
			put_for_ever("none", fds[1]);
		(void)close(fds[1]);
		while (puts-- > 0)
			REQUIRE(read(fds[0], &byte, 1) == 1);
		REQUIRE(kill(pid, SIGKILL) == 0);
		REQUIRE(waitpid(pid, &how, 0) == pid && WIFSIGNALED(how));
		(void)close(fds[0]);
		check_whole(made_path);
		check_vectors(made_path, false);
	}
	done();
}

/*
 * Out of space at each write in turn, in what a run does: it is told as such,
 * the index is unharmed, and the same connection goes on when there is room.
 */
static void
full_at_each_write(const char *vec0, bool fresh)
{
	unsigned version = 1, refused = 0;
	weir_error error;

	replace_writes();
	(void)new_path();
	for (long writes = 0;; writes++) {
		struct index *index;
		weir_status status;

		if (fresh)
			scratch_empty(made_folder);
		index = open_index(made_path, vec0);

		error = (weir_error){0};
		writes_left = writes;
		writes_then = WRITE_FULL;
		status = put_three(index, version, &error);
		writes_then = WRITE_FINE;
		if (status == WEIR_OK && writes_left >= 0) {
			(void)index_close(index);
			break;
		}
		if (status != WEIR_OK) {
			refused++;
			CHECK_EQ_INT(status, WEIR_SYSTEM);
			CHECK_MSG(error.native == ENOSPC, "%d, %s",
				  error.native, error.message);
			CHECK(strstr(error.message, "docs.db"));
			CHECK(!is_there(index, "a", version));
			CHECK_EQ_INT(put_three(index, version, NULL), WEIR_OK);
		}
		CHECK(is_there(index, "a", version));
		(void)index_close(index);
		CHECK_EQ_INT(check_version(vec0, version), version);
		version++;
		REQUIRE(writes < 1000);
	}
	CHECK_MSG(refused > 3, "refused %u times", refused);
	done();
}

TEST_LIMIT(docindex_index_trouble, a_full_disk_is_told_and_harms_nothing, 120)
{
	full_at_each_write("none", false);
}

TEST_LIMIT(docindex_index_trouble, a_full_disk_harms_no_index_that_is_new, 120)
{
	full_at_each_write("none", true);
}

TEST_LIMIT(docindex_index_trouble,
	   a_full_disk_is_told_and_harms_nothing_with_sqlite_vec, 120)
{
	const char *vec0 = test_vec0();

	full_at_each_write(vec0, false);
	full_at_each_write(vec0, true);
}

/* One of two: its own documents, and some that the other puts as well. */
static _Noreturn void
put_beside(const char *vec0, char name)
{
	struct index *index = open_index(made_path, vec0);
	char path[32];

	for (unsigned i = 0; i < 60; i++) {
		snprintf(path, sizeof(path), "%c/%u", name, i);
		put(index, path, 1, i % CHUNKS_MAX);
		snprintf(path, sizeof(path), "both/%u", i % 10);
		put(index, path, i + 1, (i + (unsigned)name) % CHUNKS_MAX);
	}
	(void)index_close(index);
	_exit(0);
}

static void
two_at_once(const char *vec0)
{
	(void)new_path();
	for (int round = 0; round < 5; round++) {
		pid_t pids[2];
		int how;

		for (int i = 0; i < 2; i++) {
			pids[i] = fork();
			REQUIRE(pids[i] >= 0);
			if (pids[i] == 0)
				put_beside(vec0, (char)('x' + i));
		}
		for (int i = 0; i < 2; i++) {
			REQUIRE(waitpid(pids[i], &how, 0) == pids[i]);
			CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
		}
		CHECK_EQ_INT(
			ask_file(made_path, "SELECT count(*) FROM documents"),
			130);
		check_whole(made_path);
		check_vectors(made_path, strcmp(vec0, "none") != 0);
		/* Made anew, so that both make it. */
		scratch_empty(made_folder);
	}
	done();
}

TEST_LIMIT(docindex_index_trouble, two_processes_put_and_make_it_at_once, 120)
{
	two_at_once("none");
}

TEST_LIMIT(docindex_index_trouble,
	   two_processes_put_and_make_it_at_once_with_sqlite_vec, 120)
{
	two_at_once(test_vec0());
}

static int64_t slept_us;

/* Time passes at once. */
static int
my_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	slept_us += us;
	return us;
}

TEST(docindex_index_trouble, who_does_not_let_go_is_waited_for_and_then_told)
{
	struct index *index = open_index(new_path(), "none");
	sqlite3 *other = NULL;
	weir_error error = {0};

	put(index, "a", 1, 2);
	REQUIRE(sqlite3_open(made_path, &other) == SQLITE_OK);
	REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) ==
		SQLITE_OK);
	sqlite3_vfs_find(NULL)->xSleep = my_sleep;
	CHECK_EQ_INT(put_version(index, "a", 2, 2, &error), WEIR_BUSY);
	CHECK(strstr(error.message, "locked"));
	CHECK(slept_us > 9000000 && slept_us <= 10000000);
	/* Reading does not wait. */
	CHECK_EQ_INT(see(index, "a", 1), INDEX_UNCHANGED);
	REQUIRE(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
	put(index, "a", 2, 2);
	(void)sqlite3_close(other);
	(void)index_close(index);
	done();
}

TEST_LIMIT(docindex_index_trouble, the_wal_does_not_grow_without_end, 120)
{
	struct index *index = open_index(new_path(), "none");
	char wal[sizeof(made_path) + 8], path[32];
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", made_path);
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(path, sizeof(path), "%u", i % 100);
		put(index, path, i, CHUNKS_MAX);
	}
	REQUIRE(stat(wal, &st) == 0);
	CHECK_MSG(st.st_size > 8000000 && st.st_size < 12000000, "%lld",
		  (long long)st.st_size);
	(void)index_close(index);
	/* And who was the last has left one file. */
	CHECK(stat(wal, &st) != 0);
	done();
}

static bool
count_hit(const struct index_hit *hit, void *user)
{
	(void)hit;
	++*(unsigned *)user;
	return true;
}

/* What a run does, and a search after it. */
static weir_status
do_all(unsigned version, unsigned *ret_hits, weir_error *reterr)
{
	struct index_options options = {made_path, true, true, "none"};
	static const float asked[DIMS] = {1};
	struct index *index = NULL;
	enum index_known known;
	struct made made;
	uint64_t forgotten;
	weir_status status = index_open(&index, &options, reterr);

	make_doc(&made, "c", version, 0);
	if (status == WEIR_OK)
		status = index_see(index, "c", made.hash, &known, reterr);
	if (status == WEIR_OK)
		status = put_three(index, version, reterr);
	if (status == WEIR_OK)
		status = index_spare(index, "b", reterr);
	if (status == WEIR_OK)
		status = index_forget_unseen(index, "/", NULL, NULL, &forgotten,
					     reterr);
	if (status == WEIR_OK)
		status = index_search(index, asked, DIMS, 5, count_hit,
				      ret_hits, reterr);
	(void)index_close(index);
	return status;
}

TEST_LIMIT(docindex_index_trouble, without_memory_it_is_told_and_no_harm_done,
	   120)
{
	unsigned told = 0;
	long refused;

#if !REFUSE_WORKS
	SKIP("this sanitizer has an allocator of its own");
#endif
	(void)new_path();
	for (long nth = 1;; nth++) {
		unsigned hits = 0, version = (unsigned)nth;
		weir_error error = {0};
		weir_status status;

		if (nth % 3 == 0)
			scratch_empty(made_folder);
		refuse_arm(nth, false);
		status = do_all(version, &hits, &error);
		refused = refuse_disarm();
		CHECK_MSG(status == WEIR_OK ? hits == 5 : refused > 0,
			  "%ld: %s", nth, error.message);
		CHECK_MSG(status == WEIR_OK || status == WEIR_NOMEM, "%ld: %s",
			  nth, error.message);
		told += status == WEIR_NOMEM;
		if (refused == 0)
			break;
	}
	CHECK_MSG(told > 100, "told %u times", told);
	CHECK_EQ_INT(do_all(1, &told, NULL), WEIR_OK);
	check_whole(made_path);
	check_vectors(made_path, false);
	done();
}
