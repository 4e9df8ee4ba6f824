package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/dht"
	"seedbed/magnet"
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

// Config configures a Library.
type Config struct {
	Node  *node.Node // required, with the DHT
	Dir   string     // the folder of the copies; required
	Names Resolver   // nil: names are not resolved
	Peers []string   // HOST:PORT of peers to try for every publication
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
	known   *Version
	item    dht.Item
	copy    *held // of known
	checked time.Time

	failure error // of the last lookup, if known is nil
	looking chan struct{}
}

// OpenLibrary returns a Library. Close ends it, as does the end of the node.
func OpenLibrary(cfg Config) (*Library, error) {
	items, err := cfg.Node.Items()
	if err != nil {
		return nil, err
	}
	l := &Library{cfg: cfg, items: items}
	l.copies = newCopies(cfg.Node, cfg.Dir)
	l.sites, _ = simplelru.NewLRU[Address, *site](maxSites, nil) // the size is valid
	l.ctx, l.cancel = context.WithCancel(cfg.Node.Context())
	if l.remove, err = cfg.Node.OnClose(l.end); err != nil {
		l.cancel()
		return nil, err
	}
	return l, nil
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
	deadline := time.Now().Add(waitFor)
	for {
		l.mu.Lock()
		s := l.site(a)
		age := time.Since(s.checked)
		if s.known != nil && s.copy.isGone() { // the user has added or removed the torrent
			s.known, s.copy, s.checked = nil, nil, time.Time{}
		}
		if s.known == nil && s.failure != nil && age < failedFor {
			defer l.mu.Unlock()
			return nil, nil, s.failure
		}
		if age >= freshFor || s.known == nil {
			l.look(s)
		}
		if s.known != nil && (age < staleAfter || s.looking == nil) {
			defer l.mu.Unlock()
			return s.known, s.copy.use(), nil
		}
		looking, wait := s.looking, time.Until(deadline)
		if s.known != nil {
			wait = staleWait
		}
		l.mu.Unlock()
		if looking == nil {
			return nil, nil, &Failure{Code: http.StatusServiceUnavailable, Retry: 2, Title: "Busy", Text: "Too many publications are being looked for at this moment."}
		}
		timer := time.NewTimer(wait)
		select {
		case <-looking:
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		l.mu.Lock()
		if s.known != nil && !s.copy.isGone() {
			defer l.mu.Unlock()
			return s.known, s.copy.use(), nil
		}
		l.mu.Unlock()
		if time.Until(deadline) <= 0 {
			return nil, nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 5, Title: "Still looking",
				Text: fmt.Sprintf("The publication %v, or a peer that has it, has not been found so far.", a), Hint: "The search goes on."}
		}
	}
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
	known, item := s.known, s.item
	l.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, lookFor)
		defer cancel()
		v, i, c, err := l.find(ctx, s.addr, known, item)
		l.mu.Lock()
		defer l.mu.Unlock()
		defer close(done)
		s.looking, s.checked = nil, time.Now()
		l.lookups--
		if v != nil {
			s.known, s.item, s.copy = v, i, c
		}
		s.failure = err
	})
}

// find finds a version that is newer than known, which may be nil, and opens it. It returns nil if
// there is none.
func (l *Library) find(ctx context.Context, a Address, known *Version, item dht.Item) (*Version, dht.Item, *held, error) {
	link, err := l.link(ctx, a)
	if err != nil {
		return nil, item, nil, err
	}
	g, err := l.items.Get(ctx, dht.ItemTarget(link.PublicKey, link.Salt), link.Salt, nil)
	switch {
	case err != nil:
		return nil, item, nil, unavailable(err)
	case g.Item == nil && g.Answered == 0:
		return nil, item, nil, &Failure{Code: http.StatusServiceUnavailable, Retry: 5, Title: "Not connected", Text: "No node of the DHT answers, so the publication cannot be looked for.",
			Hint: "The gateway has just started, or has no connection to the internet."}
	case g.Item == nil:
		return nil, item, nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 30, Title: "Nothing is published here", Text: fmt.Sprintf("No node of the DHT knows a version of %v.", a),
			Hint: "The address is wrong, or neither the publisher nor a follower that keeps the link alive has been online for two hours."}
	case known != nil && g.Item.Seq <= known.Seq:
		return nil, item, nil, nil
	}
	version, err := mutable.Read(link, g.Item.Value)
	if err != nil {
		return nil, item, nil, &Failure{Code: http.StatusBadGateway, Retry: 30, Title: "Not a publication", Text: fmt.Sprintf("What is published under %v does not name a torrent.", a)}
	}
	c, err := l.copies.open(ctx, mutable.Pin(link, version.InfoHash), l.cfg.Peers)
	if err != nil {
		return nil, item, nil, unavailable(err)
	}
	return &Version{Seq: g.Item.Seq, InfoHash: version.InfoHash, Tree: c.tree}, *g.Item, c, nil
}

// link returns the link of a publication.
func (l *Library) link(ctx context.Context, a Address) (*magnet.Link, error) {
	if a.Name == "" {
		var salt []byte
		if a.Salt != "" {
			salt = []byte(a.Salt)
		}
		return mutable.Link(a.Key, salt, ""), nil
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
