/*
 * What `weir db` asks: migrations, a look for damage, facts.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <stdio.h>
#include <sys/stat.h>

/* Versions that have the race; see README.md and sqlite.org/wal.html. */
static bool
has_wal_reset_bug(int version)
{
	if (version == 3044006 || version == 3050007)
		return false;
	return version >= 3007000 && version < 3051003;
}

weir_status
weir__sqlite_migrate(const char *path, int target, int *ret_before,
		     int *ret_after, weir_error *reterr)
{
	struct sqlite_conn conn;
	weir_status status = WEIR_OK;
	int wanted = target < 0 ? SQLITE_SCHEMA_VERSION : target;

	if (wanted > SQLITE_SCHEMA_VERSION)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "there is no version %d; the newest is"
					 " %d",
					 target, SQLITE_SCHEMA_VERSION);
	if (wanted > 0)
		status = weir__sqlite_make_file(path, reterr);
	if (status == WEIR_OK)
		status =
			weir__sqlite_connect(&conn, path, SQLITE_OPEN_READWRITE,
					     WEIR_STORE_BUSY_NS, reterr);
	if (status != WEIR_OK)
		return status;
	status = weir__sqlite_version(&conn, ret_before, reterr);
	if (status == WEIR_OK && *ret_before == 0 && wanted > 0)
		status = weir__sqlite_use_wal(&conn, reterr);
	if (status == WEIR_OK)
		status = weir__sqlite_migrate_to(&conn, wanted, reterr);
	if (status == WEIR_OK)
		status = weir__sqlite_version(&conn, ret_after, reterr);
	weir__sqlite_disconnect(&conn, true);
	return status;
}

struct findings {
	void (*finding)(const char *text, void *user);
	void *user;
	unsigned count;
};

/* Give each row of a check but "ok". */
static int
run_check(struct sqlite_conn *conn, const char *sql, struct findings *findings)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

	if (code != SQLITE_OK)
		return code;
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		if (!text || strcmp(text, "ok") == 0)
			continue;
		findings->count++;
		if (findings->finding)
			findings->finding(text, findings->user);
	}
	(void)sqlite3_finalize(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* What SQLite cannot know to be wrong. */
static const char our_rules[] =
	"SELECT 'job ' || id || ' runs without an owner' FROM job"
	" WHERE state = 6 AND (owner IS NULL OR attempted_at IS NULL)"
	" UNION ALL SELECT 'job ' || id || ' is owned by nobody that works"
	" the store' FROM job WHERE state = 6 AND owner IS NOT NULL"
	" AND owner NOT IN (SELECT id FROM client)"
	" UNION ALL SELECT 'job ' || id || ' is over, but has no time of it'"
	" FROM job WHERE state IN (1, 2, 3) AND finalized_at IS NULL"
	" UNION ALL SELECT 'job ' || id || ' has args that are no JSON object'"
	" FROM job WHERE NOT json_valid(args) OR json_type(args) <> 'object'"
	" UNION ALL SELECT 'the counter of ids is behind job ' || max(id)"
	" FROM job HAVING max(id) > (SELECT value FROM counter"
	" WHERE name = 'job') LIMIT 100";

weir_status
weir__sqlite_check(const char *path,
		   void (*finding)(const char *text, void *user), void *user,
		   weir_error *reterr)
{
	struct findings findings = {finding, user, 0};
	struct sqlite_conn conn;
	weir_status status;
	int code;

	status = weir__sqlite_connect(&conn, path, SQLITE_OPEN_READWRITE,
				      WEIR_STORE_BUSY_NS, reterr);
	if (status != WEIR_OK)
		return status;
	code = run_check(&conn, "PRAGMA integrity_check(100)", &findings);
	if (code == SQLITE_OK)
		code = run_check(&conn, our_rules, &findings);
	if (code != SQLITE_OK)
		status = weir__sqlite_failed(&conn, code, "cannot check it",
					     reterr);
	else if (findings.count > 0)
		status = weir__queue_error(reterr, WEIR_CORRUPT, 0,
					   "%u findings", findings.count);
	weir__sqlite_disconnect(&conn, true);
	return status;
}

static uint64_t
bytes_of(const char *path, const char *suffix)
{
	char name[PATH_MAX + 8];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

weir_status
weir__sqlite_info(weir_store *store, struct weir_sqlite_info *ret,
		  weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	weir_status status;

	memset(ret, 0, sizeof(*ret));
	weir__mutex_lock(&sqlite->read_mu);
	status = weir__sqlite_version(&sqlite->reader, &ret->schema_version,
				      reterr);
	weir__mutex_unlock(&sqlite->read_mu);
	ret->path = sqlite->path;
	ret->sqlite_version = sqlite3_libversion();
	ret->has_wal_reset_bug = has_wal_reset_bug(sqlite3_libversion_number());
	ret->bytes = bytes_of(sqlite->path, "");
	ret->wal_bytes = bytes_of(sqlite->path, "-wal");
	return status;
}
