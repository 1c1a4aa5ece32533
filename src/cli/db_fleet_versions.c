/*
 * weir db migrate, for a store in PostgreSQL.
 *
 * Design.  A version is River's, for that is what its other users speak of; our
 * tables are there with each version that can be worked, and go before that
 * is left.  Up and down never do the reverse of what they say.
 *
 * A way down takes tables away.  Those of River's older versions had other
 * rows, which cannot be helped; but it is refused to take jobs away, or
 * schedules, or what a queue has archived.
 */
#include "cli/db_fleet.h"

#include "cli/queue_open.h"
#include "pg/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char what[] = "cannot migrate the store";

static void
put_version_json(struct db *db, const char *line, int version, bool applied,
		 const char *brought)
{
	struct weir_json j;

	weir__json_init(&j, &db->out.text);
	weir__json_begin_object(&j);
	weir__json_key(&j, "line");
	weir__json_puts(&j, line);
	weir__json_key(&j, "version");
	weir__json_int(&j, version);
	weir__json_key(&j, "applied");
	weir__json_bool(&j, applied);
	weir__json_key(&j, "what");
	weir__json_puts(&j, brought);
	weir__json_end_object(&j);
	weir__buf_putc(&db->out.text, '\n');
}

static void
put_version(struct db *db, struct queue_table *table, const char *line,
	    int version, int at, const char *brought)
{
	char number[16];
	const char *cells[] = {line, number, version <= at ? "yes" : "no",
			       brought};

	if (!brought)
		brought = "of a newer release";
	if (db->options->json) {
		put_version_json(db, line, version, version <= at, brought);
		return;
	}
	cells[3] = brought;
	snprintf(number, sizeof(number), "%d", version);
	weir__queue_table_add(table, cells);
}

static int
list(struct db *db, const struct weir_pg_info *info)
{
	static const char *const headings[] = {"LINE", "VERSION", "APPLIED",
					       "WHAT", NULL};
	struct queue_table table;
	int river = info->river > WEIR_PG_RIVER_NEWEST ? info->river
						       : WEIR_PG_RIVER_NEWEST;
	int ours = info->ours > WEIR_PG_OURS_NEWEST ? info->ours
						    : WEIR_PG_OURS_NEWEST;

	weir__queue_table_init(&table, &db->out, headings, 2);
	for (int i = 1; i <= river; i++)
		put_version(db, &table, "main", i, info->river,
			    weir__pg_river_what(i));
	for (int i = 1; i <= ours; i++)
		put_version(db, &table, "weir", i, info->ours,
			    weir__pg_our_what(i));
	weir__queue_table_end(&table);
	return weir__queue_out_fini(&db->out);
}

/* Is anything in what would be taken away?  -1: no. */
static int
refuse_loss(struct db *db, int target)
{
	struct weir_pg_loss loss;
	struct weir_buf text = {0}, words = {0};
	weir_error error = {0};
	weir_status status = weir__pg_loss(db->store, target, &loss, &error);
	const char *list_of;

	if (status != WEIR_OK)
		return weir__db_failed(db, what, status, &error);
	if (loss.jobs + loss.schedules + loss.archived + loss.limits == 0)
		return -1;
	if (loss.jobs > 0)
		weir__buf_printf(&text, "%" PRIu64 " jobs, ", loss.jobs);
	if (loss.schedules > 0)
		weir__buf_printf(&text, "%" PRIu64 " schedules, ",
				 loss.schedules);
	if (loss.archived > 0)
		weir__buf_printf(&text, "%" PRIu64 " archived jobs, ",
				 loss.archived);
	if (loss.limits > 0)
		weir__buf_printf(&text, "%" PRIu64 " limits, ", loss.limits);
	weir__cli_error(db->cli, what, "%.*s would be lost",
			text.failed ? 0 : (int)text.len - 2,
			weir__buf_str(&text));
	weir__queue_put_db(db->cli, &words, db->options->db);
	list_of = loss.jobs > 0        ? "jobs"
		  : loss.schedules > 0 ? "schedule"
				       : "limits";
	if (loss.jobs + loss.schedules + loss.limits > 0)
		weir__cli_try(db->cli, "weir %s list%s", list_of,
			      weir__buf_str(&words));
	weir__buf_fini(&words);
	weir__buf_fini(&text);
	return WEIR_EXIT_FAILURE;
}

static void
put_result(struct db *db, const struct weir_pg_info *before,
	   const struct weir_pg_info *after)
{
	struct weir_buf *buf = &db->out.text;
	struct weir_json j;

	if (db->options->json) {
		weir__json_init(&j, buf);
		weir__json_begin_object(&j);
		weir__json_key(&j, "version");
		weir__json_int(&j, after->river);
		weir__json_key(&j, "before");
		weir__json_int(&j, before->river);
		weir__json_key(&j, "weir_version");
		weir__json_int(&j, after->ours);
		weir__json_key(&j, "weir_before");
		weir__json_int(&j, before->ours);
		weir__json_end_object(&j);
		weir__buf_putc(buf, '\n');
		return;
	}
	if (before->river == after->river)
		weir__buf_printf(buf, "River's version %d, as before\n",
				 after->river);
	else
		weir__buf_printf(buf, "River's version %d, from %d\n",
				 after->river, before->river);
	if (before->ours == after->ours)
		weir__buf_printf(buf, "weir's version %d, as before\n",
				 after->ours);
	else
		weir__buf_printf(buf, "weir's version %d, from %d\n",
				 after->ours, before->ours);
}

static int
bring_to(struct db *db, const struct weir_pg_info *before, int target)
{
	struct weir_pg_info after;
	weir_error error = {0};
	weir_status status = WEIR_OK;
	int refused = -1;

	if (target < before->river || target < WEIR_PG_RIVER_OLDEST)
		refused = refuse_loss(db, target);
	if (refused >= 0)
		return refused;
	status = weir__pg_bring_to(db->store, target, &error);
	if (status == WEIR_OK)
		status = weir__pg_info(db->store, &after, &error);
	if (status != WEIR_OK)
		return weir__db_failed(db, what, status, &error);
	put_result(db, before, &after);
	return weir__queue_out_fini(&db->out);
}

/* A number that is on the other side of where it is. */
static int
refuse_way(struct db *db, const struct weir_pg_info *info, bool is_up)
{
	weir__cli_error(db->cli, what,
			"version %" PRId64 " is not %s from %d, where it is",
			db->options->to, is_up ? "up" : "down", info->river);
	weir__cli_try(db->cli, "weir db migrate %s --to %" PRId64,
		      is_up ? "down" : "up", db->options->to);
	return WEIR_EXIT_USAGE;
}

static int
move(struct db *db, const struct weir_pg_info *info, const char *way)
{
	bool is_up = strcmp(way, "up") == 0, is_down = strcmp(way, "down") == 0;
	int64_t to = db->options->to;

	if (to < 0)
		to = is_down ? info->river - 1 : WEIR_PG_RIVER_NEWEST;
	if (is_down && info->river == 0) {
		weir__cli_error(db->cli, what, "there are no tables");
		return WEIR_EXIT_FAILURE;
	}
	if ((is_up && to < info->river &&
	     info->river <= WEIR_PG_RIVER_NEWEST) ||
	    (is_down && to >= info->river))
		return refuse_way(db, info, is_up);
	return bring_to(db, info, (int)to);
}

int
weir__db_fleet_migrate(struct db *db)
{
	const char *way =
		db->cli->operand_count > 0 ? db->cli->operands[0] : "";
	bool is_list = strcmp(way, "list") == 0;
	struct weir_pg_info info;
	weir_error error = {0};
	weir_status status;
	int opened;

	if (*way && !is_list && strcmp(way, "up") != 0 &&
	    strcmp(way, "down") != 0) {
		weir__cli_error(db->cli, NULL, "'%s' is not list, up or down",
				way);
		weir__cli_try(db->cli, "weir db --help");
		return WEIR_EXIT_USAGE;
	}
	opened = weir__db_look(db, is_list ? "cannot look at the store" : what,
			       is_list);
	if (opened >= 0)
		return opened;
	status = weir__pg_info(db->store, &info, &error);
	if (status != WEIR_OK)
		return weir__db_failed(db, what, status, &error);
	return is_list ? list(db, &info) : move(db, &info, way);
}
