/*
 * From a line of input to a request.
 */
#ifndef WEIR_SRC_FETCH_DRAFT_H
#define WEIR_SRC_FETCH_DRAFT_H

#include "fetch/request.h"

/*
 * Make a request from one line, a URL or a JSON object.  WEIR_OK; WEIR_INVAL
 * with the reason in why; WEIR_NOMEM.  The caller sets seq, line and
 * resume_key, and frees *ret.
 */
WEIR_NODISCARD weir_status weir__fetch_draft(struct weir_fetch_request **ret,
					     const char *line, size_t len,
					     const uint64_t key[2], char *why,
					     size_t why_size);

#endif
