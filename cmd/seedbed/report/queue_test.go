package report

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// While messages are read, Write returns when its message is written.
func TestAQueueWritesAtOnce(t *testing.T) {
	var out strings.Builder
	q := NewQueue(&out)
	for i := range 100 {
		fmt.Fprintf(q, "%d\n", i)
		if got := out.String(); !strings.HasSuffix(got, fmt.Sprintf("%d\n", i)) {
			t.Fatalf("after message %d: %q", i, got)
		}
	}
	q.Close(t.Context())
}

// If nobody reads, writers go on: they wait once, and what does not fit is counted.
func TestAQueueThatNobodyReadsBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		q := NewQueue(w)
		const all = 20_000
		message := strings.Repeat("x", 50) + "\n"
		began := time.Now()
		for range all {
			_, _ = io.WriteString(q, message)
		}
		if took := time.Since(began); took != queueWait {
			t.Errorf("the writers waited for %v", took)
		}
		got, dropped := 0, 0
		read := make(chan struct{})
		go func() {
			defer close(read)
			for lines := bufio.NewScanner(r); lines.Scan(); {
				if _, err := fmt.Sscanf(lines.Text(), "seedbed: %d messages dropped", &dropped); err != nil {
					got++
				}
				if dropped > 0 {
					return
				}
			}
		}()
		<-read
		if got+dropped != all || got*len(message) < queueSize/2 || got*len(message) > 3*queueSize {
			t.Errorf("%d messages read, %d dropped, of %d", got, dropped, all)
		}
		began = time.Now()
		go func() { _, _ = io.Copy(io.Discard, r) }()
		_, _ = io.WriteString(q, "later\n") // it is read again, so it is written at once
		q.Close(t.Context())
		if took := time.Since(began); took != 0 {
			t.Errorf("it ended after %v", took)
		}
		w.Close()
	})
}

// Closing waits for a reader, until the context ends.
func TestClosingAQueueThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		q := NewQueue(w)
		_, _ = io.WriteString(q, "x\n")
		ctx, cancel := context.WithCancel(t.Context())
		closed := make(chan struct{})
		go func() { q.Close(ctx); close(closed) }()
		time.Sleep(time.Hour)
		select {
		case <-closed:
			t.Error("the message was given up")
		default:
		}
		cancel()
		began := time.Now()
		<-closed
		if took := time.Since(began); took < Unread || took > 2*Unread {
			t.Errorf("it gave up after %v", took)
		}
		r.Close() // ends the goroutine
	})
}
