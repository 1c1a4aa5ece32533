// What bench/fleet.c does, by River's own client: with the settings of River's
// command `river bench`, which are those it is fastest with.
//
//	river work   URL JOBS
//	river steady URL SECONDS
//	river start  URL JOBS GAP_US
//
// Each ends with one line of JSON. work inserts JOBS jobs and then works them
// off; only the second part is measured. steady inserts and works at once. Of
// start two processes are needed: it starts the second one itself.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// As `river bench` has them.
const (
	maxWorkers   = 2000
	cooldown     = 2 * time.Millisecond
	pollInterval = 20 * time.Millisecond
	batch        = 5000
)

type args struct {
	Num int64 `json:"num"`
}

func (args) Kind() string { return "bench" }

type client = river.Client[pgx.Tx]

type worker struct {
	river.WorkerDefaults[args]
	count *atomic.Int64
	tell  io.Writer
}

// Linux has one monotonic clock for all processes, which Go does not show.
func nowNS() int64 {
	var now syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1,
		uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		panic(errno)
	}
	return now.Nano()
}

func (w *worker) Work(_ context.Context, job *river.Job[args]) error {
	w.count.Add(1)
	if w.tell != nil {
		return binary.Write(w.tell, binary.NativeEndian,
			nowNS()-job.Args.Num)
	}
	return nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func number(text string) int64 {
	found, err := strconv.ParseInt(text, 10, 64)
	must(err)
	return found
}

func cpuNS() int64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func newClient(pool *pgxpool.Pool, w *worker) *client {
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	found, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     cooldown,
		FetchPollInterval: pollInterval,
		Logger:            slog.New(slog.DiscardHandler),
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers: workers,
	})
	must(err)
	return found
}

func insert(ctx context.Context, c *client, count int64) {
	for done := int64(0); done < count; {
		n := min(batch, count-done)
		params := make([]river.InsertManyParams, n)
		for i := range params {
			params[i].Args = args{done + int64(i)}
		}
		_, err := c.InsertManyFast(ctx, params)
		must(err)
		done += n
	}
}

func wait(count *atomic.Int64, until int64) {
	for count.Load() < until {
		time.Sleep(time.Millisecond)
	}
}

func report(jobs, elapsedNS, cpuNS int64, more map[string]any) {
	line := map[string]any{"jobs": jobs, "elapsed_ns": elapsedNS,
		"cpu_ns": cpuNS, "right": true}
	if elapsedNS > 0 {
		line["jobs_per_s"] = float64(jobs) * 1e9 / float64(elapsedNS)
	}
	for k, v := range more {
		line[k] = v
	}
	text, err := json.Marshal(line)
	must(err)
	fmt.Println(string(text))
}

// Whoever measures the server looks at it when we say so, and then answers.
func mark(what string, in *bufio.Reader) {
	fmt.Println(what)
	_, err := in.ReadString('\n')
	must(err)
}

func inState(ctx context.Context, pool *pgxpool.Pool, state string) int64 {
	var n int64
	must(pool.QueryRow(ctx, "SELECT count(*) FROM river_job"+
		" WHERE state::text = $1", state).Scan(&n))
	return n
}

func work(ctx context.Context, pool *pgxpool.Pool, jobs int64) {
	var count atomic.Int64
	in := bufio.NewReader(os.Stdin)
	c := newClient(pool, &worker{count: &count})
	insert(ctx, c, jobs)
	mark("inserted", in)
	from, cpu := nowNS(), cpuNS()
	must(c.Start(ctx))
	wait(&count, jobs)
	// Until the last is written as well.
	must(c.Stop(ctx))
	to := nowNS()
	used := cpuNS() - cpu
	mark("worked", in)
	report(jobs, to-from, used, map[string]any{
		"right": inState(ctx, pool, "completed") == jobs})
}

// Insert as fast as is worked, with some thousands in between.
func steady(ctx context.Context, pool *pgxpool.Pool, seconds int64) {
	const backlog = 20000
	var count atomic.Int64
	in := bufio.NewReader(os.Stdin)
	c := newClient(pool, &worker{count: &count})
	inserted := int64(backlog)
	insert(ctx, c, inserted)
	mark("inserted", in)
	from, cpu := nowNS(), cpuNS()
	must(c.Start(ctx))
	for nowNS()-from < seconds*1e9 {
		if inserted-count.Load() > backlog {
			time.Sleep(time.Millisecond)
			continue
		}
		insert(ctx, c, batch)
		inserted += batch
	}
	done := count.Load()
	to := nowNS()
	used := cpuNS() - cpu
	mark("worked", in)
	must(c.Stop(ctx))
	report(done, to-from, used, nil)
}

func other(ctx context.Context, pool *pgxpool.Pool) {
	var count atomic.Int64
	c := newClient(pool, &worker{count: &count, tell: os.Stdout})
	must(c.Start(ctx))
	_, err := io.Copy(io.Discard, os.Stdin)
	must(err)
	must(c.Stop(ctx))
}

func start(ctx context.Context, pool *pgxpool.Pool, url string, jobs int64,
	gap time.Duration) {
	var count atomic.Int64
	child := exec.Command(os.Args[0], "other", url, "0")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	must(err)
	out, err := child.StdoutPipe()
	must(err)
	must(child.Start())
	c := newClient(pool, &worker{count: &count})
	took := make([]int64, jobs+1)
	for i := range took {
		time.Sleep(gap)
		_, err := c.Insert(ctx, args{nowNS()}, nil)
		must(err)
		must(binary.Read(out, binary.NativeEndian, &took[i]))
	}
	in.Close()
	must(child.Wait())
	took = took[1:]
	slices.Sort(took)
	report(jobs, 0, 0, map[string]any{"p50_ns": took[jobs/2],
		"p99_ns": took[jobs*99/100], "max_ns": took[jobs-1]})
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: river work|steady|start URL N ...")
		os.Exit(2)
	}
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Args[2])
	must(err)
	defer pool.Close()
	n := number(os.Args[3])
	switch os.Args[1] {
	case "work":
		work(ctx, pool, n)
	case "steady":
		steady(ctx, pool, n)
	case "other":
		other(ctx, pool)
	case "start":
		start(ctx, pool, os.Args[2], n,
			time.Duration(number(os.Args[4]))*time.Microsecond)
	}
}
