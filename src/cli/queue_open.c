/*
 * Opening the store of a command; see queue_open.h.
 *
 * Design: what a store says of itself is a status and a line; which next step
 * follows from that is known here alone.  A step names the command with its
 * --db, so that it can be copied as it stands.
 */
#include "cli/queue_open.h"

#include "base/quote.h"
#include "cli/store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SCHEME "sqlite:"

const char *
weir__queue_path(const char *db)
{
	size_t len = strlen(SCHEME);

	return strncmp(db, SCHEME, len) == 0 ? db + len : db;
}

void
weir__queue_put_db(struct weir_cli *cli, struct weir_buf *buf, const char *db)
{
	struct queue_shown shown;

	if (weir__option_source(cli, "db") != WEIR_FROM_FLAG)
		return;
	weir__buf_puts(buf, " --db ");
	weir__quote_word(buf, weir__queue_shown(&shown, db));
}

int
weir__queue_no_memory(struct weir_cli *cli)
{
	weir__cli_error(cli, NULL, "out of memory");
	return WEIR_EXIT_FAILURE;
}

/* `try: weir db check --db URL` */
static void
try_db(struct weir_cli *cli, const char *word, const char *db)
{
	struct weir_buf words = {0};

	weir__queue_put_db(cli, &words, db);
	weir__cli_try(cli, "weir db %s%s", word, weir__buf_str(&words));
	weir__buf_fini(&words);
}

/* `try: COMMAND FILE`, for what is in the file system's hands. */
static void
try_file(struct weir_cli *cli, const char *command, const char *path)
{
	struct weir_buf word = {0};

	weir__quote_word(&word, path);
	weir__cli_try(cli, "%s %s", command, weir__buf_str(&word));
	weir__buf_fini(&word);
}

static void
put_folder(struct weir_buf *buf, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash)
		weir__buf_append(buf, path,
				 slash == path ? 1 : (size_t)(slash - path));
	else
		weir__buf_putc(buf, '.');
}

/* The folder of path, which is where space or rights are missing. */
static void
try_folder(struct weir_cli *cli, const char *command, const char *path)
{
	struct weir_buf folder = {0};

	put_folder(&folder, path);
	try_file(cli, command, weir__buf_str(&folder));
	weir__buf_fini(&folder);
}

/* There is no store: it can be made, if there is a folder to make it in. */
static void
try_make(struct weir_cli *cli, const char *db)
{
	struct weir_buf folder = {0};

	put_folder(&folder, weir__queue_path(db));
	if (access(weir__buf_str(&folder), F_OK) == 0)
		try_db(cli, "migrate", db);
	else
		try_file(cli, "mkdir -p", weir__buf_str(&folder));
	weir__buf_fini(&folder);
}

/* A system call has failed: is it room, rights, or the disk itself? */
static void
try_system(struct weir_cli *cli, const char *path, int native)
{
	switch (native) {
	case ENOSPC:
	case EDQUOT:
		try_folder(cli, "df -h", path);
		break;
	case ENOENT:
	case ENOTDIR:
		try_folder(cli, "ls -ld", path);
		break;
	case EACCES:
	case EPERM:
	case EROFS:
	case ELOOP:
		if (access(path, F_OK) == 0)
			try_file(cli, "ls -ld", path);
		else
			try_folder(cli, "ls -ld", path);
		break;
	default:
		if (access(path, F_OK) == 0 && access(path, W_OK) != 0)
			try_file(cli, "ls -ld", path);
		break;
	}
}

static void
try_next_of_fleet(struct weir_cli *cli, const char *db, const weir_error *error)
{
	struct weir_buf words = {0};

	weir__queue_put_db(cli, &words, db);
	weir__cli_fleet_try(cli, db, weir__buf_str(&words), error);
	weir__buf_fini(&words);
}

static void
try_next(struct weir_cli *cli, const char *db, const weir_error *error)
{
	const char *path = weir__queue_path(db);

	switch (error->status) {
	case WEIR_NOTFOUND:
		try_make(cli, db);
		break;
	case WEIR_OLD:
		try_db(cli, "migrate", db);
		break;
	case WEIR_CORRUPT:
		try_db(cli, "check", db);
		break;
	case WEIR_FOREIGN:
		weir__cli_try(cli, "weir db migrate --db weir-jobs.db, for a "
				   "file of its own");
		break;
	case WEIR_NEWER:
		weir__cli_try(cli, "weir --version, here and where the "
				   "newer one is");
		break;
	case WEIR_BUSY:
		try_file(cli, "fuser -v", path);
		break;
	case WEIR_SYSTEM:
		try_system(cli, path, error->native);
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

int
weir__queue_failed(struct weir_cli *cli, const char *db, const char *what,
		   const weir_error *error)
{
	weir_status status = error->status;
	bool is_fleet = weir__db_is_fleet(db);
	struct queue_shown shown;

	if (status == WEIR_NOMEM)
		return weir__queue_no_memory(cli);
	weir__cli_error(cli, what, "%s (%s)",
			status == WEIR_NOTFOUND && !is_fleet ? "there is none"
			: error->message[0]                  ? error->message
					    : weir_status_message(status),
			weir__queue_shown(&shown, db));
	if (is_fleet)
		try_next_of_fleet(cli, db, error);
	else
		try_next(cli, db, error);
	return status == WEIR_INVAL ? WEIR_EXIT_USAGE : WEIR_EXIT_FAILURE;
}

int
weir__queue_open(struct weir_cli *cli, const char *db, enum queue_open_how how,
		 weir_durability durability, weir_store **ret)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_error error = {0};
	weir_status status;
	int failed;

	options.url = db;
	options.read_only = how == QUEUE_OPEN_LOOK;
	options.durability = durability;
	status = weir__cli_store_open(ret, &options, &error);
	/* A database is somebody's, and nothing is made in it unasked. */
	if (status == WEIR_NOTFOUND && how == QUEUE_OPEN_MAKE &&
	    !weir__db_is_fleet(db)) {
		options.create = true;
		status = weir__cli_store_open(ret, &options, &error);
		if (status == WEIR_OK)
			weir__cli_note(cli, "made %s", weir__queue_path(db));
	}
	if (status == WEIR_OK)
		return -1;
	error.status = status;
	failed = weir__queue_failed(cli, db, "cannot open the store", &error);
	if (status == WEIR_INVAL)
		weir__cli_try(cli, "weir %s --db %s", cli->command->name,
			      weir__db_is_fleet(db)
				      ? "postgres://USER@HOST/DATABASE"
				      : "jobs.db");
	return failed;
}
