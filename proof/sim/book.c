/* The book of a schedule's jobs; see book.h. */
#include "book.h"

#include <string.h>

struct book book;

void
book_open(void)
{
	memset(book.lines, 0, sizeof(book.lines));
	book.running = book.running_most = book.early_count = 0;
}

void
book_accept(uint32_t job, weir_status status, uint64_t id)
{
	struct line *line = &book.lines[job];

	if (status != WEIR_OK)
		return;
	sim_check(!line->accepted);
	line->accepted = true;
	sim_check(line->id == 0 || line->id == id);
	line->id = id;
	for (uint32_t i = 0; i < book.early_count; i++)
		if (book.early[i].id == id) {
			book_result(&book.early[i], job);
			book.early[i] = book.early[--book.early_count];
			break;
		}
}

void
book_run(uint32_t job)
{
	struct line *line = &book.lines[job];

	sim_check(job < BOOK_JOBS);
	sim_check(!line->running);
	sim_check(line->results == 0 && line->handed_back == 0);
	line->running = true;
	line->runs++;
	book.running++;
	if (book.running > book.running_most)
		book.running_most = book.running;
}

void
book_ran(uint32_t job)
{
	sim_check(book.lines[job].running);
	book.lines[job].running = false;
	book.running--;
}

void
book_result(const weir_result *result, uint32_t job)
{
	struct line *line = &book.lines[job];

	sim_check(job < BOOK_JOBS);
	sim_check(!line->running);
	sim_check(line->results == 0 && line->handed_back == 0);
	sim_check(line->id == 0 || line->id == result->id);
	sim_check(result->attempts == line->runs);
	sim_check((result->status == WEIR_OK) == (result->error[0] == '\0'));
	line->id = result->id;
	line->results++;
	line->status = result->status;
}

void
book_result_by_id(const weir_result *result)
{
	for (uint32_t i = 0; i < BOOK_JOBS; i++)
		if (book.lines[i].id == result->id) {
			book_result(result, i);
			return;
		}
	sim_check(book.early_count < BOOK_JOBS);
	book.early[book.early_count++] = *result;
}

void
book_unstarted(uint64_t id, const void *in, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	struct line *line = &book.lines[job];

	(void)user;
	sim_check(job < BOOK_JOBS);
	sim_check(line->runs == 0 && line->results == 0);
	sim_check(line->handed_back == 0);
	sim_check(line->id == 0 || line->id == id);
	line->id = id;
	line->handed_back++;
}

void
book_close(void)
{
	sim_check(book.early_count == 0);
	for (uint32_t i = 0; i < BOOK_JOBS; i++) {
		const struct line *line = &book.lines[i];
		uint32_t ends = line->results + line->handed_back;

		sim_check(ends == (line->accepted ? 1u : 0u));
		sim_check(!line->running);
		if (!line->accepted)
			sim_check(line->runs == 0);
	}
}

void
book_compare(weir_pool *pool)
{
	weir_pool_stats stats = {.size = sizeof(stats)};
	uint64_t accepted = 0, handed_back = 0;

	weir_pool_get_stats(pool, &stats);
	for (uint32_t i = 0; i < BOOK_JOBS; i++) {
		accepted += book.lines[i].accepted;
		handed_back += book.lines[i].handed_back;
	}
	sim_check(stats.accepted == accepted);
	sim_check(stats.handed_back == handed_back);
	sim_check(stats.accepted == stats.delivered + stats.handed_back);
}

weir_status
book_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)ctx;
	(void)user;
	book_run(job);
	sim_work(sim_choice(2) ? 0 : 3 * WEIR_US);
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return WEIR_OK;
}

void
book_options(weir_pool_options *o, uint32_t workers, uint32_t queue)
{
	weir_pool_options_init(o);
	o->workers = workers;
	o->queue = queue;
	o->in_size = sizeof(uint32_t);
	o->out_size = sizeof(uint64_t);
	o->run = book_job;
}

weir_ctx *
make_ctx(weir_ctx *parent, int64_t timeout_ns)
{
	weir_ctx *ctx = NULL;

	while (weir_ctx_new(&ctx, parent, timeout_ns) != WEIR_OK)
		;
	return ctx;
}
