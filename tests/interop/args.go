package main

import (
	"encoding/json"
)

// Args of whatever kind, as the bytes that they are.  One Go type stands for
// all kinds that a worker knows: the first is its kind, the rest its aliases.
type anyArgs struct {
	kind string
	raw  json.RawMessage
}

var knownKinds = []string{"ok", "fail", "panic", "snooze", "cancel", "output",
	"slow", "deaf", "complete_tx", "resumable"}

func (a anyArgs) Kind() string {
	if a.kind != "" {
		return a.kind
	}
	return knownKinds[0]
}

func (a anyArgs) KindAliases() []string {
	return knownKinds[1:]
}

func (a anyArgs) MarshalJSON() ([]byte, error) {
	if len(a.raw) == 0 {
		return []byte("{}"), nil
	}
	return a.raw, nil
}

func (a *anyArgs) UnmarshalJSON(raw []byte) error {
	a.raw = append(a.raw[:0], raw...)
	return nil
}

// River takes the fields that make a job unique from the tags of a struct, so
// there is a kind for these: weir's unique_fields "account", "nested.id",
// "nested.key" and "zone".
type selectedNested struct {
	Other json.RawMessage `json:"other,omitempty"`
	Key   json.RawMessage `json:"key,omitempty" river:"unique"`
	ID    json.RawMessage `json:"id,omitempty" river:"unique"`
}

type selectedArgs struct {
	Zone    json.RawMessage `json:"zone,omitempty" river:"unique"`
	Account json.RawMessage `json:"account,omitempty" river:"unique"`
	Other   json.RawMessage `json:"other,omitempty"`
	Nested  *selectedNested `json:"nested,omitempty"`
}

const selectedKind = "conformance_selected_args"

func (selectedArgs) Kind() string { return selectedKind }
