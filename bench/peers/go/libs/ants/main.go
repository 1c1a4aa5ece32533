// ants: a pool of goroutines that are used again, with its typed function
// pool, which needs no closure for a job.  It has no queue: the producer waits
// while N jobs run.  The results channel has the capacity.
package main

import (
	"fmt"
	"os"

	"bench/work"
	"github.com/panjf2000/ants/v2"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(load work.Load) (got work.Tally) {
	results := make(chan work.Result, load.Capacity)
	pool, err := ants.NewPoolWithFuncGeneric(load.Workers,
		func(j work.Job) {
			results <- work.Result{ID: j.ID, Value: j.Run(load.Steps)}
		})
	must(err)
	defer pool.Release()
	go func() {
		for id := uint64(1); id <= load.Jobs; id++ {
			must(pool.Invoke(work.MakeJob(id)))
		}
	}()
	for i := uint64(0); i < load.Jobs; i++ {
		got.Add(<-results)
	}
	return got
}

func main() {
	work.Flags().Measure("ants", run, nil)
}
