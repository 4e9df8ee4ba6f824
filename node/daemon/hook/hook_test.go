package hook_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/node/daemon/hook"
)

// TestMain lets the test program be the command of a hook.
func TestMain(m *testing.M) {
	switch os.Getenv("HOOK_TEST") {
	case "write":
		env := os.Environ()
		slices.Sort(env)
		if err := os.WriteFile(os.Args[len(os.Args)-1], []byte(strings.Join(env, "\n")), 0o600); err != nil {
			panic(err)
		}
		fmt.Println("written")
	case "fail":
		os.Exit(3)
	default:
		os.Exit(m.Run())
	}
}

type rig struct {
	*hook.Runner
	mu       sync.Mutex
	warnings []error
	log      strings.Builder
}

func newRig(t *testing.T) *rig { return newRigWith(t, nil) }

func newRigWith(t *testing.T, transport http.RoundTripper) *rig {
	r := new(rig)
	r.Runner = hook.New(hook.Config{Agent: "test", Transport: transport, Log: slog.New(slog.NewTextHandler(r, nil)), Warn: func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.warnings = append(r.warnings, err)
	}})
	t.Cleanup(r.Close)
	return r
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

// do runs a job to its end.
func (r *rig) do(j hook.Job) {
	done := make(chan struct{})
	j.Done = func() { close(done) }
	r.Run(j)
	<-done
}

func (r *rig) warned() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(errors.Join(r.warnings...))
}

// A command gets its arguments as they are, and the facts in its environment. Its output is logged.
func TestCommandsGetTheFactsInTheirEnvironment(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	to := filepath.Join(t.TempDir(), "a $(b) ; c")
	r.do(hook.Job{About: "complete: film", Commands: [][]string{{exe, to}}, Env: []string{"HOOK_TEST=write", "TR_TORRENT_NAME=a\"; rm -rf /"}})
	b, err := os.ReadFile(to)
	if err != nil || !strings.Contains(string(b), "\nTR_TORRENT_NAME=a\"; rm -rf /") || !strings.Contains(string(b), "\nPATH=") {
		t.Errorf("%s, %v", b, err)
	}
	if !strings.Contains(r.log.String(), "output=written") {
		t.Error(r.log.String())
	}
	r.do(hook.Job{About: "complete: film", Commands: [][]string{{exe}}, Env: []string{"HOOK_TEST=fail"}})
	r.do(hook.Job{About: "complete: film", Commands: [][]string{{"/no/such program"}}})
	if w := r.warned(); !strings.Contains(w, "complete: film: "+exe+" failed: exit status 3") || !strings.Contains(w, "/no/such program failed: no such file") {
		t.Error(w)
	}
}

// A URL is tried again when its server fails, and not when it refuses.
func TestURLsAreTriedAgain(t *testing.T) {
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, req.Method+" "+req.URL.Path+" "+req.Header.Get("Content-Type")+" "+string(b))
		if req.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
		} else if len(got) < 2 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer s.Close()
	r := newRig(t)
	r.do(hook.Job{About: "x", URLs: []string{s.URL + "/yes"}, JSON: []byte(`{"a":1}`)})
	r.do(hook.Job{About: "x", URLs: []string{s.URL + "/no?token=secret"}, JSON: []byte(`{"a":1}`)})
	const yes = `POST /yes application/json {"a":1}`
	if want := []string{yes, yes, `POST /no application/json {"a":1}`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if w := r.warned(); !strings.Contains(w, "the answer is 403 Forbidden") || strings.Contains(w, "secret") || len(r.warnings) != 1 {
		t.Error(w)
	}
}

// mute is a transport that never answers.
type mute struct{ running, most atomic.Int64 }

func (m *mute) RoundTrip(req *http.Request) (*http.Response, error) {
	n := m.running.Add(1)
	defer m.running.Add(-1)
	for most := m.most.Load(); n > most && !m.most.CompareAndSwap(most, n); most = m.most.Load() {
	}
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// A server that never answers delays other jobs, fills the queue, and does not hold up Close.
func TestAMuteServerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(mute)
		r := newRigWith(t, m)
		for range 2000 {
			r.Run(hook.Job{About: "x", URLs: []string{"http://192.0.2.1/"}})
		}
		time.Sleep(time.Minute)
		if m.most.Load() != 4 {
			t.Errorf("%d run at a time", m.most.Load())
		}
		if n := strings.Count(r.warned(), hook.ErrFull.Error()); n < 990 || n > 1000 {
			t.Errorf("%d jobs did not fit", n)
		}
		began := time.Now()
		r.Close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("closing took %v", took)
		}
		synctest.Wait()
		if m.running.Load() != 0 {
			t.Errorf("%d run on", m.running.Load())
		}
	})
}
