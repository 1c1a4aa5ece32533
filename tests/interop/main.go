// River's side of the interoperation tests: the real Go client, driven by
// interop.t.  It has the same subcommands as weir-side.c, and prints one JSON
// object a line, so that the tests can put either side in either place.
//
//	river-side [--db CONNINFO] [--schema NAME] COMMAND [FLAGS] [ARGS...]
//
//	insert [--many|--fast] [--rollback]   jobs from stdin, one a line
//	unique-key                            the same, rolled back
//	work [FLAGS]                          until stdin says stop, or ends
//	list, get ID..., cancel ID..., retry ID..., delete ID...
//	output ID JSON                        Client.JobUpdate
//	pause QUEUE, resume QUEUE, queues
//	resign                                ask the leader to resign
//	validate, migrate up|down [VERSION]
//	versions                              all that this River knows
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

type client = river.Client[pgx.Tx]

// What all commands share.
type side struct {
	pool   *pgxpool.Pool
	schema string
}

type command func(ctx context.Context, s *side, args []string) error

var commands = map[string]command{
	"insert":     insert,
	"unique-key": uniqueKey,
	"work":       work,
	"list":       list,
	"get":        get,
	"cancel":     cancelJobs,
	"retry":      retryJobs,
	"delete":     deleteJobs,
	"output":     setOutput,
	"pause":      pause,
	"resume":     resume,
	"queues":     queues,
	"resign":     resign,
	"validate":   validate,
	"migrate":    migrate,
	"versions":   versions,
}

// A client that works nothing: no queues, no leader.
func (s *side) client() (*client, error) {
	return river.NewClient(riverpgxv5.New(s.pool), &river.Config{
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Schema: s.schema,
	})
}

var printing sync.Mutex

// Workers print as well, so lines must not be mixed.
func emit(line any) {
	printing.Lock()
	defer printing.Unlock()
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	if err := out.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, "river-side:", err)
		os.Exit(1)
	}
}

func run() error {
	db := flag.String("db", os.Getenv("WEIR_TEST_PG"), "conninfo or URL")
	schema := flag.String("schema", "", "the schema of River's tables")
	flag.Parse()
	if flag.NArg() < 1 {
		return fmt.Errorf("no command")
	}
	cmd, ok := commands[flag.Arg(0)]
	if !ok {
		return fmt.Errorf("%s: no such command", flag.Arg(0))
	}
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, *db)
	if err != nil {
		return err
	}
	defer pool.Close()
	return cmd(ctx, &side{pool: pool, schema: *schema}, flag.Args()[1:])
}

func main() {
	if err := run(); err != nil {
		emit(map[string]string{"error": err.Error()})
		os.Exit(1)
	}
}
