package node

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"seedbed/internal/netx"
	"seedbed/swarm"
)

// Activity is what a torrent that runs has done to find peers and to connect to them. The counts
// begin with the run.
type Activity struct {
	Lookup     Lookup
	LastLookup LookupResult // zero before the first has ended
	Outcomes   Outcomes
}

// LookupResult is what a DHT lookup for a torrent has found.
type LookupResult struct {
	Ended    time.Time
	Took     time.Duration
	Asked    int // nodes
	Answered int
	Peers    int // also those that several nodes returned
	New      int // peers that the torrent did not know
	Accepted int // nodes that accepted our announce
}

// Outcomes counts the connections that a torrent has made, by what became of them.
type Outcomes struct {
	Dials      int64 // that have ended; a peer may be dialed several times
	Connected  int64
	Handshaken int64 // that have completed the handshake
	Encrypted  int64 // of those
	// Failed are the dials and handshakes that failed, by cause: refused, timed_out, unreachable,
	// closed, other_torrent, or other. Those that say nothing about the peer are left out.
	Failed map[string]int64
}

// failures are the causes of Outcomes.Failed.
const (
	failedOther = iota
	failedRefused
	failedTimedOut
	failedUnreachable
	failedClosed
	failedOtherTorrent
	numFailures
)

var failureNames = [numFailures]string{"other", "refused", "timed_out", "unreachable", "closed", "other_torrent"}

// outcomes counts Outcomes.
type outcomes struct {
	dials, connected, handshaken, encrypted atomic.Int64

	failed [numFailures]atomic.Int64
}

// trace returns the functions that count the connections of a torrent.
func (o *outcomes) trace() *swarm.Trace {
	return &swarm.Trace{
		Dialed: func(_ netip.AddrPort, err error) {
			o.dials.Add(1)
			if err == nil {
				o.connected.Add(1)
				return
			}
			o.fail(err)
		},
		Handshaken: func(_ netip.AddrPort, h swarm.Handshake, err error) {
			if err != nil {
				o.fail(err)
				return
			}
			o.handshaken.Add(1)
			if h.Encrypted {
				o.encrypted.Add(1)
			}
		},
	}
}

// fail counts a failed dial or handshake.
func (o *outcomes) fail(err error) {
	if errors.Is(err, swarm.ErrOtherTorrent) {
		o.failed[failedOtherTorrent].Add(1)
		return
	}
	cause := failedOther
	switch netx.ReasonOf(err) {
	case netx.Self, netx.Exhausted, netx.Stopped:
		return
	case netx.Refused:
		cause = failedRefused
	case netx.TimedOut:
		cause = failedTimedOut
	case netx.Unreachable:
		cause = failedUnreachable
	case netx.Reset:
		cause = failedClosed
	}
	o.failed[cause].Add(1)
}

func (o *outcomes) counts() Outcomes {
	c := Outcomes{Dials: o.dials.Load(), Connected: o.connected.Load(), Handshaken: o.handshaken.Load(), Encrypted: o.encrypted.Load(), Failed: map[string]int64{}}
	for i := range o.failed {
		if n := o.failed[i].Load(); n > 0 {
			c.Failed[failureNames[i]] = n
		}
	}
	return c
}

// Activity returns what the torrent does to find peers, or false if it does not run.
func (t *Torrent) Activity() (a Activity, ok bool) {
	r := t.run.Load()
	if r == nil {
		return a, false
	}
	a = Activity{Lookup: r.lookup(), Outcomes: r.outcomes.counts()}
	if last := r.lastLookup.Load(); last != nil {
		a.LastLookup = *last
	}
	return a, true
}
