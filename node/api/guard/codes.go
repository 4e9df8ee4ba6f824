package guard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"seedbed/node/daemon/token"
)

const (
	// CodeWithin is how long a code for a login is valid.
	CodeWithin = time.Minute
	// maxCodes limits the codes that are valid at once. A code beyond it ends the oldest one.
	maxCodes = 16
)

// codes are texts that each begin one session. A code is in a URL, which a browser remembers, so
// that it must be of no use afterwards.
type codes struct {
	mu    sync.Mutex
	valid []code // in the order in which they were made
}

type code struct {
	hash    [sha256.Size]byte // comparing hashes takes a time that says nothing about the text
	expires time.Time
	credential
	what any
}

// add makes a code for a session with a credential.
func (s *codes) add(c credential, what any) (text string) {
	text = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if len(s.valid) == maxCodes {
		s.valid = s.valid[1:]
	}
	s.valid = append(s.valid, code{sha256.Sum256([]byte(text)), time.Now().Add(CodeWithin), c, what})
	return text
}

// use returns a code, which is not valid any more.
func (s *codes) use(text string) (code, bool) {
	hash := sha256.Sum256([]byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	for i, c := range s.valid {
		if c.hash == hash {
			s.valid = append(s.valid[:i:i], s.valid[i+1:]...)
			return c, true
		}
	}
	return code{}, false
}

// expire drops the codes that have expired. The caller holds mu.
func (s *codes) expire() {
	now := time.Now()
	for len(s.valid) > 0 && !s.valid[0].expires.After(now) {
		s.valid = s.valid[1:]
	}
}

// NewCode makes a code with which LoginWithCode begins one session within CodeWithin. The session may do
// what the request that asks for the code may do, and ends with the token of that request. LoginWithCode
// returns what.
func (g *Guard) NewCode(ctx context.Context, what any) string {
	return g.codes.add(callerOf(ctx).credential, what)
}

// LoginWithCode begins a session of our own page for a client that knows a code. A code is valid once. It
// returns the token of the session and what the code was made with.
func (g *Guard) LoginWithCode(w http.ResponseWriter, r *http.Request, text string) (t token.Token, what any, err error) {
	c, ok := g.codes.use(text)
	t, valid := g.check(c.credential)
	if !ok || !valid {
		return token.Token{}, nil, g.failed(r, ErrWrongCode)
	}
	g.sessions.begin(w, r, g.sessions.page, c.credential)
	return t, c.what, nil
}
