/*
 * The PostgreSQL store: opening it, closing it, its table of functions.
 *
 * Design.  A url is libpq's, but for `schema`, `leader`, `foreign`, `hold` and
 * `listen`, which are ours and taken out before libpq sees it.  What libpq then
 * makes of the url is put together again as a conninfo, so that connections are
 * made from one form only.
 *
 * Nothing of a url is told in an error that could be a password: libpq cites
 * what it could not read.
 *
 * Locking: none; nobody else has the store yet, or any more.
 */
#include "pg/admin.h"
#include "pg/cursor.h"
#include "pg/leader.h"
#include "pg/limit.h"
#include "pg/worked.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVER_OLDEST 140000

/* Of what a loop waits for: beats have to go on, and locks can be waited for
 * the next time. */
static const struct pg_setting work_settings[] = {{"lock_timeout", "500ms"},
						  {NULL, NULL}};

static void
pg_close(weir_store *base)
{
	struct weir_pg *store = weir__pg_of(base);

	weir__pg_listener_free(store);
	weir__pg_leader_free(store);
	weir__pg_worked_free(store);
	weir__pg_cursors_free(store);
	weir__pg_limits_free(store);
	weir__pg_inserts_free(store);
	weir__pg_holds_free(store);
	weir__pg_conn_fini(&store->upkeep);
	weir__pg_conn_fini(&store->admin);
	weir__pg_conn_fini(&store->insert);
	weir__pg_conn_fini(&store->work);
	if (store->conninfo)
		explicit_bzero(store->conninfo, strlen(store->conninfo));
	free(store->conninfo);
	free(store);
}

static const struct weir_store_ops ops = {
	.name = "postgres",
	.close = pg_close,
	.insert = weir__pg_insert,
	.insert_tx = weir__pg_insert_tx,
	.complete_tx = weir__pg_complete_tx,
	.enlist = weir__pg_enlist,
	.leave = weir__pg_leave,
	.turn = weir__pg_turn,
	.extend = weir__pg_extend,
	.promote = weir__pg_promote,
	.clients = weir__pg_clients,
	.rescue = weir__pg_rescue,
	.clean = weir__pg_clean,
	.fire = weir__pg_fire,
	.list = weir__pg_list,
	.change = weir__pg_change,
	.queues = weir__pg_queues,
	.queue_set = weir__pg_queue_set,
	.schedule_put = weir__pg_schedule_put,
	.schedule_delete = weir__pg_schedule_delete,
	.schedule_pause = weir__pg_schedule_pause,
	.schedules = weir__pg_schedules,
	.limit_put = weir__pg_limit_put,
	.limit_delete = weir__pg_limit_delete,
	.limits = weir__pg_limit_list,
	.wake_fd = weir__pg_wake_fd,
	.hush = weir__pg_hush,
	.wake = weir__pg_wake,
};

/* The database's clock, by our own monotonic one. */
static int64_t
database_ms(void *user)
{
	const struct weir_pg *store = user;

	return weir_now_ns() / WEIR_MS +
	       (int64_t)weir__u64_load(&store->offset_ms, WEIR_RELAXED);
}

static const struct pg_sql clock_sql = {"clock", "SELECT clock_timestamp()"};

/* Three looks; that of the shortest trip is wrong by half of it at most. */
static weir_status
set_clock(struct weir_pg *store, weir_error *reterr)
{
	int64_t trip_ns = INT64_MAX;
	weir_status status = WEIR_OK;

	for (int i = 0; i < 3 && status == WEIR_OK; i++) {
		struct pg_params p = {0};
		PGresult *result = NULL;
		int64_t begin_ns = weir_now_ns(), end_ns, middle_ms;

		weir__pg_begin(&p);
		status = weir__pg_ask(&store->admin, &clock_sql, &p, &result,
				      reterr);
		end_ns = weir_now_ns();
		middle_ms = (begin_ns + (end_ns - begin_ns) / 2) / WEIR_MS;
		/* The first one also prepares the statement. */
		if (status == WEIR_OK && end_ns - begin_ns < trip_ns) {
			trip_ns = end_ns - begin_ns;
			weir__u64_store(
				&store->offset_ms,
				(uint64_t)(weir__pg_get_ms(result, 0, 0) -
					   middle_ms),
				WEIR_RELAXED);
		}
		PQclear(result);
		weir__pg_params_fini(&p);
	}
	return status;
}

static bool
is_word(char c, bool is_first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!is_first && c >= '0' && c <= '9');
}

static weir_status
set_schema(struct weir_pg *store, const char *name, size_t len,
	   weir_error *reterr)
{
	for (size_t i = 0; i < len; i++)
		if (!is_word(name[i], i == 0))
			return weir__queue_error(
				reterr, WEIR_INVAL, 0,
				"the name of a schema has letters, digits and"
				" _, and begins with no digit");
	if (len == 0 || len > PG_SCHEMA_MAX)
		return weir__queue_error(
			reterr, WEIR_INVAL, 0,
			"the name of a schema has 1 to %d letters",
			PG_SCHEMA_MAX);
	snprintf(store->schema, sizeof(store->schema), "%.*s", (int)len, name);
	snprintf(store->prefix, sizeof(store->prefix), "\"%s\".",
		 store->schema);
	snprintf(store->channel_prefix, sizeof(store->channel_prefix), "%s.",
		 store->schema);
	return WEIR_OK;
}

static bool
is_text(const char *text, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

/* One of two words. */
static weir_status
set_choice(bool *ret, const char *value, size_t len, const char *no,
	   const char *yes, weir_error *reterr)
{
	*ret = is_text(value, len, yes);
	if (*ret || is_text(value, len, no))
		return WEIR_OK;
	return weir__queue_error(reterr, WEIR_INVAL, 0,
				 "%.*s: it is either %s or %s", (int)len, value,
				 no, yes);
}

/* A parameter, if it is one of ours; *ret_is says whether it is. */
static weir_status
set_ours(struct weir_pg *store, const char *word, size_t word_len,
	 const char *value, size_t len, bool *ret_is, weir_error *reterr)
{
	*ret_is = true;
	if (is_text(word, word_len, "schema"))
		return set_schema(store, value, len, reterr);
	if (is_text(word, word_len, "leader"))
		return set_choice(&store->never_leads, value, len, "on", "off",
				  reterr);
	if (is_text(word, word_len, "foreign"))
		return set_choice(&store->leaves_foreign, value, len, "rescue",
				  "leave", reterr);
	if (is_text(word, word_len, "hold"))
		return set_choice(&store->never_holds, value, len, "on", "off",
				  reterr);
	if (is_text(word, word_len, "listen"))
		return set_choice(&store->is_pooled, value, len, "on", "off",
				  reterr);
	*ret_is = false;
	return WEIR_OK;
}

/*
 * Where the parameters of a url begin, at its "?", or its end.  Before an "@"
 * there may be one in a password.
 */
static const char *
find_query(const char *url)
{
	const char *at = strstr(url, "://") + 3;
	size_t user = strcspn(at, "@/");

	if (at[user] == '@')
		at += user + 1;
	return at + strcspn(at, "?");
}

/*
 * libpq takes the user to end at the first "@" or "/", whatever was meant; what
 * it takes for a host or a port then is a part of the password, and is told to
 * everybody.
 */
static weir_status
check_user(const char *url, weir_error *reterr)
{
	const char *at = strstr(url, "://") + 3;
	const char *end = find_query(url);
	const char *last = memrchr(at, '@', (size_t)(end - at));

	if (last && strcspn(at, "@/") < (size_t)(last - at) &&
	    memchr(at, ':', (size_t)(last - at)))
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "in the user and password of a url, @"
					 " and / are written %%40 and %%2F");
	return WEIR_OK;
}

/* Copy a url without our parameters. */
static weir_status
take_url(struct weir_pg *store, const char *url, struct weir_buf *ret,
	 weir_error *reterr)
{
	const char *at = find_query(url);
	weir_status status = check_user(url, reterr);
	char before = '?';

	weir__buf_append(ret, url, (size_t)(at - url));
	while (*at && status == WEIR_OK) {
		size_t len = strcspn(++at, "&"), word = strcspn(at, "=&");
		size_t value = word < len ? word + 1 : len;
		bool is_ours;

		status = set_ours(store, at, word, at + value, len - value,
				  &is_ours, reterr);
		if (!is_ours) {
			weir__buf_putc(ret, before);
			weir__buf_append(ret, at, len);
			before = '&';
		}
		at += len;
	}
	return status;
}

/* The end of a value of a conninfo: 'quoted', or up to a blank. */
static const char *
skip_value(const char *at)
{
	bool is_quoted = *at == '\'';

	for (at += is_quoted; *at; at++) {
		if (is_quoted ? *at == '\'' : *at == ' ')
			return at + is_quoted;
		if (*at == '\\' && at[1])
			at++;
	}
	return at;
}

/* The same for "host=... schema=...". */
static weir_status
take_pairs(struct weir_pg *store, const char *at, struct weir_buf *ret,
	   weir_error *reterr)
{
	weir_status status = WEIR_OK;

	while (*at && status == WEIR_OK) {
		size_t word = strcspn(at, "= ");
		const char *value = at + word, *end;
		bool is_ours;

		value += strspn(value, " ");
		value += *value == '=';
		value += strspn(value, " ");
		end = skip_value(value);
		end += strspn(end, " ");
		status = set_ours(store, at, word, value, strcspn(value, " "),
				  &is_ours, reterr);
		if (!is_ours)
			weir__buf_append(ret, at, (size_t)(end - at));
		at = end > at ? end : at + 1;
	}
	return status;
}

/* What libpq has against it, which cites what it is about. */
static weir_status
bad_url(const char *url, const char *why, weir_error *reterr)
{
	bool is_secret = strchr(url, '@') || strstr(url, "password");
	size_t len = why ? strcspn(why, is_secret ? "\":\n" : "\n") : 0;

	return weir__queue_error(reterr, WEIR_INVAL, 0,
				 "not a url that libpq can read%s%.*s",
				 len > 0 ? ": " : "", (int)len, why ? why : "");
}

static void
put_pair(struct weir_buf *buf, const char *keyword, const char *value)
{
	weir__buf_printf(buf, "%s='", keyword);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			weir__buf_putc(buf, '\\');
		weir__buf_putc(buf, *value);
	}
	weir__buf_puts(buf, "' ");
}

static weir_status
set_conninfo(struct weir_pg *store, const char *url, weir_error *reterr)
{
	struct weir_buf all = {0};
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &why);

	if (!options) {
		weir_status status = bad_url(url, why, reterr);

		PQfreemem(why);
		return status;
	}
	for (const PQconninfoOption *o = options; o->keyword; o++)
		if (o->val)
			put_pair(&all, o->keyword, o->val);
	PQconninfoFree(options);
	if (!all.failed)
		store->conninfo = strdup(weir__buf_str(&all));
	if (all.len > 0)
		explicit_bzero(all.data, all.len);
	weir__buf_fini(&all);
	return store->conninfo ? WEIR_OK
			       : weir__queue_error(reterr, WEIR_NOMEM, 0,
						   "out of memory");
}

static weir_status
set_url(struct weir_pg *store, const char *url, weir_error *reterr)
{
	struct weir_buf rest = {0};
	weir_status status;

	if (strncmp(url, "postgres://", 11) == 0 ||
	    strncmp(url, "postgresql://", 13) == 0)
		status = take_url(store, url, &rest, reterr);
	else if (strncmp(url, "postgres:", 9) == 0)
		status = take_pairs(store, url + 9, &rest, reterr);
	else
		status = weir__queue_error(
			reterr, WEIR_INVAL, 0,
			"not the url of a PostgreSQL store: postgres://HOST/"
			"DATABASE, or postgres:host=HOST dbname=DATABASE");
	if (status == WEIR_OK && rest.failed)
		status = weir__queue_error(reterr, WEIR_NOMEM, 0,
					   "out of memory");
	if (status == WEIR_OK)
		status = set_conninfo(store, weir__buf_str(&rest), reterr);
	if (rest.len > 0)
		explicit_bzero(rest.data, rest.len);
	weir__buf_fini(&rest);
	return status;
}

static void
take_part(const char *value, char *to, size_t size)
{
	snprintf(to, size, "%s", value ? value : "");
}

bool
weir__pg_target(const char *url, struct weir_pg_target *ret)
{
	struct weir_pg store = {0};
	PQconninfoOption *options = NULL;
	weir_error error;
	bool ok;

	memset(ret, 0, sizeof(*ret));
	if (set_url(&store, url, &error) == WEIR_OK)
		options = PQconninfoParse(store.conninfo, NULL);
	ok = options;
	for (const PQconninfoOption *o = options; o && o->keyword; o++) {
		if (strcmp(o->keyword, "host") == 0)
			take_part(o->val, ret->host, sizeof(ret->host));
		else if (strcmp(o->keyword, "port") == 0)
			take_part(o->val, ret->port, sizeof(ret->port));
		else if (strcmp(o->keyword, "user") == 0)
			take_part(o->val, ret->user, sizeof(ret->user));
		else if (strcmp(o->keyword, "dbname") == 0)
			take_part(o->val, ret->database, sizeof(ret->database));
	}
	PQconninfoFree(options);
	if (store.conninfo)
		explicit_bzero(store.conninfo, strlen(store.conninfo));
	free(store.conninfo);
	return ok;
}

/* There are servers that speak the protocol, and lack what we rely on. */
static weir_status
check_server(PGconn *pg, weir_error *reterr)
{
	const char *version = PQparameterStatus(pg, "server_version");

	if (PQparameterStatus(pg, "crdb_version"))
		return weir__queue_error(reterr, WEIR_FOREIGN, 0,
					 "this is CockroachDB, not PostgreSQL");
	if (version && strstr(version, "-YB-"))
		return weir__queue_error(
			reterr, WEIR_FOREIGN, 0,
			"this is YugabyteDB %.40s, not PostgreSQL", version);
	if (PQserverVersion(pg) < SERVER_OLDEST)
		return weir__queue_error(
			reterr, WEIR_FOREIGN, 0,
			"this is PostgreSQL %.40s; it has to be %d at least",
			version ? version : "of old", SERVER_OLDEST / 10000);
	return WEIR_OK;
}

static weir_status
connect_first(struct weir_pg *store, weir_error *reterr)
{
	struct pg_link *conn = &store->admin;
	weir_status status;

	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK)
		status = check_server(conn->pg, reterr);
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_SYSTEM && reterr->native == ENOENT)
		reterr->status = status = WEIR_NOTFOUND;
	return status;
}

static const struct pg_sql current_sql = {"current_schema",
					  "SELECT current_schema()::text"};

/* By search_path: River's channels have the name of the first one. */
static weir_status
find_schema(struct weir_pg *store, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;
	size_t len = 0;

	weir__pg_begin(&p);
	status = weir__pg_ask(&store->admin, &current_sql, &p, &result, reterr);
	if (status == WEIR_OK) {
		const char *name = weir__pg_get_text(result, 0, 0, &len);

		snprintf(store->channel_prefix, sizeof(store->channel_prefix),
			 "%.*s.", (int)len, name);
	}
	if (status == WEIR_OK && len == 0)
		status = weir__queue_error(reterr, WEIR_NOTFOUND, 0,
					   "no schema of the search_path is "
					   "there; name one with schema=");
	/* Behind a pooler the search_path is whoever's had the session before.
	 */
	if (status == WEIR_OK && store->is_pooled && len <= PG_SCHEMA_MAX) {
		char name[PG_SCHEMA_MAX + 1];

		memcpy(name, store->channel_prefix, len);
		status = set_schema(store, name, len, reterr);
	}
	if (len > PG_SCHEMA_MAX)
		status = weir__queue_error(
			reterr, WEIR_INVAL, 0,
			"the name of the schema has more than %d bytes",
			PG_SCHEMA_MAX);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

static weir_status
refuse_old(const struct pg_versions *v, weir_error *reterr)
{
	if (v->river < PG_SCHEMA_OLDEST)
		return weir__queue_error(
			reterr, WEIR_OLD, 0,
			"River's tables have version %d, this weir needs %d",
			v->river, PG_SCHEMA_OLDEST);
	return weir__queue_error(reterr, WEIR_OLD, 0,
				 "it has River's tables, but not those of weir"
				 " (version %d, this weir needs %d)",
				 v->ours, PG_WEIR_VERSION);
}

static weir_status
check_versions(struct weir_pg *store, const weir_store_options *options,
	       weir_error *reterr)
{
	struct pg_versions v = {0};
	weir_status status = weir__pg_versions(store, &v, reterr);
	bool is_old = v.river < PG_SCHEMA_OLDEST, is_new;

	if (status != WEIR_OK)
		return status;
	if (v.river > PG_SCHEMA_VERSION)
		return weir__queue_error(reterr, WEIR_NEWER, 0,
					 "River's tables have version %d, this"
					 " weir knows %d",
					 v.river, PG_SCHEMA_VERSION);
	if (v.ours > PG_WEIR_VERSION)
		return weir__queue_error(
			reterr, WEIR_NEWER, 0,
			"a newer weir has made it (its version is %d, this weir"
			" knows %d)",
			v.ours, PG_WEIR_VERSION);
	/* River's first migration makes nothing but the list of them. */
	is_new = v.river <= 1 && v.ours == 0;
	if (is_new && !options->create)
		return weir__queue_error(
			reterr, WEIR_NOTFOUND, 0,
			"there are no tables of River or weir");
	if (!is_old && v.ours == PG_WEIR_VERSION)
		return WEIR_OK;
	if (!is_new && !options->migrate && (is_old || !options->create))
		return refuse_old(&v, reterr);
	return weir__pg_migrate(store, PG_SCHEMA_VERSION, PG_WEIR_VERSION,
				reterr);
}

/* Without options it may be of any version, or not be there. */
static weir_status
open_all(struct weir_pg *store, const char *url,
	 const weir_store_options *options, weir_error *reterr)
{
	weir_status status = set_url(store, url, reterr);

	if (status == WEIR_OK)
		status = connect_first(store, reterr);
	if (status == WEIR_OK && !*store->schema)
		status = find_schema(store, reterr);
	if (status == WEIR_OK && options)
		status = check_versions(store, options, reterr);
	if (status == WEIR_OK && !store->has_clock)
		status = set_clock(store, reterr);
	if (status == WEIR_OK &&
	    !(weir__pg_inserts_new(store) && weir__pg_worked_new(store) &&
	      weir__pg_cursors_new(store) && weir__pg_limits_new(store) &&
	      weir__pg_leader_new(store) && weir__pg_holds_new(store)))
		status = weir__queue_error(reterr, WEIR_NOMEM, 0,
					   "out of memory");
	return status;
}

static weir_status
open_store(weir_store **out, const char *url, const weir_store_options *options,
	   bool of_any_version, weir_error *reterr)
{
	struct weir_pg *store = calloc(1, sizeof(*store));
	weir_status status;

	if (!store)
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	store->base.ops = &ops;
	store->has_clock = options->now_ms;
	store->base.now_ms = store->has_clock ? options->now_ms : database_ms;
	store->base.now_user = store->has_clock ? options->now_user : store;
	store->base.read_only = options->read_only;
	store->busy_ns =
		options->busy_ns > 0 ? options->busy_ns : WEIR_STORE_BUSY_NS;
	weir__pg_conn_init(&store->work, store, "work", work_settings);
	weir__pg_conn_init(&store->insert, store, "insert", NULL);
	weir__pg_conn_init(&store->admin, store, "admin", NULL);
	weir__pg_conn_init(&store->upkeep, store, "upkeep", work_settings);
	status = open_all(store, url, of_any_version ? NULL : options, reterr);
	if (status != WEIR_OK) {
		pg_close(&store->base);
		return status;
	}
	*out = &store->base;
	return WEIR_OK;
}

weir_status
weir__pg_open(weir_store **out, const char *url,
	      const weir_store_options *options, weir_error *reterr)
{
	return open_store(out, url, options, false, reterr);
}

weir_status
weir__pg_open_any(weir_store **out, const char *url,
		  const weir_store_options *options, weir_error *reterr)
{
	return open_store(out, url, options, true, reterr);
}
