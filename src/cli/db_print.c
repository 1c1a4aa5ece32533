/*
 * What `weir db` prints of a store of any kind; see db_print.h.
 */
#include "cli/db_print.h"

#include "base/units.h"
#include "cli/queue_open.h"
#include "cli/term.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
weir__db_failed(struct db *db, const char *what, weir_status status,
		weir_error *error)
{
	error->status = status;
	return weir__queue_failed(db->cli, db->options->db, what, error);
}

static bool
on_queue(const weir_queue_row *row, void *user)
{
	struct db *db = user;

	db->queues++;
	for (unsigned i = 0; i < 8; i++)
		db->counts[i] += row->counts[i];
	return true;
}

static bool
on_client(const struct weir_client_row *row, void *user)
{
	struct db *db = user;

	if (row->gone)
		return true;
	weir__buf_printf(&db->names, "%s%s", db->workers > 0 ? ", " : "",
			 row->name);
	db->workers++;
	return true;
}

weir_status
weir__db_count(struct db *db, weir_error *reterr)
{
	weir_status status = weir_store_queues(db->store, on_queue, db, reterr);

	return status == WEIR_OK ? db->store->ops->clients(db->store, on_client,
							   db, reterr)
				 : status;
}

void
weir__db_put_line(struct db *db, const char *name, const char *value)
{
	struct weir_buf *buf = &db->out.text;

	weir__buf_printf(buf, "%-14s ", name);
	weir__term_clean(buf, value, strlen(value), weir__term_utf8());
	weir__buf_putc(buf, '\n');
}

void
weir__db_put_counts(struct db *db)
{
	struct weir_buf text = {0};
	char number[WEIR_FORMAT_SIZE];

	for (unsigned i = 0; i < 8; i++) {
		if (db->counts[i] == 0)
			continue;
		weir__buf_printf(&text, "%s%s %s", text.len > 0 ? ", " : "",
				 weir__format_count(number, sizeof(number),
						    db->counts[i]),
				 weir_job_state_name((weir_state)i));
	}
	weir__db_put_line(db, "jobs", text.len > 0 ? text.data : "none");
	weir__db_put_line(db, "workers",
			  db->workers > 0 ? db->names.data : "none");
	weir__buf_fini(&text);
}

void
weir__db_put_counts_json(struct db *db, struct weir_json *j)
{
	weir__json_key(j, "workers");
	weir__json_uint(j, db->workers);
	weir__json_key(j, "queues");
	weir__json_uint(j, db->queues);
	weir__json_key(j, "jobs");
	weir__json_begin_object(j);
	for (unsigned i = 0; i < 8; i++) {
		weir__json_key(j, weir_job_state_name((weir_state)i));
		weir__json_uint(j, db->counts[i]);
	}
	weir__json_end_object(j);
}

void
weir__db_put_finding(struct db *db, const char *text, size_t len)
{
	struct weir_json j;

	db->findings++;
	if (db->first_job == 0 && len > 4 && memcmp(text, "job ", 4) == 0)
		db->first_job = strtoll(text + 4, NULL, 10);
	if (!db->options->json) {
		weir__term_clean(&db->out.text, text, len, weir__term_utf8());
		weir__buf_putc(&db->out.text, '\n');
		return;
	}
	weir__json_init(&j, &db->out.text);
	weir__json_begin_object(&j);
	weir__json_key(&j, "finding");
	weir__json_string(&j, text, len);
	weir__json_end_object(&j);
	weir__buf_putc(&db->out.text, '\n');
}

void
weir__db_put_sound(struct db *db, bool sound)
{
	struct weir_buf *buf = &db->out.text;
	struct weir_json j;

	if (db->options->json) {
		weir__json_init(&j, buf);
		weir__json_begin_object(&j);
		weir__json_key(&j, "ok");
		weir__json_bool(&j, sound);
		weir__json_end_object(&j);
		weir__buf_putc(buf, '\n');
	} else if (sound) {
		weir__buf_puts(buf, "sound\n");
	}
}
