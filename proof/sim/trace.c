/*
 * Print the steps of a schedule, each with the place in the source it comes
 * from, which addr2line(1) knows if it is there.
 */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLACES 1024

struct place {
	const void *caller;
	char text[96];
};

static struct place places[PLACES];

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The chain of inlined functions: the outermost is the one that matters. */
static void
ask(const void *caller, char *ret, size_t size)
{
	char command[160], function[128], file[512];
	size_t len = 0;
	FILE *pipe;

	ret[0] = '\0';
	snprintf(command, sizeof(command),
		 "addr2line -i -f -e /proc/%ld/exe %p 2>/dev/null",
		 (long)getpid(), caller);
	pipe = popen(command, "r");
	if (!pipe)
		return;
	while (fgets(function, sizeof(function), pipe) &&
	       fgets(file, sizeof(file), pipe)) {
		function[strcspn(function, "\n")] = '\0';
		file[strcspn(file, " \n")] = '\0';
		if (len < size)
			len += (size_t)snprintf(ret + len, size - len,
						"%s%s %s", len ? " < " : "",
						function, last_part(file));
	}
	pclose(pipe);
}

static const char *
place_of(const void *caller)
{
	size_t at = (uintptr_t)caller / 4 % PLACES;

	if (places[at].caller != caller) {
		/* The return address may be the next line's. */
		places[at].caller = caller;
		ask((const char *)caller - 1, places[at].text,
		    sizeof(places[at].text));
	}
	return places[at].text;
}

void
trace_step(const struct sim_step *step)
{
	char word[64];

	sim_address_name(step->word, word, sizeof(word));
	printf("# %6" PRIu64 " %10" PRId64 " ns  %-10s %-14s %-18s %-10" PRIx64
	       " %s\n",
	       step->number, step->now_ns, step->fiber, step->operation, word,
	       step->value, place_of(step->caller));
}
