package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// What a job is told by its args.
type orders struct {
	Text   string          `json:"text"`
	MS     int64           `json:"ms"`
	Times  int             `json:"times"` // so many snoozes
	Output json.RawMessage `json:"output"`
}

type worker struct {
	river.WorkerDefaults[anyArgs]
	pool *pgxpool.Pool
}

func snooze(job *river.Job[anyArgs], o *orders) error {
	var metadata struct {
		Snoozes int `json:"snoozes"`
	}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil {
		return err
	}
	if metadata.Snoozes >= o.Times {
		return nil
	}
	return river.JobSnooze(millis(o.MS))
}

func completeTx(ctx context.Context, w *worker, job *river.Job[anyArgs]) error {
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func emitStep(job *river.Job[anyArgs], step string) {
	emit(map[string]any{"event": "step", "id": job.ID, "step": step})
}

// Two steps, of which the second fails at the first attempt.
func resumable(ctx context.Context, job *river.Job[anyArgs]) error {
	river.ResumableStep(ctx, "one", nil, func(context.Context) error {
		emitStep(job, "one")
		return nil
	})
	river.ResumableStep(ctx, "two", nil, func(context.Context) error {
		if len(job.Errors) == 0 {
			return errors.New("step two")
		}
		emitStep(job, "two")
		return nil
	})
	return nil
}

func (w *worker) Work(ctx context.Context, job *river.Job[anyArgs]) error {
	var o orders
	emit(map[string]any{"event": "start", "id": job.ID, "kind": job.Kind,
		"attempt": job.Attempt})
	if err := json.Unmarshal(job.Args.raw, &o); err != nil {
		return err
	}
	if o.Text == "" {
		o.Text = "boom"
	}
	switch job.Kind {
	case "fail":
		return errors.New(o.Text)
	case "panic":
		panic(o.Text)
	case "snooze":
		return snooze(job, &o)
	case "cancel":
		return river.JobCancel(errors.New(o.Text))
	case "output":
		return river.RecordOutput(ctx, o.Output)
	case "slow":
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(millis(o.MS)):
		}
	case "deaf": // to cancels and stops
		time.Sleep(millis(o.MS))
	case "complete_tx":
		return completeTx(ctx, w, job)
	case "resumable":
		return resumable(ctx, job)
	}
	return nil
}

// The same delay after each error, so that tests need not wait for seconds.
type steadily struct{ delay time.Duration }

func (s steadily) NextRetry(*rivertype.JobRow) time.Time {
	return time.Now().Add(s.delay)
}

func queueConfig(text string) (map[string]river.QueueConfig, error) {
	all := map[string]river.QueueConfig{}
	for _, part := range strings.Split(text, ",") {
		name, width, ok := strings.Cut(part, ":")
		count := 10
		if ok {
			var err error
			if count, err = strconv.Atoi(width); err != nil {
				return nil, err
			}
		}
		all[name] = river.QueueConfig{MaxWorkers: count}
	}
	return all, nil
}

func workConfig(s *side, argv []string) (*river.Config, error) {
	flags := flag.NewFlagSet("work", flag.ContinueOnError)
	queues := flags.String("queues", "default", "NAME:WIDTH,...")
	id := flags.String("id", "", "the client's")
	noLeader := flags.Bool("no-leader", false, "take no part in elections")
	knownOnly := flags.Bool("known-only", false, "leave other kinds alone")
	kinds := flags.String("kinds", "", "instead of all that are known")
	retryMS := flags.Int64("retry-ms", 0, "delay of retries")
	pollMS := flags.Int64("poll-ms", 1000, "between polls")
	pollOnly := flags.Bool("poll-only", false, "no LISTEN")
	rescueMS := flags.Int64("rescue-ms", 0, "RescueStuckJobsAfter")
	timeoutMS := flags.Int64("timeout-ms", 0, "JobTimeout")
	flags.Int64("beat-ms", 0, "weir's, passed over")
	flags.Int64("dead-ms", 0, "weir's, passed over")
	verbose := flags.Bool("verbose", false, "River's own log on stderr")
	if err := flags.Parse(argv); err != nil {
		return nil, err
	}
	if *kinds != "" {
		knownKinds = strings.Split(*kinds, ",")
	}
	log := io.Discard
	if *verbose {
		log = os.Stderr
	}
	config := &river.Config{
		FetchCooldown:          10 * time.Millisecond,
		FetchOnlyKnownKinds:    *knownOnly,
		FetchPollInterval:      millis(*pollMS),
		ID:                     *id,
		JobTimeout:             millis(*timeoutMS),
		LeaderElectionDisabled: *noLeader,
		Logger:                 slog.New(slog.NewTextHandler(log, nil)),
		PollOnly:               *pollOnly,
		RescueStuckJobsAfter:   millis(*rescueMS),
		Schema:                 s.schema,
		Workers:                river.NewWorkers(),
	}
	if *retryMS > 0 {
		config.RetryPolicy = steadily{millis(*retryMS)}
	}
	var err error
	config.Queues, err = queueConfig(*queues)
	river.AddWorker(config.Workers, &worker{pool: s.pool})
	return config, err
}

func emitEvents(events <-chan *river.Event, done chan<- struct{}) {
	defer close(done)
	for event := range events {
		if event.Job == nil {
			emit(map[string]any{"event": event.Kind,
				"queue": event.Queue.Name})
			continue
		}
		emit(map[string]any{"event": event.Kind, "id": event.Job.ID,
			"state": event.Job.State, "attempt": event.Job.Attempt})
	}
}

// Until stdin says how to stop, or ends.
func waitForOrders(ctx context.Context, c *client) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "stop":
			return c.Stop(ctx)
		case "cancel":
			return c.StopAndCancel(ctx)
		default:
			return fmt.Errorf("%s: no such order", lines.Text())
		}
	}
	return c.Stop(ctx)
}

func work(ctx context.Context, s *side, argv []string) error {
	config, err := workConfig(s, argv)
	if err != nil {
		return err
	}
	c, err := river.NewClient(riverpgxv5.New(s.pool), config)
	if err != nil {
		return err
	}
	events, unsubscribe := c.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 100000,
		Kinds: []river.EventKind{
			river.EventKindJobCancelled,
			river.EventKindJobCompleted,
			river.EventKindJobFailed,
			river.EventKindJobInterrupted,
			river.EventKindJobSnoozed,
			river.EventKindQueuePaused,
			river.EventKindQueueResumed,
		},
	})
	done := make(chan struct{})
	go emitEvents(events, done)
	if err := c.Start(ctx); err != nil {
		return err
	}
	emit(map[string]any{"event": "ready", "client": c.ID()})
	err = waitForOrders(ctx, c)
	unsubscribe()
	<-done
	if err == nil {
		emit(map[string]any{"event": "stopped"})
	}
	return err
}
