/*
 * weir-side [--db CONNINFO --url URL] [--schema NAME] COMMAND [ARGS...]:
 * weir's side of the interoperation tests, driven by interop.t.  It has the
 * same commands as the Go program beside it, main.go, which says what they
 * do, and prints the same lines, as far as both have the same to tell.
 *
 *      insert [--many] [--tx|--rollback]   unique-key
 *      work [FLAGS]                        see work.c
 *      list, get ID..., cancel ID..., retry ID..., delete ID...
 *      pause QUEUE, resume QUEUE, queues, clients
 *      migrate                             to the newest
 *      migrate to RIVER OURS               from nothing, after going down
 *      migrate down RIVER OURS
 *      versions
 *
 * Design: it is on the functions that programs call, but for opening the store
 * and for migrations, of which only parts are public.
 */
#include "side.h"

#include "pg/pg.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *side_conninfo;
static const char *url;

/* guarded by printing, from side_begin() to side_end() */
static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;
static struct weir_buf line;
static struct weir_json json;

struct weir_json *
side_begin(void)
{
	(void)pthread_mutex_lock(&printing);
	weir__buf_reset(&line);
	weir__json_init(&json, &line);
	weir__json_begin_object(&json);
	return &json;
}

void
side_end(void)
{
	weir__json_end_object(&json);
	(void)puts(weir__buf_str(&line));
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&printing);
}

void
side_fail(const char *what, const weir_error *error)
{
	struct weir_json *j = side_begin();

	weir__json_key(j, "error");
	weir__json_puts(j, error ? error->message : what);
	weir__json_key(j, "status");
	weir__json_puts(j, error ? weir_status_name(error->status) : "");
	weir__json_key(j, "what");
	weir__json_puts(j, what);
	side_end();
	exit(1);
}

void
side_put_text(struct weir_json *j, const char *name, const char *text)
{
	weir__json_key(j, name);
	weir__json_puts(j, text ? text : "");
}

void
side_put_int(struct weir_json *j, const char *name, int64_t value)
{
	weir__json_key(j, name);
	weir__json_int(j, value);
}

void
side_put_key(struct weir_json *j, const unsigned char *key)
{
	char hex[65] = "";

	for (size_t i = 0; key && i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", key[i]);
	side_put_text(j, "unique_key", hex);
}

/* JSON that the store gives; if there is none, otherwise. */
static void
put_json(struct weir_json *j, const char *name, const char *text, size_t len,
	 const char *otherwise)
{
	weir__json_key(j, name);
	if (len > 0)
		weir__json_raw(j, text, len);
	else
		weir__json_raw(j, otherwise, strlen(otherwise));
}

static void
put_states(struct weir_json *j, uint32_t states)
{
	weir__json_key(j, "unique_states");
	weir__json_begin_array(j);
	for (weir_state state = 0; state < 8; state++)
		if (states & WEIR_JOB_STATE_BIT(state))
			weir__json_puts(j, weir_job_state_name(state));
	weir__json_end_array(j);
}

static bool
print_row(const weir_job_row *row, void *user)
{
	struct weir_json *j = side_begin();

	(void)user;
	side_put_int(j, "id", row->id);
	side_put_text(j, "state", weir_job_state_name(row->state));
	side_put_int(j, "attempt", row->attempt);
	side_put_int(j, "max_attempts", row->max_attempts);
	side_put_int(j, "priority", row->priority);
	side_put_text(j, "queue", row->queue);
	side_put_text(j, "kind", row->kind);
	put_json(j, "args", row->args, row->args_len, "{}");
	put_json(j, "metadata", row->metadata, row->metadata_len, "{}");
	if (row->output_len > 0)
		put_json(j, "output", row->output, row->output_len, "null");
	put_json(j, "tags", row->tags, row->tags_len, "[]");
	put_json(j, "errors", row->errors, row->errors_len, "[]");
	side_put_text(j, "attempted_by", row->attempted_by);
	side_put_int(j, "created_at_ms", row->created_at_ms);
	side_put_int(j, "scheduled_at_ms", row->scheduled_at_ms);
	side_put_int(j, "attempted_at_ms", row->attempted_at_ms);
	side_put_int(j, "finalized_at_ms", row->finalized_at_ms);
	side_put_int(j, "cancel_at_ms", row->cancel_at_ms);
	side_put_int(j, "timeout_ns", row->timeout_ns);
	side_put_int(j, "crashes", row->crashes);
	side_put_key(j, row->unique_key);
	put_states(j, row->unique_states);
	side_end();
	return true;
}

static void
list(weir_store *store, char **argv)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	weir_error error;

	(void)argv;
	filter.oldest_first = true;
	if (weir_store_list(store, &filter, print_row, NULL, &error) != WEIR_OK)
		side_fail("list", &error);
}

static size_t
ids_of(char **argv, int64_t ids[64])
{
	size_t count = 0;

	for (; *argv && count < 64; argv++)
		ids[count++] = strtoll(*argv, NULL, 10);
	return count;
}

static void
get(weir_store *store, char **argv)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	int64_t ids[64] = {0};
	weir_error error;

	filter.id_count = ids_of(argv, ids);
	filter.ids = ids;
	filter.oldest_first = true;
	if (weir_store_list(store, &filter, print_row, NULL, &error) != WEIR_OK)
		side_fail("list", &error);
}

static void
change(weir_store *store, weir_job_action action, char **argv)
{
	weir_job_changed rets[64];
	int64_t ids[64] = {0};
	size_t count = ids_of(argv, ids);
	weir_error error;

	if (weir_store_change(store, action, ids, count, rets, NULL, &error) !=
	    WEIR_OK)
		side_fail("change", &error);
	for (size_t i = 0; i < count; i++) {
		struct weir_json *j = side_begin();

		side_put_int(j, "id", ids[i]);
		side_put_text(j, "status", weir_status_name(rets[i].status));
		side_put_text(j, "state", weir_job_state_name(rets[i].state));
		side_end();
	}
}

static void
cancel(weir_store *store, char **argv)
{
	change(store, WEIR_JOB_CANCEL, argv);
}

static void
retry(weir_store *store, char **argv)
{
	change(store, WEIR_JOB_RETRY, argv);
}

static void
delete_jobs(weir_store *store, char **argv)
{
	change(store, WEIR_JOB_DELETE, argv);
}

static void
set_paused(weir_store *store, char **argv, bool is_paused)
{
	weir_error error;

	for (; *argv; argv++)
		if (weir_store_pause(store, *argv, is_paused, &error) !=
		    WEIR_OK)
			side_fail("pause", &error);
}

static void
pause_queues(weir_store *store, char **argv)
{
	set_paused(store, argv, true);
}

static void
resume_queues(weir_store *store, char **argv)
{
	set_paused(store, argv, false);
}

static bool
print_queue(const weir_queue_row *row, void *user)
{
	struct weir_json *j = side_begin();

	(void)user;
	side_put_text(j, "name", row->name);
	side_put_int(j, "paused_at_ms", row->paused_at_ms);
	weir__json_key(j, "counts");
	weir__json_begin_object(j);
	for (weir_state state = 0; state < 8; state++)
		side_put_int(j, weir_job_state_name(state),
			     (int64_t)row->counts[state]);
	weir__json_end_object(j);
	side_end();
	return true;
}

static void
queues(weir_store *store, char **argv)
{
	weir_error error;

	(void)argv;
	if (weir_store_queues(store, print_queue, NULL, &error) != WEIR_OK)
		side_fail("queues", &error);
}

static void
versions(weir_store *store, char **argv)
{
	struct pg_versions now;
	struct weir_json *j;
	weir_error error;

	(void)argv;
	if (weir__pg_versions(weir__pg_of(store), &now, &error) != WEIR_OK)
		side_fail("versions", &error);
	j = side_begin();
	side_put_int(j, "river", now.river);
	side_put_int(j, "ours", now.ours);
	side_end();
}

static void
migrate_to(weir_store *store, int river, int ours)
{
	weir_error error;

	if (weir__pg_migrate(weir__pg_of(store), river, ours, &error) !=
	    WEIR_OK)
		side_fail("migrate", &error);
}

/* The store was opened to be made and migrated, so it is at the newest. */
static void
migrate(weir_store *store, char **argv)
{
	if (*argv && argv[1] && argv[2]) {
		if (strcmp(*argv, "to") == 0)
			migrate_to(store, 0, 0);
		migrate_to(store, atoi(argv[1]), atoi(argv[2]));
	}
	versions(store, argv);
}

static const struct command {
	const char *name;
	void (*run)(weir_store *store, char **argv);
} commands[] = {
	{"insert", side_insert},
	{"unique-key", side_unique_key},
	{"work", side_work},
	{"list", list},
	{"get", get},
	{"cancel", cancel},
	{"retry", retry},
	{"delete", delete_jobs},
	{"pause", pause_queues},
	{"resume", resume_queues},
	{"queues", queues},
	{"migrate", migrate},
	{"versions", versions},
};

static weir_store *
open_store(const char *schema, bool create, bool leads)
{
	weir_store_options options = WEIR_STORE_OPTIONS_INIT;
	struct weir_buf whole = {0};
	weir_store *store;
	weir_error error;

	weir__buf_puts(&whole, url);
	if (*schema)
		weir__buf_printf(&whole, "?schema=%s", schema);
	if (!leads)
		weir__buf_puts(&whole, *schema ? "&leader=off" : "?leader=off");
	options.url = weir__buf_str(&whole);
	options.create = options.migrate = create;
	if (weir__pg_open(&store, options.url, &options, &error) != WEIR_OK)
		side_fail("open", &error);
	weir__buf_fini(&whole);
	return store;
}

/* What the store has to know before the command has looked at its flags. */
static bool
has_flag(char **argv, const char *flag)
{
	while (*argv && strcmp(*argv, flag) != 0)
		argv++;
	return *argv;
}

int
main(int argc, char **argv)
{
	const char *schema = "";

	(void)argc;
	side_conninfo = getenv("WEIR_TEST_PG");
	url = getenv("WEIR_TEST_PG_URL");
	for (argv++; *argv && argv[1] && **argv == '-'; argv += 2) {
		if (strcmp(*argv, "--schema") == 0)
			schema = argv[1];
		else if (strcmp(*argv, "--db") == 0)
			side_conninfo = argv[1];
		else if (strcmp(*argv, "--url") == 0)
			url = argv[1];
	}
	if (!*argv || !url || !side_conninfo)
		side_fail("no command, or no database", NULL);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		weir_store *store;

		if (strcmp(*argv, commands[i].name) != 0)
			continue;
		store = open_store(schema, commands[i].run == migrate,
				   !has_flag(argv + 1, "--no-leader"));
		commands[i].run(store, argv + 1);
		weir_store_close(store);
		return 0;
	}
	side_fail("no such command", NULL);
}
