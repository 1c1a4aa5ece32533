#include "base/hash.h"
#include "harness.h"

#include <string.h>

/* The key 00 01 .. 0f, as two little-endian words. */
static const uint64_t key[2] = {UINT64_C(0x0706050403020100),
				UINT64_C(0x0f0e0d0c0b0a0908)};

/* Hash the message 00 01 02 .. of len bytes. */
static uint64_t
hash_count(size_t len)
{
	unsigned char message[64];

	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	return weir__hash64(key, message, len);
}

TEST(hash, gives_the_value_of_the_papers_appendix)
{
	CHECK(hash_count(15) == UINT64_C(0xa129ca6149be45e5));
}

/* From the authors' table of 64 vectors: around each length of the tail. */
TEST(hash, gives_the_authors_values_for_every_length_of_the_tail)
{
	static const uint64_t expected[] = {
		UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd),
		UINT64_C(0x0d6c8009d9a94f5a), UINT64_C(0x85676696d7fb7e2d),
		UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
		UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137),
		UINT64_C(0x93f5f5799a932462), UINT64_C(0x9e0082df0ba9e4b0),
	};

	for (size_t len = 0; len < 10; len++)
		CHECK_MSG(hash_count(len) == expected[len], "length %zu", len);
	CHECK(hash_count(63) == UINT64_C(0x958a324ceb064572));
}

TEST(hash, does_not_care_where_the_data_lies)
{
	static const unsigned char data[19] = "nineteen bytes here";
	unsigned char room[sizeof(data) + 8];

	for (size_t at = 0; at < 8; at++) {
		memcpy(room + at, data, sizeof(data));
		CHECK(weir__hash64(key, room + at, sizeof(data)) ==
		      weir__hash64(key, data, sizeof(data)));
	}
}

TEST(hash, differs_by_key_and_takes_nothing_from_null)
{
	const uint64_t other[2] = {key[0], key[1] ^ 1};

	CHECK(weir__hash64(key, "x", 1) != weir__hash64(other, "x", 1));
	CHECK(weir__hash64(key, NULL, 0) == hash_count(0));
}
