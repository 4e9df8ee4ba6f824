package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/node"
)

// site is a publication that was asked for. Library.mu guards it.
type site struct {
	addr    Address
	version *Version  // the newest; nil if none is known
	copy    *held     // of version
	checked time.Time // when the DHT was last asked; pushed items do not count

	failure error // of the last lookup
	failed  time.Time
	looking chan struct{}

	queue     *node.ItemQueue      // items that deliver has not taken yet
	arrived   map[id.ID32]dht.Item // by key: items of queue, for the next lookup
	interrupt context.CancelFunc   // ends the wait of the lookup that runs; nil if none runs
	subs      map[id.ID32]*node.ItemSubscription
	isDropped bool // the library has forgotten it

	link   *magnet.Link        // only the lookup that runs changes it
	newest *delegation.Version // version, as its item has it

	// Only the lookup that runs uses it.
	judge *delegation.Judge // has seen all items of link that were found so far
}

// use returns the known version, which is read until done is called, or nil. Library.mu is held.
func (s *site) use() (*Version, func()) {
	if s.version == nil {
		return nil, nil
	}
	done, ok := s.copy.use()
	if !ok { // the copy was deleted, or the user has added the torrent
		s.close()
		return nil, nil
	}
	return s.version, done
}

// close forgets the version, which can no longer be read. Library.mu is held.
func (s *site) close() {
	s.version, s.copy, s.newest, s.failure, s.checked = nil, nil, nil, nil, time.Time{}
}

// site returns the site with that address. mu is held.
func (l *Library) site(a Address) *site {
	s, ok := l.sites.Get(a)
	if !ok {
		s = &site{addr: a, arrived: map[id.ID32]dht.Item{}, subs: map[id.ID32]*node.ItemSubscription{}}
		s.queue = node.NewItemQueue(func() { l.inbox.signal(s) })
		l.sites.Add(a, s)
	}
	if s.version != nil && s.link.Secret.CanRead() && l.private(a) == nil { // the gateway may not read it any more
		s.close()
	}
	return s
}

// drop ends the subscriptions of a site that is forgotten. mu is held.
func (l *Library) drop(s *site) {
	s.isDropped = true
	for _, sub := range s.subs {
		sub.Close()
	}
	clear(s.subs)
}

var (
	busy    = &Failure{Code: http.StatusServiceUnavailable, Retry: 2, Title: "Busy", Text: "Too many publications are being looked for at this moment."}
	tooMany = &Failure{Code: http.StatusTooManyRequests, Retry: 2, Title: "Too many publications", Text: "Your network asks for more publications than one client may."}
)

// admit takes a place for a lookup that a client causes, or returns why it may not cause one.
func (l *Library) admit(client netip.Prefix) *Failure {
	switch {
	case l.ctx.Err() != nil:
		return busy
	case l.cfg.limitClients && !l.rates.allow(client):
		return tooMany
	case !l.lookups.take(client):
		return busy
	}
	return nil
}

// look starts to look for a newer version of s. A place was taken for it. mu is held.
func (l *Library) look(s *site, client netip.Prefix) {
	s.looking = make(chan struct{})
	l.tasks.Go(func() {
		defer l.lookups.give(client)
		ctx, cancel := context.WithTimeout(l.ctx, lookFor)
		defer cancel()
		for !l.attempt(ctx, s) {
		}
	})
}

// attempt looks for the newest version of s. It returns false if an item was pushed meanwhile, so that
// another attempt is due.
//
// The holder of a key that was revoked could hide the revocation by pushing one item after another. So pushed
// items do not replace asking the DHT for longer than staleAfter, and an attempt asks the DHT without
// interruption if that is overdue, or if the attempt began because of an item that does not count.
func (l *Library) attempt(ctx context.Context, s *site) (finished bool) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	pushed := s.arrived
	s.arrived, s.interrupt = map[id.ID32]dht.Item{}, cancel
	isOverdue := time.Since(s.checked) >= staleAfter
	l.mu.Unlock()

	finding := wait
	if isOverdue || len(pushed) > 0 {
		finding = ctx // not interrupted
	}
	v, isPushed, err := l.find(finding, s, pushed, isOverdue)
	l.mu.Lock()
	if !isPushed && !errors.Is(finding.Err(), context.Canceled) {
		s.checked = time.Now()
	}
	known := s.version
	l.mu.Unlock()
	var opened *Version
	var c *held
	if err == nil && (known == nil || v.Number != known.Seq || v.InfoHash != known.InfoHash) {
		opened, c, err = l.open(wait, s, v)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if opened != nil {
		s.version, s.copy, s.newest = opened, c, v
	}
	if len(s.arrived) > 0 && ctx.Err() == nil {
		return false
	}
	close(s.looking)
	s.looking, s.interrupt, s.failure, s.failed = nil, nil, err, time.Now()
	return true
}
