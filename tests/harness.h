/*
 * The test harness: a process and a time limit per test, TAP on stdout.
 *
 *      TEST(chan, send_waits_while_full)
 *      {
 *              REQUIRE(ch = make_channel());
 *              CHECK_EQ_INT(len(ch), 3);
 *      }
 *
 * becomes "ok 1 - chan: send waits while full".  main() is the harness's:
 * ./test_chan runs all tests, ./test_chan send close those with "send" or
 * "close" in that title, and --list shows the titles.
 *
 * WEIR_TEST_SLOW   multiplies the time limits (sanitizers, valgrind)
 * WEIR_TEST_SEED   what test_seed() returns, to repeat a run
 *
 * Checks work on any thread, and in processes that the test forks; each
 * evaluates its arguments once and is true when it held.  After a failed CHECK
 * the test goes on; a failed REQUIRE ends it there.
 */
#ifndef WEIR_TESTS_HARNESS_H
#define WEIR_TESTS_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

struct test {
	const char *suite, *name;
	void (*run)(void);
	unsigned seconds;
	char title[160];
	struct test *next;
};

#define TEST(suite, name) TEST_LIMIT(suite, name, 20)

/* The same with a time limit of its own, in seconds. */
#define TEST_LIMIT(suite_, name_, limit_s)                                    \
	static void test_##suite_##_##name_(void);                            \
	__attribute__((constructor)) static void add_##suite_##_##name_(void) \
	{                                                                     \
		static struct test test = {.suite = #suite_,                  \
					   .name = #name_,                    \
					   .run = test_##suite_##_##name_,    \
					   .seconds = (limit_s)};             \
		test_add(&test);                                              \
	}                                                                     \
	static void test_##suite_##_##name_(void)

#define CHECK(cond) CHECK_MSG(cond, "is false")
#define CHECK_MSG(cond, ...) \
	test_held((cond) || test_fail(__FILE__, __LINE__, #cond, __VA_ARGS__))
#define CHECK_EQ_INT(a, b)                                                  \
	test_check_int(__FILE__, __LINE__, #a " equals " #b, (intmax_t)(a), \
		       (intmax_t)(b))
#define CHECK_STR(a, b) \
	test_check_str(__FILE__, __LINE__, #a " equals " #b, a, b)
#define REQUIRE(cond) (CHECK(cond) ? (void)0 : test_exit())

/* End the test here, as one that could not be run.  It is counted apart. */
#define SKIP(reason) test_skip(reason)

/* For random tests; printed when first asked for, the same within a run. */
uint64_t test_seed(void);

void test_add(struct test *test);
bool test_fail(const char *file, int line, const char *what, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));
bool test_check_int(const char *file, int line, const char *what, intmax_t a,
		    intmax_t b);
bool test_check_str(const char *file, int line, const char *what, const char *a,
		    const char *b);
/* A call, because compilers warn of an expression whose value is not used. */
static inline bool
test_held(bool held)
{
	return held;
}

_Noreturn void test_exit(void);
_Noreturn void test_skip(const char *reason);

#endif
