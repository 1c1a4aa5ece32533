/*
 * "Did you mean": the nearest name to one that does not exist.
 *
 * Design: the distance counts characters put in, left out, changed, or swapped
 * with their neighbour, the four slips of a typing hand.  It misses the other
 * common mistake, remembering only how a name begins ("--retry" for
 * "--retries" is three changes away), so a long common beginning counts too.
 */
#include "cli/table.h"

#include <string.h>

#define NAME_MAX_LEN 40

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/*
 * Optimal string alignment, on three rows of the usual table: two back for
 * the swaps, one back, and the one being made.
 */
static unsigned
edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NAME_MAX_LEN + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (unsigned j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *spare = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = a[i - 1] == b[j - 1];

			now[j] = min3(last[j] + 1, now[j - 1] + 1,
				      last[j - 1] + !same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b_len];
}

int
weir__suggest_score(const char *typed, size_t len, const char *candidate)
{
	size_t candidate_len = strlen(candidate), same = 0;
	unsigned distance;

	if (len == 0 || len > NAME_MAX_LEN || candidate_len > NAME_MAX_LEN)
		return -1;
	while (same < len && typed[same] == candidate[same])
		same++;
	distance = edit_distance(typed, len, candidate, candidate_len);
	if (distance <= 1 + len / 4 && distance < len)
		return (int)distance;
	if (same >= 3 && same * 3 >= len * 2)
		return (int)distance;
	return -1;
}

/* The better of two rows; best and *score are those found before. */
static const struct weir_option *
nearest(const struct weir_option *table, const char *name, size_t len,
	const struct weir_option *best, int *score)
{
	for (const struct weir_option *o = table; o->kind != WEIR_OPT_END;
	     o++) {
		int s;

		if (!weir__option_is_shown(o))
			continue;
		s = weir__suggest_score(name, len, o->name);
		if (s >= 0 && (*score < 0 || s < *score)) {
			*score = s;
			best = o;
		}
	}
	return best;
}

const struct weir_option *
weir__option_suggest(const struct weir_command *command, const char *name,
		     size_t len)
{
	const struct weir_option *best;
	int score = -1;

	best = nearest(command->options, name, len, NULL, &score);
	if (command == &weir__program)
		return best;
	return nearest(weir__common_options, name, len, best, &score);
}

const char *
weir__command_suggest(const char *name)
{
	const char *best = NULL;
	int score = -1;

	for (size_t i = 0; weir__commands[i]; i++) {
		const char *candidate = weir__commands[i]->name;
		int s = weir__suggest_score(name, strlen(name), candidate);

		if (s >= 0 && (score < 0 || s < score)) {
			score = s;
			best = candidate;
		}
	}
	return best;
}
