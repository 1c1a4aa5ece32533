/*
 * weir/base.h - statuses, errors, time and the macros all headers share.
 *
 * Every call that can fail or wait returns a weir_status.  WEIR_OK is 0, and a
 * call's results are written only with WEIR_OK unless its contract says
 * otherwise.  There is no errno-like last error anywhere in the library.
 *
 * Some statuses are outcomes, not failures: a channel that is closed, a wait
 * that was cancelled or timed out, a queue that is full just now.  A caller is
 * expected to meet them in a healthy program, and to tell them apart.
 *
 * Each declaration in these headers ends its comment with four lines:
 *
 *   Waits:   whether the call can block, for what, and what ends the wait.
 *   Threads: who may call it at the same time as what.
 *   Owns:    whose the arguments are afterwards.
 *   Returns: every status it can give, and no other.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version these headers belong to.  weir_version() gives that of the
 * library that was loaded; the two differ when a program runs with a newer
 * library than it was built with, which is supported.
 */
#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

#if defined(__GNUC__)
#define WEIR_API       __attribute__((visibility("default")))
#define WEIR_NODISCARD __attribute__((warn_unused_result))
#define WEIR_PRINTF(format_at, args_at) \
	__attribute__((format(printf, format_at, args_at)))
#else
#define WEIR_API
#define WEIR_NODISCARD
#define WEIR_PRINTF(format_at, args_at)
#endif

/*
 * The statuses, each in one place: X(NAME, value, "message").  The enum, the
 * names and the messages are all made from this table.  Values never change
 * and are never reused.
 *
 * FAILED and PERMANENT are for jobs: FAILED may be tried again if the pool's
 * retry policy says so, PERMANENT says that another try cannot help, and
 * CRASHED that the process it ran in died of it (weir/isolate.h).  What
 * follows CRASHED is about stores (weir/queue.h).
 */
#define WEIR_STATUS_TABLE(X)                    \
	X(OK, 0, "ok")                          \
	X(CLOSED, 1, "closed")                  \
	X(CANCELED, 2, "cancelled")             \
	X(TIMEDOUT, 3, "timed out")             \
	X(BUSY, 4, "busy, try again later")     \
	X(DEADLOCK, 5, "would wait for itself") \
	X(FAILED, 6, "failed")                  \
	X(PERMANENT, 7, "failed for good")      \
	X(INVAL, 8, "invalid argument")         \
	X(NOMEM, 9, "out of memory")            \
	X(SYSTEM, 10, "system call failed")     \
	X(CRASHED, 11, "crashed")               \
	X(STALE, 12, "no longer the caller's")  \
	X(NOTFOUND, 13, "not found")            \
	X(FOREIGN, 14, "something else")        \
	X(OLD, 15, "needs a migration")         \
	X(NEWER, 16, "made by a newer version") \
	X(CORRUPT, 17, "damaged")

typedef enum weir_status {
#define WEIR_STATUS_ENUM(name, value, message) WEIR_##name = value,
	WEIR_STATUS_TABLE(WEIR_STATUS_ENUM)
#undef WEIR_STATUS_ENUM
} weir_status;

/*
 * The name of a status without its prefix, such as "TIMEDOUT", for logs and
 * records.  A number that is no status gives "UNKNOWN".
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the text is the library's and lasts for ever.
 * Returns: the name.
 */
WEIR_API const char *weir_status_name(weir_status status);

/*
 * What a status means, for people: "timed out".  A number that is no status
 * gives "unknown status".
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the text is the library's and lasts for ever.
 * Returns: the message.
 */
WEIR_API const char *weir_status_message(weir_status status);

/*
 * The version of the library in use, such as "0.1.0".
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    the text is the library's and lasts for ever.
 * Returns: the version.
 */
WEIR_API const char *weir_version(void);

/* The longest error text, with its final NUL.  Longer ones are cut. */
#define WEIR_ERROR_MAX 160

/*
 * Why something ended: a status, the native code behind it if there is one
 * (errno, an exit status, a HTTP status), and one line for people.  A plain
 * value; the caller owns it.
 */
typedef struct weir_error {
	weir_status status;
	int native;
	char message[WEIR_ERROR_MAX];
} weir_error;

/*
 * Time is counted in nanoseconds of the monotonic clock, in an int64_t that
 * lasts for 292 years.  WEIR_FOREVER as a time-out means that there is none.
 */
#define WEIR_NS      INT64_C(1)
#define WEIR_US      (1000 * WEIR_NS)
#define WEIR_MS      (1000 * WEIR_US)
#define WEIR_S       (1000 * WEIR_MS)
#define WEIR_FOREVER INT64_MAX

/*
 * Options structs start with their own size, so that the library can tell an
 * older, shorter one from a newer one: it takes what it knows and refuses
 * what it does not know, unless that is zero.
 *
 * WEIR_OPTIONS_TYPE(type) defines type_init(type *), which sets everything to
 * its default, and type_make(), which returns such a value; the INIT macros
 * of C++ stand on the second.
 */
#define WEIR_OPTIONS_TYPE(type)                       \
	static inline void type##_init(type *options) \
	{                                             \
		memset(options, 0, sizeof(*options)); \
		options->size = sizeof(*options);     \
	}                                             \
	static inline type type##_make(void)          \
	{                                             \
		type options;                         \
		type##_init(&options);                \
		return options;                       \
	}

/*
 * The monotonic clock that every deadline in this library is read against.
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: nanoseconds since an arbitrary start, never negative.
 */
WEIR_API int64_t weir_now_ns(void);

#ifdef __cplusplus
}
#endif

#endif
