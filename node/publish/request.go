package publish

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// Only the process that publishes under a key can make its next version. Another process
// with the same state directory sends it requests through three files, which are created
// and renamed atomically:
//
//	publications/requests/ID.request  the request, written by the requesting process
//	publications/requests/ID.taken    the same file, renamed by the publishing process
//	publications/requests/ID.answer   the result, deleted by the requesting process
//
// The publishing process looks for requests every requestEvery. A request that is not taken
// within takeTimeout is withdrawn. If the publishing process ends first, its lock is
// released, and the requesting process can publish itself.

const (
	requestEvery = time.Second
	answerEvery  = 100 * time.Millisecond
	takeTimeout  = 15 * time.Second
	// staleAge is the age from which a file is considered left over by a killed process.
	staleAge = 10 * time.Minute
)

// request is the content of a request file.
type request struct {
	Target   string `json:"target"`
	Rollback int64  `json:"rollback"`
	Overrule bool   `json:"overrule,omitempty"`
}

// Answer is the result of a request.
type Answer struct {
	Seq  int64  `json:"seq"` // number of the newest version after the request
	Link string `json:"link"`

	// Set if the request failed.
	Error string         `json:"error,omitempty"`
	Kind  node.FaultKind `json:"kind,omitempty"`
	Hint  string         `json:"hint,omitempty"`
}

// ErrNotPublishing is the error if no process currently publishes under the key.
var ErrNotPublishing = errors.New("no process publishes this now")

// RequestRollback asks the process that publishes under a key to publish an earlier version
// again, and waits for its answer. state is the state directory of both processes. The error
// is ErrNotPublishing if there is no such process, or if it ends before it answers.
func RequestRollback(ctx context.Context, state string, key ed25519.PublicKey, salt []byte, seq int64, overrule bool) (Answer, error) {
	target := dht.ItemTarget([ed25519.PublicKeySize]byte(key), salt).String()
	lock := filepath.Join(publicationsDir(state), target, "lock")
	if !isLocked(lock) {
		return Answer{}, ErrNotPublishing
	}
	b, err := json.Marshal(request{target, seq, overrule})
	if err != nil {
		return Answer{}, err
	}
	base := filepath.Join(requestsDir(state), rand.Text())
	if err := statefile.MkdirAll(requestsDir(state)); err != nil {
		return Answer{}, err
	}
	if err := statefile.Write(base+".request", b); err != nil {
		return Answer{}, err
	}
	defer func() {
		for _, suffix := range []string{".request", ".taken", ".answer"} {
			os.Remove(base + suffix)
		}
	}()
	for began := time.Now(); ; {
		if b, err := statefile.Read(base + ".answer"); err == nil {
			return parseAnswer(b)
		}
		if !isLocked(lock) {
			return Answer{}, ErrNotPublishing
		}
		if time.Since(began) > takeTimeout && os.Remove(base+".request") == nil {
			return Answer{}, node.NewFault(node.FaultConflict, errors.New("another seedbed process is publishing this and does not answer"), "stop that process first")
		}
		if err := await.Sleep(ctx, answerEvery); err != nil {
			return Answer{}, err
		}
	}
}

func parseAnswer(b []byte) (a Answer, err error) {
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("cannot read the answer of the publishing process: %w", err)
	}
	if a.Error != "" {
		return a, node.NewFault(a.Kind, errors.New(a.Error), a.Hint)
	}
	return a, nil
}

func requestsDir(state string) string { return filepath.Join(publicationsDir(state), "requests") }

// isLocked reports whether a process holds the lock file at path.
func isLocked(path string) bool {
	if _, err := os.Lstat(path); err != nil {
		return false
	}
	l, err := statefile.TryLock(path)
	if err == nil {
		_ = l.Release()
	}
	return errors.Is(err, statefile.ErrLocked)
}

// serveRequests answers the requests of other processes until the publisher ends.
func (p *Publisher) serveRequests() {
	for await.Sleep(p.ctx, requestEvery) == nil {
		dir := requestsDir(p.node.StateDir())
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // no request was ever made
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			st, err := e.Info()
			base, asks := strings.CutSuffix(path, ".request")
			switch {
			case err != nil || !st.Mode().IsRegular():
			case time.Since(st.ModTime()) > staleAge:
				os.Remove(path)
			case asks:
				p.takeRequest(base)
			}
		}
	}
}

// takeRequest handles a request if it is for a publication of this process. It does not wait for the result, because one
// publication must not wait for another, which may wait for the object store. The requests for one wait for each other (making).
func (p *Publisher) takeRequest(base string) {
	b, err := statefile.Read(base + ".request")
	var r request
	if err != nil || json.Unmarshal(b, &r) != nil {
		return
	}
	target, err := id.ParseHex(r.Target)
	if err != nil {
		return
	}
	p.mu.Lock()
	pub := p.open[target]
	p.mu.Unlock()
	if pub == nil || os.Rename(base+".request", base+".taken") != nil {
		return // another process publishes it, or the request was withdrawn
	}
	p.wg.Go(func() { pub.answer(base, &r) })
}

// answer handles a request that was taken.
func (p *Publication) answer(base string, r *request) {
	var a Answer
	defer os.Remove(base + ".taken")
	if err := p.Rollback(p.publisher.ctx, r.Rollback, r.Overrule); err != nil {
		if p.publisher.ctx.Err() != nil {
			return // the lock is released soon
		}
		a.Error = err.Error()
		var f *node.Fault
		if errors.As(err, &f) {
			a.Kind, a.Hint = f.Kind, f.Hint()
		}
	} else {
		v := p.Versions()
		a.Seq, a.Link = v[len(v)-1].Seq, p.Link()
	}
	b, err := json.Marshal(a)
	if err == nil {
		err = statefile.Write(base+".answer", b)
	}
	if err != nil {
		p.warn(fmt.Errorf("cannot answer a request to publish version %d again: %w", r.Rollback, err))
	}
}
