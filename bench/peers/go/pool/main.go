// The classic worker pool of Go: a jobs channel, N goroutines, a results
// channel and one collector.  The same work, the same check and the same
// last line as bench/pool.c, which says more.
package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	chainFactor uint64 = 6364136223846793005
	chainTerm   uint64 = 1442695040888963407
	seedFactor  uint64 = 0x9e3779b97f4a7c15
)

type job struct{ id, seed uint64 }

type result struct{ id, value uint64 }

type tally struct{ count, idSum, valueSum uint64 }

func (j job) run(steps uint64) uint64 {
	x := j.id + j.seed
	for ; steps > 0; steps-- {
		x = x*chainFactor + chainTerm
	}
	return x
}

// sums gives what the ids and the values of all jobs must add up to, without
// running them: a chain of n steps is one step with another factor and term.
func sums(jobs, steps uint64) (ids, values uint64) {
	if jobs%2 == 0 {
		ids = jobs / 2 * (jobs + 1)
	} else {
		ids = (jobs + 1) / 2 * jobs
	}
	factor, term := uint64(1), uint64(0)
	f, t := chainFactor, chainTerm
	for ; steps > 0; steps /= 2 {
		if steps%2 == 1 {
			term = term*f + t
			factor *= f
		}
		t += t * f
		f *= f
	}
	return ids, factor*(ids+ids*seedFactor) + term*jobs
}

func runPool(workers, capacity int, count, steps uint64) tally {
	jobs := make(chan job, capacity)
	results := make(chan result, capacity)
	var running sync.WaitGroup

	for i := 0; i < workers; i++ {
		running.Add(1)
		go func() {
			defer running.Done()
			for j := range jobs {
				results <- result{j.id, j.run(steps)}
			}
		}()
	}
	go func() {
		for id := uint64(1); id <= count; id++ {
			jobs <- job{id, id * seedFactor}
		}
		close(jobs)
		running.Wait()
		close(results)
	}()
	var got tally
	for r := range results {
		got.count++
		got.idSum += r.id
		got.valueSum += r.value
	}
	return got
}

func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintln(os.Stderr, "getrusage:", err)
		os.Exit(1)
	}
	return u
}

func main() {
	workers := flag.Int("workers", 4, "goroutines")
	capacity := flag.Int("capacity", 8, "of each channel")
	count := flag.Uint64("jobs", 100000, "how many")
	steps := flag.Uint64("steps", 0, "of work in each job")
	flag.Parse()

	before, start := usage(), time.Now()
	got := runPool(*workers, *capacity, *count, *steps)
	elapsed, after := time.Since(start), usage()

	ids, values := sums(*count, *steps)
	right := got == tally{*count, ids, values}
	cpu := after.Utime.Nano() + after.Stime.Nano() -
		before.Utime.Nano() - before.Stime.Nano()
	fmt.Printf("{\"form\": \"channels\", \"workers\": %d, "+
		"\"capacity\": %d, \"steps\": %d, \"jobs\": %d, "+
		"\"elapsed_ns\": %d, \"ns_per_job\": %.2f, \"cpu_ns\": %d, "+
		"\"voluntary_switches\": %d, \"involuntary_switches\": %d, "+
		"\"sum\": %d, \"right\": %t}\n",
		*workers, *capacity, *steps, *count, elapsed.Nanoseconds(),
		float64(elapsed.Nanoseconds())/float64(*count), cpu,
		after.Nvcsw-before.Nvcsw, after.Nivcsw-before.Nivcsw,
		got.valueSum, right)
	if !right {
		os.Exit(1)
	}
}
