/*
 * The frame of test_pg_cuts.c and pg_cuts_admin.c: what is tried, and the
 * cutting.  See test_pg_cuts.c.
 */
#ifndef WEIR_TESTS_PG_CUTS_H
#define WEIR_TESTS_PG_CUTS_H

#include "harness.h"

#include "pg/pg.h"

#include <stdio.h>
#include <string.h>

enum { CUTS_LIMIT_S = 240 };

/* All that a test has. */
struct bench {
	PGconn *hand;
	weir_store *direct, *via;
	FILE *orders, *answers; /* of the proxy */
	char folder[64], via_conninfo[128];

	/* what is tried, for the one that checks it */
	struct weir_owner owner, other;
	struct weir_batch *batch;
	struct weir_finished finished;
	weir_inserted rets[2];
	weir_status status;
	weir_error error;
	uint32_t count;
	bool hasty; /* it came back while what it had said was on its way */
	unsigned long cuts, fired, answered;
};

struct verb {
	const char *name, *link;
	void (*prepare)(struct bench *b);
	weir_status (*act)(struct bench *b, weir_error *error);
	void (*check)(struct bench *b);
	/* NULL, or with what prepare and act and check have to do */
	enum weir_verdict verdict;
	const char *expected; /* the state that it makes */
};

extern const struct verb *cuts_verb;
/* What was cut, for messages. */
extern char cuts_where[96];

#define OK(call)                                                   \
	do {                                                       \
		weir_error e_ = {WEIR_OK, 0, ""};                  \
		weir_error *error = &e_;                           \
		CHECK_MSG((call) == WEIR_OK, "%s: %s", cuts_where, \
			  e_.message);                             \
	} while (0)

#define STATES                                                \
	"SELECT string_agg(state || ':' || attempt || ':' ||" \
	" coalesce(cardinality(errors), 0), ' ' ORDER BY id)" \
	" FROM river_job"
#define COUNT "SELECT count(*) FROM river_job"

/* The first column of the first row. */
const char *cuts_ask(struct bench *b, const char *sql);
/* It has to be that; one of two. */
bool cuts_is(struct bench *b, const char *sql, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool cuts_is_either(struct bench *b, const char *sql, const char *one,
		    const char *two);

/* Jobs, inserted directly. */
void cuts_put(struct bench *b, unsigned count);
void cuts_enlist(struct bench *b, weir_store *store, struct weir_owner *owner);
weir_status cuts_turn(weir_store *store, struct bench *b,
		      struct weir_owner *owner,
		      const struct weir_finish *finish, unsigned want,
		      weir_error *error);

void cuts_prepare_nothing(struct bench *b);
/* One row was given, if any. */
void cuts_check_one(struct bench *b);

/* Try it, and cut the connection at each message. */
void cut_everywhere(const struct verb *v);

#define CUT(name, link, prepare, act, check)                                  \
	TEST_LIMIT(cut, name, CUTS_LIMIT_S)                                   \
	{                                                                     \
		static const struct verb v = {#name,   link,                  \
					      prepare, act,                   \
					      check,   WEIR_VERDICT_COMPLETE, \
					      NULL};                          \
		cut_everywhere(&v);                                           \
	}

#define CUT_FINISH(name, verdict, expected)                              \
	TEST_LIMIT(cut, name, CUTS_LIMIT_S)                              \
	{                                                                \
		static const struct verb v = {                           \
			#name,        "work",  prepare_held, act_finish, \
			check_finish, verdict, expected};                \
		cut_everywhere(&v);                                      \
	}

#endif
