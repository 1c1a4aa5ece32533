/*
 * weir db: what a store is that is a file, whether it is sound, and its
 * versions.  Those in PostgreSQL are seen to in db_fleet.c.
 */
#include "cli/db_print.h"

#include "base/quote.h"
#include "base/units.h"
#include "cli/queue_open.h"
#include "cli/signals.h"
#include "queue/sqlite.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static void
put_info_json(struct db *db, const struct weir_sqlite_info *info)
{
	struct weir_json j;

	weir__json_init(&j, &db->out.text);
	weir__json_begin_object(&j);
	weir__json_key(&j, "path");
	weir__json_puts(&j, info->path);
	weir__json_key(&j, "bytes");
	weir__json_uint(&j, info->bytes);
	weir__json_key(&j, "wal_bytes");
	weir__json_uint(&j, info->wal_bytes);
	weir__json_key(&j, "schema_version");
	weir__json_int(&j, info->schema_version);
	weir__json_key(&j, "sqlite_version");
	weir__json_puts(&j, info->sqlite_version);
	weir__json_key(&j, "wal_reset_bug");
	weir__json_puts(&j, info->has_wal_reset_bug ? "closed" : "absent");
	weir__db_put_counts_json(db, &j);
	weir__json_end_object(&j);
	weir__buf_putc(&db->out.text, '\n');
}

static void
put_info_text(struct db *db, const struct weir_sqlite_info *info)
{
	char bytes[WEIR_FORMAT_SIZE], wal[WEIR_FORMAT_SIZE];
	struct weir_buf text = {0};

	weir__db_put_line(db, "store", info->path);
	weir__buf_printf(&text, "%s, and %s in its log",
			 weir__format_bytes(bytes, sizeof(bytes), info->bytes),
			 weir__format_bytes(wal, sizeof(wal), info->wal_bytes));
	weir__db_put_line(db, "size", weir__buf_str(&text));
	weir__buf_reset(&text);
	weir__buf_printf(&text, "%d", info->schema_version);
	weir__db_put_line(db, "schema version", weir__buf_str(&text));
	weir__buf_reset(&text);
	weir__buf_printf(&text, "%s%s", info->sqlite_version,
			 info->has_wal_reset_bug
				 ? ", which has the WAL-reset bug; weir's "
				   "programs do not meet it"
				 : "");
	weir__db_put_line(db, "SQLite", weir__buf_str(&text));
	weir__db_put_counts(db);
	weir__buf_fini(&text);
}

static int
info(struct db *db)
{
	struct weir_sqlite_info info;
	weir_error error = {0};
	weir_status status;
	int opened = weir__queue_open(db->cli, db->options->db, QUEUE_OPEN_LOOK,
				      WEIR_DURABLE_POWER, &db->store);

	if (opened >= 0)
		return opened;
	status = weir__sqlite_info(db->store, &info, &error);
	if (status == WEIR_OK)
		status = weir__db_count(db, &error);
	if (status != WEIR_OK)
		return weir__db_failed(db, "cannot look at the store", status,
				       &error);
	if (db->options->json)
		put_info_json(db, &info);
	else
		put_info_text(db, &info);
	return weir__queue_out_fini(&db->out);
}

/* SQLite gives several in one text, and a heading. */
static void
on_finding(const char *text, void *user)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (len > 0 && strncmp(text, "***", 3) != 0)
			weir__db_put_finding(user, text, len);
		text += len + (text[len] == '\n');
	}
}

/*
 * What is left to do with a file that is damaged: what can be read of it goes
 * into another one.  (.recover of Debian 12's sqlite3 fails, and VACUUM INTO
 * stops at the first page that is torn.)
 */
static int
say_damaged(struct db *db)
{
	struct weir_buf path = {0}, saved = {0}, word = {0};
	const char *name = weir__queue_path(db->options->db);

	weir__quote_word(&path, name);
	weir__buf_printf(&saved, "%s-saved", name);
	weir__quote_word(&word, weir__buf_str(&saved));
	weir__cli_error(db->cli, NULL,
			"the store is damaged: %" PRIu64 " finding%s (%s)",
			db->findings, db->findings == 1 ? "" : "s", name);
	weir__cli_try(db->cli,
		      "weir jobs list --db %s --json --limit 0 --state "
		      "available,pending,retryable,running,scheduled | "
		      "weir enqueue --whole --db %s",
		      weir__buf_str(&path), weir__buf_str(&word));
	weir__buf_fini(&word);
	weir__buf_fini(&path);
	weir__buf_fini(&saved);
	return WEIR_EXIT_FAILURE;
}

/*
 * Is it a store at all, of whatever version and however damaged?  -1, or the
 * exit status after an error, which has been printed.
 */
static int
check_store(struct db *db, const char *what, bool may_be_missing)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	weir_store *store = NULL;
	weir_error error = {0};
	weir_status status;

	options.url = db->options->db;
	options.read_only = true;
	status = weir_store_open(&store, &options, &error);
	(void)weir_store_close(store);
	if (status == WEIR_OK || status == WEIR_OLD || status == WEIR_CORRUPT ||
	    (status == WEIR_NOTFOUND && may_be_missing))
		return -1;
	return weir__db_failed(db, what, status, &error);
}

static int
check(struct db *db)
{
	weir_error error = {0};
	weir_status status = weir__sqlite_check(
		weir__queue_path(db->options->db), on_finding, db, &error);
	int end;

	if (status != WEIR_OK && status != WEIR_CORRUPT)
		return weir__db_failed(db, "cannot check the store", status,
				       &error);
	weir__db_put_sound(db, status == WEIR_OK);
	end = weir__queue_out_fini(&db->out);
	return status == WEIR_OK ? end : say_damaged(db);
}

static int
migrate(struct db *db)
{
	const char *path = weir__queue_path(db->options->db);
	bool was_there = access(path, F_OK) == 0;
	struct weir_buf *buf = &db->out.text;
	struct weir_json j;
	weir_error error = {0};
	int before = 0, after = 0;
	weir_status status = weir__sqlite_migrate(path, (int)db->options->to,
						  &before, &after, &error);

	if (status != WEIR_OK)
		return weir__db_failed(db, "cannot migrate the store", status,
				       &error);
	if (!was_there)
		weir__cli_note(db->cli, "made %s", path);
	if (db->options->json) {
		weir__json_init(&j, buf);
		weir__json_begin_object(&j);
		weir__json_key(&j, "version");
		weir__json_int(&j, after);
		weir__json_key(&j, "before");
		weir__json_int(&j, before);
		weir__json_end_object(&j);
		weir__buf_putc(buf, '\n');
	} else if (before == after) {
		weir__buf_printf(buf, "version %d, as before\n", after);
	} else {
		weir__buf_printf(buf, "version %d, from %d\n", after, before);
	}
	return weir__queue_out_fini(&db->out);
}

/* A file has one line of versions, and no list of them. */
static int
no_such_way(struct db *db)
{
	weir__cli_error(db->cli, NULL,
			"'weir db migrate %s' is for a store in PostgreSQL",
			db->cli->operands[0]);
	weir__cli_try(db->cli, "weir db migrate --help");
	return WEIR_EXIT_USAGE;
}

int
weir__db_run(struct weir_cli *cli)
{
	const struct weir_command_word *word = weir__cli_take_word(cli);
	struct db db = {
		.cli = cli, .options = cli->options, .out = {.cli = cli}};
	int status;

	if (!word)
		return WEIR_EXIT_USAGE;
	weir__signals_release();
	if (strcmp(word->name, "info") == 0) {
		status = info(&db);
	} else if (strcmp(word->name, "check") == 0) {
		status = check_store(&db, "cannot check the store", false);
		if (status < 0)
			status = check(&db);
	} else if (cli->operand_count > 0) {
		status = no_such_way(&db);
	} else {
		status = check_store(&db, "cannot migrate the store", true);
		if (status < 0)
			status = migrate(&db);
	}
	(void)weir_store_close(db.store);
	weir__buf_fini(&db.out.text);
	weir__buf_fini(&db.names);
	return status;
}
