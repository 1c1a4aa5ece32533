package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

func (s *side) migrator() (*rivermigrate.Migrator[pgx.Tx], error) {
	return rivermigrate.New(riverpgxv5.New(s.pool), &rivermigrate.Config{
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Schema: s.schema,
	})
}

func validate(ctx context.Context, s *side, _ []string) error {
	m, err := s.migrator()
	if err != nil {
		return err
	}
	result, err := m.Validate(ctx, nil)
	if err != nil {
		return err
	}
	emit(map[string]any{"ok": result.OK, "messages": result.Messages})
	return nil
}

// "up" without a version goes to the newest, "down 0" leaves nothing.
func migrate(ctx context.Context, s *side, argv []string) error {
	if len(argv) < 1 || len(argv) > 2 {
		return fmt.Errorf("migrate up|down [VERSION]")
	}
	m, err := s.migrator()
	if err != nil {
		return err
	}
	opts := &rivermigrate.MigrateOpts{}
	if len(argv) == 2 {
		opts.TargetVersion, err = strconv.Atoi(argv[1])
		if err != nil {
			return err
		}
		if opts.TargetVersion == 0 {
			opts.TargetVersion = -1
		}
	}
	result, err := m.Migrate(ctx, rivermigrate.Direction(argv[0]), opts)
	if err != nil {
		return err
	}
	for _, version := range result.Versions {
		emit(map[string]any{"version": version.Version})
	}
	return nil
}

func versions(ctx context.Context, s *side, _ []string) error {
	m, err := s.migrator()
	if err != nil {
		return err
	}
	for _, version := range m.AllVersions() {
		emit(map[string]any{"version": version.Version})
	}
	return nil
}
