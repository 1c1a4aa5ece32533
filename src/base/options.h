/*
 * Structs of callers that begin with their own size.
 *
 * A program that was built with an older header passes a shorter struct, and
 * one that was built with a newer header a longer one.  What we know is taken,
 * what is missing is zero, and what we do not know is refused unless it is
 * zero: then it asks for nothing.
 */
#ifndef WEIR_SRC_BASE_OPTIONS_H
#define WEIR_SRC_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Copy src_size bytes of src over dest, as far as it reaches.  False: src has
 * a byte beyond it that is not zero.
 */
__attribute__((warn_unused_result)) bool weir__struct_copy(void *dest,
							   size_t dest_size,
							   const void *src,
							   size_t src_size);

/*
 * The same for structs whose first member is that size: the copy's is
 * dest_size.  False also if there are less than src_size_least bytes.
 */
__attribute__((warn_unused_result)) bool weir__options_copy(
	void *dest, size_t dest_size, const void *src, size_t src_size,
	size_t src_size_least);

#endif
