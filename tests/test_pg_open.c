/*
 * Opening a PostgreSQL store: urls, what is refused and why, and migrations.
 *
 * Each test has a schema of its own in the database of with-postgres.
 */
#include "harness.h"
#include "pg/pg.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char schema[32];
static PGconn *hand; /* what is done by hand */

/* The first field of what it gives, until the next one. */
__attribute__((format(printf, 1, 2))) static const char *
sql(const char *format, ...)
{
	static PGresult *result;
	char text[2048];
	va_list args;

	va_start(args, format);
	REQUIRE(vsnprintf(text, sizeof(text), format, args) <
		(int)sizeof(text));
	va_end(args);
	PQclear(result);
	result = PQexec(hand, text);
	CHECK_STR(PQresultErrorMessage(result), "");
	return PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
}

static void
begin(void)
{
	const char *conninfo = getenv("WEIR_TEST_PG");

	if (!conninfo)
		SKIP("there is no WEIR_TEST_PG; see tests/with-postgres");
	hand = PQconnectdb(conninfo);
	REQUIRE(PQstatus(hand) == CONNECTION_OK);
	snprintf(schema, sizeof(schema), "t_%d", (int)getpid());
	sql("SET client_min_messages = warning");
	sql("SET search_path = %s", schema);
}

static void
end(void)
{
	sql("DROP SCHEMA IF EXISTS %s CASCADE", schema);
	sql("SELECT 1"); /* the last result is given back */
	PQfinish(hand);
}

#define PG_TEST(suite, name)                   \
	static void on_##suite##_##name(void); \
	TEST(suite, name)                      \
	{                                      \
		begin();                       \
		on_##suite##_##name();         \
		end();                         \
	}                                      \
	static void on_##suite##_##name(void)

/* The url of our schema, with more behind it. */
static const char *
our_url(const char *more)
{
	static char url[512];

	snprintf(url, sizeof(url), "postgres:%s schema=%s %s",
		 getenv("WEIR_TEST_PG"), schema, more);
	return url;
}

enum how { LOOK = 0, CREATE = 1, MIGRATE = 2, READ_ONLY = 4 };

static weir_status
try_open(weir_store **out, const char *url, unsigned how, weir_error *reterr)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;

	options.create = how & CREATE;
	options.migrate = how & MIGRATE;
	options.read_only = how & READ_ONLY;
	*reterr = (weir_error){WEIR_OK, 0, ""};
	return weir__pg_open(out, url, &options, reterr);
}

static weir_store *
open_url(const char *url, unsigned how)
{
	weir_store *store = NULL;
	weir_error error;
	weir_status status = try_open(&store, url, how, &error);

	CHECK_MSG(status == WEIR_OK, "%s", error.message);
	REQUIRE(store);
	return store;
}

static weir_store *
open_ours(unsigned how)
{
	return open_url(our_url(""), how);
}

static void
close_store(weir_store *store)
{
	store->ops->close(store);
}

/* It is refused so, and one line says why; has no secret. */
static void
check_refused(const char *url, unsigned how, weir_status status,
	      const char *why)
{
	weir_store *store = NULL;
	weir_error error;

	CHECK_EQ_INT(try_open(&store, url, how, &error), status);
	CHECK_EQ_INT(error.status, status);
	CHECK_MSG(strstr(error.message, why), "\"%s\", \"%s\"", error.message,
		  why);
	CHECK_MSG(!strstr(error.message, "secret"), "%s", error.message);
	CHECK(!strchr(error.message, '\n'));
	CHECK(!store);
}

static void
migrate(weir_store *store, int river, int ours)
{
	weir_error error = {WEIR_OK, 0, ""};

	CHECK_MSG(weir__pg_migrate(weir__pg_of(store), river, ours, &error) ==
			  WEIR_OK,
		  "%s", error.message);
}

/* A store at these versions, closed. */
static void
leave_at(int river, int ours)
{
	weir_store *store = open_ours(CREATE);

	migrate(store, river, ours);
	close_store(store);
}

/*
 * Urls.
 */
PG_TEST(urls, of_libpq_are_taken_with_a_schema)
{
	char url[512];
	weir_store *store = open_ours(CREATE);

	CHECK_STR(store->ops->name, "postgres");
	close_store(store);
	snprintf(url, sizeof(url), "%s?schema=%s", getenv("WEIR_TEST_PG_URL"),
		 schema);
	close_store(open_url(url, LOOK));
	snprintf(url, sizeof(url),
		 "%s?application_name=a&schema=%s&connect_timeout=5",
		 getenv("WEIR_TEST_PG_URL"), schema);
	close_store(open_url(url, LOOK));
	snprintf(url, sizeof(url),
		 "postgres:schema = %s application_name = 'it\\'s \\\\' %s",
		 schema, getenv("WEIR_TEST_PG"));
	store = open_url(url, LOOK);
	CHECK_STR(weir__pg_of(store)->schema, schema);
	close_store(store);
}

PG_TEST(urls, that_mean_nothing_are_refused)
{
	static const struct {
		const char *url, *why;
	} bad[] = {
		{"mysql://host/db", "not the url of a PostgreSQL store"},
		{"postgres", "not the url of a PostgreSQL store"},
		{"postgres://h/db?schema=", "1 to 46 letters"},
		{"postgres://h/db?schema=9a", "begins with no digit"},
		{"postgres://h/db?schema=a-b", "letters, digits and _"},
		{"postgres://h/db?schema=a%20b", "letters, digits and _"},
		{"postgres:host=h schema='a'", "letters, digits and _"},
		{"postgres:host=h schema=\"a\"", "letters, digits and _"},
		{"postgres://h/db?schema=a123456789b123456789c123456789"
		 "d123456789e123456",
		 "1 to 46 letters"},
		{"postgres://h/db?shema=a",
		 "libpq can read: invalid URI query"},
		{"postgres:host", "libpq can read: missing \"=\""},
		{"postgres:host='h", "libpq can read: unterminated"},
		{"postgres://u:secret@[h/db", "libpq can read"},
		{"postgres://u:%secret@h/db", "libpq can read"},
		{"postgres://u:secret@h/db?secret=a", "libpq can read"},
		{"postgres:password=a secret", "libpq can read"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refused(bad[i].url, CREATE, WEIR_INVAL, bad[i].why);
}

PG_TEST(urls, may_have_a_question_mark_in_the_password)
{
	check_refused("postgres://u:secret?schema=9@/x?host=/nowhere", LOOK,
		      WEIR_SYSTEM, "No such file");
}

PG_TEST(urls, without_a_schema_follow_the_search_path)
{
	char url[512];
	weir_store *store;

	snprintf(url, sizeof(url), "postgres:%s options=-csearch_path=%s",
		 getenv("WEIR_TEST_PG"), schema);
	check_refused(url, CREATE, WEIR_NOTFOUND, "no schema of the search");
	sql("CREATE SCHEMA %s", schema);
	check_refused(url, LOOK, WEIR_NOTFOUND, "no tables");
	store = open_url(url, CREATE);
	CHECK(strncmp(weir__pg_of(store)->channel_prefix, schema,
		      strlen(schema)) == 0);
	close_store(store);
	CHECK_STR(sql("SELECT count(*) FROM %s.river_job", schema), "0");
	close_store(open_ours(LOOK));
}

PG_TEST(urls, keep_the_case_of_a_schema)
{
	char url[512];

	snprintf(url, sizeof(url), "postgres:%s schema=T_%d",
		 getenv("WEIR_TEST_PG"), (int)getpid());
	close_store(open_url(url, CREATE));
	CHECK_STR(
		sql("SELECT count(*) FROM \"T_%d\".weir_queue", (int)getpid()),
		"0");
	sql("DROP SCHEMA \"T_%d\" CASCADE", (int)getpid());
}

/*
 * Servers that do not let us.
 */
PG_TEST(servers, that_are_not_there_are_told)
{
	check_refused("postgres:host=/nowhere", CREATE, WEIR_SYSTEM,
		      "No such file");
	check_refused("postgres://127.0.0.1:1/x", CREATE, WEIR_SYSTEM,
		      "Connection refused");
	check_refused("postgres://u:secret@127.0.0.1:1/x", CREATE, WEIR_SYSTEM,
		      "Connection refused");
}

PG_TEST(servers, without_the_database_are_told)
{
	check_refused(our_url("dbname=nosuch"), CREATE, WEIR_NOTFOUND,
		      "database \"nosuch\" does not exist");
}

/* The first rule that fits counts. */
static void
ask_for_password(const char *role)
{
	char path[256], rest[8192];
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%s", sql("SHOW hba_file"));
	file = fopen(path, "r");
	REQUIRE(file);
	len = fread(rest, 1, sizeof(rest), file);
	REQUIRE(len > 0 && len < sizeof(rest));
	(void)fclose(file);
	file = fopen(path, "w");
	REQUIRE(file);
	fprintf(file, "local all %s scram-sha-256\n%.*s", role, (int)len, rest);
	(void)fclose(file);
	sql("SELECT pg_reload_conf()");
}

/* The server reads it again when it comes to that. */
static void
wait_for_refusal(const char *url)
{
	weir_status status = WEIR_OK;
	weir_store *store = NULL;
	weir_error error;

	while (status == WEIR_OK) {
		status = try_open(&store, url, LOOK, &error);
		if (status == WEIR_OK)
			close_store(store);
	}
}

PG_TEST(servers, that_do_not_know_the_password_are_told)
{
	char role[32], more[64];

	snprintf(role, sizeof(role), "r_%d", (int)getpid());
	sql("CREATE ROLE %s LOGIN PASSWORD 'right'", role);
	sql("GRANT CREATE ON DATABASE postgres TO %s", role);
	snprintf(more, sizeof(more), "user=%s password=right", role);
	close_store(open_url(our_url(more), CREATE));
	ask_for_password(role);
	snprintf(more, sizeof(more), "user=%s password=secret", role);
	wait_for_refusal(our_url(more));
	check_refused(our_url(more), LOOK, WEIR_SYSTEM,
		      "password authentication failed");
	snprintf(more, sizeof(more), "user=%s password=right", role);
	close_store(open_url(our_url(more), LOOK));
	sql("DROP OWNED BY %s CASCADE", role);
	sql("DROP ROLE %s", role);
}

PG_TEST(servers, that_give_no_rights_are_told)
{
	char more[64];

	sql("CREATE ROLE r_%d LOGIN", (int)getpid());
	snprintf(more, sizeof(more), "user=r_%d", (int)getpid());
	check_refused(our_url(more), CREATE, WEIR_SYSTEM,
		      "permission denied for database");
	sql("CREATE SCHEMA %s", schema);
	check_refused(our_url(more), CREATE, WEIR_SYSTEM,
		      "permission denied for schema");
	close_store(open_ours(CREATE));
	sql("GRANT USAGE ON SCHEMA %s TO r_%d", schema, (int)getpid());
	check_refused(our_url(more), LOOK, WEIR_SYSTEM,
		      "permission denied for table");
	sql("GRANT SELECT ON ALL TABLES IN SCHEMA %s TO r_%d", schema,
	    (int)getpid());
	close_store(open_url(our_url(more), READ_ONLY));
	/* One of our own schema is enough. */
	sql("DROP SCHEMA %s CASCADE", schema);
	sql("CREATE SCHEMA %s AUTHORIZATION r_%d", schema, (int)getpid());
	close_store(open_url(our_url(more), CREATE));
	sql("DROP OWNED BY r_%d CASCADE", (int)getpid());
	sql("DROP ROLE r_%d", (int)getpid());
}

/* A server that says what it is, and then yes to everything. */
struct server {
	int fd;
	const char *parameter, *value;
};

static size_t
put_message(char *out, char type, const char *body, size_t len)
{
	out[0] = type;
	out[1] = out[2] = out[3] = 0;
	out[4] = (char)(len + 4);
	memcpy(out + 5, body, len);
	return len + 5;
}

static void *
serve(void *arg)
{
	const struct server *server = arg;
	int fd = accept(server->fd, NULL, NULL);
	char in[4096], out[512], body[128];
	size_t len;

	if (fd < 0 || read(fd, in, sizeof(in)) <= 0)
		return NULL;
	len = put_message(out, 'R', "\0\0\0", 4);
	snprintf(body, sizeof(body), "%s%c%s", server->parameter, 0,
		 server->value);
	len += put_message(out + len, 'S', body,
			   strlen(server->parameter) + strlen(server->value) +
				   2);
	len += put_message(out + len, 'Z', "I", 1);
	while (write(fd, out, len) == (ssize_t)len &&
	       read(fd, in, sizeof(in)) > 0 && in[0] == 'Q') {
		len = put_message(out, 'C', "SET", 4);
		len += put_message(out + len, 'Z', "I", 1);
	}
	(void)close(fd);
	return NULL;
}

static void
check_foreign(const char *parameter, const char *value, const char *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/weir-pg-fake-XXXXXX", url[128];
	struct server server = {.parameter = parameter, .value = value};
	pthread_t thread;

	REQUIRE(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432",
		 folder);
	server.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(server.fd, (struct sockaddr *)&address, sizeof(address)) ==
		0);
	REQUIRE(listen(server.fd, 1) == 0);
	REQUIRE(pthread_create(&thread, NULL, serve, &server) == 0);
	snprintf(url, sizeof(url), "postgres:host=%s user=u sslmode=disable",
		 folder);
	check_refused(url, CREATE, WEIR_FOREIGN, why);
	REQUIRE(pthread_join(thread, NULL) == 0);
	(void)close(server.fd);
	CHECK(unlink(address.sun_path) == 0 && rmdir(folder) == 0);
}

TEST(servers, that_are_not_postgresql_are_foreign)
{
	check_foreign("server_version", "13.21", "PostgreSQL 13.21");
	check_foreign("server_version", "15.2-YB-2.25.1.0-b0",
		      "YugabyteDB 15.2-YB-2.25.1.0-b0");
	check_foreign("crdb_version", "CockroachDB CCL v24.1.0",
		      "this is CockroachDB");
	check_foreign("server_version", "8.0.2", "PostgreSQL 8.0.2");
}

/*
 * Versions.
 */
PG_TEST(versions, of_a_store_that_is_not_there_are_not_found)
{
	check_refused(our_url(""), LOOK, WEIR_NOTFOUND, "no tables of River");
	check_refused(our_url(""), MIGRATE, WEIR_NOTFOUND,
		      "no tables of River");
	sql("CREATE SCHEMA %s", schema);
	sql("CREATE TABLE other (id int)");
	check_refused(our_url(""), LOOK, WEIR_NOTFOUND, "no tables of River");
	close_store(open_ours(CREATE));
	CHECK_STR(
		sql("SELECT string_agg(line || version, ' ' ORDER BY line,"
		    " version) FROM river_migration"),
		"main1 main2 main3 main4 main5 main6 main7 main8 weir1 weir2");
}

PG_TEST(versions, of_river_before_7_are_old)
{
	char why[32];

	for (int version = 2; version < PG_SCHEMA_OLDEST; version++) {
		leave_at(version, 0);
		snprintf(why, sizeof(why), "version %d", version);
		check_refused(our_url(""), LOOK, WEIR_OLD, why);
		check_refused(our_url(""), CREATE, WEIR_OLD, why);
		check_refused(our_url(""), READ_ONLY, WEIR_OLD, why);
		close_store(open_ours(MIGRATE));
		sql("DROP SCHEMA %s CASCADE", schema);
	}
}

PG_TEST(versions, of_river_from_7_on_are_fine)
{
	leave_at(7, PG_WEIR_VERSION);
	close_store(open_ours(LOOK));
	close_store(open_ours(READ_ONLY));
	CHECK_STR(sql("SELECT max(version) FROM river_migration"), "7");
}

PG_TEST(versions, without_tables_of_ours_are_old)
{
	leave_at(8, 0);
	check_refused(our_url(""), LOOK, WEIR_OLD, "not those of weir");
	close_store(open_ours(CREATE));
	leave_at(7, 0);
	close_store(open_ours(MIGRATE));
	CHECK_STR(sql("SELECT string_agg(line || version, ' ' ORDER BY line,"
		      " version) FROM river_migration WHERE version > 7"
		      " OR line = 'weir'"),
		  "main8 weir1 weir2");
}

PG_TEST(versions, that_we_do_not_know_are_newer)
{
	close_store(open_ours(CREATE));
	sql("INSERT INTO river_migration (line, version) VALUES ('main', 9)");
	check_refused(our_url(""), CREATE | MIGRATE, WEIR_NEWER,
		      "version 9, this weir knows 8");
	sql("DELETE FROM river_migration WHERE version = 9");
	sql("INSERT INTO river_migration (line, version) VALUES ('weir', 3)");
	check_refused(our_url(""), CREATE | MIGRATE, WEIR_NEWER,
		      "its version is 3, this weir knows 2");
	sql("DELETE FROM river_migration WHERE version = 3 AND line = 'weir'");
	sql("INSERT INTO river_migration (line, version) VALUES ('pro', 99)");
	close_store(open_ours(LOOK));
}

PG_TEST(versions, with_tables_of_river_pro_are_fine)
{
	struct pg_versions v = {0};
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = open_ours(CREATE);

	CHECK_EQ_INT(weir__pg_versions(weir__pg_of(store), &v, &error),
		     WEIR_OK);
	CHECK(!v.is_pro && v.has_rows && v.river == 8 && v.ours == 2);
	sql("CREATE TABLE river_workflow (id int)");
	CHECK_EQ_INT(weir__pg_versions(weir__pg_of(store), &v, &error),
		     WEIR_OK);
	CHECK(v.is_pro);
	close_store(store);
	close_store(open_ours(LOOK));
}

/* What is there is told by rows, and by tables if they are fewer. */
PG_TEST(versions, of_ours_that_are_old_are_refused_until_they_are_migrated)
{
	leave_at(8, 1);
	sql("INSERT INTO weir_suspect VALUES (7, 1)");
	check_refused(our_url(""), LOOK, WEIR_OLD,
		      "not those of weir (version 1, this weir needs 2)");
	close_store(open_ours(MIGRATE));
	CHECK_STR(sql("SELECT count(*) FROM weir_limit"), "0");
	CHECK_STR(sql("SELECT count(*) FROM weir_suspect"), "1");
	sql("DROP TABLE weir_limit");
	check_refused(our_url(""), LOOK, WEIR_OLD, "version 1");
	close_store(open_ours(MIGRATE));
	CHECK_STR(sql("SELECT count(*) FROM weir_limit"), "0");
	CHECK_STR(sql("SELECT string_agg(version::text, ' ' ORDER BY version)"
		      " FROM river_migration WHERE line = 'weir'"),
		  "1 2");
	sql("DROP TABLE river_migration");
	close_store(open_ours(LOOK));
}

PG_TEST(versions, that_nobody_has_noted_are_told_by_the_tables)
{
	leave_at(8, 0);
	sql("DROP TABLE river_migration");
	check_refused(our_url(""), LOOK, WEIR_OLD, "not those of weir");
	close_store(open_ours(MIGRATE));
	close_store(open_ours(LOOK));
	CHECK_STR(sql("SELECT to_regclass('river_migration') IS NULL"), "t");
	CHECK_STR(sql("SELECT count(*) FROM weir_schedule"), "0");
	sql("DROP SCHEMA %s CASCADE", schema);
	for (int version = 3; version < PG_SCHEMA_OLDEST; version++) {
		char why[32];

		leave_at(version, 0);
		sql("DROP TABLE river_migration");
		snprintf(why, sizeof(why), "version %d", version);
		check_refused(our_url(""), LOOK, WEIR_OLD, why);
		check_refused(our_url(""), MIGRATE, WEIR_OLD,
			      "migrate them as they were made");
		sql("DROP SCHEMA %s CASCADE", schema);
	}
}

/*
 * Migrations.
 */
/* All that a schema has, but data and what cannot be taken back. */
static const char *
fingerprint(void)
{
	return sql(
		"SELECT md5(string_agg(line, '\n' ORDER BY line COLLATE"
		" \"C\")) FROM ("
		" SELECT concat_ws(' ', c.relname, c.relpersistence,"
		"  rank() OVER (PARTITION BY c.oid ORDER BY attnum), attname,"
		"  atttypid::regtype, atttypmod, attnotnull, attidentity,"
		"  pg_get_expr(adbin, adrelid)) AS line"
		" FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid"
		" LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum"
		" WHERE c.relnamespace = '%s'::regnamespace AND attnum > 0"
		"  AND NOT attisdropped AND c.relkind IN ('r', 'S')"
		" UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname,"
		"  pg_get_constraintdef(oid)) FROM pg_constraint"
		" WHERE connamespace = '%s'::regnamespace"
		" UNION ALL SELECT indexdef FROM pg_indexes"
		" WHERE schemaname = '%s'"
		" UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc"
		" WHERE pronamespace = '%s'::regnamespace"
		" UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t"
		" JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal"
		" AND c.relnamespace = '%s'::regnamespace) AS lines",
		schema, schema, schema, schema, schema);
}

/* The last ones: ours, too. */
#define VERSIONS (PG_SCHEMA_VERSION + PG_WEIR_VERSION + 1)

static void
migrate_to(weir_store *store, int version)
{
	if (version > PG_SCHEMA_VERSION)
		migrate(store, PG_SCHEMA_VERSION, version - PG_SCHEMA_VERSION);
	else
		migrate(store, version, 0);
}

PG_TEST(migrations, lead_to_the_same_from_below_and_above)
{
	char prints[VERSIONS][40] = {""};
	weir_store *store = open_ours(CREATE);

	migrate_to(store, 0);
	CHECK_STR(fingerprint(), "");
	for (int version = 1; version < VERSIONS; version++) {
		migrate_to(store, version);
		snprintf(prints[version], sizeof(prints[0]), "%s",
			 fingerprint());
		CHECK(version == 8 ||
		      strcmp(prints[version], prints[version - 1]) != 0);
	}
	/* Each step back, and each on from where that has led. */
	for (int version = VERSIONS - 2; version >= 0; version--) {
		migrate_to(store, version);
		CHECK_STR(fingerprint(), prints[version]);
	}
	for (int version = 1; version < VERSIONS; version++) {
		migrate_to(store, version);
		CHECK_STR(fingerprint(), prints[version]);
	}
	close_store(store);
}

PG_TEST(migrations, note_each_of_rivers_versions)
{
	weir_store *store = open_ours(CREATE);

	migrate_to(store, 4);
	CHECK_STR(sql("SELECT string_agg(version::text, ' ' ORDER BY version)"
		      " FROM river_migration"),
		  "1 2 3 4");
	migrate_to(store, 6);
	CHECK_STR(sql("SELECT string_agg(line || version, ' ' ORDER BY"
		      " version) FROM river_migration"),
		  "main1 main2 main3 main4 main5 main6");
	migrate_to(store, 5);
	CHECK_STR(sql("SELECT max(version) FROM river_migration"), "5");
	migrate_to(store, 1);
	CHECK_STR(sql("SELECT max(version) FROM river_migration"), "1");
	close_store(store);
}

PG_TEST(migrations, keep_the_jobs)
{
	weir_store *store = open_ours(CREATE);

	sql("INSERT INTO river_job (kind, args, tags) VALUES ('work',"
	    " '{\"a\":1}', '{one}')");
	for (int version = 7; version > 1; version--)
		migrate_to(store, version);
	sql("UPDATE river_job SET args = NULL, tags = NULL");
	migrate_to(store, VERSIONS - 1);
	CHECK_STR(sql("SELECT concat_ws(' ', id, kind, args, tags, state)"
		      " FROM river_job"),
		  "1 work {} {} available");
	close_store(store);
}

PG_TEST(migrations, never_lose_what_others_have_noted)
{
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store = open_ours(CREATE);

	sql("INSERT INTO river_migration (line, version) VALUES ('pro', 1)");
	migrate_to(store, 5);
	CHECK_EQ_INT(weir__pg_migrate(weir__pg_of(store), 4, 0, &error),
		     WEIR_SYSTEM);
	CHECK(strstr(error.message, "migrations of other lines"));
	CHECK_STR(sql("SELECT string_agg(line || version, ' ' ORDER BY line,"
		      " version) FROM river_migration"),
		  "main1 main2 main3 main4 main5 pro1");
	migrate_to(store, VERSIONS - 1);
	close_store(store);
	close_store(open_ours(LOOK));
}

PG_TEST(migrations, that_stopped_half_way_go_on)
{
	for (int version = 0; version < VERSIONS; version++) {
		weir_store *store = open_ours(CREATE | MIGRATE);

		migrate_to(store, version);
		close_store(store);
		close_store(open_ours(CREATE | MIGRATE));
		close_store(open_ours(LOOK));
	}
}

static void *
open_at_once(void *arg)
{
	weir_store *store = NULL;
	weir_error error;

	if (!CHECK_MSG(try_open(&store, arg, CREATE | MIGRATE, &error) ==
			       WEIR_OK,
		       "%s", error.message))
		return NULL;
	close_store(store);
	return NULL;
}

PG_TEST(migrations, at_once_do_each_step_once)
{
	pthread_t threads[8];
	char url[512];

	snprintf(url, sizeof(url), "%s", our_url(""));
	for (int i = 0; i < 8; i++)
		REQUIRE(pthread_create(&threads[i], NULL, open_at_once, url) ==
			0);
	for (int i = 0; i < 8; i++)
		REQUIRE(pthread_join(threads[i], NULL) == 0);
	CHECK_STR(sql("SELECT count(*) FROM river_migration"), "10");
}

/* Whoever finds it half made waits for the rest. */
PG_TEST(migrations, are_waited_for_by_who_only_opens)
{
	pthread_t thread;
	char url[512];
	weir_store *store = NULL;
	weir_error error;
	weir_status status;

	snprintf(url, sizeof(url), "%s", our_url(""));
	REQUIRE(pthread_create(&thread, NULL, open_at_once, url) == 0);
	do
		status = try_open(&store, url, LOOK, &error);
	while (status == WEIR_NOTFOUND);
	CHECK_MSG(status == WEIR_OK, "%s", error.message);
	if (status == WEIR_OK)
		close_store(store);
	REQUIRE(pthread_join(thread, NULL) == 0);
}

/*
 * What is open.
 */
PG_TEST(stores, that_are_read_only_cannot_write)
{
	struct pg_link *conn;
	weir_error error = {WEIR_OK, 0, ""};
	weir_store *store;

	close_store(open_ours(CREATE));
	store = open_url(our_url("options='-c work_mem=1MB'"), READ_ONLY);
	conn = &weir__pg_of(store)->work;
	weir__mutex_lock(&conn->mu);
	REQUIRE(weir__pg_ready(conn, &error) == WEIR_OK);
	CHECK_EQ_INT(weir__pg_run(conn, "DELETE FROM @river_job", &error),
		     WEIR_SYSTEM);
	CHECK(strstr(error.message, "read-only transaction"));
	weir__mutex_unlock(&conn->mu);
	close_store(store);
}

PG_TEST(stores, have_the_clock_of_the_database)
{
	weir_store *store = open_ours(CREATE);
	int64_t before_ms, now_ms, after_ms;

	before_ms = strtoll(sql("SELECT floor(1000 * extract(epoch FROM"
				" clock_timestamp()))::bigint"),
			    NULL, 10);
	now_ms = weir__store_now_ms(store);
	after_ms = strtoll(sql("SELECT ceil(1000 * extract(epoch FROM"
			       " clock_timestamp()))::bigint"),
			   NULL, 10);
	/* It is wrong by half the shortest trip, and by what is cut off. */
	CHECK(now_ms >= before_ms - 50 && now_ms <= after_ms + 50);
	close_store(store);
}
