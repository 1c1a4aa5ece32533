// The classic worker pool of Go: a jobs channel, N goroutines, a results
// channel and one collector.  The same work, the same check and the same
// last line as bench/pool.c, which says more.
package main

import (
	"sync"

	"bench/work"
)

func run(load work.Load) (got work.Tally) {
	jobs := make(chan work.Job, load.Capacity)
	results := make(chan work.Result, load.Capacity)
	var running sync.WaitGroup

	for i := 0; i < load.Workers; i++ {
		running.Add(1)
		go func() {
			defer running.Done()
			for j := range jobs {
				results <- work.Result{ID: j.ID, Value: j.Run(load.Steps)}
			}
		}()
	}
	go func() {
		for id := uint64(1); id <= load.Jobs; id++ {
			jobs <- work.MakeJob(id)
		}
		close(jobs)
		running.Wait()
		close(results)
	}()
	for r := range results {
		got.Add(r)
	}
	return got
}

func main() {
	work.Flags().Measure("channels", run, nil)
}
