package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// Another process can ask the publishing process for a rollback, and gets an answer. The
// request leaves no files.
func TestRollbackByThePublishingProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		state := t.TempDir()
		public := testKey(0).Public().(ed25519.PublicKey)
		ask := func(seq int64) (Answer, error) {
			return RequestRollback(t.Context(), state, public, nil, seq, false)
		}
		if _, err := ask(1); !errors.Is(err, ErrNotPublishing) {
			t.Error("before anything was published:", err)
		}
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state))
		dir := nodetest.Site(t, 3)
		p := a.publish(testKey(0), dir)
		first := newest(p).InfoHash
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		if _, err := p.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		answer, err := ask(1)
		if err != nil || answer.Seq != 3 || answer.Link != p.Link() {
			t.Fatalf("%+v, %v", answer, err)
		}
		if v := newest(p); v.Seq != 3 || v.InfoHash != first || p.Torrent().InfoHash().String() != first {
			t.Errorf("%+v", v)
		}
		// Repeating the request changes nothing, so a lost answer does no harm.
		if answer, err = ask(1); err != nil || answer.Seq != 3 {
			t.Errorf("%+v, %v", answer, err)
		}
		var f *node.Fault
		if _, err := ask(7); !errors.As(err, &f) || f.Kind != node.FaultUsage || !strings.Contains(err.Error(), "no version 7") || f.Hint() == "" {
			t.Error(err)
		}
		// A refused request has no effect: a change is still noticed and published.
		filetest.Write(t, filepath.Join(dir, "newer"), []byte("newer"))
		if _, err := ask(7); err == nil {
			t.Error("there is no version 7")
		}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan error, 1)
		go func() { watched <- p.Watch(ctx, time.Second) }()
		nodetest.Until(t, time.Minute, "the change is published", func() bool { return newest(p).Seq == 4 })
		cancel()
		if err := <-watched; err != nil {
			t.Error(err)
		}
		if left := filetest.Entries(t, filepath.Join(state, "publications", "requests")); len(left) != 0 {
			t.Error("left of the requests:", left)
		}
		a.Node.Close()
		if _, err := ask(1); !errors.Is(err, ErrNotPublishing) {
			t.Error("the process has ended:", err)
		}
	})
}

// If the publishing process does not answer, the request fails after a while. If that
// process ends, the requesting process does the work. If the requester stops waiting, the
// request is withdrawn.
func TestRequestsThatAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		public := testKey(0).Public().(ed25519.PublicKey)
		target := targetOf(keyLink(testKey(0)))
		requests := filepath.Join(state, "publications", "requests")
		lock := func() *folder {
			t.Helper()
			f, err := openFolder(state, target) // to others, it looks like a publishing process
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		held := lock()
		var f *node.Fault
		if _, err := RequestRollback(t.Context(), state, public, nil, 1, false); !errors.As(err, &f) || f.Kind != node.FaultConflict {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := RequestRollback(ctx, state, public, nil, 1, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.AfterFunc(time.Second, func() { _ = held.close() })
		if _, err := RequestRollback(t.Context(), state, public, nil, 1, false); !errors.Is(err, ErrNotPublishing) {
			t.Error(err)
		}
		if left := filetest.Entries(t, requests); len(left) != 0 {
			t.Error("left of the requests:", left)
		}
	})
}

// Invalid files in the requests folder, and those for another process, are left alone while
// they are new and deleted when they are old.
func TestForeignRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		a := start(t, n, 1)
		requests := filepath.Join(a.State, "publications", "requests")
		other := `{"target":"` + targetOf(keyLink(testKey(5))).String() + `","rollback":1}`
		filetest.Write(t, filepath.Join(requests, "x.request"), []byte("nonsense"))
		filetest.Write(t, filepath.Join(requests, "y.request"), []byte(other))
		time.Sleep(10 * requestEvery)
		if left := filetest.Entries(t, requests); len(left) != 2 {
			t.Error(left)
		}
		old := time.Now().Add(-staleAge - time.Second)
		for _, name := range []string{"x.request", "y.request"} {
			if err := os.Chtimes(filepath.Join(requests, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * requestEvery)
		if left := filetest.Entries(t, requests); len(left) != 0 {
			t.Error("files of killed processes are left:", left)
		}
	})
}
