package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/node/daemon"
)

// posts is a server that receives hooks. While it refuses, it answers with 403.
type posts struct {
	*httptest.Server
	got    chan daemon.HookPost
	answer chan int // the status of the next answer
}

func newPosts(t *testing.T) *posts {
	p := &posts{got: make(chan daemon.HookPost, 10), answer: make(chan int, 10)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var h daemon.HookPost
		if err == nil {
			err = json.Unmarshal(b, &h)
		}
		if err != nil {
			t.Error(err)
		}
		p.got <- h
		select {
		case status := <-p.answer:
			w.WriteHeader(status)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// The hooks of a download run when it is in its final folder. If the process ends before they have
// run, they run in the next one; after that, never again.
func TestHooksOfADownloadRunUntilTheyHaveRun(t *testing.T) {
	dir := t.TempDir()
	torrent := shared(t, filepath.Join(dir, "seed", "data"), "film")
	seed := openGiven(t, filepath.Join(dir, "seed"), daemon.DefaultSettings())
	s, _, err := seed.Add(t.Context(), daemon.AddRequest{Torrent: torrent, Seed: true})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	p := newPosts(t)
	opened := func() *daemon.Daemon {
		set := daemon.DefaultSettings()
		set.IncompleteDir = filepath.Join(dir, "incomplete")
		set.Hooks.URLs = []string{p.URL}
		return openGiven(t, dir, set)
	}
	d := opened()
	p.answer <- 200
	x, _, err := d.Add(t.Context(), daemon.AddRequest{Torrent: torrent, Labels: []string{"a"}, Peers: []string{seed.Node().Addrs()[0].String()}})
	if err != nil {
		t.Fatal(err)
	}
	if h := <-p.got; h.Hook != "added" || h.Torrent.Name != "film" || h.Labels[0] != "a" {
		t.Errorf("%s %+v", h.Hook, h.Torrent)
	}
	h := <-p.got // and gets no answer
	if h.Hook != "complete" || h.Dir != d.Dir() || h.Number != 1 {
		t.Errorf("%s %+v", h.Hook, h.Torrent)
	}
	if _, err := os.Stat(filepath.Join(h.Dir, "film")); err != nil {
		t.Error(err)
	}
	if x.Details().Reported {
		t.Error("the hooks count as run")
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = opened()
	if h := <-p.got; h.Hook != "complete" {
		t.Errorf("%s %+v", h.Hook, h.Torrent)
	}
	events := d.Node().Subscribe()
	p.answer <- 200
	if x, err = d.Find("1"); err != nil {
		t.Fatal(err)
	}
	for !x.Details().Reported {
		<-events.Ready()
		events.Take()
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = opened()
	p.answer <- 200
	if _, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Paused: true}); err != nil {
		t.Fatal(err)
	}
	if h := <-p.got; h.Hook != "added" {
		t.Errorf("%s %+v", h.Hook, h.Torrent)
	}
}

// The hook of a torrent that was added runs even if the client has stopped waiting before.
func TestAnAddThatNobodyWaitsForRunsItsHook(t *testing.T) {
	p := newPosts(t)
	set := daemon.DefaultSettings()
	set.Hooks.URLs = []string{p.URL}
	d := openGiven(t, t.TempDir(), set)
	gone, leave := context.WithCancel(t.Context())
	leave()
	p.answer <- 200
	if _, _, err := d.Add(gone, daemon.AddRequest{Link: strings.Repeat("ab", 20), Paused: true}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if h := <-p.got; h.Hook != "added" {
		t.Errorf("%s %+v", h.Hook, h.Torrent)
	}
}
