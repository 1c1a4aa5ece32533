/*
 * Stores of both kinds; see store.h.
 *
 * Design: of what can be wrong with a server, most is for PostgreSQL's own
 * tools to look at, so these are what is proposed, with the host and the user
 * that were meant, and never with a password.
 */
#include "cli/store.h"

#include "base/quote.h"
#include "cli/queue_open.h"
#include "pg/admin.h"

#include <weir/fleet.h>

#include <errno.h>
#include <string.h>

weir_status
weir__cli_store_open(weir_store **out, const weir_store_options *options,
		     weir_error *reterr)
{
	return weir__db_is_fleet(options->url)
		       ? weir_fleet_open(out, options, reterr)
		       : weir_store_open(out, options, reterr);
}

static void
put_option(struct weir_buf *buf, const char *option, const char *value)
{
	if (!*value)
		return;
	weir__buf_puts(buf, option);
	weir__quote_word(buf, value);
}

/* `try: TOOL -h HOST -p PORT -U USER DATABASE ARGS` */
static void
try_tool(struct weir_cli *cli, const struct weir_pg_target *to,
	 const char *tool, bool with_database, const char *args)
{
	struct weir_buf line = {0};

	weir__buf_puts(&line, tool);
	put_option(&line, " -h ", to->host);
	put_option(&line, " -p ", to->port);
	if (with_database) {
		put_option(&line, " -U ", to->user);
		put_option(&line, " ", to->database);
	}
	weir__cli_try(cli, "%s%s", weir__buf_str(&line), args);
	weir__buf_fini(&line);
}

/* The same url for a pooler that keeps no sessions. */
static void
try_pooled(struct weir_cli *cli, const char *db)
{
	struct weir_buf url = {0}, line = {0};
	struct queue_shown shown;
	const char *text = weir__queue_shown(&shown, db);

	weir__buf_puts(&url, text);
	if (strstr(text, "://"))
		weir__buf_putc(&url, strchr(text, '?') ? '&' : '?');
	else
		weir__buf_putc(&url, ' ');
	weir__buf_puts(&url, "listen=off");
	weir__quote_word(&line, weir__buf_str(&url));
	weir__cli_try(cli, "weir db --db %s", weir__buf_str(&line));
	weir__buf_fini(&url);
	weir__buf_fini(&line);
}

static void
try_system(struct weir_cli *cli, const char *db,
	   const struct weir_pg_target *to, const weir_error *error)
{
	switch (error->native) {
	case ECONNREFUSED:
	case EAGAIN:
		try_tool(cli, to, "pg_isready", false, "");
		break;
	case EACCES:
		/* Of what has been let in, it is a table's right. */
		if (strncmp(error->message, "permission", 10) == 0)
			try_tool(cli, to, "psql", true, " -c '\\dp *.river_*'");
		else
			try_tool(cli, to, "psql", true, " -c '\\conninfo'");
		break;
	case EROFS:
		try_tool(cli, to, "psql", true,
			 " -c 'SELECT pg_is_in_recovery()'");
		break;
	default:
		if (strncmp(error->message, "prepared statement", 18) == 0)
			try_pooled(cli, db);
		break;
	}
}

void
weir__cli_fleet_try(struct weir_cli *cli, const char *db, const char *shown,
		    const weir_error *error)
{
	struct weir_pg_target to;

	if (!weir__pg_target(db, &to))
		to = (struct weir_pg_target){0};
	switch (error->status) {
	case WEIR_NOTFOUND:
		if (error->native == ENOENT)
			try_tool(cli, &to, "createdb", true, "");
		else
			weir__cli_try(cli, "weir db migrate%s", shown);
		break;
	case WEIR_OLD:
		weir__cli_try(cli, "weir db migrate%s", shown);
		break;
	case WEIR_CORRUPT:
		weir__cli_try(cli, "weir db check%s", shown);
		break;
	case WEIR_NEWER:
		weir__cli_try(cli, "weir --version, here and where the "
				   "newer one is");
		break;
	case WEIR_FOREIGN:
		try_tool(cli, &to, "psql", true, " -c 'SELECT version()'");
		break;
	case WEIR_BUSY:
		try_tool(cli, &to, "psql", true,
			 " -c 'SELECT pid, query FROM pg_stat_activity'");
		break;
	case WEIR_SYSTEM:
		try_system(cli, db, &to, error);
		break;
	case WEIR_OK:
	case WEIR_CLOSED:
	case WEIR_CANCELED:
	case WEIR_TIMEDOUT:
	case WEIR_DEADLOCK:
	case WEIR_FAILED:
	case WEIR_PERMANENT:
	case WEIR_INVAL:
	case WEIR_NOMEM:
	case WEIR_CRASHED:
	case WEIR_STALE:
		break;
	}
}
