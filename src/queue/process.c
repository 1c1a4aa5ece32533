/*
 * Processes, as this machine tells them apart; see process.h.
 */
#include "queue/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* False: errno says why; 0: it is empty. */
static bool
read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	(void)close(fd);
	text[len > 0 ? len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return len > 0;
}

void
weir__process_machine(char machine[WEIR_MACHINE_MAX])
{
	char boot[64], namespace[48];
	ssize_t len =
		readlink("/proc/self/ns/pid", namespace, sizeof(namespace) - 1);

	namespace[len > 0 ? len : 0] = '\0';
	if (!read_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) ||
	    len <= 0)
		boot[0] = namespace[0] = '\0';
	snprintf(machine, WEIR_MACHINE_MAX, "%s%s", boot, namespace);
}

/* What a line of /proc/PID/stat says of its start, in ticks; 0: it is dead. */
static int64_t
started_at(const char *stat)
{
	/* The name, which is the second field, may hold anything but ends last.
	 */
	const char *at = strrchr(stat, ')');
	int field = 2;

	/* A zombie has nothing to give back any more. */
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return 0;
	for (at++; *at && field < 22; at++)
		field += *at == ' ';
	return field == 22 ? strtoll(at, NULL, 10) : 0;
}

int64_t
weir__process_started(int64_t pid)
{
	char path[40], stat[512];

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	if (read_text(path, stat, sizeof(stat)))
		return started_at(stat);
	if (errno != ENOENT && errno != ESRCH)
		return -1;
	/* With hidepid, others are as good as not there: so is the first. */
	return read_text("/proc/1/stat", stat, sizeof(stat)) ? 0 : -1;
}
