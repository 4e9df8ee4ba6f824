package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

const (
	// freshFor is how long the newest version counts as such. After that, a request is answered with it,
	// and the DHT is asked in the background.
	freshFor = 30 * time.Second
	// staleAfter is how old the newest version may be to be served before the DHT has answered.
	staleAfter = 10 * time.Minute
	// failedFor is how long a failure is the answer, before the DHT is asked again.
	failedFor = 15 * time.Second
	// waitFor is how long a request waits for a publication that is not known yet, and staleWait for
	// one that is old.
	waitFor   = 30 * time.Second
	staleWait = 3 * time.Second
	// lookFor limits a lookup, with the metadata of the version. It goes on when no request waits.
	lookFor = 2 * time.Minute
	// maxSites is the number of publications that are remembered, and maxLookups that of lookups at a time.
	maxSites   = 4096
	maxLookups = 64
)

// A Resolver finds the publication that a DNS name names.
type Resolver interface {
	Resolve(ctx context.Context, domain string) (*magnet.Link, error)
}

// DefaultCacheSize is the default of Config.CacheSize.
const DefaultCacheSize = 10 << 30

// Config configures a Library.
type Config struct {
	Node  *node.Node // required, with the DHT
	Dir   string     // the folder of the copies; required
	Names Resolver   // nil: names are not resolved
	Peers []string   // HOST:PORT of peers to try for every publication
	// CacheSize is how many bytes all copies may take, and Quota how many of them those of one version; 0
	// means DefaultCacheSize, and CacheSize. The limits are checked every ten seconds, and copies that are
	// being read are not deleted, so that for a while there may be more.
	CacheSize, Quota int64
	// Allow reports whether a publication may be served; nil allows all.
	Allow func(Address) bool
	Log   *slog.Logger // nil disables logging
	// Private has the links to read the private publications that are served (docs/privacy.md).
	// Their secrets are not part of any address.
	Private []*magnet.Link
}

// Library finds the newest versions of publications, and keeps copies of what is read. It is a Source.
type Library struct {
	cfg    Config
	items  *node.Items
	copies *copies

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	remove func() // undoes OnClose

	mu      sync.Mutex
	sites   *simplelru.LRU[Address, *site]
	lookups int // that run
}

// site is a publication that was asked for. Library.mu guards it.
type site struct {
	addr    Address
	version *Version // the newest; nil if none is known
	copy    *held    // of version
	checked time.Time

	failure error // of the last lookup
	looking chan struct{}

	// Only the lookup that runs uses these.
	link  *magnet.Link
	judge *delegation.Judge // has seen all items of link that were found so far
}

// OpenLibrary returns a Library. Close ends it, as does the end of the node.
func OpenLibrary(cfg Config) (*Library, error) {
	items, err := cfg.Node.Items()
	if err != nil {
		return nil, err
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = DefaultCacheSize
	}
	l := &Library{cfg: cfg, items: items}
	if l.copies, err = openCopies(&cfg); err != nil {
		return nil, err
	}
	l.sites, _ = simplelru.NewLRU[Address, *site](maxSites, nil) // the size is valid
	l.ctx, l.cancel = context.WithCancel(cfg.Node.Context())
	if l.remove, err = cfg.Node.OnClose(l.end); err != nil {
		l.cancel()
		return nil, err
	}
	l.tasks.Go(l.sweep)
	return l, nil
}

// sweep keeps the copies within their limits.
func (l *Library) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.copies.sweep(l.ctx, time.Now())
		case <-l.ctx.Done():
			l.copies.sweep(l.ctx, time.Now()) // for the record
			return
		}
	}
}

// Close ends all lookups. The copies stay.
func (l *Library) Close() {
	l.remove()
	l.end()
}

func (l *Library) end() {
	l.cancel()
	l.tasks.Wait()
}

// Newest implements Source.
func (l *Library) Newest(ctx context.Context, a Address) (*Version, func(), error) {
	if l.cfg.Allow != nil && !l.cfg.Allow(a) {
		return nil, nil, &Failure{Code: http.StatusForbidden, Title: "Not served here", Text: "This gateway serves chosen publications only.", Hint: "Run seedbed gateway on your own machine to read any."}
	}
	deadline := time.Now().Add(waitFor)
	for {
		v, done, looking, err := l.tryNewest(a)
		if v != nil || err != nil {
			return v, done, err
		}
		wait := time.Until(deadline)
		if looking.isStale {
			wait = min(wait, staleWait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-looking.done:
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		if looking.isStale {
			if v, done := l.known(a); v != nil {
				return v, done, nil
			}
		}
		if time.Until(deadline) <= 0 {
			return nil, nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 5, Title: "Still looking",
				Text: fmt.Sprintf("The publication %v, or a peer that has it, has not been found so far.", a), Hint: "The search goes on."}
		}
	}
}

// pending is a lookup that a request waits for.
type pending struct {
	done    <-chan struct{}
	isStale bool // a version is known, which can be served if this takes long
}

// tryNewest returns the newest version of a publication that is known, or why there is none, or the
// lookup to wait for. It starts a lookup if that is due.
func (l *Library) tryNewest(a Address) (*Version, func(), pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.site(a)
	v, done := s.use()
	age := time.Since(s.checked)
	if v == nil && s.failure != nil && age < failedFor {
		return nil, nil, pending{}, s.failure
	}
	if v == nil || age >= freshFor {
		l.look(s)
	}
	switch {
	case v != nil && (age < staleAfter || s.looking == nil):
		return v, done, pending{}, nil
	case v != nil:
		done()
		return nil, nil, pending{s.looking, true}, nil
	case s.looking == nil:
		return nil, nil, pending{}, &Failure{Code: http.StatusServiceUnavailable, Retry: 2, Title: "Busy", Text: "Too many publications are being looked for at this moment."}
	}
	return nil, nil, pending{s.looking, false}, nil
}

// known returns the version of a publication that is known, however old, or nil.
func (l *Library) known(a Address) (*Version, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.site(a).use()
}

// use returns the known version, which is read until done is called, or nil. Library.mu is held.
func (s *site) use() (*Version, func()) {
	if s.version == nil {
		return nil, nil
	}
	done, ok := s.copy.use()
	if !ok { // the copy was deleted, or the user has added the torrent
		s.version, s.copy, s.checked = nil, nil, time.Time{}
		return nil, nil
	}
	return s.version, done
}

// site returns the site with that address. mu is held.
func (l *Library) site(a Address) *site {
	s, ok := l.sites.Get(a)
	if !ok {
		s = &site{addr: a}
		l.sites.Add(a, s)
	}
	return s
}

// look starts to look for a newer version of s, unless that is being done or too many lookups run. mu
// is held.
func (l *Library) look(s *site) {
	if s.looking != nil || l.lookups >= maxLookups || l.ctx.Err() != nil {
		return
	}
	done := make(chan struct{})
	s.looking = done
	l.lookups++
	known := s.version
	l.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, lookFor)
		defer cancel()
		v, c, err := l.find(ctx, s, known)
		l.mu.Lock()
		defer l.mu.Unlock()
		defer close(done)
		s.looking, s.checked = nil, time.Now()
		l.lookups--
		if v != nil {
			s.version, s.copy = v, c
		}
		s.failure = err
	})
}

// find finds the newest version of s, and opens it. It returns nil if that is known, which may be nil. A
// version of a key that its owner has revoked does not count, nor does one that is older than what was seen
// before.
func (l *Library) find(ctx context.Context, s *site, known *Version) (*Version, *held, error) {
	link, err := l.link(ctx, s.addr)
	if err != nil {
		return nil, nil, err
	}
	if s.link == nil || s.link.PublicKey != link.PublicKey || !bytes.Equal(s.link.Salt, link.Salt) {
		s.link, s.judge = link, delegation.New(link)
	}
	found, rejected, err := l.items.FindNewest(ctx, link, s.judge)
	v, ok := s.judge.Newest()
	switch {
	case ok && known != nil && v.Number == known.Seq && v.InfoHash == known.InfoHash:
		return nil, nil, nil
	case ok:
	case err != nil:
		return nil, nil, unavailable(err)
	case errors.Is(rejected, mutable.ErrPrivate):
		return nil, nil, &Failure{Code: http.StatusForbidden, Retry: 30, Title: "Private", Text: "This publication is private, and the gateway does not have its secret.",
			Hint: "Start the gateway with the link to read it as an argument."}
	case rejected != nil:
		return nil, nil, &Failure{Code: http.StatusBadGateway, Retry: 30, Title: "Not a publication", Text: fmt.Sprintf("What is published under %v does not name a torrent.", s.addr)}
	case found[link.PublicKey].Answered == 0:
		return nil, nil, &Failure{Code: http.StatusServiceUnavailable, Retry: 5, Title: "Not connected", Text: "No node of the DHT answers, so the publication cannot be looked for.",
			Hint: "The gateway has just started, or has no connection to the internet."}
	default:
		return nil, nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 30, Title: "Nothing is published here", Text: fmt.Sprintf("No node of the DHT knows a version of %v.", s.addr),
			Hint: "The address is wrong, or neither the publisher nor a follower that keeps the link alive has been online for two hours."}
	}
	c, err := l.copies.open(ctx, v.Pin(link), link.Secret, l.cfg.Peers)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	return &Version{Seq: v.Number, InfoHash: v.InfoHash, Tree: c.tree, MaxFile: c.maxFile()}, c, nil
}

// link returns the link of a publication.
func (l *Library) link(ctx context.Context, a Address) (*magnet.Link, error) {
	if a.Name == "" {
		var salt []byte
		if a.Salt != "" {
			salt = []byte(a.Salt)
		}
		link := mutable.Link(a.Key, salt, "")
		for _, private := range l.cfg.Private {
			if private.PublicKey == link.PublicKey && bytes.Equal(private.Salt, link.Salt) {
				return private, nil
			}
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
		return &Failure{Code: http.StatusGatewayTimeout, Retry: 10, Title: "No peer yet", Text: "The newest version is known, but no peer that has it could be reached so far."}
	}
	var f *node.Fault
	text, hint := err.Error(), ""
	if errors.As(err, &f) {
		hint = f.Hint()
	}
	return &Failure{Code: http.StatusServiceUnavailable, Retry: 10, Title: "Not available", Text: cmp.Or(text, "The publication cannot be read."), Hint: hint}
}
