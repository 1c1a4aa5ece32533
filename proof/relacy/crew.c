/*
 * Threads of a scenario's own.
 */
#include "crew.h"
#include "scenario.h"

#include "sync/thread.h"

static struct weir_thread crew[3];
static void (*bodies[3])(void);
static int crew_len;

static void
crew_main(void *arg)
{
	(*(void (**)(void))arg)();
}

void
crew_start(void (*fn)(void))
{
	CHECK(crew_len < 3);
	bodies[crew_len] = fn;
	CHECK(weir__thread_start(&crew[crew_len], "crew", 0, crew_main,
				 &bodies[crew_len]) == WEIR_OK);
	crew_len++;
}

void
crew_join(void)
{
	while (crew_len > 0)
		weir__thread_join(&crew[--crew_len]);
}

void
crew_reset(void)
{
	crew_len = 0;
}
