/*
 * Times of day, as people write them and as they are shown.
 *
 * Milliseconds since 1970, as in weir/queue.h.
 */
#ifndef WEIR_SRC_CLI_QUEUE_TIME_H
#define WEIR_SRC_CLI_QUEUE_TIME_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* The time of day. */
int64_t weir__time_now_ms(void);

/*
 * "2027-01-31T09:00:00Z", with a fraction and an offset from UTC as RFC 3339
 * has them.  False: it is none, or before 1970.
 */
bool weir__time_parse(const char *text, int64_t *ret_ms);

/* That, or "HH:MM": the next time that the local clock shows it after now. */
bool weir__time_parse_at(const char *text, int64_t now_ms, int64_t *ret_ms);

/* That, or "1h": so long before now. */
bool weir__time_parse_since(const char *text, int64_t now_ms, int64_t *ret_ms);

/* "2027-01-31T09:00:00.250Z"; whole seconds have no fraction. */
#define WEIR_TIME_SIZE 40
char *weir__time_format(char out[WEIR_TIME_SIZE], int64_t ms);

/* A length of time in a few characters: "12s", "5m", "7h", "12d". */
#define WEIR_AGE_SIZE 24
char *weir__time_age(char out[WEIR_AGE_SIZE], int64_t ms);

/* A duration that is read back as the same: "1500ms", "90s". */
void weir__time_put_duration(struct weir_buf *buf, int64_t ns);

#endif
