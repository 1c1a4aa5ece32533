/*
 * A disk that fails, is full, or may only be read, under a queue at work.
 *
 * Whatever fails is told, and has changed nothing; what was acknowledged is
 * there; and when the disk is well again the queue works on, without being
 * opened anew.
 *
 * WEIR_TEST_FAULTS is how many calls are let fail of each kind, spread over
 * all there are, 0: each of them; WEIR_TEST_FILLS is how often the disk is
 * filled.
 */
#include "crash_vfs.h"
#include "harness.h"
#include "queue_driver.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>

struct faults {
	char folder[SCRATCH_MAX], path[SCRATCH_MAX + 16];
	struct driver driver;
};

static uint64_t
wanted(const char *variable, uint64_t usual)
{
	const char *text = getenv(variable);

	return text && *text ? strtoull(text, NULL, 10) : usual;
}

static void
judge(struct faults *f, const char *what, uint64_t n)
{
	uint64_t wrongs[LEDGER_WRONGS] = {0};

	CHECK_MSG(ledger_judge(&f->driver.ledger, f->path, false, 0, wrongs),
		  "after %s %" PRIu64, what, n);
}

static void
steps(struct driver *d, unsigned count)
{
	while (count-- > 0)
		(void)driver_step(d);
}

/* The store is open, the disk is well, and everything goes well again. */
static void
check_works(struct faults *f)
{
	unsigned long failures = atomic_load(&f->driver.failures);

	steps(&f->driver, 15);
	CHECK_MSG(atomic_load(&f->driver.failures) == failures, "%s",
		  f->driver.error.message);
}

/* A life in which calls fail after `after` others; how many calls it made. */
static uint64_t
life(struct faults *f, uint64_t after, uint64_t count, int code, bool alone)
{
	struct driver *d = &f->driver;
	uint64_t calls;
	bool open;

	scratch_empty(f->folder);
	crash_vfs_watch(f->folder, NULL, NULL);
	*d = (struct driver){.path = f->path, .jobs_max = 400, .alone = alone};
	driver_begin(d, 11);
	calls = crash_vfs_calls();
	crash_vfs_fail(after, count, code);
	open = driver_open(d);
	if (open)
		steps(d, 40);
	calls = crash_vfs_calls() - calls;
	crash_vfs_fail(0, 0, SQLITE_OK);
	if (open) {
		check_works(f);
		driver_close(d, false);
	}
	return calls;
}

static void
fail_each(int code, uint64_t count, bool alone)
{
	static struct faults f;
	uint64_t tries = wanted("WEIR_TEST_FAULTS", SANITIZED ? 30 : 120),
		 total, step, tried = 0;

	scratch_make(f.folder);
	(void)snprintf(f.path, sizeof(f.path), "%s/jobs.db", f.folder);
	total = life(&f, 0, 0, SQLITE_OK, alone);
	CHECK_EQ_INT(atomic_load(&f.driver.failures), 0);
	step = tries && total > tries ? total / tries : 1;
	for (uint64_t n = test_seed() % step; n < total; n += step) {
		(void)life(&f, n, count, code, alone);
		judge(&f, "call", n);
		tried++;
	}
	printf("# %" PRIu64 " of %" PRIu64 " calls failed\n", tried, total);
	crash_vfs_watch(NULL, NULL, NULL);
	scratch_remove(f.folder);
}

TEST_LIMIT(faults, a_write_fails, 120)
{
	fail_each(SQLITE_IOERR_WRITE, 1, false);
}

TEST_LIMIT(faults, a_sync_fails, 120)
{
	fail_each(SQLITE_IOERR_FSYNC, 1, false);
}

TEST_LIMIT(faults, a_call_fails_and_some_after_it, 120)
{
	fail_each(SQLITE_IOERR_WRITE, 30, false);
}

TEST_LIMIT(faults, the_disk_is_full_at_a_write_and_some_after_it, 120)
{
	fail_each(SQLITE_FULL, 10, false);
}

TEST_LIMIT(faults, a_call_fails_while_working_alone, 120)
{
	fail_each(SQLITE_IOERR_WRITE, 2, true);
}

/*
 * Insert two jobs; what `call` of the second, counted from 0, fails with code.
 * Then the process is gone, or closes the store.  False: there was no such
 * call.
 */
static bool
refused_at_last(struct faults *f, uint64_t call, int code, bool abrupt)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_insert job = WEIR_INSERT_INIT;
	weir_store *store;
	weir_inserted ret;
	weir_error error;
	unsigned n;

	scratch_empty(f->folder);
	crash_vfs_watch(f->folder, NULL, NULL);
	memset(&f->driver.ledger, 0, sizeof(f->driver.ledger));
	options.url = f->path;
	options.create = true;
	REQUIRE(weir_store_open(&store, &options, &error) == WEIR_OK);
	job.kind = "some";
	job.args = "{\"n\":0}";
	n = ledger_insert(&f->driver.ledger, 1);
	ledger_inserted(&f->driver.ledger, n, 1, &ret,
			weir_store_insert(store, &job, 1, &ret, NULL, &error));
	job.args = "{\"n\":1}";
	n = ledger_insert(&f->driver.ledger, 1);
	/* It is tried a second time, and may not succeed then. */
	crash_vfs_fail(call, 1, code);
	ledger_inserted(&f->driver.ledger, n, 1, &ret,
			weir_store_insert(store, &job, 1, &ret, NULL, &error));
	if (abrupt)
		crash_vfs_fail(0, UINT64_MAX, SQLITE_IOERR_WRITE);
	weir_store_close(store);
	crash_vfs_fail(0, 0, SQLITE_OK);
	judge(f, "call", call);
	return call < 40;
}

TEST(faults, what_was_refused_last_of_all_does_not_come_back)
{
	static struct faults f;
	uint64_t call = 0;

	scratch_make(f.folder);
	(void)snprintf(f.path, sizeof(f.path), "%s/jobs.db", f.folder);
	while (refused_at_last(&f, call, SQLITE_IOERR_FSYNC, false) &&
	       refused_at_last(&f, call, SQLITE_IOERR_FSYNC, true) &&
	       refused_at_last(&f, call, SQLITE_FULL, true))
		call++;
	crash_vfs_watch(NULL, NULL, NULL);
	scratch_remove(f.folder);
}

/*
 * A file system of two megabytes of this test's own, which needs root or what
 * looks like it.
 */
static void
small_disk(struct faults *f)
{
	if (unshare(CLONE_NEWNS) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		SKIP("no file system can be mounted here");
	scratch_make(f->folder);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", f->folder, "tmpfs", 0, "size=2m,mode=0700") < 0)
		SKIP("no file system can be mounted here");
	(void)snprintf(f->path, sizeof(f->path), "%s/jobs.db", f->folder);
	f->driver =
		(struct driver){.path = f->path, .jobs_max = LEDGER_JOBS - 99};
	driver_begin(&f->driver, test_seed());
	REQUIRE(driver_open(&f->driver));
}

static void
small_disk_end(struct faults *f)
{
	driver_close(&f->driver, false);
	judge(f, "all", 0);
	REQUIRE(umount(f->folder) == 0);
	scratch_remove(f->folder);
}

/* Fill what is left, but for so many bytes. */
static void
fill_disk(struct faults *f, size_t but)
{
	char path[SCRATCH_MAX + 16];
	static const char zeros[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/ballast", f->folder);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	REQUIRE(errno == ENOSPC);
	REQUIRE(ftruncate(fd, lseek(fd, 0, SEEK_CUR) - (off_t)but) == 0);
	(void)close(fd);
}

static void
free_disk(struct faults *f)
{
	char path[SCRATCH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/ballast", f->folder);
	(void)unlink(path);
}

TEST_LIMIT(faults, a_full_disk_loses_nothing_and_work_resumes, 120)
{
	static struct faults f;
	uint64_t fills = wanted("WEIR_TEST_FILLS", SANITIZED ? 16 : 40),
		 hit = 0;

	small_disk(&f);
	for (uint64_t i = 0; i < fills; i++) {
		unsigned long failures = atomic_load(&f.driver.failures);
		unsigned jobs = atomic_load(&f.driver.ledger.count);

		fill_disk(&f, 4096 * (i % 8));
		steps(&f.driver, 12);
		hit += atomic_load(&f.driver.failures) > failures;
		free_disk(&f);
		check_works(&f);
		if (i % 8 == 7)
			judge(&f, "fill", i);
		/* Another database, before this one fills the disk by itself.
		 */
		if (jobs < 200)
			continue;
		driver_close(&f.driver, false);
		judge(&f, "fill", i);
		scratch_empty(f.folder);
		f.driver = (struct driver){.path = f.path,
					   .jobs_max = LEDGER_JOBS - 99};
		driver_begin(&f.driver, test_seed() + i);
		REQUIRE(driver_open(&f.driver));
	}
	printf("# %" PRIu64 " of %" PRIu64 " times something failed\n", hit,
	       fills);
	CHECK(hit > fills / 2);
	small_disk_end(&f);
}

TEST(faults, a_full_disk_is_told_as_such)
{
	static struct faults f;
	weir_insert job = WEIR_INSERT_INIT;
	weir_error error = {0};
	weir_status status = WEIR_OK;

	small_disk(&f);
	fill_disk(&f, 0);
	job.kind = "some";
	for (int i = 0; i < 1000 && status == WEIR_OK; i++) {
		job.args = "{}";
		status = weir_store_insert(f.driver.store, &job, 1, NULL, NULL,
					   &error);
	}
	CHECK_EQ_INT(status, WEIR_SYSTEM);
	CHECK_EQ_INT(error.native, ENOSPC);
	free_disk(&f);
	driver_close(&f.driver, false);
	REQUIRE(umount(f.folder) == 0);
	scratch_remove(f.folder);
}

TEST(faults, a_disk_that_may_only_be_read_is_told_and_works_again)
{
	static struct faults f;
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};
	weir_status status;

	small_disk(&f);
	steps(&f.driver, 60);
	driver_close(&f.driver, false);
	REQUIRE(mount(NULL, f.folder, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	options.url = f.path;
	status = weir_store_open(&store, &options, &error);
	if (status == WEIR_OK) {
		weir_insert job = WEIR_INSERT_INIT;

		job.kind = "some";
		status = weir_store_insert(store, &job, 1, NULL, NULL, &error);
	}
	CHECK_EQ_INT(status, WEIR_SYSTEM);
	CHECK_MSG(*error.message, "says nothing");
	weir_store_close(store);
	REQUIRE(mount(NULL, f.folder, NULL, MS_REMOUNT, NULL) == 0);
	REQUIRE(driver_open(&f.driver));
	check_works(&f);
	small_disk_end(&f);
}
