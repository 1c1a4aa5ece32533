/*
 * SHA-256; see sha256.h.  Names are those of FIPS 180-4.
 */
#include "base/sha256.h"

#include "base/assert.h"

#include <string.h>

/* 4.2.2: of the cube roots of the first 64 primes. */
static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t
rotr(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t
load_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* 6.2.2, step 1: the message schedule. */
static void
sha256_schedule(uint32_t w[64], const unsigned char *block)
{
	for (int t = 0; t < 16; t++)
		w[t] = load_be32(block + (size_t)t * 4);
	for (int t = 16; t < 64; t++) {
		uint32_t a = w[t - 15], b = w[t - 2];
		uint32_t s0 = rotr(a, 7) ^ rotr(a, 18) ^ a >> 3;
		uint32_t s1 = rotr(b, 17) ^ rotr(b, 19) ^ b >> 10;

		w[t] = s1 + w[t - 7] + s0 + w[t - 16];
	}
}

/* 6.2.2, steps 2 to 4.  v holds the working variables, a to h. */
static void
sha256_block(struct weir_sha256 *sha, const unsigned char *block)
{
	uint32_t w[64], v[8];

	sha256_schedule(w, block);
	memcpy(v, sha->state, sizeof(v));
	for (int t = 0; t < 64; t++) {
		uint32_t a = v[0], e = v[4];
		uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
		uint32_t ch = (e & v[5]) ^ (~e & v[6]);
		uint32_t t1 = v[7] + s1 + ch + k[t] + w[t];
		uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
		uint32_t maj = (a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]);

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + s0 + maj;
	}
	for (int i = 0; i < 8; i++)
		sha->state[i] += v[i];
}

void
weir__sha256_init(struct weir_sha256 *sha)
{
	/* 5.3.3: of the square roots of the first 8 primes. */
	static const uint32_t h[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(sha->state, h, sizeof(h));
	sha->len = 0;
}

void
weir__sha256_add(struct weir_sha256 *sha, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	size_t have = sha->len % WEIR_SHA256_BLOCK;

	sha->len += len;
	while (len > 0) {
		size_t room = WEIR_SHA256_BLOCK - have;
		size_t some = len < room ? len : room;

		if (some == WEIR_SHA256_BLOCK) {
			sha256_block(sha, bytes);
		} else {
			memcpy(sha->block + have, bytes, some);
			have += some;
			if (have == WEIR_SHA256_BLOCK)
				sha256_block(sha, sha->block);
			have %= WEIR_SHA256_BLOCK;
		}
		bytes += some;
		len -= some;
	}
}

static void
store_be32(unsigned char *p, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(x >> (24 - 8 * i));
}

/* 5.1.1: a bit, zeros, and the length in bits fill the last block. */
void
weir__sha256_end(struct weir_sha256 *sha, unsigned char ret[WEIR_SHA256_SIZE])
{
	static const unsigned char padding[WEIR_SHA256_BLOCK] = {0x80};
	uint64_t bits = sha->len * 8;
	size_t have = sha->len % WEIR_SHA256_BLOCK;
	unsigned char tail[8];

	weir__sha256_add(sha, padding,
			 (have < 56 ? 56 : 56 + WEIR_SHA256_BLOCK) - have);
	store_be32(tail, (uint32_t)(bits >> 32));
	store_be32(tail + 4, (uint32_t)bits);
	weir__sha256_add(sha, tail, sizeof(tail));
	weir_assert(sha->len % WEIR_SHA256_BLOCK == 0);
	for (size_t i = 0; i < 8; i++)
		store_be32(ret + i * 4, sha->state[i]);
}
