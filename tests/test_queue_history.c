/*
 * The judge of histories, judged: each broken promise is planted in a history
 * that keeps all the others, and has to be named; good ones have to pass.
 */
#include "harness.h"
#include "history.h"
#include "history_check.h"

#include "base/buf.h"
#include "base/rng.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Judge a text. */
static struct history_verdict
judge(const char *text)
{
	struct history_verdict verdict;
	char *copy = strdup(text);
	FILE *in = fmemopen(copy, strlen(copy), "r");

	REQUIRE(in);
	(void)history_check(in, stderr, &verdict);
	(void)fclose(in);
	free(copy);
	return verdict;
}

/*
 * Four jobs: one done at once, one done in its second attempt after its
 * worker was killed, one that was given back and then cancelled, one that was
 * discarded and whose effect need not be single.
 */
static const char *const good[] = {
	/*  0 */ "submit a once",
	/*  1 */ "ack a 1",
	/*  2 */ "submit b once",
	/*  3 */ "ack b 2",
	/*  4 */ "claim 1 1.100@w1",
	/*  5 */ "effect 1 1.100@w1",
	/*  6 */ "complete 1 1.100@w1",
	/*  7 */ "claim 2 1.101@w1",
	/*  8 */ "submit c once",
	/*  9 */ "ack c 3",
	/* 10 */ "doom w1",
	/* 11 */ "rescue 2 1.101@w1",
	/* 12 */ "claim 2 2.102@w2",
	/* 13 */ "effect 2 2.102@w2",
	/* 14 */ "complete 2 2.102@w2",
	/* 15 */ "claim 3 1.103@w2",
	/* 16 */ "give 3 1.103@w2",
	/* 17 */ "ask 3 cancel",
	/* 18 */ "look x",
	/* 19 */ "seen 3 cancelled x",
	/* 20 */ "submit d",
	/* 21 */ "ack d 4",
	/* 22 */ "claim 4 1.104@w2",
	/* 23 */ "over 4 1.104@w2 discarded",
	/* 24 */ "submit e once",
	/* 25 */ "drained",
	/* 26 */ "final 1 completed a 1",
	/* 27 */ "final 2 completed b 1",
	/* 28 */ "final 3 cancelled c 0",
	/* 29 */ "final 4 discarded d 0",
	/* 30 */ "count completed 2",
	/* 31 */ "count cancelled 1",
	/* 32 */ "count discarded 1",
	/* 33 */ "end",
};

enum { GOOD = sizeof(good) / sizeof(*good) };

/* Where a line comes from, and what stands there instead. */
struct plant {
	enum history_wrong wrong;
	int at;           /* before this line of good ... */
	bool instead;     /* or instead of it */
	const char *line; /* NULL: nothing */
};

static const struct plant plants[] = {
	{HISTORY_TORN, 5, false, "effe"},
	{HISTORY_TORN, 5, false, "ack a"},
	{HISTORY_TORN, 5, true, "effect 1 1.100@w1 too many words in it"},
	{HISTORY_TORN, 29, true, "final 4 finished d 0"},
	{HISTORY_TORN, 30, true, "count done 2"},
	{HISTORY_LOST, 26, true, NULL},
	{HISTORY_LOST, 29, true, NULL},
	{HISTORY_INVENTED, 0, true, NULL},
	{HISTORY_INVENTED, 20, true, NULL},
	{HISTORY_INVENTED, 26, false, "final 5 completed - 0"},
	{HISTORY_INVENTED, 26, false, "final 5 completed z 1"},
	{HISTORY_INVENTED, 26, false, "refuse b"},
	{HISTORY_INVENTED, 4, false, "refuse b"},
	{HISTORY_DOUBLED, 2, false, "ack a 9"},
	{HISTORY_DOUBLED, 4, false, "ack a 2"},
	{HISTORY_DOUBLED, 29, false, "final 9 completed a 1"},
	{HISTORY_DOUBLED, 29, false, "final 1 completed a 1"},
	{HISTORY_EFFECTS, 6, false, "effect 1 1.100@w1"},
	{HISTORY_EFFECTS, 26, true, "final 1 completed a 2"},
	{HISTORY_EFFECTS, 26, true, "final 1 completed a 0"},
	{HISTORY_EFFECTS, 28, true, "final 3 cancelled c 1"},
	{HISTORY_OVERLAP, 5, false, "claim 1 2.105@w2"},
	{HISTORY_OVERLAP, 5, false, "claim 1 2.105@w1"},
	{HISTORY_OVERLAP, 23, false, "claim 4 2.105@w3"},
	{HISTORY_UNCLAIMED, 4, true, NULL},
	{HISTORY_UNCLAIMED, 6, true, "complete 1 1.107@w1"},
	{HISTORY_UNCLAIMED, 16, true, "give 3 1.103@w1"},
	{HISTORY_UNCLAIMED, 12, false, "stale 2 7.101@w1"},
	{HISTORY_STALE_FINISH, 14, false, "complete 2 1.101@w1"},
	{HISTORY_STALE_FINISH, 13, false, "effect 2 1.101@w1"},
	{HISTORY_STALE_FINISH, 13, false, "over 2 1.101@w1 retryable"},
	{HISTORY_STALE_FINISH, 12, false, "complete 2 1.101@w1"},
	{HISTORY_STALE_FINISH, 24, false, "over 4 1.104@w2 discarded"},
	{HISTORY_REFUSED, 5, false, "stale 1 1.100@w1"},
	{HISTORY_REFUSED, 13, false, "stale 2 2.102@w2"},
	{HISTORY_CHANGED, 7, false, "rescue 1 1.100@w1"},
	{HISTORY_CHANGED, 15, false, "claim 2 3.105@w2"},
	{HISTORY_CHANGED, 7, false, "seen 1 retryable"},
	{HISTORY_CHANGED, 19, true, "seen 1 available x"},
	{HISTORY_CHANGED, 7, false, "seen 1 discarded"},
	{HISTORY_CHANGED, 26, true, "final 1 available a 1"},
	{HISTORY_CHANGED, 29, true, "final 4 completed d 0"},
	{HISTORY_STUCK, 28, true, "final 3 running c 0"},
	{HISTORY_STUCK, 29, false, "final 5 retryable e 0"},
	{HISTORY_SUM, 30, true, "count completed 3"},
	{HISTORY_SUM, 30, false, "count running 1"},
	{HISTORY_SUM, 32, true, NULL},
};

static void
planted(const struct plant *plant, struct weir_buf *ret)
{
	weir__buf_reset(ret);
	for (int i = 0; i < GOOD; i++) {
		if (plant && plant->at == i && plant->line)
			weir__buf_printf(ret, "%s\n", plant->line);
		if (!plant || plant->at != i || !plant->instead)
			weir__buf_printf(ret, "%s\n", good[i]);
	}
	REQUIRE(!ret->failed);
}

TEST(history, a_good_one_passes_and_is_counted)
{
	struct weir_buf text = {0};
	struct history_verdict v;

	planted(NULL, &text);
	v = judge(weir__buf_str(&text));
	CHECK_EQ_INT(v.wrongs, 0);
	CHECK_EQ_INT(v.lines, GOOD);
	CHECK_EQ_INT(v.submitted, 5);
	CHECK_EQ_INT(v.acked, 4);
	CHECK_EQ_INT(v.unacked, 0);
	CHECK_EQ_INT(v.completed, 2);
	CHECK_EQ_INT(v.cancelled, 1);
	CHECK_EQ_INT(v.discarded, 1);
	CHECK_EQ_INT(v.pending, 0);
	CHECK(v.ended);
	weir__buf_fini(&text);
}

TEST(history, each_planted_violation_is_found_and_named)
{
	struct weir_buf text = {0};
	bool seen[HISTORY_WRONGS] = {false};

	for (size_t i = 0; i < sizeof(plants) / sizeof(*plants); i++) {
		struct history_verdict v;

		planted(&plants[i], &text);
		v = judge(weir__buf_str(&text));
		CHECK_MSG(v.wrong[plants[i].wrong] > 0,
			  "'%s' at %d is not found to be %s",
			  plants[i].line ? plants[i].line : "nothing",
			  plants[i].at, history_wrong_text(plants[i].wrong));
		seen[plants[i].wrong] = true;
	}
	for (int i = 0; i < HISTORY_WRONGS; i++)
		CHECK_MSG(seen[i], "%s was not planted",
			  history_wrong_text((enum history_wrong)i));
	weir__buf_fini(&text);
}

TEST(history, a_last_line_that_was_cut_is_torn)
{
	struct history_verdict v = judge("submit a\nack a 1");

	CHECK_EQ_INT(v.wrong[HISTORY_TORN], 1);
	CHECK_EQ_INT(v.acked, 0);
}

TEST(history, without_its_end_nothing_is_lost_yet)
{
	struct history_verdict v = judge("submit a\nack a 1\n");

	CHECK_EQ_INT(v.wrongs, 0);
	CHECK(!v.ended);
}

TEST(history, who_was_stopped_may_note_late_what_it_has_lost)
{
	struct history_verdict v = judge("submit a once\n"
					 "ack a 1\n"
					 "doom w1\n"
					 "claim 1 2.9@w2\n"
					 "effect 1 2.9@w2\n"
					 "complete 1 2.9@w2\n"
					 "claim 1 1.8@w1\n"
					 "stale 1 1.8@w1\n"
					 "final 1 completed a 1\n"
					 "end\n");

	CHECK_EQ_INT(v.wrongs, 0);
}

TEST(history, who_was_stopped_may_not_finish_what_it_has_lost)
{
	struct history_verdict v = judge("submit a once\n"
					 "ack a 1\n"
					 "doom w1\n"
					 "claim 1 2.9@w2\n"
					 "claim 1 1.8@w1\n"
					 "effect 1 1.8@w1\n"
					 "complete 1 1.8@w1\n");

	CHECK_EQ_INT(v.wrong[HISTORY_STALE_FINISH], 2);
}

/*
 * A store that keeps its promises, and workers that are killed and stopped:
 * what they would note, in the order of what happens to them.
 */
enum {
	SIM_JOBS = 40,
	SIM_OWNERS = 4,
};

struct sim_job {
	int id, owner; /* owner -1: nobody has it */
	unsigned attempt;
	bool there, once, late;
	uint64_t effects;
	const char *over;
	char fence[32];
};

struct sim {
	struct weir_rng rng;
	struct weir_buf out, late[SIM_OWNERS];
	struct sim_job jobs[SIM_JOBS];
	int job_count, names[SIM_OWNERS], name_next, time;
	bool stopped[SIM_OWNERS];
};

static bool
chance(struct sim *s, unsigned in_100)
{
	return weir__rng_below(&s->rng, 100) < in_100;
}

static void
sim_submit(struct sim *s)
{
	struct sim_job *job;

	if (s->job_count == SIM_JOBS)
		return;
	job = &s->jobs[s->job_count++];
	*job = (struct sim_job){.id = s->job_count, .owner = -1};
	job->once = chance(s, 70);
	job->there = chance(s, 95);
	weir__buf_printf(&s->out, "submit k%d%s\n", job->id,
			 job->once ? " once" : "");
	if (job->there && chance(s, 90))
		weir__buf_printf(&s->out, "ack k%d %d\n", job->id, job->id);
}

/* A stopped owner's notes are written when it goes on. */
static struct weir_buf *
notes_of(struct sim *s, int owner)
{
	return s->stopped[owner] ? &s->late[owner] : &s->out;
}

static void
sim_claim(struct sim *s, struct sim_job *job, int owner)
{
	job->attempt++;
	job->owner = owner;
	(void)snprintf(job->fence, sizeof(job->fence), "%u.%d@w%d",
		       job->attempt, s->time++, s->names[owner]);
	/* Stopped between its commit and its note? */
	if (!s->stopped[owner] && chance(s, 10)) {
		s->stopped[owner] = true;
		weir__buf_printf(&s->out, "doom w%d\n", s->names[owner]);
	}
	weir__buf_printf(notes_of(s, owner), "claim %d %s\n", job->id,
			 job->fence);
}

static void
sim_finish(struct sim *s, struct sim_job *job)
{
	struct weir_buf *out = notes_of(s, job->owner);

	if (chance(s, 60)) {
		job->effects++;
		job->over = "completed";
		weir__buf_printf(out, "effect %d %s\ncomplete %d %s\n", job->id,
				 job->fence, job->id, job->fence);
	} else {
		weir__buf_printf(out, "give %d %s\n", job->id, job->fence);
		if (chance(s, 30))
			job->attempt--; /* released, or snoozed */
		else if (chance(s, 20))
			job->over = "discarded";
	}
	job->owner = -1;
}

/* What somebody had that seems dead is there for others. */
static void
sim_rescue(struct sim *s, int owner)
{
	for (int i = 0; i < s->job_count; i++) {
		struct sim_job *job = &s->jobs[i];

		if (job->owner != owner)
			continue;
		job->owner = -1;
		if (s->stopped[owner])
			weir__buf_printf(&s->late[owner], "stale %d %s\n",
					 job->id, job->fence);
	}
}

static void
sim_doom(struct sim *s, int owner)
{
	if (s->stopped[owner]) {
		if (chance(s, 60))
			sim_rescue(s, owner);
		weir__buf_puts(&s->out, weir__buf_str(&s->late[owner]));
		weir__buf_reset(&s->late[owner]);
		s->stopped[owner] = false;
		return;
	}
	weir__buf_printf(&s->out, "doom w%d\n", s->names[owner]);
	s->stopped[owner] = chance(s, 50);
	if (s->stopped[owner])
		return;
	/* Killed: what it does until then, it does not note. */
	s->stopped[owner] = true;
	for (int i = 0; i < s->job_count; i++)
		if (s->jobs[i].owner == owner && chance(s, 20))
			sim_finish(s, &s->jobs[i]);
	weir__buf_reset(&s->late[owner]);
	s->stopped[owner] = false;
	sim_rescue(s, owner);
	s->names[owner] = s->name_next++;
}

static void
sim_step(struct sim *s)
{
	struct sim_job *job;
	int owner = (int)weir__rng_below(&s->rng, SIM_OWNERS);

	if (chance(s, 20))
		sim_submit(s);
	if (chance(s, 5))
		sim_doom(s, owner);
	if (!s->job_count)
		return;
	job = &s->jobs[weir__rng_below(&s->rng, (uint64_t)s->job_count)];
	if (!job->there)
		return;
	if (job->over)
		weir__buf_printf(&s->out, "seen %d %s\n", job->id, job->over);
	else if (job->owner < 0 && !s->stopped[owner])
		sim_claim(s, job, owner);
	else if (job->owner >= 0 && !s->stopped[job->owner])
		sim_finish(s, job);
}

/* One history in s->out. */
static void
sim_run(struct sim *s, uint64_t seed)
{
	*s = (struct sim){.name_next = SIM_OWNERS, .time = 1000};
	weir__rng_seed(&s->rng, seed);
	for (int i = 0; i < SIM_OWNERS; i++)
		s->names[i] = i;
	for (int i = 0; i < 400; i++)
		sim_step(s);
	for (int i = 0; i < SIM_OWNERS; i++)
		if (s->stopped[i])
			sim_doom(s, i);
	for (int i = 0; i < s->job_count; i++) {
		const struct sim_job *job = &s->jobs[i];

		if (job->there)
			weir__buf_printf(&s->out,
					 "final %d %s k%d %" PRIu64 "\n",
					 job->id,
					 job->over        ? job->over
					 : job->owner < 0 ? "available"
							  : "running",
					 job->id, job->effects);
	}
	weir__buf_puts(&s->out, "end\n");
	REQUIRE(!s->out.failed);
}

static void
sim_fini(struct sim *s)
{
	weir__buf_fini(&s->out);
	for (int i = 0; i < SIM_OWNERS; i++)
		weir__buf_fini(&s->late[i]);
}

TEST(history, random_good_ones_pass)
{
	static struct sim s;
	uint64_t claims = 0;

	for (uint64_t i = 0; i < 500; i++) {
		struct history_verdict v;

		sim_run(&s, test_seed() + i);
		v = judge(weir__buf_str(&s.out));
		CHECK_MSG(v.wrongs == 0, "seed %ju + %ju",
			  (uintmax_t)test_seed(), (uintmax_t)i);
		CHECK_EQ_INT(v.completed + v.cancelled + v.discarded +
				     v.pending,
			     v.acked + v.unacked);
		claims += v.claims;
		sim_fini(&s);
	}
	CHECK_MSG(claims > 20000, "only %ju claims", (uintmax_t)claims);
}

/* Copy text, with the nth line that begins so told twice, or left out. */
static bool
copy_with(const char *text, const char *begin, bool twice, struct weir_buf *ret)
{
	bool met = false;

	weir__buf_reset(ret);
	for (const char *line = text, *next; *line; line = next) {
		size_t len = strcspn(line, "\n") + 1;
		int times = 1;

		next = line + len;
		if (!met && !strncmp(line, begin, strlen(begin)) &&
		    strchr(" \n", line[strlen(begin)])) {
			met = true;
			times = twice ? 2 : 0;
		}
		while (times-- > 0)
			weir__buf_append(ret, line, len);
	}
	return met;
}

/* Without the submission of the job of the first final. */
static bool
copy_without_submit(const char *text, struct weir_buf *ret)
{
	char line[100], key[40];
	const char *met = strstr(text, "\nfinal");

	if (!met || sscanf(met, " final %*s %*s %39s", key) != 1)
		return false;
	(void)snprintf(line, sizeof(line), "submit %s", key);
	return copy_with(text, line, false, ret);
}

/* Without the claim of the first job that was completed. */
static bool
copy_without_claim(const char *text, struct weir_buf *ret)
{
	char line[100], id[40], fence[40];
	const char *met = strstr(text, "\ncomplete");

	if (!met || sscanf(met, " complete %39s %39s", id, fence) != 2)
		return false;
	(void)snprintf(line, sizeof(line), "claim %s %s", id, fence);
	return copy_with(text, line, false, ret);
}

TEST(history, random_ones_with_a_line_too_many_or_too_few_do_not_pass)
{
	struct weir_buf text = {0};
	static struct sim s;
	uint64_t changes = 0;

	for (uint64_t i = 0; i < 100; i++) {
		const char *out;

		sim_run(&s, test_seed() + i);
		out = weir__buf_str(&s.out);
		REQUIRE(copy_with(out, "final", true, &text));
		CHECK(judge(text.data).wrong[HISTORY_DOUBLED] > 0);
		REQUIRE(copy_without_submit(out, &text));
		CHECK(judge(text.data).wrong[HISTORY_INVENTED] > 0);
		if (copy_with(out, "complete", true, &text)) {
			changes++;
			CHECK(judge(text.data).wrong[HISTORY_STALE_FINISH] > 0);
		}
		if (copy_without_claim(out, &text)) {
			changes++;
			CHECK(judge(text.data).wrong[HISTORY_UNCLAIMED] > 0);
		}
		/* A note that is missing is what a kill leaves. */
		if (copy_with(out, "effect", false, &text)) {
			changes++;
			CHECK_EQ_INT(judge(text.data).wrongs, 0);
		}
		sim_fini(&s);
	}
	CHECK_MSG(changes > 250, "only %ju changes", (uintmax_t)changes);
	weir__buf_fini(&text);
}

/* Writers that are killed at random leave whole lines only. */
TEST(history, lines_of_killed_writers_are_whole)
{
	char path[] = "/tmp/weir-history-XXXXXX";
	struct history_verdict v;
	struct weir_rng rng;
	int fd = mkstemp(path);
	FILE *in;

	REQUIRE(fd >= 0);
	weir__rng_seed(&rng, test_seed());
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			int out = history_open(path);

			for (int n = 0;; n++)
				history_note(out, "submit %d-%d", i, n);
		}
		REQUIRE(pid > 0);
		/* Until it has written that much, more or less. */
		for (off_t due = lseek(fd, 0, SEEK_END) +
				 (off_t)weir__rng_below(&rng, 20000);
		     lseek(fd, 0, SEEK_END) < due;)
			;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	in = fopen(path, "re");
	REQUIRE(in);
	CHECK(history_check(in, stderr, &v));
	CHECK_MSG(v.submitted > 1000, "only %ju lines", (uintmax_t)v.submitted);
	CHECK_EQ_INT(lseek(fd, 0, SEEK_END) % HISTORY_LINE, 0);
	(void)fclose(in);
	(void)close(fd);
	(void)unlink(path);
}
