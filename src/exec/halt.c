/*
 * --halt; see halt.h.
 */
#include "exec/halt.h"

#include <string.h>

/* As GNU parallel: what two or three jobs say of all of them is chance. */
#define ENDED_MIN 3

/* If text begins with word, go on behind it. */
static bool
take(const char **text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*text, word, len) != 0)
		return false;
	*text += len;
	return true;
}

static bool
take_count(const char **text, uint64_t *ret)
{
	const char *at = *text;
	uint64_t count = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(count, 10, &count) ||
		    __builtin_add_overflow(count, (uint64_t)(*at - '0'),
					   &count))
			return false;
	if (at == *text || count == 0)
		return false;
	*text = at;
	*ret = count;
	return true;
}

bool
weir__halt_parse(struct weir_halt *ret, const char *text)
{
	struct weir_halt halt = {.why = WEIR_HALT_NEVER};

	if (strcmp(text, "never") == 0) {
		*ret = halt;
		return true;
	}
	if (take(&text, "now,"))
		halt.now = true;
	else if (!take(&text, "soon,"))
		return false;
	if (take(&text, "fail="))
		halt.why = WEIR_HALT_FAIL;
	else if (take(&text, "success="))
		halt.why = WEIR_HALT_SUCCESS;
	else if (take(&text, "done="))
		halt.why = WEIR_HALT_DONE;
	else
		return false;
	if (!take_count(&text, &halt.count))
		return false;
	halt.percent = take(&text, "%");
	if (*text || (halt.percent && halt.count > 100))
		return false;
	*ret = halt;
	return true;
}

static uint64_t
counted(const struct weir_halt *halt, uint64_t ok, uint64_t failed)
{
	switch (halt->why) {
	case WEIR_HALT_NEVER:
		break;
	case WEIR_HALT_FAIL:
		return failed;
	case WEIR_HALT_SUCCESS:
		return ok;
	case WEIR_HALT_DONE:
		return ok + failed;
	}
	return 0;
}

bool
weir__halt_is_due(const struct weir_halt *halt, uint64_t ok, uint64_t failed,
		  uint64_t total)
{
	uint64_t count = counted(halt, ok, failed);

	if (halt->why == WEIR_HALT_NEVER)
		return false;
	if (!halt->percent)
		return count >= halt->count;
	return total > 0 && ok + failed >= ENDED_MIN &&
	       (double)count * 100 >= (double)halt->count * (double)total;
}
