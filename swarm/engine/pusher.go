package engine

import (
	"slices"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/swarm/wire"
)

// A torrent can be a version of publications (BEP 46). Their newest items are pushed over its
// connections, as docs/push.md specifies. The limits are those of that page:
const (
	// maxPublications is the number of publications that a torrent belongs to. Several publishers
	// may publish the same content.
	maxPublications = 16
	// A new item is sent to all peers. If many follow one another, only the newest is sent, at
	// pushRate a second after a burst of pushBurst.
	pushRate  = 0.5
	pushBurst = 5
	// A peer may send itemRate items a second after a burst of itemBurst. That is more than it sends
	// within the limits above for maxPublications.
	itemRate  = 8
	itemBurst = 128
	// noisyItem is the number of useless messages that an item counts for if it is above that limit,
	// of another publication, or old.
	noisyItem = 64
	// A complete torrent keeps connections to complete peers, over which nothing but new versions is
	// sent: as many that we have dialed as make a random graph of any size connected, and more of the
	// others.
	maxDialedNeighbours   = 8
	maxIncomingNeighbours = 64
	// One host takes at most so many of the places of the others. Otherwise it could take all of them, so that
	// nobody pushes anything to us.
	maxHostNeighbours = 4
)

// pusher decides which items are sent to which peer, and which received ones are looked at.
type pusher struct {
	list []*pushed
	// The numbers of connections that are kept for new versions: those that we have dialed, and the others.
	dialed, incoming int
}

// pushed is a publication and its newest item.
type pushed struct {
	key  [32]byte
	salt string
	item *wire.ItemMsg // nil if none is known
	out  rate.Bucket
	due  mono.Time // when item is to be sent to the peers; Never: it has been
}

// pushPeer is what the pusher knows about a peer.
type pushPeer struct {
	known []knownItem // of the publications, in any order
	in    rate.Bucket
}

// knownItem has the highest numbers that went over a connection, of one publication; -1 means none.
type knownItem struct {
	of    *pushed
	seq   int64 // in either direction
	heard int64 // from the peer
}

// itemVerdict says what to do with a received item.
type itemVerdict uint8

const (
	itemNews    itemVerdict = iota // its number is higher than all others: check the signature
	itemFork                       // another value with the number of ours: the same
	itemKnown                      // what we have, for the first time, or what the peer had when it connected
	itemStale                      // it has no use
	itemForeign                    // it is not of our publications
)

// takePlace reports whether one more connection may be kept for new versions, and counts it.
func (s *pusher) takePlace(incoming bool) bool {
	if incoming {
		if s.incoming == maxIncomingNeighbours {
			return false
		}
		s.incoming++
		return true
	}
	if s.dialed == maxDialedNeighbours {
		return false
	}
	s.dialed++
	return true
}

// freePlace uncounts such a connection.
func (s *pusher) freePlace(incoming bool) {
	if incoming {
		s.incoming--
	} else {
		s.dialed--
	}
}

func (s *pusher) isOn() bool { return len(s.list) > 0 }

// set replaces the publications. An item that is older than the one known stays out.
func (s *pusher) set(now mono.Time, list []Publication) {
	var next []*pushed
	for _, p := range list[:min(len(list), maxPublications)] {
		x := s.find(p.Key, p.Salt)
		if x == nil {
			x = &pushed{key: p.Key, salt: p.Salt, out: rate.NewBucket(now, pushRate, pushBurst), due: mono.Never}
		}
		if p.Item != nil && (x.item == nil || p.Item.Seq > x.item.Seq) {
			x.item, x.due = p.Item, min(x.due, now.Add(x.out.Wait(now, 1)))
		}
		next = append(next, x)
	}
	s.list = next
}

func (s *pusher) find(key [32]byte, salt string) *pushed {
	for _, x := range s.list {
		if x.key == key && x.salt == salt {
			return x
		}
	}
	return nil
}

// deadline returns when an item is due.
func (s *pusher) deadline() mono.Time {
	d := mono.Never
	for _, x := range s.list {
		d = min(d, x.due)
	}
	return d
}

// takeDue reports whether a publication has an item to be sent to all peers now.
func (s *pusher) takeDue(now mono.Time, x *pushed) bool {
	if x.due > now {
		return false
	}
	x.out.Take(now, 1)
	x.due = mono.Never
	return true
}

// lacks reports whether a peer may not have the newest item of x yet, and notes that it has it now.
func (s *pusher) lacks(p *pushPeer, x *pushed) bool {
	if x.item == nil {
		return false
	}
	k := s.knownOf(p, x)
	if k.seq >= x.item.Seq {
		return false
	}
	k.seq = x.item.Seq
	return true
}

// knownOf returns the entry of a publication, which is a new one if there was none.
func (s *pusher) knownOf(p *pushPeer, x *pushed) *knownItem {
	for i := range p.known {
		if p.known[i].of == x {
			return &p.known[i]
		}
	}
	p.known = slices.DeleteFunc(p.known, func(k knownItem) bool { return !slices.Contains(s.list, k.of) })
	p.known = append(p.known, knownItem{x, -1, -1})
	return &p.known[len(p.known)-1]
}

// mayReceive charges a peer for an item before anything is done about it.
func (s *pusher) mayReceive(now mono.Time, p *pushPeer) bool {
	if p.in.Burst == 0 {
		p.in = rate.NewBucket(now, itemRate, itemBurst)
	}
	return p.in.Take(now, 1)
}

// receive returns what to do about an item from p, and notes that p has it.
func (s *pusher) receive(p *pushPeer, m *wire.ItemMsg) itemVerdict {
	x := s.find(m.Key, string(m.Salt))
	if x == nil {
		return itemForeign
	}
	k := s.knownOf(p, x)
	heard := k.heard
	k.seq, k.heard = max(k.seq, m.Seq), max(heard, m.Seq)
	switch {
	case x.item == nil || m.Seq > x.item.Seq:
		return itemNews
	case m.Seq == x.item.Seq && !m.IsSameVersion(x.item):
		return itemFork
	case heard < 0 || m.Seq == x.item.Seq && heard < m.Seq:
		return itemKnown
	}
	return itemStale
}
