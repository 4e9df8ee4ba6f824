package node

import (
	"fmt"
	"sync"
	"time"

	"seedbed/internal/buf"
	"seedbed/swarm"
)

// chunkSize is the maximum size of a piece buffer. A piece up to this size is hashed and
// written from memory as a whole.
const chunkSize = 1 << 20

// shareEvery is the interval at which the node divides its budget again, so that torrents
// that got no memory get their turn.
const shareEvery = 30 * time.Second

// budget holds the resources that are limited for the whole node and cannot be
// divided in advance.
type budget struct {
	turn          int // advances every shareEvery; guarded by Node.mu
	dials         dialGate
	punches       punchGate
	anew          chan struct{} // has capacity 1; a value requests that the budget is divided again
	wasOverloaded bool          // there were more torrents than can be announced in time; owned by keepBudget

	mu      sync.Mutex
	counted time.Time // when conns was counted
	conns   int       // connections at that time, plus those accepted since
}

func (b *budget) init(cfg *Config) {
	b.dials.init(cfg)
	b.punches.init()
	b.anew = make(chan struct{}, 1)
}

// share is the part of the budget that one torrent gets.
type share struct {
	slots           int // piece buffers for its piece size: the engine's slots
	halfOpen, conns int
	limit           int // Spec.MaxPeers
}

// keepBudget divides the budget at intervals, because torrents take turns, become complete
// or lose data. It also stops torrents that have reached their seeding goal, and parks idle
// ones.
func (n *Node) keepBudget() {
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
			for _, t := range n.running() {
				if r := t.run.Load(); r != nil {
					if v := r.swarm.Snapshot(); v.State == swarm.Seeding || v.State == swarm.Downloading {
						t.setComplete(v.Complete)
					}
				}
				t.seedGoal(time.Now())
			}
			n.parkIdle(time.Now())
			n.lookAtFolders()
			n.mu.Lock()
			n.budget.turn++
			n.share()
			n.mu.Unlock()
			n.warnIfOverloaded()
		case <-n.budget.anew:
			n.mu.Lock()
			n.share()
			n.mu.Unlock()
		}
	}
}

// warnIfOverloaded warns when there are more torrents than can be announced in time.
// It warns again only after their number has fallen below that limit.
func (n *Node) warnIfOverloaded() {
	s := n.Announcing()
	if s.Stretched && !n.budget.wasOverloaded {
		n.Emit(Event{Kind: Warning, Err: fmt.Errorf(
			"%d torrents are too many to announce every 20 minutes at a DHT rate of %d: each is announced every %d minutes; --dht-rate raises the rate",
			s.Torrents, n.cfg.DHTRate, int(s.Interval.Round(time.Minute).Minutes()))})
	}
	n.budget.wasOverloaded = s.Stretched
}

// reshare requests a new division of the budget. Requests that come close together
// cause a single division.
func (n *Node) reshare() { nudge(n.budget.anew) }

// share divides the node's limited resources among its torrents. The caller
// holds mu.
func (n *Node) share() {
	var hungry []need
	seeking := 0
	for t := range n.order.all() {
		r := t.run.Load()
		if r == nil || t.complete.Load() || t.isStopping() {
			continue
		}
		seeking++
		if i := t.info.Load(); i != nil && !r.spec.Seed && !r.spec.MetadataOnly {
			hungry = append(hungry, need{t, bufferSize(i.PieceLength)})
		}
	}
	set := n.settings.Load()
	slots := divide(n.cfg.Memory, hungry, n.budget.turn)
	for t := range n.order.all() {
		r := t.run.Load()
		if r == nil {
			continue
		}
		s := share{slots: slots[t]}
		switch {
		case !t.complete.Load():
			s.halfOpen = max(set.HalfOpen/max(seeking, 1), 2)
			s.conns = max(set.MaxConns/max(seeking, 1), 2)
		case t.isArchive():
			s.halfOpen, s.conns = 1, archiveConns
		case n.population.Load() == 1:
			s.halfOpen, s.conns = 8, set.MaxConns
		default:
			// With many torrents only a few need their connections at a time, and we cannot
			// predict which. The total is enforced where connections are accepted.
			s.halfOpen, s.conns = 2, max(set.MaxConns/4, 8)
		}
		if s.limit = int(r.maxPeers.Load()); s.limit > 0 {
			s.conns = min(s.conns, s.limit)
		}
		if s != r.share {
			r.share = s
			r.swarm.SetLimits(s.slots, s.halfOpen, s.conns, s.limit > 0)
		}
	}
}

// need is a torrent that needs piece buffers, of size bytes each.
type need struct {
	t    *Torrent
	size int64
}

// bufferSize returns the number of bytes that one piece buffer takes.
func bufferSize(pieceLength int64) int64 { return buf.SizeOf(int(min(pieceLength, chunkSize))) }

// divide returns the number of buffers of each torrent, so that their sum stays
// within memory. A torrent gets at least two buffers, to fill one while the other
// is hashed. If there are too many torrents, some get none until a later turn.
func divide(memory int64, needs []need, turn int) map[*Torrent]int {
	slots := make(map[*Torrent]int, len(needs))
	left := memory
	for k := range needs {
		x := needs[(k+turn)%len(needs)]
		n := max(left/int64(len(needs)-k), 2*x.size) / x.size
		if n*x.size > left {
			n = left / x.size
		}
		slots[x.t] = int(n)
		left -= n * x.size
	}
	return slots
}

// room reports whether the node can take one more connection, and counts it.
func (n *Node) room() bool {
	b := &n.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.counted) >= time.Second {
		b.conns, b.counted = 0, time.Now()
		for _, t := range n.running() {
			if r := t.run.Load(); r != nil {
				b.conns += r.swarm.Snapshot().Connected
			}
		}
	}
	if b.conns >= n.settings.Load().MaxConns {
		return false
	}
	b.conns++
	return true
}
