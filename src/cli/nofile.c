/*
 * The limit of open files; see nofile.h.
 */
#include "cli/nofile.h"

#include <inttypes.h>
#include <sys/resource.h>

bool
weir__cli_raise_nofile(struct weir_cli *cli, uint32_t jobs, uint64_t need,
		       struct weir_nofile *ret)
{
	struct rlimit limit;

	*ret = (struct weir_nofile){0};
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return true;
	*ret = (struct weir_nofile){.before = limit.rlim_cur,
				    .max = limit.rlim_max};
	if (limit.rlim_cur >= need)
		return true;
	if (limit.rlim_max >= need) {
		limit.rlim_cur = need;
		if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
			return true;
	}
	weir__cli_error(cli, NULL,
			"-j %" PRIu32 " needs %" PRIu64
			" open files, and only %" PRIu64 " are allowed",
			jobs, need, (uint64_t)limit.rlim_max);
	return false;
}
