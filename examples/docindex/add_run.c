/*
 * docindex add: the source is a walk through folders.
 *
 * Design.  The walk has a thread of its own, which waits whenever the pipeline
 * is full.  What is no longer there is forgotten at the end, once everything
 * that was found is in the index, and only below folders that were walked to
 * their end.
 */
#include "run.h"

#include "queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct add {
	struct run run;
	struct intake intake;
	char **roots;
	size_t root_count;
	bool walked; /* all of them, to the end */
	pthread_t walker;
};

static bool
on_found(struct doc *doc, void *user)
{
	struct add *add = user;
	struct run *run = &add->run;

	run_found(run);
	if (run_is_stopping(run) ||
	    indexer_submit(run->indexer, doc, run->ctx) != WEIR_OK) {
		doc_free(doc);
		return false;
	}
	return true;
}

static void
on_unchanged(const char *path, void *user)
{
	struct add *add = user;

	(void)path;
	run_unchanged(&add->run);
}

static bool
on_stopping(void *user)
{
	struct add *add = user;

	return run_is_stopping(&add->run);
}

static void
on_failed(const char *path, const char *reason, const char *why, void *user)
{
	struct add *add = user;

	run_failed(&add->run, path, reason, why);
}

static void *
walk_all(void *argument)
{
	struct add *add = argument;
	bool more = true;

	for (size_t i = 0; more && i < add->root_count; i++)
		more = intake_add(&add->intake, add->roots[i]);
	add->walked = more && !run_is_stopping(&add->run);
	if (add->intake.error.status != WEIR_OK)
		run_hopeless(add->intake.error.message, RUN_AGAIN, &add->run);
	run_source_ended(&add->run);
	return NULL;
}

/* The walk sees run->stopping, or that the pipeline takes no more. */
static void
stop_source(struct run *run, bool now)
{
	(void)now;
	indexer_close(run->indexer);
}

/*
 * "." and ".." taken out of a path that is not there, as far as names go.  It
 * begins with a slash, and ends with none.
 */
static void
tidy(char *path)
{
	char *from = path, *to = path;

	while (*from != '\0') {
		size_t len = strcspn(from + 1, "/") + 1;

		if (len == 3 && from[1] == '.' && from[2] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (len > 1 && !(len == 2 && from[1] == '.')) {
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	*to = '\0';
}

/* Absolute, without links; what is not there as it would be. */
static char *
absolute(const char *path)
{
	char *real = realpath(path, NULL), *here, *joined = NULL;
	char *rest;

	if (real)
		return real;
	here = path[0] == '/' ? strdup("") : realpath(".", NULL);
	if (!here || asprintf(&joined, "%s/%s", here, path) < 0)
		joined = NULL;
	free(here);
	if (!joined)
		return NULL;
	/* As much of it as there is, and the names behind that. */
	for (rest = strrchr(joined, '/'); !real && rest > joined;) {
		*rest = '\0';
		real = realpath(joined, NULL);
		*rest = '/';
		while (!real && rest > joined && *--rest != '/')
			;
	}
	here = NULL;
	if (real &&
	    asprintf(&here, "%s%s", strcmp(real, "/") ? real : "", rest) < 0)
		here = NULL;
	free(real);
	if (here) {
		free(joined);
		joined = here;
	}
	tidy(joined);
	return joined;
}

static int
take_operands(struct add *add)
{
	struct weir_cli *cli = add->run.cli;

	if (cli->operand_count == 0) {
		weir__cli_error(cli, NULL, "which documents?");
		weir__cli_try(cli, "docindex add FOLDER");
		return WEIR_EXIT_USAGE;
	}
	add->roots = calloc(cli->operand_count, sizeof(*add->roots));
	for (size_t i = 0; add->roots && i < cli->operand_count; i++) {
		add->roots[i] = absolute(cli->operands[i]);
		if (!add->roots[i])
			break;
		add->root_count++;
	}
	if (add->root_count == cli->operand_count)
		return -1;
	weir__cli_error(cli, NULL, "out of memory");
	return WEIR_EXIT_FAILURE;
}

/* Only if all that is there was found. */
static void
forget(struct add *add)
{
	if (!add->walked || add->run.is_hopeless || add->run.options->keep)
		return;
	if (intake_forget(&add->intake, add->roots, add->root_count,
			  &add->run.removed) == WEIR_OK)
		return;
	run_hopeless(add->intake.error.message, RUN_AGAIN, &add->run);
	add->run.exit_early = WEIR_EXIT_FAILURE;
}

static int
walk_and_index(struct add *add)
{
	if (pthread_create(&add->walker, NULL, walk_all, add) != 0) {
		weir__cli_error(add->run.cli, NULL, "out of threads");
		return WEIR_EXIT_FAILURE;
	}
	run_loop(&add->run);
	(void)pthread_join(add->walker, NULL);
	forget(add);
	return run_end(&add->run);
}

static int
add_all(struct add *add)
{
	int status = run_init(&add->run, add->run.cli);

	if (status >= 0)
		return status;
	add->intake = (struct intake){
		.index = add->run.look,
		.follow = add->run.options->follow,
		.hidden = add->run.options->hidden,
		.hooks = {.found = on_found,
			  .unchanged = on_unchanged,
			  .stopping = on_stopping,
			  .failed = on_failed,
			  .user = add},
	};
	if (add->run.options->queue)
		return queue_add(&add->run, &add->intake, add->roots,
				 add->root_count);
	return walk_and_index(add);
}

int
add_run(struct weir_cli *cli)
{
	struct add *add = calloc(1, sizeof(*add));
	int status;

	if (!add) {
		weir__cli_error(cli, NULL, "out of memory");
		return WEIR_EXIT_FAILURE;
	}
	add->run.stop_source = stop_source;
	add->run.cli = cli;
	status = take_operands(add);
	if (status < 0) {
		status = add_all(add);
		run_fini(&add->run);
	}
	for (size_t i = 0; i < add->root_count; i++)
		free(add->roots[i]);
	free(add->roots);
	free(add);
	return status;
}
