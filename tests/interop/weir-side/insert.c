/*
 * weir-side insert, unique-key: jobs from stdin, a JSON object a line, into the
 * store.  The members are those of insert.go's spec, and two more: timeout_ms,
 * and fields of unique, which River takes from Go types.
 *
 * Design: a line is read by jansson, but args and metadata are taken from it
 * as they stand, because a unique key is made of the very bytes.
 */
#include "side.h"

#include "base/json_scan.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jobs to be, from stdin; all that they point to stays until the end. */
struct specs {
	weir_insert *all;
	size_t count;
};

static const char *
text_of(const json_t *spec, const char *name)
{
	const char *text = json_string_value(json_object_get(spec, name));

	return text && *text ? text : NULL;
}

static int64_t
int_of(const json_t *spec, const char *name)
{
	return (int64_t)json_number_value(json_object_get(spec, name));
}

static bool
bool_of(const json_t *spec, const char *name)
{
	return json_is_true(json_object_get(spec, name));
}

/* An array of texts; *ret_count of them. */
static const char *const *
texts_of(const json_t *spec, const char *name, size_t *ret_count)
{
	const json_t *array = json_object_get(spec, name);
	const char **texts;
	size_t count = json_array_size(array);

	*ret_count = count;
	texts = calloc(count + 1, sizeof(*texts));
	for (size_t i = 0; texts && i < count; i++)
		texts[i] = json_string_value(json_array_get(array, i));
	return texts;
}

static void
fill_unique(weir_insert *insert, const json_t *unique)
{
	size_t count;
	const char *const *states = texts_of(unique, "by_state", &count);

	insert->unique_period_ns = int_of(unique, "by_period_ms") * WEIR_MS;
	if (bool_of(unique, "by_args"))
		insert->unique |= WEIR_UNIQUE_ARGS;
	if (bool_of(unique, "by_queue"))
		insert->unique |= WEIR_UNIQUE_QUEUE;
	if (insert->unique_period_ns > 0)
		insert->unique |= WEIR_UNIQUE_PERIOD;
	insert->unique |= bool_of(unique, "exclude_kind") ? WEIR_UNIQUE_NO_KIND
							  : WEIR_UNIQUE_KIND;
	insert->unique_fields =
		texts_of(unique, "fields", &insert->unique_field_count);
	for (size_t i = 0; i < count; i++) {
		weir_state state;

		if (weir_job_state_parse(states[i], &state) != WEIR_OK)
			side_fail("no such state", NULL);
		insert->unique_states |= WEIR_JOB_STATE_BIT(state);
	}
}

static void
fill_raw(weir_insert *insert, const char *text)
{
	struct weir_json_scan scan;
	struct weir_json_member m;

	weir__json_scan_init(&scan, text, strlen(text));
	while (weir__json_scan_next(&scan, &m)) {
		if (weir__json_is(m.name, m.name_len, "args")) {
			insert->args = m.value;
			insert->args_len = m.value_len;
		} else if (weir__json_is(m.name, m.name_len, "metadata")) {
			insert->metadata = m.value;
			insert->metadata_len = m.value_len;
		}
	}
}

static void
fill(weir_insert *insert, const char *text)
{
	/* args may have numbers that are larger than any integer. */
	json_t *spec = json_loads(text, JSON_DECODE_INT_AS_REAL, NULL);

	if (!spec)
		side_fail("no JSON", NULL);
	weir_insert_init(insert);
	fill_raw(insert, text);
	insert->kind = text_of(spec, "kind");
	insert->queue = text_of(spec, "queue");
	insert->priority = (uint32_t)int_of(spec, "priority");
	insert->max_attempts = (uint32_t)int_of(spec, "max_attempts");
	insert->scheduled_at_ms = int_of(spec, "scheduled_at_ms");
	insert->timeout_ns = int_of(spec, "timeout_ms") * WEIR_MS;
	insert->pending = bool_of(spec, "pending");
	insert->tags = texts_of(spec, "tags", &insert->tag_count);
	if (json_object_get(spec, "unique"))
		fill_unique(insert, json_object_get(spec, "unique"));
}

static struct specs
read_specs(void)
{
	struct specs specs = {0};
	char *text = NULL;
	size_t cap = 0;

	while (getline(&text, &cap, stdin) > 1) {
		weir_insert *more = realloc(
			specs.all, (specs.count + 1) * sizeof(*specs.all));

		if (!more)
			side_fail("no memory", NULL);
		specs.all = more;
		fill(&specs.all[specs.count++], text);
		text = NULL; /* args point into it */
		cap = 0;
	}
	free(text);
	return specs;
}

static bool
note_key(const weir_job_row *row, void *user)
{
	if (row->unique_key)
		memcpy(user, row->unique_key, 32);
	return true;
}

static void
print_inserted(weir_store *store, const weir_inserted *inserted)
{
	weir_job_filter filter = WEIR_JOB_FILTER_INIT;
	unsigned char key[32], none[32] = {0};
	struct weir_json *j;
	weir_error error;

	memset(key, 0, sizeof(key));
	filter.ids = &inserted->id;
	filter.id_count = 1;
	if (weir_store_list(store, &filter, note_key, key, &error) != WEIR_OK)
		side_fail("list", &error);
	j = side_begin();
	side_put_int(j, "id", inserted->id);
	side_put_text(j, "state", weir_job_state_name(inserted->state));
	weir__json_key(j, "duplicate");
	weir__json_bool(j, inserted->duplicate);
	side_put_key(j, memcmp(key, none, sizeof(key)) ? key : NULL);
	side_end();
}

/* In a transaction on a connection that is not the store's. */
static weir_status
insert_tx(weir_store *store, const struct specs *specs, weir_inserted *rets,
	  bool commit, weir_error *error)
{
	PGconn *pg = PQconnectdb(side_conninfo);
	weir_status status;

	PQclear(PQexec(pg, "BEGIN"));
	status = weir_store_insert_tx(store, (struct sqlite3 *)pg, specs->all,
				      specs->count, rets, error);
	PQclear(PQexec(pg,
		       commit && status == WEIR_OK ? "COMMIT" : "ROLLBACK"));
	PQfinish(pg);
	if (status == WEIR_OK && commit)
		weir_store_committed(store);
	return status;
}

static bool
has_flag(char **argv, const char *flag)
{
	for (; *argv; argv++)
		if (strcmp(*argv, flag) == 0)
			return true;
	return false;
}

void
side_insert(weir_store *store, char **argv)
{
	struct specs specs = read_specs();
	bool many = has_flag(argv, "--many"), tx = has_flag(argv, "--tx"),
	     rollback = has_flag(argv, "--rollback");
	weir_inserted *rets = calloc(specs.count + 1, sizeof(*rets));
	weir_status status = WEIR_OK;
	weir_error error;

	if (!rets)
		side_fail("no memory", NULL);
	if (tx || rollback)
		status = insert_tx(store, &specs, rets, tx, &error);
	else if (many)
		status = weir_store_insert(store, specs.all, specs.count, rets,
					   NULL, &error);
	else
		for (size_t i = 0; status == WEIR_OK && i < specs.count; i++)
			status = weir_store_insert(store, &specs.all[i], 1,
						   &rets[i], NULL, &error);
	if (status != WEIR_OK)
		side_fail("insert", &error);
	for (size_t i = 0; i < specs.count; i++)
		print_inserted(store, &rets[i]);
	free(rets);
	free(specs.all);
}

/* Insert, tell the key, and leave nothing behind. */
void
side_unique_key(weir_store *store, char **argv)
{
	struct specs specs = read_specs();
	weir_error error;

	(void)argv;
	for (size_t i = 0; i < specs.count; i++) {
		weir_inserted ret;

		if (weir_store_insert(store, &specs.all[i], 1, &ret, NULL,
				      &error) != WEIR_OK)
			side_fail("insert", &error);
		print_inserted(store, &ret);
		if (weir_store_change(store, WEIR_JOB_DELETE, &ret.id, 1, NULL,
				      NULL, &error) != WEIR_OK)
			side_fail("delete", &error);
	}
	free(specs.all);
}
