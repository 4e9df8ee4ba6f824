package guard

import (
	"context"
	"sync"

	"seedbed/node/daemon/token"
)

// requests are the requests that are being answered. An event stream or a download may go on for hours, and must
// not outlive the token or the session that allowed it.
type requests struct {
	mu  sync.Mutex
	all map[*request]struct{}
}

type request struct {
	credential
	end context.CancelFunc
}

// add notes a request until done is called.
func (s *requests) add(c credential, end context.CancelFunc) (done func()) {
	r := &request{c, end}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*request]struct{}{}
	}
	s.all[r] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, r)
	}
}

// endIf ends the requests for whose credential matches returns true.
func (s *requests) endIf(matches func(credential) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.all {
		if matches(r.credential) {
			r.end()
		}
	}
}

// Revoke revokes the token with that id, or all tokens with that name, and returns them. It ends their sessions and
// the requests that are being answered with them.
func (g *Guard) Revoke(which string) ([]token.Token, error) {
	revoked, err := g.cfg.Tokens.Revoke(which)
	if err == nil {
		g.sessions.endWithout(g.gives)
		g.requests.endIf(func(c credential) bool { return c != credential{} && !g.gives(c) })
	}
	return revoked, err
}
