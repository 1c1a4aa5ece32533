/*
 * The judge of histories; see history_check.h, and history.h for the lines.
 *
 * Design: one pass over the lines, with a record for each job, key, owner and
 * look, found by its word.  A job has its fences, the newest first.
 *
 * What is noted is late: a claim that was committed may be noted when its
 * owner, stopped meanwhile, has long lost it.  So the notes of an owner that
 * was ever doomed are read with that in mind, by the numbers of attempts; the
 * judge rather misses something there than accuse the innocent.  A history
 * that a store's own triggers have written has no such excuses, and is judged
 * to the letter: it dooms nobody.
 */
#include "history_check.h"
#include "history.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORDS = 6,
	WORD = 48,
	REPORTS = 50,
};

/* What a record of any kind begins with. */
struct node {
	struct node *chain; /* of the same slot */
	char word[WORD];
};

/* Records of one kind, by their words. */
struct table {
	struct node **slots;
	size_t slot_count, count, node_size;
};

struct owner {
	struct node node;
	bool doomed;
};

struct look {
	struct node node;
	uint64_t line;
};

enum fence_state {
	FENCE_LIVE,
	FENCE_GIVEN, /* maybe over */
	FENCE_OVER,
	FENCE_TAKEN, /* lost */
};

struct fence {
	struct fence *older;
	struct owner *owner;
	enum fence_state state;
	unsigned long attempt;
	char word[WORD];
};

struct job;

struct key {
	struct node node;
	struct job *job; /* as it was acknowledged, or found at the end */
	bool submitted, once, refused;
};

struct job {
	struct node node;
	struct key *key;
	struct fence *fences;
	char over[12];      /* the final state that it is known to be in */
	uint64_t over_line; /* since when */
	uint64_t effects;
	bool acked, found, retried, cancelled, deleted;
};

struct judge {
	struct table jobs, keys, owners, looks;
	struct history_verdict *verdict;
	FILE *report;
	uint64_t line;
	uint64_t sums[8], found[8]; /* by state */
	bool counted, drained, all_doomed;
	char *words[WORDS];
	size_t word_count;
};

static const char *const states[8] = {
	"available", "cancelled", "completed", "discarded",
	"pending",   "retryable", "running",   "scheduled",
};

const char *
history_wrong_text(enum history_wrong wrong)
{
	static const char *const texts[] = {
#define HISTORY_WRONG_TEXT(name, text) text,
		HISTORY_WRONG_TABLE(HISTORY_WRONG_TEXT)
#undef HISTORY_WRONG_TEXT
	};

	return texts[wrong];
}

static void
complain(struct judge *j, enum history_wrong wrong, const char *about)
{
	j->verdict->wrong[wrong]++;
	if (++j->verdict->wrongs <= REPORTS && j->report)
		(void)fprintf(j->report, "line %" PRIu64 ": %s: %s\n", j->line,
			      about, history_wrong_text(wrong));
}

static void *
must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static size_t
slot_of(const struct table *table, const char *word)
{
	static const uint64_t key[2] = {1, 2};

	return weir__hash64(key, word, strlen(word)) & (table->slot_count - 1);
}

static void
table_grow(struct table *table)
{
	struct table old = *table;

	table->slot_count = old.slot_count ? old.slot_count * 2 : 64;
	table->slots = must(calloc(table->slot_count, sizeof(*table->slots)));
	for (size_t i = 0; i < old.slot_count; i++)
		for (struct node *node = old.slots[i], *next; node;
		     node = next) {
			size_t slot = slot_of(table, node->word);

			next = node->chain;
			node->chain = table->slots[slot];
			table->slots[slot] = node;
		}
	free(old.slots);
}

static void *
table_find(const struct table *table, const char *word)
{
	struct node *node = NULL;

	if (table->slot_count)
		node = table->slots[slot_of(table, word)];
	while (node && strcmp(node->word, word))
		node = node->chain;
	return node;
}

/* The record of that word, made if there is none. */
static void *
table_get(struct table *table, const char *word)
{
	struct node *node = table_find(table, word);
	size_t slot;

	if (node)
		return node;
	if (table->count >= table->slot_count)
		table_grow(table);
	node = must(calloc(1, table->node_size));
	(void)snprintf(node->word, sizeof(node->word), "%s", word);
	slot = slot_of(table, word);
	node->chain = table->slots[slot];
	table->slots[slot] = node;
	table->count++;
	return node;
}

static void
table_free(struct table *table, void (*fini)(struct node *node))
{
	for (size_t i = 0; i < table->slot_count; i++)
		for (struct node *node = table->slots[i], *next; node;
		     node = next) {
			next = node->chain;
			if (fini)
				fini(node);
			free(node);
		}
	free(table->slots);
}

static void
job_fini(struct node *node)
{
	struct job *job = (struct job *)node;

	for (struct fence *fence = job->fences, *older; fence; fence = older) {
		older = fence->older;
		free(fence);
	}
}

static bool
is_final(const char *state)
{
	return !strcmp(state, "completed") || !strcmp(state, "cancelled") ||
	       !strcmp(state, "discarded");
}

static int
state_index(const char *state)
{
	for (int i = 0; i < 8; i++)
		if (!strcmp(states[i], state))
			return i;
	return -1;
}

/* May somebody else take it, or have taken it? */
static bool
may_be_taken(const struct judge *j, const struct fence *fence)
{
	return j->all_doomed || fence->owner->doomed;
}

static struct owner *
owner_of(struct judge *j, const char *fence)
{
	const char *at = strchr(fence, '@');

	return table_get(&j->owners, at ? at + 1 : fence);
}

/* The newest of that name: a fence's name may come again. */
static struct fence *
fence_find(const struct job *job, const char *word)
{
	struct fence *fence = job->fences;

	while (fence && strcmp(fence->word, word))
		fence = fence->older;
	return fence;
}

/* The fence that a line is about; complains if there is none. */
static struct fence *
fence_named(struct judge *j, struct job *job)
{
	struct fence *fence = fence_find(job, j->words[2]);

	if (!fence)
		complain(j, HISTORY_UNCLAIMED, j->words[1]);
	return fence;
}

/*
 * It is in that state, as somebody who looked when line `since` was written
 * has seen.  A job whose retry was asked for may go on from any state.
 */
static void
job_seen(struct judge *j, struct job *job, const char *state, uint64_t since)
{
	bool final = is_final(state);

	if (*job->over && !job->retried && strcmp(job->over, state) &&
	    (final || job->over_line < since))
		complain(j, HISTORY_CHANGED, job->node.word);
	if (final && strcmp(job->over, state)) {
		(void)snprintf(job->over, sizeof(job->over), "%s", state);
		job->over_line = j->line;
	}
}

static void
on_submit(struct judge *j)
{
	struct key *key = table_get(&j->keys, j->words[1]);

	key->submitted = true;
	key->once = j->word_count > 2 && !strcmp(j->words[2], "once");
	j->verdict->submitted++;
}

static void
on_refuse(struct judge *j)
{
	struct key *key = table_get(&j->keys, j->words[1]);

	key->refused = true;
	if (key->job)
		complain(j, HISTORY_INVENTED, j->words[1]);
}

static void
on_ack(struct judge *j)
{
	struct key *key = table_get(&j->keys, j->words[1]);
	struct job *job = table_get(&j->jobs, j->words[2]);

	if (!key->submitted)
		complain(j, HISTORY_INVENTED, j->words[1]);
	if ((key->job && key->job != job) || (job->key && job->key != key))
		complain(j, HISTORY_DOUBLED, j->words[1]);
	key->job = job;
	job->key = key;
	job->acked = true;
	j->verdict->acked++;
}

/*
 * What a claim is that is noted by somebody who was ever doomed: an old one, if
 * later ones have more attempts; nobody knows, if as many, for what is given
 * back is not counted.
 */
static enum fence_state
late_claim(const struct job *job, const struct fence *claim)
{
	enum fence_state state = FENCE_LIVE;

	if (*job->over && !job->retried)
		return FENCE_TAKEN;
	for (struct fence *f = job->fences; f; f = f->older) {
		if (f->attempt > claim->attempt)
			return FENCE_TAKEN;
		if (f->attempt == claim->attempt)
			state = FENCE_GIVEN;
	}
	return state;
}

/* The job is the claimer's now, and was nobody else's before. */
static void
take(struct judge *j, struct job *job)
{
	if (*job->over && !job->retried)
		complain(j, HISTORY_CHANGED, job->node.word);
	for (struct fence *f = job->fences; f; f = f->older) {
		if (f->state == FENCE_LIVE && !may_be_taken(j, f))
			complain(j, HISTORY_OVERLAP, job->node.word);
		if (f->state != FENCE_OVER)
			f->state = FENCE_TAKEN;
	}
}

static void
on_claim(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	struct fence *claim = must(calloc(1, sizeof(*claim)));

	(void)snprintf(claim->word, sizeof(claim->word), "%s", j->words[2]);
	claim->owner = owner_of(j, claim->word);
	claim->attempt = strtoul(claim->word, NULL, 10);
	if (may_be_taken(j, claim))
		claim->state = late_claim(job, claim);
	if (claim->state == FENCE_LIVE)
		take(j, job);
	claim->older = job->fences;
	job->fences = claim;
	j->verdict->claims++;
}

/* Whoever has lost a job can do nothing to it any more. */
static void
must_hold(struct judge *j, const struct fence *fence)
{
	if (fence->state == FENCE_TAKEN || fence->state == FENCE_OVER)
		complain(j, HISTORY_STALE_FINISH, j->words[1]);
}

/* Its effect, which comes before the completion is noted. */
static void
on_effect(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	struct fence *fence = fence_named(j, job);

	j->verdict->effects++;
	if (job->effects++ > 0 && job->key && job->key->once)
		complain(j, HISTORY_EFFECTS, j->words[1]);
	if (fence)
		must_hold(j, fence);
}

static void
on_complete(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	struct fence *fence = fence_named(j, job);

	j->verdict->completes++;
	if (fence) {
		must_hold(j, fence);
		fence->state = FENCE_OVER;
	}
	job_seen(j, job, "completed", j->line);
}

static void
on_give(struct judge *j)
{
	struct fence *fence = fence_named(j, table_get(&j->jobs, j->words[1]));

	if (fence && fence->state == FENCE_LIVE)
		fence->state = FENCE_GIVEN;
}

static void
on_over(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	struct fence *fence = fence_named(j, job);

	if (fence) {
		must_hold(j, fence);
		fence->state = FENCE_OVER;
	}
	job_seen(j, job, j->words[3], j->line);
}

static void
on_stale(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	struct fence *fence = fence_named(j, job);

	j->verdict->stales++;
	if (!fence)
		return;
	if (fence->state == FENCE_LIVE && !may_be_taken(j, fence) &&
	    !job->cancelled && !job->deleted)
		complain(j, HISTORY_REFUSED, j->words[1]);
	fence->state = FENCE_TAKEN;
}

/* Only what is claimed can be taken: what is over stays as it is. */
static void
on_rescue(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	struct fence *fence = fence_named(j, job);

	j->verdict->rescues++;
	if (*job->over && !job->retried)
		complain(j, HISTORY_CHANGED, j->words[1]);
	if (fence)
		fence->state = FENCE_TAKEN;
}

static void
on_ask(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);

	job->retried |= !strcmp(j->words[2], "retry");
	job->cancelled |= !strcmp(j->words[2], "cancel");
	job->deleted |= !strcmp(j->words[2], "delete");
}

static void
on_look(struct judge *j)
{
	struct look *look = table_get(&j->looks, j->words[1]);

	look->line = j->line;
}

static void
on_seen(struct judge *j)
{
	struct look *look =
		j->word_count > 3 ? table_find(&j->looks, j->words[3]) : NULL;

	job_seen(j, table_get(&j->jobs, j->words[1]), j->words[2],
		 look ? look->line : j->line);
}

static void
on_doom(struct judge *j)
{
	struct owner *owner = table_get(&j->owners, j->words[1]);

	owner->doomed = true;
	j->all_doomed |= !strcmp(j->words[1], "*");
}

/* The effects that are there, of a job whose effect is to happen once. */
static void
judge_effects(struct judge *j, const struct job *job, const char *state,
	      uint64_t there)
{
	uint64_t due = !strcmp(state, "completed");

	if (!job->key || !job->key->once)
		return;
	/* After a retry it may be there already, or not be there yet. */
	if (job->retried ? there > 1 : there != due)
		complain(j, HISTORY_EFFECTS, job->node.word);
	else if (job->effects > there)
		complain(j, HISTORY_EFFECTS, job->node.word);
}

/* Who has asked for it? */
static void
judge_origin(struct judge *j, struct job *job, const char *word)
{
	struct key *key =
		strcmp(word, "-") ? table_find(&j->keys, word) : job->key;

	if (!key || !key->submitted || key->refused) {
		complain(j, HISTORY_INVENTED, job->node.word);
		return;
	}
	if ((key->job && key->job != job) || job->found)
		complain(j, HISTORY_DOUBLED, word);
	if (!job->acked)
		j->verdict->unacked++;
	key->job = job;
	job->key = key;
}

static void
on_final(struct judge *j)
{
	struct job *job = table_get(&j->jobs, j->words[1]);
	const char *state = j->words[2];
	int index = state_index(state);

	if (index < 0) {
		complain(j, HISTORY_TORN, state);
		return;
	}
	judge_origin(j, job, j->words[3]);
	job->found = true;
	job_seen(j, job, state, j->line);
	if (strcmp(j->words[4], "-"))
		judge_effects(j, job, state, strtoull(j->words[4], NULL, 10));
	j->found[index]++;
	j->verdict->completed += !strcmp(state, "completed");
	j->verdict->cancelled += !strcmp(state, "cancelled");
	j->verdict->discarded += !strcmp(state, "discarded");
	if (is_final(state))
		return;
	j->verdict->pending++;
	if (j->drained)
		complain(j, HISTORY_STUCK, j->words[1]);
}

static void
on_count(struct judge *j)
{
	int index = state_index(j->words[1]);

	if (index < 0) {
		complain(j, HISTORY_TORN, j->words[1]);
		return;
	}
	j->counted = true;
	j->sums[index] += strtoull(j->words[2], NULL, 10);
}

static void
on_drained(struct judge *j)
{
	j->drained = true;
}

static void
on_end(struct judge *j)
{
	j->verdict->ended = true;
}

/* Each kind of line, with how many words it has at least. */
static const struct verb {
	const char *name;
	size_t words;
	void (*on)(struct judge *j);
} verbs[] = {
	{"submit", 2, on_submit},     {"ack", 3, on_ack},
	{"claim", 3, on_claim},       {"effect", 3, on_effect},
	{"complete", 3, on_complete}, {"give", 3, on_give},
	{"over", 4, on_over},         {"stale", 3, on_stale},
	{"rescue", 3, on_rescue},     {"ask", 3, on_ask},
	{"look", 2, on_look},         {"seen", 3, on_seen},
	{"doom", 2, on_doom},         {"final", 5, on_final},
	{"count", 3, on_count},       {"drained", 1, on_drained},
	{"end", 1, on_end},           {"refuse", 2, on_refuse},
};

/* False: it has a word too long or too many. */
static bool
split(struct judge *j, char *line)
{
	char *rest = NULL;

	j->word_count = 0;
	for (char *word = strtok_r(line, " \n", &rest); word;
	     word = strtok_r(NULL, " \n", &rest)) {
		if (j->word_count == WORDS || strlen(word) >= WORD)
			return false;
		j->words[j->word_count++] = word;
	}
	return true;
}

static void
judge_line(struct judge *j, char *line)
{
	bool whole = strchr(line, '\n') && split(j, line);

	j->line++;
	j->verdict->lines++;
	for (size_t i = 0; whole && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (j->word_count >= verbs[i].words &&
		    !strcmp(j->words[0], verbs[i].name)) {
			verbs[i].on(j);
			return;
		}
	if (!whole || j->word_count > 0)
		complain(j, HISTORY_TORN, "?");
}

/* What has to be there at the end. */
static void
judge_end(struct judge *j)
{
	for (size_t i = 0; i < j->jobs.slot_count; i++)
		for (struct node *n = j->jobs.slots[i]; n; n = n->chain) {
			const struct job *job = (const struct job *)n;

			if (job->deleted && !job->found)
				j->verdict->deleted++;
			else if (job->acked && !job->found)
				complain(j, HISTORY_LOST, job->node.word);
		}
	for (int i = 0; j->counted && i < 8; i++)
		if (j->sums[i] != j->found[i])
			complain(j, HISTORY_SUM, states[i]);
}

bool
history_check(FILE *in, FILE *report, struct history_verdict *ret)
{
	struct judge judge = {
		.jobs = {.node_size = sizeof(struct job)},
		.keys = {.node_size = sizeof(struct key)},
		.owners = {.node_size = sizeof(struct owner)},
		.looks = {.node_size = sizeof(struct look)},
		.verdict = ret,
		.report = report,
	};
	char *line = NULL;
	size_t size = 0;

	*ret = (struct history_verdict){0};
	while (getline(&line, &size, in) >= 0)
		judge_line(&judge, line);
	if (ret->ended)
		judge_end(&judge);
	free(line);
	table_free(&judge.jobs, job_fini);
	table_free(&judge.keys, NULL);
	table_free(&judge.owners, NULL);
	table_free(&judge.looks, NULL);
	return ret->wrongs == 0;
}

void
history_print(const struct history_verdict *v, FILE *out)
{
	(void)fprintf(
		out,
		"%" PRIu64 " lines: %" PRIu64 " submitted, %" PRIu64
		" acked, %" PRIu64 " unacked; %" PRIu64 " claims, %" PRIu64
		" effects, %" PRIu64 " stale, %" PRIu64
		" rescued; at the end %" PRIu64 " completed, %" PRIu64
		" cancelled, %" PRIu64 " discarded, %" PRIu64
		" deleted, %" PRIu64 " pending; %" PRIu64 " wrong\n",
		v->lines, v->submitted, v->acked, v->unacked, v->claims,
		v->effects, v->stales, v->rescues, v->completed, v->cancelled,
		v->discarded, v->deleted, v->pending, v->wrongs);
}
