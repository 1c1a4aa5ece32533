/* NEEDSWORK: until halt.c, resume.c and jobserver.c are there. */
#include "cli/run_run.h"
#include <string.h>
#define WEAK __attribute__((weak))
WEAK bool
weir__halt_parse(struct weir_halt *h, const char *t)
{
	*h = (struct weir_halt){0};
	return strcmp(t, "never") == 0;
}
WEAK bool
weir__halt_is_due(const struct weir_halt *h, uint64_t a, uint64_t b, uint64_t c)
{
	(void)h;
	(void)a;
	(void)b;
	(void)c;
	return false;
}
WEAK struct weir_exec_resume *
weir__exec_resume_free(struct weir_exec_resume *r)
{
	(void)r;
	return NULL;
}
WEAK weir_status
weir__exec_resume_load(struct weir_exec_resume **o, const char *p,
		       weir_error *e)
{
	(void)o;
	(void)p;
	(void)e;
	return WEIR_SYSTEM;
}
WEAK bool
weir__exec_resume_is_joblog(const struct weir_exec_resume *r)
{
	(void)r;
	return false;
}
WEAK enum weir_exec_before
weir__exec_resume_find(const struct weir_exec_resume *r,
		       const struct weir_exec_job *j)
{
	(void)r;
	(void)j;
	return WEIR_EXEC_BEFORE_UNKNOWN;
}
WEAK weir_status
weir__jobserver_open(struct weir_jobserver **o, const char *m, weir_error *e)
{
	(void)o;
	(void)m;
	(void)e;
	return WEIR_INVAL;
}
WEAK struct weir_jobserver *
weir__jobserver_close(struct weir_jobserver *j)
{
	(void)j;
	return NULL;
}
WEAK bool
weir__jobserver_take(struct weir_jobserver *j)
{
	(void)j;
	return true;
}
WEAK void
weir__jobserver_give(struct weir_jobserver *j)
{
	(void)j;
}
WEAK int
weir__jobserver_fd(const struct weir_jobserver *j)
{
	(void)j;
	return -1;
}
