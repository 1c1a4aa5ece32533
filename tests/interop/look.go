package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// A job as River has decoded it.  weir-side.c prints the same names.
type row struct {
	ID           int64                    `json:"id"`
	State        rivertype.JobState       `json:"state"`
	Attempt      int                      `json:"attempt"`
	MaxAttempts  int                      `json:"max_attempts"`
	Priority     int                      `json:"priority"`
	Queue        string                   `json:"queue"`
	Kind         string                   `json:"kind"`
	Args         json.RawMessage          `json:"args"`
	Metadata     json.RawMessage          `json:"metadata"`
	Output       json.RawMessage          `json:"output,omitempty"`
	Tags         []string                 `json:"tags"`
	Errors       []rivertype.AttemptError `json:"errors"`
	AttemptedBy  []string                 `json:"attempted_by"`
	CreatedMS    int64                    `json:"created_at_ms"`
	ScheduledMS  int64                    `json:"scheduled_at_ms"`
	AttemptedMS  int64                    `json:"attempted_at_ms"`
	FinalizedMS  int64                    `json:"finalized_at_ms"`
	UniqueKey    string                   `json:"unique_key"`
	UniqueStates []rivertype.JobState     `json:"unique_states"`
}

func millisOf(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

func rowOf(job *job) row {
	return row{
		ID:           job.ID,
		State:        job.State,
		Attempt:      job.Attempt,
		MaxAttempts:  job.MaxAttempts,
		Priority:     job.Priority,
		Queue:        job.Queue,
		Kind:         job.Kind,
		Args:         job.EncodedArgs,
		Metadata:     job.Metadata,
		Output:       job.Output(),
		Tags:         job.Tags,
		Errors:       job.Errors,
		AttemptedBy:  job.AttemptedBy,
		CreatedMS:    job.CreatedAt.UnixMilli(),
		ScheduledMS:  job.ScheduledAt.UnixMilli(),
		AttemptedMS:  millisOf(job.AttemptedAt),
		FinalizedMS:  millisOf(job.FinalizedAt),
		UniqueKey:    hex.EncodeToString(job.UniqueKey),
		UniqueStates: job.UniqueStates,
	}
}

func list(ctx context.Context, s *side, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	params := river.NewJobListParams().
		States(rivertype.JobStates()...).First(10000).
		OrderBy(river.JobListOrderByID, river.SortOrderAsc)
	for {
		page, err := c.JobList(ctx, params)
		if err != nil {
			return err
		}
		for _, job := range page.Jobs {
			emit(rowOf(job))
		}
		if page.LastCursor == nil || len(page.Jobs) < 10000 {
			return nil
		}
		params = params.After(page.LastCursor)
	}
}

type job = rivertype.JobRow

// Do that to each of these, and print what the job is then or what is wrong.
func each(ctx context.Context, s *side, argv []string,
	do func(*client, int64) (*job, error)) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	for _, arg := range argv {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return err
		}
		job, err := do(c, id)
		switch {
		case err == nil:
			emit(rowOf(job))
		case errors.Is(err, rivertype.ErrNotFound):
			emit(map[string]any{"id": id, "error": "not found"})
		case errors.Is(err, rivertype.ErrJobRunning):
			emit(map[string]any{"id": id, "error": "running"})
		default:
			emit(map[string]any{"id": id, "error": err.Error()})
		}
	}
	return nil
}

func get(ctx context.Context, s *side, argv []string) error {
	return each(ctx, s, argv, func(c *client, id int64) (*job, error) {
		return c.JobGet(ctx, id)
	})
}

func cancelJobs(ctx context.Context, s *side, argv []string) error {
	return each(ctx, s, argv, func(c *client, id int64) (*job, error) {
		return c.JobCancel(ctx, id)
	})
}

func retryJobs(ctx context.Context, s *side, argv []string) error {
	return each(ctx, s, argv, func(c *client, id int64) (*job, error) {
		return c.JobRetry(ctx, id)
	})
}

func deleteJobs(ctx context.Context, s *side, argv []string) error {
	return each(ctx, s, argv, func(c *client, id int64) (*job, error) {
		return c.JobDelete(ctx, id)
	})
}

func setOutput(ctx context.Context, s *side, argv []string) error {
	if len(argv) != 2 {
		return fmt.Errorf("output ID JSON")
	}
	params := &river.JobUpdateParams{Output: json.RawMessage(argv[1])}
	return each(ctx, s, argv[:1], func(c *client, id int64) (*job, error) {
		return c.JobUpdate(ctx, id, params)
	})
}

func pause(ctx context.Context, s *side, argv []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	for _, queue := range argv {
		if err := c.QueuePause(ctx, queue, nil); err != nil {
			return err
		}
	}
	return nil
}

func resume(ctx context.Context, s *side, argv []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	for _, queue := range argv {
		if err := c.QueueResume(ctx, queue, nil); err != nil {
			return err
		}
	}
	return nil
}

func queues(ctx context.Context, s *side, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	all, err := c.QueueList(ctx, river.NewQueueListParams().First(1000))
	if err != nil {
		return err
	}
	for _, queue := range all.Queues {
		emit(map[string]any{
			"name":         queue.Name,
			"paused_at_ms": millisOf(queue.PausedAt),
			"metadata":     json.RawMessage(queue.Metadata),
		})
	}
	return nil
}

func resign(ctx context.Context, s *side, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return c.Notify().RequestResign(ctx)
}
