package engine

import (
	"testing"
	"time"

	"seedbed/internal/mono"
)

// emptySwarm is a swarm in which nobody has a piece.
type emptySwarm struct{}

func (emptySwarm) nobodyHas(uint32) bool    { return true }
func (emptySwarm) awaits(Conn, uint32) bool { return false }

// A host is rated by what all of its peers do with their gifts, and by what they did
// before they reconnected.
func TestSpreadRatesHosts(t *testing.T) {
	s := newSpread(100, emptySwarm{})
	var a, b, other spreadPeer
	s.join(1, 7, &a)
	s.join(2, 7, &b)
	s.join(3, 8, &other)
	now := mono.Time(time.Hour)
	if x, y := s.weight(now, &a), s.weight(now, &other); x != y/2 {
		t.Errorf("each of two peers on one host has weight %v, a single peer %v", x, y)
	}
	for i := range 4 {
		s.noteSent(now, &a, uint32(i))
	}
	s.noteHave(now, &b, 0)
	if len(a.host.gifts) != 4 {
		t.Error("a peer on the same host confirmed a gift")
	}
	if x, y := s.urgency(now, &b, 50), s.urgency(now, &other, 50); !y.isBefore(x) {
		t.Errorf("the second peer on a host with gifts has urgency %v, a peer without gifts %v", x, y)
	}
	s.noteHave(now, &other, 0)
	if len(a.host.gifts) != 3 || a.host.lag != firstLag {
		t.Errorf("after a gift was confirmed at once there are %d gifts and a lag of %v", len(a.host.gifts), a.host.lag)
	}
	s.leave(&a)
	s.leave(&b)
	s.leave(&b) // again
	if len(s.given) != 0 || s.absent != 1 {
		t.Errorf("%d gifts and %d hosts remain after the peers have left", len(s.given), s.absent)
	}
	s.join(4, 7, &a)
	if s.absent != 0 || s.weight(now, &a) >= s.weight(now, &other) {
		t.Error("a peer that left with gifts is treated as new when it returns")
	}
}

// The number of remembered hosts is limited, and connected hosts are not forgotten.
func TestSpreadForgetsHosts(t *testing.T) {
	s := newSpread(1, emptySwarm{})
	var stays, p spreadPeer
	s.join(1, 1, &stays)
	for i := range 2 * maxAbsent {
		s.join(2, uint32(2+i), &p)
		s.leave(&p)
	}
	if len(s.hosts) != maxAbsent+1 || s.absent != maxAbsent || s.hosts[0] != stays.host {
		t.Errorf("%d hosts are known, %d of them without a peer", len(s.hosts), s.absent)
	}
}
