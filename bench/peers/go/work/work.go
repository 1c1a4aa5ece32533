// Package work is what the programs in Go share: the job of bench/measure.h,
// the check of what came out, and the last line that says what it took.
package work

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	chainFactor uint64 = 6364136223846793005
	chainTerm   uint64 = 1442695040888963407
	seedFactor  uint64 = 0x9e3779b97f4a7c15
)

type Job struct{ ID, Seed uint64 }

type Result struct{ ID, Value uint64 }

// Tally adds up what came out.
type Tally struct{ Count, IDSum, ValueSum uint64 }

// Load is what a program is asked to do.
type Load struct {
	Workers, Capacity int
	Jobs, Steps       uint64
}

func MakeJob(id uint64) Job { return Job{id, id * seedFactor} }

func (j Job) Run(steps uint64) uint64 {
	x := j.ID + j.Seed
	for ; steps > 0; steps-- {
		x = x*chainFactor + chainTerm
	}
	return x
}

func (t *Tally) Add(r Result) {
	t.Count++
	t.IDSum += r.ID
	t.ValueSum += r.Value
}

// expected gives what must come out, without running the jobs: a chain of n
// steps is one step with another factor and term.
func (l Load) expected() Tally {
	var ids uint64
	if l.Jobs%2 == 0 {
		ids = l.Jobs / 2 * (l.Jobs + 1)
	} else {
		ids = (l.Jobs + 1) / 2 * l.Jobs
	}
	factor, term := uint64(1), uint64(0)
	f, t := chainFactor, chainTerm
	for steps := l.Steps; steps > 0; steps /= 2 {
		if steps%2 == 1 {
			term = term*f + t
			factor *= f
		}
		t += t * f
		f *= f
	}
	return Tally{l.Jobs, ids, factor*(ids+ids*seedFactor) + term*l.Jobs}
}

// Flags reads the command line.
func Flags() (l Load) {
	flag.IntVar(&l.Workers, "workers", 4, "goroutines")
	flag.IntVar(&l.Capacity, "capacity", 8, "of each channel")
	flag.Uint64Var(&l.Jobs, "jobs", 100000, "how many")
	flag.Uint64Var(&l.Steps, "steps", 0, "of work in each job")
	flag.Parse()
	return l
}

func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintln(os.Stderr, "getrusage:", err)
		os.Exit(1)
	}
	return u
}

// Check says whether all came out, once and right.
func (l Load) Check(got Tally) bool { return got == l.expected() }

// Measure runs the load once.  After gives further members for the last line,
// such as ", \"p50_ns\": 7", and whether it went well; nil is nothing.
func (l Load) Measure(form string, run func(Load) Tally,
	after func() (string, bool)) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	allocated := memory.Mallocs
	before, start := usage(), time.Now()
	got := run(l)
	elapsed, end := time.Since(start), usage()
	runtime.ReadMemStats(&memory)
	allocated = memory.Mallocs - allocated

	right, more := l.Check(got), ""
	if after != nil && right {
		more, right = after()
	}
	cpu := end.Utime.Nano() + end.Stime.Nano() -
		before.Utime.Nano() - before.Stime.Nano()
	fmt.Printf("{\"form\": \"%s\", \"workers\": %d, "+
		"\"capacity\": %d, \"steps\": %d, \"jobs\": %d, "+
		"\"elapsed_ns\": %d, \"ns_per_job\": %.2f, \"cpu_ns\": %d, "+
		"\"voluntary_switches\": %d, \"involuntary_switches\": %d, "+
		"\"allocations\": %d%s, \"sum\": %d, \"right\": %t}\n",
		form, l.Workers, l.Capacity, l.Steps, l.Jobs,
		elapsed.Nanoseconds(),
		float64(elapsed.Nanoseconds())/float64(l.Jobs), cpu,
		end.Nvcsw-before.Nvcsw, end.Nivcsw-before.Nivcsw,
		allocated, more, got.ValueSum, right)
	if !right {
		os.Exit(1)
	}
}
