/*
 * What queues, kinds, tags and schedules may be called.
 *
 * The rules are River's, so that whatever is called something here can be
 * called so there.  Each function returns NULL for a good name, and else why it
 * is none, for people: "is empty".  The texts last for ever.
 */
#ifndef WEIR_SRC_QUEUE_NAMES_H
#define WEIR_SRC_QUEUE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_QUEUE_NAME_MAX    64
#define WEIR_KIND_MAX          127
#define WEIR_TAG_MAX           255
#define WEIR_SCHEDULE_NAME_MAX 127

/* a-z and 0-9, with single _, - or | between: "mail", "mail-eu_2". */
const char *weir__queue_name_fault(const char *name, size_t len);

/* Two or more: a letter, digit or _, then also -[]<>/.·:+ */
const char *weir__kind_fault(const char *kind, size_t len);

/* Three or more letters, digits, _ and -; no - at the ends. */
const char *weir__tag_fault(const char *tag, size_t len);

/* Whatever can be shown on one line. */
const char *weir__schedule_name_fault(const char *name, size_t len);

/*
 * A name, good or bad, for a message: its first 40 bytes or so, with a question
 * mark for each byte that is no character or that a terminal might obey.
 */
#define WEIR_NAME_SHOWN_SIZE 48
const char *weir__name_show(const char *name, char out[WEIR_NAME_SHOWN_SIZE]);

/*
 * Does it begin with "weir."?  Such jobs are the command's own: what is in
 * their args is run.  They are inserted by it alone; see ours.h.
 */
bool weir__kind_is_ours(const char *kind, size_t len);

#endif
