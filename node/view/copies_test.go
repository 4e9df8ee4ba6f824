package view

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"seedbed/dht"
)

// The newest versions are counted, each torrent once: a publisher that goes back has the same one in two versions.
func TestCopiesOfTheNewestVersionsAreCounted(t *testing.T) {
	var hashes []string
	for i := range 2 * maxCounted {
		hashes = append(hashes, fmt.Sprint(i), "0")
	}
	var mu sync.Mutex
	asked := map[string]int{}
	counted := CountCopies(t.Context(), hashes, func(_ context.Context, h string) *Copies {
		mu.Lock()
		defer mu.Unlock()
		asked[h]++
		if h == "3" {
			return nil
		}
		return &Copies{Addresses: len(h)}
	})
	if len(asked) != maxCounted || asked["0"] != 1 || counted["3"] != nil || counted["7"].Addresses != 1 || counted["8"] != nil {
		t.Errorf("asked for %v, counted %v", asked, counted)
	}
}

// Without filters there is no estimate, and without an answer there are no counts.
func TestCopiesAreNotGuessed(t *testing.T) {
	if c := CopiesFound(&dht.PeersReport{}); c != nil {
		t.Errorf("without an answer: %+v", c)
	}
	r := &dht.PeersReport{Report: dht.Report{Answered: 1}, Peers: 3}
	if c := CopiesFound(r); c.Addresses != 3 || c.Seeds != nil || c.Downloading != nil {
		t.Errorf("without filters: %+v", c)
	}
	r.Scrape = dht.Scrape{Seeds: 2, Peers: 1, Filters: 4}
	if c := CopiesFound(r); c.Addresses != 3 || *c.Seeds != 2 || *c.Downloading != 1 {
		t.Errorf("with filters: %+v", c)
	}
}
