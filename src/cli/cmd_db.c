/*
 * weir db: its options and what the manual says of it.
 *
 * What it does is in db_run.c.
 */
#include "cli/cmd_queue.h"

static const struct db_cli_options defaults = {
	.db = WEIR_QUEUE_DB_DEFAULT,
	.to = -1,
};

#define AT(kind, field) WEIR_OPT_##kind##_AT(struct db_cli_options, field)

static const struct weir_option table[] = {
	WEIR_OPT_HEADING("Options"),
	{AT(INT, to), .name = "to", .arg = "N", .shown = "the newest",
	 .only_flag = true, .min = 1, .max = 1000000,
	 .help = "bring it to this version, forward or back",
	 .more = "Back to a version means that what only later ones can hold "
		 "is given up."},
	{WEIR_QUEUE_DB_ROW},
	{AT(FLAG, json), .name = "json", .help = "print JSON"},
	WEIR_OPT_END_ROW,
};

static const struct weir_command_word words[] = {
	{.name = "info",
	 .help = "what the store is, and what is in it",
	 .options = "db json",
	 .operands_max = 0},
	{.name = "check",
	 .help = "look at all of it for damage, and say what to do",
	 .options = "db json",
	 .operands_max = 0},
	{.name = "migrate",
	 .operands = "[list|up|down]",
	 .help = "make it, or bring it to the version of this weir",
	 .options = "to db json",
	 .operands_max = 1},
	{0},
};

static const char *const synopsis[] = {
	"[info] [--json]",
	"check [--json]",
	"migrate [list|up|down] [--to N]",
	NULL,
};

static const struct weir_command_example examples[] = {
	{"weir db", "what jobs.db is, and what is in it"},
	{"weir db check --db /var/lib/app/jobs.db", "is it sound?"},
	{"weir db migrate", "after a new weir was installed"},
	{"weir db migrate list --db postgres://app@db.example/app",
	 "which of River's versions, and of weir's"},
	{0},
};

static const struct weir_command_section sections[] = {
	{"DESCRIPTION",
	 "Looks after a store of durable jobs: a file, or tables in "
	 "PostgreSQL.  `check` "
	 "reads all of it, so it takes as long as that; jobs may be worked "
	 "meanwhile.  `migrate` is done once after an upgrade, with no worker "
	 "of an older version running.\n"
	 "\n"
	 "A store in PostgreSQL has River's tables and, beside them, weir's "
	 "own.  The version is River's: `--to` means that, and weir's tables "
	 "are there from version 7 on.  `migrate list` shows the versions of "
	 "both, `migrate up` goes forward only, `migrate down` back only, by "
	 "one if there is no `--to`.  A way back that would take jobs, "
	 "schedules or archived jobs away is refused.  `check` looks for rows "
	 "that one of River's clients could not read, whoever has written "
	 "them, and for jobs whose worker is gone."},
	{"FILES",
	 "jobs.db\tthe store, when neither `--db` nor WEIR_DB names one; "
	 "readable by its owner only\n"
	 "jobs.db-wal, jobs.db-shm\tSQLite's: a part of the store\n"
	 "jobs.db-weir\ta bell and a lock for those who work it"},
	{"RECORDS",
	 "With `--json`, `info` prints one object, `check` one for each "
	 "finding (`finding`) and a last one with `ok`, `migrate` one with "
	 "`version`, `migrate list` one for each version with `line` (`main` "
	 "is River's), `version`, `applied` and `what`."},
	{0},
};

static const int exits[] = {
	WEIR_EXIT_OK,
	WEIR_EXIT_FAILURE,
	WEIR_EXIT_USAGE,
	WEIR_EXIT_STDOUT_CLOSED,
	-1,
};

const struct weir_command weir__cmd_db = {
	.name = "db",
	.summary = "make, check and migrate a store",
	.group = "Durable jobs",
	.synopsis = synopsis,
	.examples = examples,
	.sections = sections,
	.exits = exits,
	.words = words,
	.options = table,
	.defaults = &defaults,
	.options_size = sizeof(defaults),
	.run = weir__db_run,
};
