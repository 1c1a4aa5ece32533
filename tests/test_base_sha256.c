/*
 * SHA-256, by the examples of FIPS 180-4 and of NIST's validation suite.
 */
#include "harness.h"

#include "base/rng.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

static const char *
hex(const unsigned char digest[WEIR_SHA256_SIZE])
{
	static char text[WEIR_SHA256_SIZE * 2 + 1];

	for (int i = 0; i < WEIR_SHA256_SIZE; i++)
		(void)snprintf(text + (ptrdiff_t)i * 2, 3, "%02x", digest[i]);
	return text;
}

static const char *
digest_of(const void *data, size_t len)
{
	unsigned char digest[WEIR_SHA256_SIZE];
	struct weir_sha256 sha;

	weir__sha256_init(&sha);
	weir__sha256_add(&sha, data, len);
	weir__sha256_end(&sha, digest);
	return hex(digest);
}

TEST(base_sha256, gives_the_published_digests)
{
	const char *two_blocks =
		"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	const char *four_blocks =
		"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
		"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
	static const unsigned char one = 0xbd;

	CHECK_STR(digest_of("", 0), "e3b0c44298fc1c149afbf4c8996fb924"
				    "27ae41e4649b934ca495991b7852b855");
	CHECK_STR(digest_of("abc", 3), "ba7816bf8f01cfea414140de5dae2223"
				       "b00361a396177a9cb410ff61f20015ad");
	CHECK_STR(digest_of(two_blocks, strlen(two_blocks)),
		  "248d6a61d20638b8e5c026930c3e6039"
		  "a33ce45964ff2167f6ecedd419db06c1");
	CHECK_STR(digest_of(four_blocks, strlen(four_blocks)),
		  "cf5b16a778af8380036ce59e7b049237"
		  "0b249b11e8f07a51afac45037afee9d1");
	CHECK_STR(digest_of(&one, 1), "68325720aabd7c82f30f554b313d0570"
				      "c95accbb7dc4b5aae11204c08ffe732b");
}

TEST(base_sha256, gives_the_digest_of_a_million_times_a)
{
	static char text[1000000];

	memset(text, 'a', sizeof(text));
	CHECK_STR(digest_of(text, sizeof(text)),
		  "cdc76e5c9914fb9281a1c7e284d73e67"
		  "f1809a48a497200e046d39ccc7112cd0");
}

/* The digests of 0 to 200 bytes, digested: each way to end a block. */
TEST(base_sha256, pads_every_length_as_others_do)
{
	unsigned char bytes[200], digest[WEIR_SHA256_SIZE];
	struct weir_sha256 all, one;

	for (int i = 0; i < 200; i++)
		bytes[i] = (unsigned char)i;
	weir__sha256_init(&all);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		weir__sha256_init(&one);
		weir__sha256_add(&one, bytes, len);
		weir__sha256_end(&one, digest);
		weir__sha256_add(&all, digest, sizeof(digest));
	}
	weir__sha256_end(&all, digest);
	CHECK_STR(hex(digest), "64ef7c229fce2408b5336b6a542fea0e"
			       "078c3a87d2da85cb3fc52e2008b65021");
}

TEST(base_sha256, does_not_care_in_what_pieces_it_gets_a_text)
{
	static unsigned char text[4096];
	char whole[WEIR_SHA256_SIZE * 2 + 1];
	unsigned char digest[WEIR_SHA256_SIZE];
	struct weir_rng rng;

	weir__rng_seed(&rng, test_seed());
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)weir__rng_next(&rng);
	(void)snprintf(whole, sizeof(whole), "%s",
		       digest_of(text, sizeof(text)));
	for (int round = 0; round < 200; round++) {
		struct weir_sha256 sha;
		size_t at = 0;

		weir__sha256_init(&sha);
		while (at < sizeof(text)) {
			size_t some = weir__rng_below(&rng, 200);

			if (some > sizeof(text) - at)
				some = sizeof(text) - at;
			weir__sha256_add(&sha, text + at, some);
			at += some;
		}
		weir__sha256_end(&sha, digest);
		CHECK_STR(hex(digest), whole);
	}
}
