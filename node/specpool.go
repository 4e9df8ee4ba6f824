package node

import (
	"slices"
	"strings"
	"sync"
)

// A specPool lets torrents with equal settings use one Spec. Most torrents of a large
// session differ only in their content, which is not part of the Spec of a parked torrent.
// A Spec takes about 200 bytes.
type specPool struct {
	mu    sync.Mutex
	specs map[specKey]*Spec
}

// maxPooled limits the pool in case the settings change often.
const maxPooled = 1024

// share returns a Spec that equals s: one that other torrents use too, or s.
func (p *specPool) share(s *Spec) *Spec {
	k, ok := s.key()
	if !ok {
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have := p.specs[k]; have != nil && slices.Equal(have.Labels, s.Labels) {
		return have
	}
	if p.specs == nil || len(p.specs) >= maxPooled {
		p.specs = map[specKey]*Spec{}
	}
	p.specs[k] = s
	return s
}

// specKey holds the settings that torrents can have in common.
type specKey struct {
	dir, labels, category, final, store                                         string
	upRate, downRate                                                            int64
	maxPeers                                                                    int
	order                                                                       Order
	goals                                                                       Goals
	all, overwrite, symlinks, seed, persistent, paused, objects, upload, shared bool
}

// key returns the settings of s. It returns false if s sets any other field.
func (s *Spec) key() (specKey, bool) {
	if s.Link != nil || s.Torrent != nil || s.Select != nil || s.Peers != nil || s.MetadataOnly || s.ReadAhead != 0 || s.Cache || s.Own || s.Archive || s.Verified || s.Naming != nil || s.Prepare != nil || !s.Priorities.isZero() {
		return specKey{}, false
	}
	return specKey{dir: s.Dir, labels: strings.Join(s.Labels, "\n"), category: s.Category, final: s.FinalDir, store: s.store, upRate: s.UpRate, downRate: s.DownRate, maxPeers: s.MaxPeers, order: s.Order, goals: s.Goals,
		all: s.All, overwrite: s.Overwrite, symlinks: s.Symlinks, seed: s.Seed, persistent: s.Persistent, paused: s.Paused, objects: s.Objects, upload: s.Upload, shared: s.Shared}, true
}
