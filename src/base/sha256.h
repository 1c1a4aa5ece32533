/*
 * SHA-256, after FIPS 180-4.
 *
 *      struct weir_sha256 sha;
 *      unsigned char digest[WEIR_SHA256_SIZE];
 *
 *      weir__sha256_init(&sha);
 *      weir__sha256_add(&sha, text, len);
 *      weir__sha256_end(&sha, digest);
 *
 * For names of things, such as unique keys.  It is not hardened against who
 * watches it at work, so no secret goes in.
 */
#ifndef WEIR_SRC_BASE_SHA256_H
#define WEIR_SRC_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_SHA256_SIZE  32
#define WEIR_SHA256_BLOCK 64

struct weir_sha256 {
	uint32_t state[8];
	uint64_t len; /* bytes so far */
	/* The last len % 64 of them, which do not fill a block yet. */
	unsigned char block[WEIR_SHA256_BLOCK];
};

void weir__sha256_init(struct weir_sha256 *sha);
void weir__sha256_add(struct weir_sha256 *sha, const void *data, size_t len);

/* The digest.  sha is used up: init it before it is used again. */
void weir__sha256_end(struct weir_sha256 *sha,
		      unsigned char ret[WEIR_SHA256_SIZE]);

#endif
