/*
 * Becoming another program; see elsewhere.h.
 */
#include "cli/elsewhere.h"

#include "base/buf.h"
#include "cli/cmd_fetch.h"
#include "cli/cmd_queue.h"
#include "cli/cmd_work.h"
#include "cli/signals.h"
#include "cli/store.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Where `weir` is, without the last slash; "" if that is not known. */
static void
find_home(char *home, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", home, size - 1);
	char *slash;

	home[len > 0 ? len : 0] = '\0';
	slash = strrchr(home, '/');
	if (slash)
		*slash = '\0';
}

static void
try_at(struct weir_cli *cli, const char *home, const char *folder,
       const char *program)
{
	struct weir_buf path = {0};

	weir__buf_printf(&path, "%s%s/%s", home, folder, program);
	if (!path.failed)
		(void)execv(path.data, cli->argv);
	weir__buf_fini(&path);
}

int
weir__elsewhere(struct weir_cli *cli, const char *program)
{
	char home[PATH_MAX];
	int failed;

	find_home(home, sizeof(home));
	/* What it finds is what it gives to its own children. */
	weir__signals_restore();
	if (home[0]) {
		try_at(cli, home, "", program);
		try_at(cli, home, "/../libexec/weir", program);
	}
	try_at(cli, WEIR_LIBEXECDIR, "", program);
	failed = errno;
	weir__signals_block();
	weir__cli_error(cli, "cannot run", "%s (%s/%s)", strerror(failed),
			WEIR_LIBEXECDIR, program);
	return WEIR_EXIT_FAILURE;
}

int
weir__fetch_run(struct weir_cli *cli)
{
	return weir__elsewhere(cli, "weir-fetch");
}

int
weir__elsewhere_for(struct weir_cli *cli, const char *db)
{
	return weir__elsewhere(cli, weir__db_is_fleet(db) ? "weir-fleet"
							  : "weir-queue");
}

int
weir__enqueue_run(struct weir_cli *cli)
{
	const struct enqueue_cli_options *o = cli->options;

	return weir__elsewhere_for(cli, o->db);
}

int
weir__work_run(struct weir_cli *cli)
{
	const struct work_cli_options *o = cli->options;

	return o->http || o->fetch ? weir__elsewhere(cli, "weir-fetch")
				   : weir__elsewhere_for(cli, o->db);
}

int
weir__jobs_run(struct weir_cli *cli)
{
	const struct jobs_cli_options *o = cli->options;

	return weir__elsewhere_for(cli, o->db);
}

int
weir__queues_run(struct weir_cli *cli)
{
	const struct queues_cli_options *o = cli->options;

	return weir__elsewhere_for(cli, o->db);
}

int
weir__limits_run(struct weir_cli *cli)
{
	const struct limits_cli_options *o = cli->options;

	return weir__elsewhere_for(cli, o->db);
}

int
weir__schedule_run(struct weir_cli *cli)
{
	const struct schedule_cli_options *o = cli->options;

	return weir__elsewhere_for(cli, o->db);
}

int
weir__db_run(struct weir_cli *cli)
{
	const struct db_cli_options *o = cli->options;

	return weir__elsewhere_for(cli, o->db);
}
