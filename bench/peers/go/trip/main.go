// One job to a pool of goroutines and its result back, trip after trip; see
// bench/trip.h, which does the same for the pools in C.
package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"bench/work"
)

type pool struct {
	jobs    chan work.Job
	results chan work.Result
}

func makePool(load work.Load) pool {
	p := pool{
		make(chan work.Job, load.Capacity),
		make(chan work.Result, load.Capacity),
	}
	for i := 0; i < load.Workers; i++ {
		go func() {
			for j := range p.jobs {
				p.results <- work.Result{ID: j.ID, Value: j.Run(0)}
			}
		}()
	}
	return p
}

func (p pool) trips(load work.Load) (got work.Tally) {
	for id := uint64(1); id <= load.Jobs; id++ {
		p.jobs <- work.MakeJob(id)
		got.Add(<-p.results)
	}
	return got
}

func (p pool) timedTrips(load work.Load) (string, bool) {
	ns := make([]uint32, load.Jobs)
	var got work.Tally
	before := time.Now()
	for i := range ns {
		p.jobs <- work.MakeJob(uint64(i) + 1)
		got.Add(<-p.results)
		now := time.Now()
		ns[i] = uint32(min(now.Sub(before), math.MaxUint32))
		before = now
	}
	slices.Sort(ns)
	return fmt.Sprintf(", \"p50_ns\": %d, \"p99_ns\": %d, \"p999_ns\": %d",
		ns[load.Jobs/2], ns[load.Jobs*99/100],
		ns[load.Jobs*999/1000]), load.Check(got)
}

func main() {
	load := work.Flags()
	p := makePool(load)
	load.Measure("trip", p.trips,
		func() (string, bool) { return p.timedTrips(load) })
}
