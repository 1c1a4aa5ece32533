/*
 * `weir db`: what it prints of a store of any kind.
 */
#ifndef WEIR_SRC_CLI_DB_PRINT_H
#define WEIR_SRC_CLI_DB_PRINT_H

#include "base/json.h"
#include "cli/cmd_queue.h"
#include "cli/queue_print.h"
#include "queue/store.h"

struct db {
	struct weir_cli *cli;
	const struct db_cli_options *options;
	weir_store *store;
	struct queue_out out;
	uint64_t counts[8], workers, queues, findings;
	int64_t first_job;     /* of the findings; 0: they name none */
	struct weir_buf names; /* of workers */
};

/* An error of the store's, printed; the exit status. */
int weir__db_failed(struct db *db, const char *what, weir_status status,
		    weir_error *error);

/* Count jobs, queues and workers.  Those that are gone are no workers. */
WEIR_NODISCARD weir_status weir__db_count(struct db *db, weir_error *reterr);

/* "jobs           3 available", and the same as members of an object. */
void weir__db_put_line(struct db *db, const char *name, const char *value);
void weir__db_put_counts(struct db *db);
void weir__db_put_counts_json(struct db *db, struct weir_json *j);

/* One of the findings of `check`; and its last line. */
void weir__db_put_finding(struct db *db, const char *text, size_t len);
void weir__db_put_sound(struct db *db, bool sound);

#endif
