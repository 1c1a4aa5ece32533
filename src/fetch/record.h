/*
 * Records as text: a JSON object a line, or a line for people.
 */
#ifndef WEIR_SRC_FETCH_RECORD_H
#define WEIR_SRC_FETCH_RECORD_H

#include "base/buf.h"
#include "fetch/engine.h"

/* "ok", "failed", "cancelled", "skipped". */
const char *weir__fetch_status_name(enum weir_fetch_status status);

/* Append one line, with its newline; out of memory is buf's `failed`. */
void weir__fetch_record_json(struct weir_buf *buf,
			     const struct weir_fetch_record *record);
void weir__fetch_record_line(struct weir_buf *buf,
			     const struct weir_fetch_record *record);

#endif
