/*
 * Durations, sizes and rates, as people write and read them.
 *
 * Reading is strict, because a number that was misread becomes a time limit or
 * a bound in production: no blanks, no sign, no junk behind, no value that
 * does not fit.  A bare number is no duration (is "30" seconds or
 * milliseconds?), with "0" as the exception.
 *
 * Each parser returns false for text that it does not take, and then leaves
 * the result untouched.
 */
#ifndef WEIR_SRC_BASE_UNITS_H
#define WEIR_SRC_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "250ms", "1.5s", "5m", "2h", "1d", also us and ns, and "0".  Fractions are
 * exact or refused: "0.5ns" is no duration.
 */
bool weir__parse_duration(const char *text, int64_t *ret_ns);

/* "4096", "64K", "10M", "1G", "2T": powers of 1024, in either case. */
bool weir__parse_size(const char *text, uint64_t *ret_bytes);

/*
 * "20/s", "600/m", "0.5/h", "1/d".  A rate of zero is refused: whoever waits
 * for it waits for ever.
 */
bool weir__parse_rate(const char *text, double *ret_per_second);

/*
 * For humans, and so rounded.  Each writes at most n bytes, NUL included, and
 * returns out; WEIR_FORMAT_SIZE is enough for any value.
 */
#define WEIR_FORMAT_SIZE 32

/* "61ms", "1.9s", "27.8s", "2m05s", "1h02m", "3d04h". */
char *weir__format_duration(char *out, size_t n, int64_t ns);

/* "512 B", "64.0 kB", "4.1 MB", "1.9 GB": powers of 1000. */
char *weir__format_bytes(char *out, size_t n, uint64_t bytes);

/* "4 991": a blank between thousands. */
char *weir__format_count(char *out, size_t n, uint64_t count);

#endif
