/*
 * The numbers of embed.h: hashed character n-grams.
 *
 * Design: a word, with a marker at both ends, is taken apart into features:
 *
 *      Weirs   <weirs>   <we wei eir irs rs>   <wei weir eirs irs>  ...
 *              the word  n-grams of 3                of 4      and 5
 *
 * Each occurrence adds the square of its weight to its feature's mass, and the
 * feature counts with the root of that.  So a word said four times counts
 * twice, whole words count most, and "the" next to nothing.  The hash of a
 * feature chooses the number it goes to, and its sign.
 *
 * All sums are of whole numbers, and what is left for floating point are one
 * root and one division, which IEEE 754 rounds in one way only: that is why
 * vectors are the same everywhere, whatever the compiler fuses or reorders.
 * The sum of squares stays below 2^54, because a text has at most 3 *
 * EMBED_TEXT_MAX features, of at most 1024 each time.
 */
#include "embed.h"
#include "ids.h"
#include "base/assert.h"

#include <math.h>
#include <string.h>

#define FEATURES_MAX (3 * EMBED_TEXT_MAX)
#define SLOTS_MAX    262144u /* a power of two, over 4/3 of FEATURES_MAX */
#define COMMON_SLOTS 512u    /* a power of two, mostly empty */

/* Squares of weights. */
#define WORD_MASS        4096u
#define GRAM_MASS        256u
#define COMMON_WORD_MASS 16u
#define COMMON_GRAM_MASS 1u
/* Masses are multiplied before the root, for four bits of fraction. */
#define MASS_SCALE 256u

#define GRAM_MIN 3u
#define GRAM_MAX 5u

#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u
/* Another start, or the word "<a>" would be the n-gram "<a>". */
#define WORD_BASIS 0x84222325cbf29ce4u

static_assert(SLOTS_MAX / 4 * 3 >= FEATURES_MAX, "a slot is always free");

struct slot {
	uint64_t hash;
	uint32_t mass; /* 0: free */
};

/*
 * There is one, as the site has one thread.  Between two texts all slots are
 * free, so no text finds anything of another; memory that no text was long
 * enough to need is never touched.
 */
static struct embedder {
	bool ready;                    /* common is filled in */
	uint64_t common[COMMON_SLOTS]; /* hashes of words; 0: free */
	int64_t sums[EMBED_DIMS_MAX];
	char word[EMBED_TEXT_MAX + 2]; /* with its markers */
	size_t mask;                   /* of slots, for the text at hand */
	size_t used_len;
	uint32_t used[FEATURES_MAX]; /* which slots are not free */
	struct slot slots[SLOTS_MAX];
} the_embedder;

/* Words that say nothing about what a text is about. */
static const char common_words[][8] = {
	"a",     "about", "after", "all",   "also", "an",    "and",   "any",
	"are",   "as",    "at",    "be",    "been", "but",   "by",    "can",
	"could", "did",   "do",    "does",  "each", "for",   "from",  "had",
	"has",   "have",  "he",    "her",   "his",  "how",   "i",     "if",
	"in",    "into",  "is",    "it",    "its",  "may",   "me",    "more",
	"most",  "must",  "my",    "no",    "not",  "of",    "on",    "one",
	"only",  "or",    "other", "our",   "out",  "over",  "s",     "she",
	"so",    "some",  "such",  "t",     "than", "that",  "the",   "their",
	"them",  "then",  "there", "these", "they", "this",  "those", "to",
	"up",    "us",    "was",   "we",    "were", "what",  "when",  "where",
	"which", "who",   "why",   "will",  "with", "would", "you",   "your",
};

static uint64_t
hash_word(const char *word, size_t len)
{
	uint64_t h = WORD_BASIS;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)word[i]) * FNV_PRIME;
	return mix64(h);
}

/* Where hash is, or would be, among the common words. */
static uint64_t *
common_slot(struct embedder *e, uint64_t hash)
{
	size_t i = hash % COMMON_SLOTS;

	while (e->common[i] != 0 && e->common[i] != hash)
		i = (i + 1) % COMMON_SLOTS;
	return &e->common[i];
}

static struct embedder *
get_embedder(void)
{
	struct embedder *e = &the_embedder;
	size_t len = sizeof(common_words) / sizeof(common_words[0]);

	for (size_t i = 0; i < len && !e->ready; i++) {
		uint64_t hash =
			hash_word(common_words[i], strlen(common_words[i]));

		*common_slot(e, hash) = hash;
	}
	e->ready = true;
	return e;
}

static void
add_feature(struct embedder *e, uint64_t hash, uint32_t mass)
{
	size_t i = hash & e->mask;

	while (e->slots[i].mass != 0 && e->slots[i].hash != hash)
		i = (i + 1) & e->mask;
	if (e->slots[i].mass == 0) {
		weir_assert(e->used_len < FEATURES_MAX);
		e->used[e->used_len++] = (uint32_t)i;
		e->slots[i].hash = hash;
	}
	e->slots[i].mass += mass;
}

/* The n-grams from each byte of a word with its markers. */
static void
add_grams(struct embedder *e, const char *marked, size_t len, uint32_t mass)
{
	for (size_t at = 0; at + GRAM_MIN <= len; at++) {
		uint64_t h = FNV_BASIS;

		for (size_t i = 0; i < GRAM_MAX && at + i < len; i++) {
			h = (h ^ (unsigned char)marked[at + i]) * FNV_PRIME;
			if (i + 1 >= GRAM_MIN)
				add_feature(e, mix64(h), mass);
		}
	}
}

/* The word in e->word, behind room for its first marker. */
static void
add_word(struct embedder *e, size_t len)
{
	uint64_t hash = hash_word(e->word + 1, len);
	bool common = *common_slot(e, hash) == hash;

	e->word[0] = '<';
	e->word[len + 1] = '>';
	add_feature(e, hash, common ? COMMON_WORD_MASS : WORD_MASS);
	add_grams(e, e->word, len + 2, common ? COMMON_GRAM_MASS : GRAM_MASS);
}

/* A byte of a word, in lower case, or 0 for one between words. */
static char
word_byte(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    (unsigned char)c >= 0x80)
		return c;
	return '\0';
}

static void
add_words(struct embedder *e, struct slice text)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = word_byte(text.data[i]);

		if (c != '\0')
			e->word[1 + len++] = c;
		else if (len > 0)
			add_word(e, len);
		if (c == '\0')
			len = 0;
	}
	if (len > 0)
		add_word(e, len);
}

/* Add each feature to the number it belongs to, and free its slot. */
static void
spread(struct embedder *e, size_t dims)
{
	memset(e->sums, 0, dims * sizeof(e->sums[0]));
	for (size_t i = 0; i < e->used_len; i++) {
		struct slot *slot = &e->slots[e->used[i]];
		double mass = (double)slot->mass * MASS_SCALE;
		int64_t root = (int64_t)sqrt(mass);
		size_t dim = (size_t)(((slot->hash >> 32) * dims) >> 32);

		e->sums[dim] += slot->hash & 1 ? root : -root;
		slot->mass = 0;
	}
	e->used_len = 0;
}

/* Room for the features of a text, and no more, for the caches' sake. */
static void
size_slots(struct embedder *e, size_t text_len)
{
	size_t len = 64;

	while (len / 4 * 3 < 3 * text_len)
		len *= 2;
	weir_assert(len <= SLOTS_MAX);
	e->mask = len - 1;
}

void
embed(struct slice text, size_t dims, float *ret)
{
	struct embedder *e = get_embedder();
	uint64_t squares = 0;
	double norm;

	weir_assert(dims > 0 && dims <= EMBED_DIMS_MAX);
	if (text.len > EMBED_TEXT_MAX)
		text.len = EMBED_TEXT_MAX;
	size_slots(e, text.len);
	add_words(e, text);
	spread(e, dims);
	for (size_t i = 0; i < dims; i++)
		squares += (uint64_t)(e->sums[i] * e->sums[i]);
	/*
	 * No words, or a sum that came to nothing: point somewhere all the
	 * same, because no client expects a vector without a direction.
	 */
	if (squares == 0) {
		e->sums[hash_word(text.data, text.len) % dims] = 1;
		squares = 1;
	}
	norm = sqrt((double)squares);
	for (size_t i = 0; i < dims; i++)
		ret[i] = (float)((double)e->sums[i] / norm);
}

/* The longest: "-0.", nine zeros, nine digits, and a comma. */
#define NUMBER_SIZE 24u

/*
 * Write f, which is at most 1 and not below 10^-10 but for 0.  printf() is
 * slower, and has the locale's idea of a point.
 */
static size_t
write_number(char to[static NUMBER_SIZE], float f)
{
	double a = f < 0 ? -(double)f : (double)f, scale = 1e9;
	static const char null[4] = {'n', 'u', 'l', 'l'};
	size_t zeros = 0, len = 0, end;
	uint32_t digits;

	/* What is not a number has no name in JSON. */
	if (isnan(f)) {
		memcpy(to, null, sizeof(null));
		return sizeof(null);
	}
	if (f < 0)
		to[len++] = '-';
	for (; a != 0 && a * scale < 1e8 && zeros < 9; zeros++)
		scale *= 10;
	digits = (uint32_t)(a * scale + 0.5);
	/* 0.0999999999 that became 0.1; or 1 itself. */
	if (digits == 1000000000 && zeros > 0) {
		zeros--;
		digits /= 10;
	}
	if (digits == 0 || digits == 1000000000) {
		to[len++] = digits ? '1' : '0';
		return len;
	}
	to[len++] = '0';
	to[len++] = '.';
	while (zeros-- > 0)
		to[len++] = '0';
	end = len + 9;
	for (size_t i = 9; i-- > 0; digits /= 10)
		to[len + i] = (char)('0' + digits % 10);
	while (to[end - 1] == '0')
		end--;
	return end;
}

void
text_append_vector(struct text *out, const float *v, size_t len)
{
	char *to;

	if (!text_reserve(out, len * NUMBER_SIZE + 2))
		return;
	to = out->data + out->len;
	*to++ = '[';
	for (size_t i = 0; i < len; i++) {
		if (i > 0)
			*to++ = ',';
		to += write_number(to, v[i]);
	}
	*to++ = ']';
	out->len = (size_t)(to - out->data);
}

/* The byte at offset `at` of the floats as they would lie in memory. */
static uint32_t
vector_byte(const float *v, size_t at)
{
	uint32_t bits;

	static_assert(sizeof(bits) == sizeof(*v), "floats have 32 bits");
	memcpy(&bits, &v[at / 4], sizeof(bits));
	return bits >> (8 * (at % 4)) & 0xff;
}

void
text_append_vector_base64(struct text *out, const float *v, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = 4 * len;
	char *to;

	if (!text_reserve(out, (size + 2) / 3 * 4 + 2))
		return;
	to = out->data + out->len;
	*to++ = '"';
	for (size_t at = 0; at < size; at += 3) {
		size_t have = size - at < 3 ? size - at : 3;
		uint32_t three = 0;

		for (size_t i = 0; i < have; i++)
			three |= vector_byte(v, at + i) << (16 - 8 * i);
		for (size_t i = 0; i < 4; i++)
			*to++ = i > have ? '='
					 : digits[three >> (18 - 6 * i) & 63];
	}
	*to++ = '"';
	out->len = (size_t)(to - out->data);
}
