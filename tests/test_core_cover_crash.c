/*
 * The last words, without dying: the disposition that was there before is a
 * handler of this test, which mends what was wrong, so that the process goes
 * on after weir's handler has had its say.
 */
#include "core/pool.h"
#include "core_util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static const char *const names[] = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE",
				    "SIGABRT"};

static volatile sig_atomic_t mended;
static void *page;

static void
mend(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (number == SIGSEGV && info->si_code > 0)
		(void)mprotect(page, 4096, PROT_READ | PROT_WRITE);
	mended++;
}

static void
set_handler(int number, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler,
				   .sa_flags = SA_SIGINFO};

	REQUIRE(sigaction(number, &action, NULL) == 0);
}

/* weir's handlers in front of ours, their line into a pipe. */
static int
install(void)
{
	int ends[2];

	REQUIRE(pipe(ends) == 0);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		set_handler(fatal[i], mend);
	OK(weir_crash_report(ends[1]));
	/* Once more: another place to write to, the same handlers. */
	OK(weir_crash_report(ends[1]));
	return ends[0];
}

static const char *
line_of(int fd)
{
	static char line[300];
	ssize_t len = read(fd, line, sizeof(line) - 1);

	REQUIRE(len > 0);
	line[len] = '\0';
	return line;
}

TEST(cover, each_fatal_signal_is_called_by_its_name)
{
	int fd = install();

	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++) {
		char want[80];

		raise(fatal[i]);
		CHECK_EQ_INT(mended, i + 1);
		snprintf(want, sizeof(want),
			 "weir: fatal signal %s outside of a pool\n", names[i]);
		CHECK_STR(line_of(fd), want);
	}
}

static weir_status
fault_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	*(volatile char *)page = 1;
	return WEIR_OK;
}

TEST(cover, a_fault_in_a_job_names_pool_job_and_address)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	char want[120];
	weir_pool *pool;
	int fd;

	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED);
	fd = install();
	o.name = "faulty";
	o.workers = 1;
	o.queue = 1;
	o.run = fault_run;
	pool = pool_make(&o);
	OK(weir_pool_submit(pool, NULL, NULL, NULL));
	CHECK_EQ_INT(next_result(pool, NULL).status, WEIR_OK);
	CHECK_EQ_INT(mended, 1);
	snprintf(want, sizeof(want),
		 "weir: fatal signal SIGSEGV in pool \"faulty\" job 1 addr "
		 "%p\n",
		 page);
	CHECK_STR(line_of(fd), want);
	weir_pool_free(pool);
	munmap(page, 4096);
}
