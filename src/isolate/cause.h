/*
 * Why a process has ended, for people.
 */
#ifndef WEIR_SRC_ISOLATE_CAUSE_H
#define WEIR_SRC_ISOLATE_CAUSE_H

#include "isolate/frame.h"

/* What we have ourselves had to do with a process's end. */
enum weir_blame {
	WEIR_BLAME_NONE,
	WEIR_BLAME_LATE,    /* killed: it was told to end and did not */
	WEIR_BLAME_GARBAGE, /* killed: it sent what is no answer */
	WEIR_BLAME_LOST     /* went with the zygote; no status is known */
};

struct weir_cause {
	enum weir_blame blame;
	weir_status ctx_status;      /* LATE: timed out, or cancelled */
	int64_t timeout_ns;          /* LATE: what it was given, or FOREVER */
	int64_t kill_after_ns;       /* LATE */
	int status;                  /* as wait() gives it */
	uint64_t memory_max;         /* 0: none */
	uint32_t cpu_s_max;          /* 0: none */
	struct weir_note_frame note; /* signal 0: none came */
};

/* One line: "killed by SIGSEGV at address 0x0 in attempt 2". */
void weir__cause_describe(const struct weir_cause *cause, uint32_t attempt,
			  char *out, size_t size);

#endif
