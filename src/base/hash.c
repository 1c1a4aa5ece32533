/*
 * SipHash-2-4, written from its description: Jean-Philippe Aumasson and
 * Daniel J. Bernstein, "SipHash: a fast short-input PRF", 2012, section 2.
 * The names v0 to v3, m and b are the paper's.
 *
 * Design: words are read byte by byte, little-endian, so that neither the
 * machine's byte order nor the alignment of the data matters.  Compilers turn
 * that into one load.
 */
#include "base/hash.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t
rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* The n bytes at p, at most 8, the first one the lowest. */
static uint64_t
load(const unsigned char *p, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

/* SipRound: two additions, rotations and exclusive ors, twice, crosswise. */
static void
sip_rounds(struct sip *s, int n)
{
	while (n-- > 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static void
sip_compress(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	sip_rounds(s, 2);
	s->v0 ^= m;
}

uint64_t
weir__hash64(const uint64_t key[2], const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t b = (uint64_t)len << 56; /* the last word: length, then rest */
	struct sip s = {
		/* "somepseudorandomlygeneratedbytes" */
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};

	for (; len >= 8; len -= 8, p += 8)
		sip_compress(&s, load(p, 8));
	sip_compress(&s, b | load(p, len));
	s.v2 ^= 0xff;
	sip_rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
