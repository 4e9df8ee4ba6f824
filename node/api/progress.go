package api

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"seedbed/node"
)

// progressEvery is the interval at which the event stream has the progress of running torrents.
const progressEvery = time.Second

// progress finds the running torrents whose numbers have changed without an event, once for all
// event streams. It works only while there is a stream.
type progress struct {
	a *api

	mu      sync.Mutex
	streams int
	stop    context.CancelFunc
	tick    int64 // counts the comparisons
	running map[*node.Torrent]observed
	looked  chan struct{} // closed and replaced at each tick
}

// observed is a running torrent as it was when its numbers last changed.
type observed struct {
	numbers
	at     int64 // the tick
	object json.RawMessage
}

// numbers are the values of a torrent that change without an event.
type numbers struct {
	have, checked, uploaded int64
	peers                   int
	rates                   float64     // down and up
	reason                  node.Reason // without the times of the lookup, which always change
}

// join starts the work for the first stream; leave ends it after the last.
func (p *progress) join() (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams++
	if p.streams == 1 {
		ctx, cancel := context.WithCancel(p.a.Node().Context())
		p.stop, p.looked = cancel, make(chan struct{})
		go p.run(ctx)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.streams--; p.streams == 0 {
			p.stop()
			p.running = nil
		}
	}
}

func (p *progress) run(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.compare(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// compare compares the running torrents with the last tick.
func (p *progress) compare(ctx context.Context) {
	active := p.a.Node().Active()
	p.mu.Lock()
	before := p.running
	tick := p.tick + 1
	p.mu.Unlock()
	now := make(map[*node.Torrent]observed, len(active))
	for _, t := range active {
		s := t.Snapshot()
		reason := s.Reason
		reason.Lookup = node.Lookup{Kind: reason.Lookup.Kind}
		m := observed{numbers: numbers{s.Have, s.Checked, t.Uploaded(), s.Connected, s.DownRate + s.UpRate, reason}}
		if last, ok := before[t]; ok && last.numbers == m.numbers {
			now[t] = last
			continue
		}
		var err error
		if m.object, err = json.Marshal(p.a.torrent(t)); err == nil {
			m.at = tick
			now[t] = m
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return // another run may have begun
	}
	p.running, p.tick = now, tick
	close(p.looked)
	p.looked = make(chan struct{})
}

// next returns a channel that is closed at the next tick.
func (p *progress) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.looked
}

// since returns the torrents whose numbers have changed after a tick, and the last tick.
func (p *progress) since(tick int64) (objects []json.RawMessage, last int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.running {
		if m.at > tick {
			objects = append(objects, m.object)
		}
	}
	return objects, p.tick
}
