package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// find returns the newest version of s. If a newer item was pushed, that names it, and the DHT is not
// asked unless that is overdue; isPushed reports this. A version of a key that its owner has revoked does not
// count, nor does one that is older than what was seen before, in this run or an earlier one.
func (l *Library) find(ctx context.Context, s *site, pushed map[id.ID32]dht.Item, isOverdue bool) (v *delegation.Version, isPushed bool, err error) {
	link, err := l.link(ctx, s.addr)
	if err != nil {
		return nil, false, err
	}
	if s.link == nil || s.link.PublicKey != link.PublicKey || !bytes.Equal(s.link.Salt, link.Salt) || s.link.Secret != link.Secret {
		l.unsubscribe(s)
		l.mu.Lock()
		if s.link != nil && s.link.Secret.CanRead() && s.link.Secret != link.Secret {
			s.close() // the secret that has decrypted the version was taken away
		}
		s.link = link
		l.mu.Unlock()
		s.judge = delegation.New(link)
		l.reopen(ctx, s)
	}
	counted := false
	for _, key := range s.judge.Keys() { // the key of the link first: its item names the others
		if item, ok := pushed[key]; ok && s.judge.Offer(node.SignedItem(item), time.Now()) == nil {
			counted = true
		}
	}
	if counted && !isOverdue {
		if v, ok := l.newest(s); ok {
			return &v, true, nil
		}
	}
	v, err = l.ask(ctx, s)
	return v, false, err
}

// ask asks the DHT for the newest version of s.
func (l *Library) ask(ctx context.Context, s *site) (*delegation.Version, error) {
	found, rejected, err := l.items.FindNewest(ctx, s.link, s.judge)
	v, ok := l.newest(s)
	switch {
	case ok && (err == nil || ctx.Err() == nil):
		return &v, nil
	case err != nil:
		return nil, unavailable(err)
	case errors.Is(rejected, mutable.ErrPrivate):
		return nil, &Failure{Code: http.StatusForbidden, Retry: 30, Title: "Private", Text: "This publication is private, and the gateway does not have its secret.",
			Hint: "Start the gateway with the link to read it as an argument."}
	case rejected != nil:
		return nil, &Failure{Code: http.StatusBadGateway, Retry: 30, Title: "Not a publication", Text: fmt.Sprintf("What is published under %v does not name a torrent.", s.addr)}
	case found[s.link.PublicKey].Answered == 0:
		return nil, &Failure{Code: http.StatusServiceUnavailable, Retry: 5, Title: "Not connected", Text: "No node of the DHT answers, so the publication cannot be looked for.",
			Hint: "The gateway has just started, or has no connection to the internet."}
	}
	return nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 30, Title: "Nothing is published here", Text: fmt.Sprintf("No node of the DHT knows a version of %v.", s.addr),
		Hint: "The address is wrong, or neither the publisher nor a follower that keeps the link alive has been online for two hours."}
}

// newest returns the newest version of s that is known, and records it, so that a later run serves nothing
// older. The record can be newer, because a publication may be asked for by its key and by a name.
func (l *Library) newest(s *site) (delegation.Version, bool) {
	l.known.recall(s.judge, s.link)
	v, ok := s.judge.Newest()
	if ok {
		l.known.save(s.judge, s.link)
	}
	v.Seq = v.Number
	return v, ok
}

// reopen serves the newest version of an earlier run until the DHT has answered.
func (l *Library) reopen(ctx context.Context, s *site) {
	v, ok := l.newest(s)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	opened, c, err := l.open(ctx, s, &v)
	if err != nil {
		return // its copy was deleted, so that its metadata is fetched again, after the answer of the DHT
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.version, s.copy, s.newest = opened, c, &v
}

// open opens a version of s, of which new items are pushed from then on.
func (l *Library) open(ctx context.Context, s *site, v *delegation.Version) (*Version, *held, error) {
	l.subscribe(s, v.InfoHash)
	l.mu.Lock()
	before := s.copy
	l.mu.Unlock()
	c, files, err := l.copies.open(ctx, v.Pin(s.link), s.link, before)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	return versionOf(c, files, s.link, v.Number), c, nil
}

// private returns the link to read a private publication, or nil if the gateway has none.
func (l *Library) private(a Address) *magnet.Link {
	if l.cfg.Private == nil {
		return nil
	}
	for _, link := range l.cfg.Private() {
		if link.Secret.CanRead() && AddressOf(link) == a {
			return link
		}
	}
	return nil
}

// link returns the link of a publication.
func (l *Library) link(ctx context.Context, a Address) (*magnet.Link, error) {
	if a.Name == "" {
		var salt []byte
		if a.Salt != "" {
			salt = []byte(a.Salt)
		}
		link := mutable.Link(a.Key, salt, "")
		if private := l.private(a); private != nil {
			return private, nil
		}
		return link, nil
	}
	if l.cfg.Names == nil {
		return nil, &Failure{Code: http.StatusNotFound, Title: "Names are not supported", Text: "This gateway does not resolve names.", Hint: "Use the address with the public key."}
	}
	link, err := l.cfg.Names.Resolve(ctx, a.Name)
	if err != nil {
		return nil, &Failure{Code: http.StatusBadGateway, Retry: 30, Title: "The name does not lead to a publication", Text: err.Error()}
	}
	return link, nil
}

// unavailable returns the failure for an error of a lookup or a torrent.
func unavailable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Failure{Code: http.StatusGatewayTimeout, Retry: 10, Title: "No peer yet", Text: "The version is known, but no peer that has it could be reached so far."}
	}
	var f *node.Fault
	text, hint := err.Error(), ""
	if errors.As(err, &f) {
		hint = f.Hint()
	}
	return &Failure{Code: http.StatusServiceUnavailable, Retry: 10, Title: "Not available", Text: cmp.Or(text, "The publication cannot be read."), Hint: hint}
}
