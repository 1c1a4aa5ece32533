/*
 * weir db, for a store in PostgreSQL: what it is, and whether it is sound.
 *
 * Design: facts of a store are told whatever its version is, for that is when
 * somebody asks; what needs tables that are not there is left out.
 */
#include "cli/db_fleet.h"

#include "base/quote.h"
#include "cli/queue_open.h"
#include "cli/signals.h"
#include "cli/store.h"
#include "pg/admin.h"

#include <inttypes.h>
#include <string.h>

int
weir__db_look(struct db *db, const char *what, bool read_only)
{
	weir_error error = {0};
	weir_status status =
		weir__pg_look(&db->store, db->options->db, read_only, &error);

	return status == WEIR_OK ? -1
				 : weir__db_failed(db, what, status, &error);
}

static bool
can_be_worked(const struct weir_pg_info *info)
{
	return info->river >= WEIR_PG_RIVER_OLDEST &&
	       info->river <= WEIR_PG_RIVER_NEWEST &&
	       info->ours == WEIR_PG_OURS_NEWEST;
}

static void
put_info_json(struct db *db, const struct weir_pg_info *info)
{
	struct queue_shown shown;
	struct weir_json j;

	weir__json_init(&j, &db->out.text);
	weir__json_begin_object(&j);
	weir__json_key(&j, "url");
	weir__json_puts(&j, weir__queue_shown(&shown, db->options->db));
	weir__json_key(&j, "database");
	weir__json_puts(&j, info->database);
	weir__json_key(&j, "user");
	weir__json_puts(&j, info->user);
	weir__json_key(&j, "schema");
	weir__json_puts(&j, info->schema);
	weir__json_key(&j, "server_version");
	weir__json_puts(&j, info->server_version);
	weir__json_key(&j, "river_version");
	weir__json_int(&j, info->river);
	weir__json_key(&j, "weir_version");
	weir__json_int(&j, info->ours);
	weir__json_key(&j, "standby");
	weir__json_bool(&j, info->is_standby);
	weir__json_key(&j, "pooler");
	weir__json_bool(&j, info->has_pooler);
	weir__json_key(&j, "pro");
	weir__json_bool(&j, info->has_pro);
	weir__json_key(&j, "sessions");
	weir__json_uint(&j, info->sessions);
	if (can_be_worked(info))
		weir__db_put_counts_json(db, &j);
	weir__json_end_object(&j);
	weir__buf_putc(&db->out.text, '\n');
}

/* "8 of River's tables, 1 of weir's" */
static void
put_versions(struct db *db, const struct weir_pg_info *info)
{
	struct weir_buf text = {0};

	if (info->river == 0)
		weir__buf_puts(&text, "no tables");
	else
		weir__buf_printf(&text, "%d of River's tables%s, ", info->river,
				 info->is_noted ? "" : " (by their looks)");
	if (info->ours > 0)
		weir__buf_printf(&text, "%d of weir's", info->ours);
	else if (info->river > 0)
		weir__buf_puts(&text, "none of weir's");
	if (info->has_pro)
		weir__buf_puts(&text, "; River Pro's are there");
	weir__db_put_line(db, "schema version", weir__buf_str(&text));
	weir__buf_fini(&text);
}

static void
put_info_text(struct db *db, const struct weir_pg_info *info)
{
	struct weir_buf text = {0};
	struct queue_shown shown;

	weir__db_put_line(db, "store",
			  weir__queue_shown(&shown, db->options->db));
	weir__buf_printf(&text, "%s, schema %s, as %s", info->database,
			 *info->schema ? info->schema : "none", info->user);
	weir__db_put_line(db, "database", weir__buf_str(&text));
	put_versions(db, info);
	weir__buf_reset(&text);
	weir__buf_printf(&text, "%s%s%s", info->server_version,
			 info->is_standby ? ", a standby: it cannot be written"
					  : "",
			 info->has_pooler ? ", behind a pooler, which has to "
					    "keep sessions (pool_mode=session)"
					  : "");
	weir__db_put_line(db, "PostgreSQL", weir__buf_str(&text));
	weir__buf_reset(&text);
	weir__buf_printf(&text, "%" PRIu64 " of weir's, this one included",
			 info->sessions);
	weir__db_put_line(db, "sessions", weir__buf_str(&text));
	if (can_be_worked(info))
		weir__db_put_counts(db);
	weir__buf_fini(&text);
}

static int
info(struct db *db)
{
	static const char what[] = "cannot look at the store";
	struct weir_pg_info facts;
	weir_error error = {0};
	weir_status status;
	int opened = weir__db_look(db, what, true);

	if (opened >= 0)
		return opened;
	status = weir__pg_info(db->store, &facts, &error);
	if (status == WEIR_OK && can_be_worked(&facts))
		status = weir__db_count(db, &error);
	if (status != WEIR_OK)
		return weir__db_failed(db, what, status, &error);
	if (db->options->json)
		put_info_json(db, &facts);
	else
		put_info_text(db, &facts);
	return weir__queue_out_fini(&db->out);
}

static void
on_finding(const char *text, void *user)
{
	weir__db_put_finding(user, text, strlen(text));
}

/* Nothing is torn: these are rows that somebody can be told to mend. */
static int
say_findings(struct db *db)
{
	struct weir_buf words = {0};
	struct queue_shown shown;

	weir__cli_error(db->cli, NULL, "%" PRIu64 " finding%s (%s)",
			db->findings, db->findings == 1 ? "" : "s",
			weir__queue_shown(&shown, db->options->db));
	weir__queue_put_db(db->cli, &words, db->options->db);
	if (db->first_job > 0)
		weir__cli_try(db->cli, "weir jobs show%s %" PRId64,
			      weir__buf_str(&words), db->first_job);
	weir__buf_fini(&words);
	return WEIR_EXIT_FAILURE;
}

static int
check(struct db *db)
{
	static const char what[] = "cannot check the store";
	weir_error error = {0};
	weir_status status;
	/* One that cannot be worked is refused, with the next step. */
	int end = weir__queue_open(db->cli, db->options->db, QUEUE_OPEN_LOOK,
				   WEIR_DURABLE_POWER, &db->store);

	if (end >= 0)
		return end;
	status = weir__pg_check(db->store, on_finding, db, &error);
	if (status != WEIR_OK && status != WEIR_CORRUPT)
		return weir__db_failed(db, what, status, &error);
	weir__db_put_sound(db, status == WEIR_OK);
	end = weir__queue_out_fini(&db->out);
	return status == WEIR_OK ? end : say_findings(db);
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
	/* Only who calls weir-fleet by its name has another kind. */
	if (!weir__db_is_fleet(db.options->db)) {
		weir__cli_error(cli, NULL,
				"this store is not in PostgreSQL; "
				"use weir");
		status = WEIR_EXIT_USAGE;
	} else if (strcmp(word->name, "info") == 0) {
		status = info(&db);
	} else if (strcmp(word->name, "check") == 0) {
		status = check(&db);
	} else {
		status = weir__db_fleet_migrate(&db);
	}
	(void)weir_store_close(db.store);
	weir__buf_fini(&db.out.text);
	weir__buf_fini(&db.names);
	return status;
}
