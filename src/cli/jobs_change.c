/*
 * weir jobs retry, cancel and delete.
 *
 * Design: with --all-matching the ids of a page are taken first and changed
 * then, in one commit, and the next page begins below the last id.  What is
 * enqueued meanwhile has larger ids, so there is an end, whatever goes on.
 */
#include "cli/jobs_run.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/queue_open.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Ids of a commit. */
#define PAGE_MAX 1000

struct change {
	struct jobs *jobs;
	weir_job_action action;
	bool all; /* all that match, not those that were named */
	int64_t ids[PAGE_MAX];
	size_t count;
	weir_job_changed changed[PAGE_MAX];
	uint64_t done, already, refused;
};

/* By action. */
static const struct {
	const char *what, *done;
} words[] = {
	[WEIR_JOB_CANCEL] = {"cannot cancel", "cancelled"},
	[WEIR_JOB_RETRY] = {"cannot retry", "retried"},
	[WEIR_JOB_DELETE] = {"cannot delete", "deleted"},
};

bool
weir__jobs_has_filter(const struct jobs *jobs)
{
	const weir_job_filter *f = &jobs->filter;

	return f->queue || f->kind || f->tag || f->states || f->since_ms > 0;
}

int
weir__jobs_check_change(struct jobs *jobs, const char *word)
{
	const char *wrong = NULL;

	if (jobs->options->all_matching && jobs->id_count > 0)
		wrong = "--all-matching and ids exclude each other";
	else if (!jobs->options->all_matching && jobs->id_count > 0 &&
		 weir__jobs_has_filter(jobs))
		wrong = "filters go with --all-matching, not with ids";
	if (wrong) {
		weir__cli_error(jobs->cli, NULL, "%s", wrong);
		return WEIR_EXIT_USAGE;
	}
	if (jobs->id_count > 0)
		return -1;
	if (!jobs->options->all_matching) {
		weir__cli_error(jobs->cli, NULL, "no ids of jobs given");
		weir__cli_try(jobs->cli,
			      "weir jobs %s --all-matching, with a filter",
			      word);
		return WEIR_EXIT_USAGE;
	}
	if (weir__jobs_has_filter(jobs))
		return -1;
	weir__cli_error(jobs->cli, NULL,
			"--all-matching needs a filter: --queue, --kind, "
			"--state, --since or --tag");
	/* Nothing that does anything: it may be pasted as it is. */
	weir__cli_try(jobs->cli, "weir jobs list --state discarded");
	return WEIR_EXIT_USAGE;
}

/* Why a job was not changed. */
static const char *
reason(const struct change *c, const weir_job_changed *changed)
{
	switch (changed->status) {
	case WEIR_BUSY:
		return "it runs";
	case WEIR_CLOSED:
		return c->action == WEIR_JOB_RETRY ? "it is available already"
						   : "it was over already";
	case WEIR_INVAL:
		return "another job that it has to be different from is there";
	case WEIR_NOTFOUND:
		return "there is no such job";
	case WEIR_OK:
	case WEIR_CANCELED:
	case WEIR_TIMEDOUT:
	case WEIR_DEADLOCK:
	case WEIR_FAILED:
	case WEIR_PERMANENT:
	case WEIR_NOMEM:
	case WEIR_SYSTEM:
	case WEIR_CRASHED:
	case WEIR_STALE:
	case WEIR_FOREIGN:
	case WEIR_OLD:
	case WEIR_NEWER:
	case WEIR_CORRUPT:
		break;
	}
	return weir_status_message(changed->status);
}

static void
put_record(struct change *c, int64_t id, const weir_job_changed *changed)
{
	struct weir_buf *buf = &c->jobs->out.text;
	struct weir_json j;

	weir__json_init(&j, buf);
	weir__json_begin_object(&j);
	weir__json_key(&j, "id");
	weir__json_int(&j, id);
	weir__json_key(&j, "ok");
	weir__json_bool(&j, changed->status == WEIR_OK);
	weir__json_key(&j, "state");
	if (changed->status == WEIR_NOTFOUND)
		weir__json_null(&j);
	else
		weir__json_puts(&j, weir_job_state_name(changed->state));
	if (changed->status != WEIR_OK) {
		weir__json_key(&j, "error");
		weir__json_puts(&j, reason(c, changed));
	}
	weir__json_end_object(&j);
	weir__buf_putc(buf, '\n');
}

static void
say_refused(struct change *c, int64_t id, const weir_job_changed *changed)
{
	if (changed->status == WEIR_NOTFOUND)
		weir__jobs_not_found(c->jobs, id);
	else
		weir__cli_error(c->jobs->cli, words[c->action].what,
				"job %" PRId64 ": %s", id, reason(c, changed));
}

/*
 * Of all that match, a job that is gone meanwhile or was so already is nothing
 * to speak of; of those that were named, it is.
 */
static void
note_changed(struct change *c, int64_t id, const weir_job_changed *changed)
{
	if (changed->status == WEIR_OK)
		c->done++;
	else if (c->all && (changed->status == WEIR_CLOSED ||
			    changed->status == WEIR_NOTFOUND))
		c->already++;
	else
		c->refused++;
	if (c->jobs->options->json)
		put_record(c, id, changed);
	else if (changed->status == WEIR_OK && !c->all)
		weir__buf_printf(&c->jobs->out.text, "%" PRId64 " %s\n", id,
				 c->action == WEIR_JOB_DELETE
					 ? words[c->action].done
					 : weir_job_state_name(changed->state));
	if (changed->status != WEIR_OK && !c->all)
		say_refused(c, id, changed);
}

/* A page of ids.  The exit status; 0: it was done. */
static int
change_page(struct change *c)
{
	weir_error error = {0};
	weir_status status =
		weir_store_change(c->jobs->store, c->action, c->ids, c->count,
				  c->changed, NULL, &error);

	if (status != WEIR_OK)
		return weir__jobs_failed(c->jobs, words[c->action].what, status,
					 &error);
	for (size_t i = 0; i < c->count; i++)
		note_changed(c, c->ids[i], &c->changed[i]);
	return weir__queue_out_write(&c->jobs->out) ? 0 : c->jobs->out.exit;
}

static bool
on_id(const weir_job_row *row, void *user)
{
	struct change *c = user;

	weir_assert(c->count < PAGE_MAX);
	c->ids[c->count++] = row->id;
	return c->count < PAGE_MAX;
}

static int
change_matching(struct change *c)
{
	weir_job_filter *filter = &c->jobs->filter;
	int status = 0;

	filter->limit = PAGE_MAX;
	do {
		weir_error error = {0};
		weir_status listed;

		c->count = 0;
		listed = weir_store_list(c->jobs->store, filter, on_id, c,
					 &error);
		if (listed != WEIR_OK)
			return weir__jobs_failed(c->jobs, words[c->action].what,
						 listed, &error);
		if (c->count == 0)
			break;
		filter->before_id = c->ids[c->count - 1];
		status = change_page(c);
	} while (status == 0);
	return status;
}

static int
change_named(struct change *c)
{
	const struct jobs *jobs = c->jobs;
	int status = 0;

	for (size_t i = 0; i < jobs->id_count && status == 0; i += c->count) {
		c->count = jobs->id_count - i < PAGE_MAX ? jobs->id_count - i
							 : PAGE_MAX;
		memcpy(c->ids, jobs->ids + i, c->count * sizeof(c->ids[0]));
		status = change_page(c);
	}
	return status;
}

/* "retried 1 204 jobs, 3 were so already, 1 could not be" */
static void
say_summary(const struct change *c)
{
	char done[WEIR_FORMAT_SIZE], already[WEIR_FORMAT_SIZE],
		refused[WEIR_FORMAT_SIZE];
	struct weir_buf text = {0};

	weir__buf_printf(&text, "%s %s job%s", words[c->action].done,
			 weir__format_count(done, sizeof(done), c->done),
			 c->done == 1 ? "" : "s");
	if (c->already > 0)
		weir__buf_printf(&text, ", %s needed nothing",
				 weir__format_count(already, sizeof(already),
						    c->already));
	if (c->refused > 0)
		weir__buf_printf(&text, ", %s could not be",
				 weir__format_count(refused, sizeof(refused),
						    c->refused));
	weir__cli_note(c->jobs->cli, "%s", weir__buf_str(&text));
	weir__buf_fini(&text);
}

int
weir__jobs_change(struct jobs *jobs, weir_job_action action)
{
	struct change *change = calloc(1, sizeof(*change));
	int status;

	if (!change)
		return weir__queue_no_memory(jobs->cli);
	change->jobs = jobs;
	change->action = action;
	change->all = jobs->options->all_matching;
	status = change->all ? change_matching(change) : change_named(change);
	if (change->all || status != 0)
		say_summary(change);
	if (status == 0)
		status = weir__queue_out_fini(&jobs->out);
	if (status == 0 && change->refused > 0)
		status = WEIR_EXIT_SOME_FAILED;
	free(change);
	return status;
}
