/*
 * The test harness: a process and a time limit per test, TAP on stdout.
 *
 *      TEST(chan, send_waits_while_full) { CHECK_EQ_INT(len(ch), 3); }
 *
 * becomes "ok 1 - chan: send waits while full".  main() is the harness's:
 * ./test_chan runs all tests, ./test_chan send close those with "send" or
 * "close" in that title, ./test_chan --list shows the titles.
 *
 * WEIR_TEST_SLOW   multiplies the time limits (sanitizers, valgrind)
 * WEIR_TEST_SEED   what test_seed() returns, to repeat a run
 *
 * Checks work on any thread, and in processes that the test forks.  After a
 * failed CHECK the test goes on (its value says whether it held); a failed
 * REQUIRE ends the test there.  Arguments are evaluated once.
 */
#ifndef WEIR_TESTS_HARNESS_H
#define WEIR_TESTS_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

/* Is ThreadSanitizer at work, which is slow and has threads of its own? */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* Is any sanitizer at work that slows all down? */
#if UNDER_TSAN || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct test {
	void (*run)(void);
	unsigned limit_s;
	char title[160];
	struct test *next;
};

#define TEST(suite, name) TEST_LIMIT(suite, name, 20)

/* The same with a time limit of its own, in seconds. */
#define TEST_LIMIT(suite, name, seconds)                                    \
	static void test_##suite##_##name(void);                            \
	__attribute__((constructor)) static void add_##suite##_##name(void) \
	{                                                                   \
		static struct test test = {test_##suite##_##name, seconds,  \
					   #suite ": " #name, 0};           \
		test_add(&test);                                            \
	}                                                                   \
	static void test_##suite##_##name(void)

#define CHECK(cond) test_check(!!(cond), __FILE__, __LINE__, #cond, "is false")
#define CHECK_MSG(cond, ...) \
	test_check(!!(cond), __FILE__, __LINE__, #cond, __VA_ARGS__)
#define CHECK_EQ_INT(a, b)                                               \
	test_check_int((intmax_t)(a), (intmax_t)(b), __FILE__, __LINE__, \
		       #a " equals " #b)
#define CHECK_STR(a, b) \
	test_check_str(a, b, __FILE__, __LINE__, #a " equals " #b)
#define REQUIRE(cond) \
	((cond) ? (void)0 : test_require(__FILE__, __LINE__, #cond))

/* End the test here, as one that could not be run.  It is counted apart. */
#define SKIP(reason) test_skip(reason)

/* For random tests; printed when first asked for, the same within a run. */
uint64_t test_seed(void);

void test_add(struct test *test);
bool test_check(bool held, const char *file, int line, const char *what,
		const char *format, ...) __attribute__((format(printf, 5, 6)));
bool test_check_int(intmax_t a, intmax_t b, const char *file, int line,
		    const char *what);
bool test_check_str(const char *a, const char *b, const char *file, int line,
		    const char *what);
_Noreturn void test_require(const char *file, int line, const char *what);
_Noreturn void test_skip(const char *reason);

#endif
