// A goroutine for each job, as one writes it who was told that goroutines
// cost nothing: a semaphore bounds how many work at once, and nothing bounds
// how many there are.  Results are collected meanwhile or, with -late, once
// all have been started, which is the simpler program and the bigger one.
package main

import (
	"flag"

	"bench/work"
)

var late = flag.Bool("late", false, "start all, then collect")

func run(load work.Load) (got work.Tally) {
	slots := make(chan struct{}, load.Workers)
	results := make(chan work.Result, load.Capacity)
	start := func() {
		for id := uint64(1); id <= load.Jobs; id++ {
			j := work.MakeJob(id)
			go func() {
				slots <- struct{}{}
				value := j.Run(load.Steps)
				<-slots
				results <- work.Result{ID: j.ID, Value: value}
			}()
		}
	}

	if *late {
		start()
	} else {
		go start()
	}
	for i := uint64(0); i < load.Jobs; i++ {
		got.Add(<-results)
	}
	return got
}

func main() {
	work.Flags().Measure("spawn", run, nil)
}
