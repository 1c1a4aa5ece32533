package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// A job to be, one line of stdin.  weir-side.c reads the same.
type spec struct {
	Kind        string          `json:"kind"`
	Args        json.RawMessage `json:"args"`
	Queue       string          `json:"queue"`
	Priority    int             `json:"priority"`
	MaxAttempts int             `json:"max_attempts"`
	Metadata    json.RawMessage `json:"metadata"`
	Tags        []string        `json:"tags"`
	ScheduledMS int64           `json:"scheduled_at_ms"`
	Pending     bool            `json:"pending"`
	Unique      *struct {
		ByArgs      bool     `json:"by_args"`
		ByPeriodMS  int64    `json:"by_period_ms"`
		ByQueue     bool     `json:"by_queue"`
		ByState     []string `json:"by_state"`
		ExcludeKind bool     `json:"exclude_kind"`
	} `json:"unique"`
}

func millis(ms int64) time.Duration {
	return time.Duration(ms) * time.Millisecond
}

func (s *spec) params() (river.InsertManyParams, error) {
	opts := &river.InsertOpts{
		MaxAttempts: s.MaxAttempts,
		Metadata:    s.Metadata,
		Pending:     s.Pending,
		Priority:    s.Priority,
		Queue:       s.Queue,
		Tags:        s.Tags,
	}
	if s.ScheduledMS != 0 {
		opts.ScheduledAt = time.UnixMilli(s.ScheduledMS)
	}
	if u := s.Unique; u != nil {
		opts.UniqueOpts = river.UniqueOpts{
			ByArgs:      u.ByArgs,
			ByPeriod:    millis(u.ByPeriodMS),
			ByQueue:     u.ByQueue,
			ExcludeKind: u.ExcludeKind,
		}
		var states []rivertype.JobState
		for _, state := range u.ByState {
			states = append(states, rivertype.JobState(state))
		}
		opts.UniqueOpts.ByState = states
	}
	if s.Kind == selectedKind {
		var args selectedArgs
		if err := json.Unmarshal(s.Args, &args); err != nil {
			return river.InsertManyParams{}, err
		}
		return river.InsertManyParams{Args: args, InsertOpts: opts}, nil
	}
	args, err := encoded(s.Args)
	return river.InsertManyParams{
		Args:       anyArgs{kind: s.Kind, raw: args},
		InsertOpts: opts,
	}, err
}

// The text that Go's encoder would have made of it, the order kept: what a
// program in Go hashes and inserts.
func encode(out *bytes.Buffer, in *json.Decoder) error {
	token, err := in.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		text, err := json.Marshal(token)
		out.Write(text)
		return err
	}
	out.WriteRune(rune(delim))
	for n := 0; in.More(); n++ {
		if n > 0 {
			out.WriteByte(',')
		}
		if delim == '{' {
			if err := encode(out, in); err != nil {
				return err
			}
			out.WriteByte(':')
		}
		if err := encode(out, in); err != nil {
			return err
		}
	}
	end, err := in.Token()
	if err == nil {
		out.WriteRune(rune(end.(json.Delim)))
	}
	return err
}

func encoded(raw json.RawMessage) (json.RawMessage, error) {
	var out bytes.Buffer
	if len(raw) == 0 {
		return raw, nil
	}
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	err := encode(&out, in)
	return out.Bytes(), err
}

func readSpecs() ([]river.InsertManyParams, error) {
	var all []river.InsertManyParams
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var s spec
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, err
		}
		params, err := s.params()
		if err != nil {
			return nil, err
		}
		all = append(all, params)
	}
	return all, lines.Err()
}

func emitInserted(results []*rivertype.JobInsertResult) {
	for _, result := range results {
		emit(map[string]any{
			"id":         result.Job.ID,
			"state":      result.Job.State,
			"duplicate":  result.UniqueSkippedAsDuplicate,
			"unique_key": hex.EncodeToString(result.Job.UniqueKey),
		})
	}
}

// Insert in a transaction and roll it back, or not.
func insertTx(ctx context.Context, s *side, commit bool) error {
	all, err := readSpecs()
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	results, err := c.InsertManyTx(ctx, tx, all)
	if err != nil {
		return err
	}
	if commit {
		if err := tx.Commit(ctx); err != nil {
			return err
		}
	}
	emitInserted(results)
	return nil
}

func insert(ctx context.Context, s *side, argv []string) error {
	flags := flag.NewFlagSet("insert", flag.ContinueOnError)
	many := flags.Bool("many", false, "in one statement")
	fast := flags.Bool("fast", false, "by COPY")
	rollback := flags.Bool("rollback", false, "roll it back")
	if err := flags.Parse(argv); err != nil {
		return err
	}
	if *rollback || *many {
		return insertTx(ctx, s, !*rollback)
	}
	all, err := readSpecs()
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	if *fast {
		count, err := c.InsertManyFast(ctx, all)
		if err == nil {
			emit(map[string]int{"count": count})
		}
		return err
	}
	for _, one := range all {
		result, err := c.Insert(ctx, one.Args, one.InsertOpts)
		if err != nil {
			return err
		}
		emitInserted([]*rivertype.JobInsertResult{result})
	}
	return nil
}

func uniqueKey(ctx context.Context, s *side, _ []string) error {
	return insertTx(ctx, s, false)
}
