package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/magnet"
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
	// lookupRate is how many lookups a second a client of a public gateway may cause, and lookupBurst how
	// many at once: each sends about fifty queries to nodes of the DHT.
	lookupRate  = 1
	lookupBurst = 60
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
	// Private returns the links to read the private publications that are served (docs/privacy.md),
	// now; nil if there are none. Their secrets are not part of any address.
	Private func() []*magnet.Link

	limitClients bool // for a public gateway
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

	mu    sync.Mutex
	sites *simplelru.LRU[Address, *site]

	lookups *share   // that run
	rates   *buckets // of lookups
	known   *known
	inbox   inbox
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
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Library{cfg: cfg, items: items, inbox: newInbox(), lookups: newShare(maxLookups), rates: newBuckets(lookupRate, lookupBurst)}
	if l.copies, err = openCopies(&cfg); err != nil {
		return nil, err
	}
	if l.known, err = openKnown(filepath.Join(cfg.Dir, "known"), cfg.Log); err != nil {
		return nil, err
	}
	l.sites, _ = simplelru.NewLRU(maxSites, func(_ Address, s *site) { l.drop(s) }) // the size is valid
	l.ctx, l.cancel = context.WithCancel(cfg.Node.Context())
	if l.remove, err = cfg.Node.OnClose(l.end); err != nil {
		l.cancel()
		return nil, err
	}
	l.tasks.Go(l.sweep)
	l.tasks.Go(l.deliver)
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
			l.forget()
		case <-l.ctx.Done():
			l.copies.sweep(l.ctx, time.Now()) // for the record
			return
		}
	}
}

// forget frees the memory of the versions whose copies were deleted.
func (l *Library) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sites.Values() {
		if s.copy != nil && !s.copy.isReadable() {
			s.close()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sites.Values() {
		l.drop(s)
	}
}

// Newest implements Source.
func (l *Library) Newest(ctx context.Context, a Address, client netip.Prefix) (*Version, func(), error) {
	if a.Number != 0 {
		return l.earlier(ctx, a, client)
	}
	if l.cfg.Allow != nil && !l.cfg.Allow(a) {
		return nil, nil, &Failure{Code: http.StatusForbidden, Title: "Not served here", Text: "This gateway serves chosen publications only.", Hint: "Run seedbed gateway on your own machine to read any."}
	}
	deadline := time.Now().Add(waitFor)
	for {
		v, done, looking, err := l.tryNewest(a, client)
		if v != nil || err != nil {
			return v, done, err
		}
		timer := time.NewTimer(min(time.Until(deadline), staleWait))
		select {
		case <-looking:
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		if err := context.Cause(ctx); err != nil {
			return nil, nil, err
		}
		if v, done := l.latest(a); v != nil {
			return v, done, nil
		}
		if time.Until(deadline) <= 0 {
			return nil, nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 5, Title: "Still looking",
				Text: fmt.Sprintf("The publication %v, or a peer that has it, has not been found so far.", a), Hint: "The search goes on."}
		}
	}
}

// tryNewest returns the newest version of a publication that is known, or why there is none, or the end
// of the lookup to wait for. It starts a lookup if that is due.
func (l *Library) tryNewest(a Address, client netip.Prefix) (*Version, func(), <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.site(a)
	v, done := s.use()
	age := time.Since(s.checked)
	if v == nil && s.failure != nil && time.Since(s.failed) < failedFor {
		return nil, nil, nil, s.failure
	}
	var refused *Failure
	if (v == nil || age >= freshFor) && s.looking == nil {
		if refused = l.admit(client); refused == nil {
			l.look(s, client)
		}
	}
	switch {
	case v != nil && (age < staleAfter || s.looking == nil):
		return v, done, nil, nil
	case v != nil:
		done()
	case refused != nil:
		return nil, nil, nil, refused
	}
	return nil, nil, s.looking, nil
}

// latest returns the version of a publication that is known, however old, or nil.
func (l *Library) latest(a Address) (*Version, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.site(a).use()
}
