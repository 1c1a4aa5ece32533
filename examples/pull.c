/*
 * The pull form: the pool asks for lines of standard input when it has a
 * worker for one, and hands back how many words each has.
 *
 *      stdin -> source -> 4 workers -> sink -> stdout
 *
 * No thread exists only to move things, and the main thread is a worker.
 */
#include <ctype.h>
#include <stdio.h>
#include <weir/weir.h>

struct line {
	char text[1024];
};

/* Called by one thread at a time, so it needs no lock of its own. */
static weir_status
next_line(weir_ctx *ctx, void *ret_in, weir_job_options *ret_options,
	  void *user)
{
	struct line *line = ret_in;

	(void)ctx;
	(void)ret_options;
	(void)user;
	if (fgets(line->text, sizeof(line->text), stdin))
		return WEIR_OK;
	return ferror(stdin) ? WEIR_SYSTEM : WEIR_CLOSED;
}

static weir_status
count_words(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct line *line = in;
	int *words = out;
	int inside = 0;

	(void)user;
	for (const char *s = line->text; *s; s++) {
		int is_letter = !isspace((unsigned char)*s);

		*words += is_letter && !inside;
		inside = is_letter;
	}
	return *words > 0 ? WEIR_OK
			  : weir_job_fail(ctx, WEIR_PERMANENT, "empty");
}

/* Also called by one thread at a time; ids count the lines from 1. */
static void
print(const weir_result *result, const void *in, void *out, void *user)
{
	(void)in;
	(void)user;
	if (result->status == WEIR_OK)
		printf("line %d: %d\n", (int)result->id, *(int *)out);
	else
		printf("line %d: %s\n", (int)result->id, result->error);
}

int
main(void)
{
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;
	weir_status status;

	options.workers = 4;
	options.in_size = sizeof(struct line);
	options.out_size = sizeof(int);
	options.source = next_line;
	options.run = count_words;
	options.sink = print;
	status = weir_pool_new(&pool, &options);
	if (status == WEIR_OK) {
		status = weir_pool_run(pool, NULL);
		weir_pool_free(pool);
	}
	if (status != WEIR_OK)
		fprintf(stderr, "pull: %s\n", weir_status_message(status));
	return status == WEIR_OK ? 0 : 1;
}
