/*
 * Structs that can grow; see options.h.
 */
#include "base/options.h"

#include "base/assert.h"

#include <string.h>

bool
weir__struct_copy(void *dest, size_t dest_size, const void *src,
		  size_t src_size)
{
	const unsigned char *bytes = src;

	for (size_t i = dest_size; i < src_size; i++)
		if (bytes[i] != 0)
			return false;
	memcpy(dest, src, src_size < dest_size ? src_size : dest_size);
	return true;
}

bool
weir__options_copy(void *dest, size_t dest_size, const void *src,
		   size_t src_size, size_t src_size_least)
{
	weir_assert(dest_size >= sizeof(dest_size));
	if (src_size < src_size_least ||
	    !weir__struct_copy(dest, dest_size, src, src_size))
		return false;
	/* The copy is as large as we know it. */
	memcpy(dest, &dest_size, sizeof(dest_size));
	return true;
}
