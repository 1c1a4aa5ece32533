/*
 * oneTBB: a parallel_pipeline or, with --queues as the last argument, two
 * concurrent_bounded_queues between plain threads.
 *
 *	tbb --workers N --capacity C --jobs J --steps S [--queues]
 *
 * Design.  The pipeline has three filters, a serial source, a parallel one
 * and a serial sink, and C tokens, which is all that may be inside: the same
 * contract as weir's pull form.  TBB runs as many threads as there are
 * processors unless it is told otherwise; it is told N.  A worker of the
 * queues leaves when it takes a job with the id 0.
 *
 * Locking.  None of its own; serial filters run on one thread at a time.
 */
#include "../peer.h"

#include <cstring>
#include <thread>
#include <vector>

#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

namespace
{

struct result {
	uint64_t id, value;
};

bool
run_pipeline(const bench_load *load, bench_tally *tally)
{
	tbb::global_control threads(
		tbb::global_control::max_allowed_parallelism, load->workers);
	tbb::task_arena arena(static_cast<int>(load->workers));
	uint64_t given = 0;

	auto source = [&](tbb::flow_control &control) {
		if (given == load->jobs) {
			control.stop();
			return bench_job();
		}
		return bench_job_make(++given);
	};
	auto work = [&](const bench_job &job) {
		return result{job.id, bench_job_run(&job, load->steps)};
	};
	auto sink = [&](const result &done) {
		bench_tally_add(tally, done.id, done.value);
	};
	arena.execute([&] {
		tbb::parallel_pipeline(
			load->capacity,
			tbb::make_filter<void, bench_job>(
				tbb::filter_mode::serial_in_order, source) &
				tbb::make_filter<bench_job, result>(
					tbb::filter_mode::parallel, work) &
				tbb::make_filter<result, void>(
					tbb::filter_mode::serial_out_of_order,
					sink));
	});
	return true;
}

bool
run_queues(const bench_load *load, bench_tally *tally)
{
	tbb::concurrent_bounded_queue<bench_job> jobs;
	tbb::concurrent_bounded_queue<result> results;
	std::vector<std::thread> threads;

	jobs.set_capacity(load->capacity);
	results.set_capacity(load->capacity);
	for (uint32_t i = 0; i < load->workers; i++)
		threads.emplace_back([&] {
			bench_job job;

			for (jobs.pop(job); job.id != 0; jobs.pop(job))
				results.push(result{
					job.id,
					bench_job_run(&job, load->steps)});
		});
	threads.emplace_back([&] {
		for (uint64_t id = 1; id <= load->jobs; id++)
			jobs.push(bench_job_make(id));
		for (uint32_t i = 0; i < load->workers; i++)
			jobs.push(bench_job_make(0));
	});
	for (uint64_t i = 0; i < load->jobs; i++) {
		result done;

		results.pop(done);
		bench_tally_add(tally, done.id, done.value);
	}
	for (std::thread &thread : threads)
		thread.join();
	return true;
}

} // namespace

int
main(int argc, char **argv)
{
	if (argc > 1 && std::strcmp(argv[argc - 1], "--queues") == 0) {
		argv[argc - 1] = nullptr;
		return peer_main(argc - 1, argv, "tbb queues", run_queues);
	}
	return peer_main(argc, argv, "tbb pipeline", run_pipeline);
}
