package view

import (
	"context"
	"sync"

	"seedbed/dht"
)

// Copies is how many peers have a version, as DHT nodes know it. The estimates (BEP 33) are missing
// if no node returned one. Addresses and Downloading include the publisher of an earlier version, which shares
// only the metadata of it.
type Copies struct {
	Addresses   int  `json:"addresses"`             // that are announced, with all of it or a part
	Seeds       *int `json:"seeds,omitempty"`       // by estimate, with all of it
	Downloading *int `json:"downloading,omitempty"` // by estimate, with a part of it
}

// CopiesOf returns the object of a lookup of peers, which found that many addresses.
func CopiesOf(addresses int, s *Scrape) *Copies {
	c := &Copies{Addresses: addresses}
	if s != nil && s.Filters > 0 {
		c.Seeds, c.Downloading = &s.Seeds, &s.Peers
	}
	return c
}

// CopiesFound returns the object of a lookup of peers with a scrape, or nil if no node answered.
func CopiesFound(r *dht.PeersReport) *Copies {
	if r.Answered == 0 {
		return nil
	}
	return CopiesOf(r.Peers, ScrapeOf(&r.Scrape))
}

// ScrapeOf returns the object of an estimate.
func ScrapeOf(s *dht.Scrape) *Scrape {
	return &Scrape{Seeds: s.Seeds, Peers: s.Peers, Filters: s.Filters, Implausible: s.Dropped}
}

const (
	// maxCounted is the number of versions whose copies are counted, the newest. Each is a lookup.
	maxCounted    = 8
	countedAtOnce = 4
)

// CountCopies returns the copies of the infohashes, of which only the first maxCounted different
// ones are counted. count does a lookup, and returns nil if no node answered.
func CountCopies(ctx context.Context, infohashes []string, count func(ctx context.Context, infohash string) *Copies) map[string]*Copies {
	counted := map[string]*Copies{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	free := make(chan struct{}, countedAtOnce)
	begun := map[string]bool{}
	for _, h := range infohashes {
		if begun[h] || len(begun) == maxCounted {
			continue
		}
		begun[h] = true
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			c := count(ctx, h)
			mu.Lock()
			defer mu.Unlock()
			counted[h] = c
		})
	}
	wg.Wait()
	return counted
}
