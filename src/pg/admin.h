/*
 * What `weir db` asks of a PostgreSQL store; see admin.c.
 */
#ifndef WEIR_SRC_PG_ADMIN_H
#define WEIR_SRC_PG_ADMIN_H

#include <weir/queue.h>

#define WEIR_PG_RIVER_NEWEST 8
#define WEIR_PG_RIVER_OLDEST 7 /* what can be worked on */
#define WEIR_PG_OURS_NEWEST  2

/* Texts are at most as long as PostgreSQL lets names be. */
struct weir_pg_info {
	char server_version[64], schema[64], database[64], user[64];
	int river, ours;   /* versions; 0: none */
	bool is_noted;     /* river_migration says so */
	bool has_pro;      /* River Pro's tables are there */
	bool is_standby;   /* nothing can be written there */
	bool has_pooler;   /* the session is not PostgreSQL's own */
	uint64_t sessions; /* of programs of weir's, ourselves included */
};

/* Where a url leads, as far as it says so. */
struct weir_pg_target {
	char host[256], port[16], user[64], database[64];
};

/* False: it cannot be read. */
bool weir__pg_target(const char *url, struct weir_pg_target *ret);

/*
 * Open it whatever its version, for what is below and weir_store_close().
 *
 * Waits:   for the server, up to ten seconds.
 * Threads: any.
 * Owns:    *out is the caller's to close.
 * Returns: as weir_fleet_open(), but OLD, NEWER, and NOTFOUND if it lacks
 *          tables.
 */
WEIR_NODISCARD weir_status weir__pg_look(weir_store **out, const char *url,
					 bool read_only, weir_error *reterr);

/* WEIR_OK, WEIR_SYSTEM, WEIR_NOMEM, WEIR_BUSY; the same for those below. */
WEIR_NODISCARD weir_status weir__pg_info(weir_store *store,
					 struct weir_pg_info *ret,
					 weir_error *reterr);

/*
 * Give what is wrong with it; CORRUPT if there was something.  A hundred of
 * each kind is enough.  It has our tables.
 */
WEIR_NODISCARD weir_status weir__pg_check(weir_store *store,
					  void (*finding)(const char *text,
							  void *user),
					  void *user, weir_error *reterr);

/* What tables that are taken away have in them. */
struct weir_pg_loss {
	uint64_t jobs, schedules, archived, limits;
};

/* What would be lost on the way to that version of River's. */
WEIR_NODISCARD weir_status weir__pg_loss(weir_store *store, int river,
					 struct weir_pg_loss *ret,
					 weir_error *reterr);

/* Bring it there, with our tables if they can be. */
WEIR_NODISCARD weir_status weir__pg_bring_to(weir_store *store, int river,
					     weir_error *reterr);

/* What a version brought, for a list; NULL: there is none. */
const char *weir__pg_river_what(int version);
const char *weir__pg_our_what(int version);

#endif
