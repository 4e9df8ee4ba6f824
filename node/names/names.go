// Package names resolves domain names to publications (BEP 46).
//
// The owner of a domain names a publication in the DNS, with a TXT record at _btpk.DOMAIN:
//
//	_btpk.example.org.  IN  TXT  "btpk=8543d3e6…64 hexadecimal digits salt=73697465"
//
// The salt is in hexadecimal, as in links, and left out if the publication has none. A DNSLink
// record that names a publication works too (record.go).
//
// DNS answers can be forged: signatures (DNSSEC) are not checked. So the key is pinned: the first
// answer is kept in the state directory, and an answer with another key or salt is refused until
// Accept is called. A name that does not resolve any more keeps its pinned key.
//
// Queries go to the resolver of the system, to a DNS server, or to a server for DNS over
// HTTPS (RFC 8484). They never go around the proxy or the network interface of
// Config.Outbound.
//
// The errors that Resolve and Lookup return are faults (node.Fault) that wrap a *ChangedError,
// *NoRecordError, *RecordError or *LookupError.
package names

import (
	"context"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"seedbed/internal/await"
	"seedbed/internal/netx"
	"seedbed/magnet"
)

// Config says how names are resolved.
type Config struct {
	// Resolver is the DNS server: HOST:PORT, or the https URL of a server for DNS over HTTPS.
	// "" is the resolver of the system. CheckResolver checks it.
	Resolver string
	// Outbound opens the connections.
	Outbound netx.Outbound
	// State is the state directory, which has the pinned keys. "" keeps them in memory only.
	State string
}

const (
	// lookupWithin limits one lookup with all its queries.
	lookupWithin = 20 * time.Second
	// An answer is kept this long, so that a gateway does not ask for each request of a browser.
	cacheFor      = time.Minute
	cacheFailures = 10 * time.Second
	// maxCached limits the answers in memory.
	maxCached = 1024
)

// Names resolves names. It is safe for concurrent use.
type Names struct {
	ask    querier
	now    func() time.Time
	cached *lru.Cache[string, answer]
	flight singleflight.Group

	pinning sync.Mutex // held while a pin is read and written
	pins    pins
}

// answer is what a lookup has found. One of record and err is set.
type answer struct {
	record *Record
	err    error
	until  time.Time
}

// New returns a Names. cfg.Resolver must be valid.
func New(cfg Config) *Names {
	cached, err := lru.New[string, answer](maxCached)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Names{ask: newQuerier(cfg.Resolver, cfg.Outbound), now: time.Now, cached: cached, pins: openPins(cfg.State)}
}

// Resolve returns the link of the publication that a domain names. Its Name is the domain.
//
// The first answer is pinned. If the DNS has another key or salt later, the error wraps a *ChangedError.
// If it has no answer, the link is the pinned one, and its Warnings has the error of the lookup.
func (n *Names) Resolve(ctx context.Context, domain string) (*magnet.Link, error) {
	domain, err := Parse(domain)
	if err != nil {
		return nil, err
	}
	found, failed := n.find(ctx, domain, n.cached)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	n.pinning.Lock()
	defer n.pinning.Unlock()
	pin, err := n.pins.read(domain)
	switch {
	case err != nil:
		return nil, err
	case failed != nil && pin == nil:
		return nil, failed
	case failed != nil:
		link := pin.link()
		link.Warnings = append(link.Warnings, fmt.Errorf("%w; its pinned key is used", failed))
		return link, nil
	case pin == nil:
		pin = &Pin{Domain: domain, Publication: found.Publication, Since: n.now().UTC().Truncate(time.Second)}
		if err := n.pins.write(pin); err != nil {
			return nil, err
		}
	case !pin.Equal(found.Publication):
		return nil, changed(pin, found)
	}
	return pin.link(), nil
}

// Accept pins the key and salt that the DNS has now, in place of those that were pinned. It returns the
// link, and the earlier pin if it was another one.
func (n *Names) Accept(ctx context.Context, domain string) (*magnet.Link, *Pin, error) {
	domain, err := Parse(domain)
	if err != nil {
		return nil, nil, err
	}
	found, err := n.find(ctx, domain, nil)
	if err != nil {
		return nil, nil, err
	}
	n.pinning.Lock()
	defer n.pinning.Unlock()
	before, err := n.pins.read(domain)
	if err != nil {
		return nil, nil, err
	}
	if before != nil && before.Equal(found.Publication) {
		return before.link(), nil, nil
	}
	pin := &Pin{Domain: domain, Publication: found.Publication, Since: n.now().UTC().Truncate(time.Second)}
	if err := n.pins.write(pin); err != nil {
		return nil, nil, err
	}
	return pin.link(), before, nil
}

// Lookup returns what the DNS has for a domain now. It neither reads nor changes what is pinned.
func (n *Names) Lookup(ctx context.Context, domain string) (*Record, error) {
	domain, err := Parse(domain)
	if err != nil {
		return nil, err
	}
	return n.find(ctx, domain, nil)
}

// find looks a domain up, or returns the answer in cached. Callers that ask for the same domain at
// the same time share one lookup, which continues if one of them leaves.
func (n *Names) find(ctx context.Context, domain string, cached *lru.Cache[string, answer]) (*Record, error) {
	if cached != nil {
		if a, ok := cached.Get(domain); ok && n.now().Before(a.until) {
			return a.record, a.err
		}
	}
	return await.Result(ctx, func() (*Record, error) {
		v, err, _ := n.flight.Do(domain, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupWithin)
			defer cancel()
			r, err := lookup(ctx, n.ask, domain)
			keep := cacheFor
			if err != nil {
				keep = cacheFailures
			}
			n.cached.Add(domain, answer{r, err, n.now().Add(keep)})
			return r, err
		})
		return v.(*Record), err
	})
}
