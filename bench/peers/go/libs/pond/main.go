// pond: a pool with a queue of the capacity; the producer waits while it is
// full.  Results go through a channel of the same capacity.
package main

import (
	"fmt"
	"os"

	"bench/work"
	"github.com/alitto/pond/v2"
)

func run(load work.Load) (got work.Tally) {
	results := make(chan work.Result, load.Capacity)
	pool := pond.NewPool(load.Workers, pond.WithQueueSize(load.Capacity))
	go func() {
		for id := uint64(1); id <= load.Jobs; id++ {
			j := work.MakeJob(id)
			err := pool.Go(func() {
				results <- work.Result{ID: j.ID, Value: j.Run(load.Steps)}
			})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}()
	for i := uint64(0); i < load.Jobs; i++ {
		got.Add(<-results)
	}
	pool.StopAndWait()
	return got
}

func main() {
	work.Flags().Measure("pond", run, nil)
}
