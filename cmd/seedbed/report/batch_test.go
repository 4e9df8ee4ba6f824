package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
)

// writes records each write.
type writes [][]byte

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, bytes.Clone(b))
	return len(b), nil
}

// Lines that are reported together are written together, as the same bytes, and in writes that a pipe does not mix with those
// of others.
func TestLinesOfABatchAreWrittenTogether(t *testing.T) {
	now := time.Unix(1, 0).UTC()
	events := make([]Event, 500)
	for i := range events {
		name := strings.Repeat("x\u202e", i)
		events[i] = EventOf(&node.Event{Kind: node.Added, Time: now, InfoHash: id.ID{byte(i)}, Name: name, Magnet: "magnet:?dn=" + name})
	}
	var one, held writes
	a, b := NewJSON(&one), NewJSON(&held)
	release := b.Hold()
	for _, e := range events {
		a.Event(e)
		b.Event(e)
	}
	release()
	if got, want := bytes.Join(held, nil), bytes.Join(one, nil); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes in a batch, %d line by line", len(got), len(want))
	}
	if len(one) != len(events) || len(held) >= len(one) {
		t.Errorf("%d writes line by line, %d in a batch, of %d lines", len(one), len(held), len(events))
	}
	for _, w := range held {
		lines := bytes.Count(w, []byte("\n"))
		if w[len(w)-1] != '\n' || lines > 1 && len(w) > 4096 {
			t.Errorf("a write of %d bytes has %d lines", len(w), lines)
		}
	}
	b.Event(events[0])
	if last := held[len(held)-1]; !bytes.Equal(last, one[0]) {
		t.Errorf("after the batch, a line is held back: the last write is %q", last)
	}
}
