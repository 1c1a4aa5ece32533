/*
 * Options that mean nothing with --queue; see queue_refuse.h.
 */
#include "cli/queue_refuse.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

static int
refuse(struct weir_cli *cli, const struct queue_refusal *refusal)
{
	char name[48];

	for (const char *at = refusal->names; *at != '\0';) {
		size_t len = strcspn(at, " ");

		weir_assert(len < sizeof(name));
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, at);
		at += len + (at[len] == ' ');
		if (weir__option_source(cli, name) != WEIR_FROM_FLAG)
			continue;
		weir__cli_error(cli, NULL,
				"--%s has no place beside --queue: %s", name,
				refusal->why);
		return WEIR_EXIT_USAGE;
	}
	return -1;
}

int
weir__queue_refuse(struct weir_cli *cli, const struct queue_refusal *refusals,
		   size_t count)
{
	int status = -1;

	for (size_t i = 0; i < count && status < 0; i++)
		status = refuse(cli, &refusals[i]);
	return status;
}
