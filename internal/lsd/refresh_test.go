package lsd

import (
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
)

// After a change of the network, a new interface is joined and all torrents are announced there
// at once, also those that were announced elsewhere seconds ago.
func TestRefreshAnnouncesInANewNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{names: []string{"eth0"}}
		h := s.host(t, 1, []id.ID{{1}, {2}})
		time.Sleep(10 * time.Second)
		sent := func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.sent }
		before := sent()
		h.Refresh()
		time.Sleep(10 * time.Second)
		if n := sent() - before; n != 0 {
			t.Errorf("%d datagrams without a new interface", n)
		}
		s.mu.Lock()
		s.names = []string{"eth0", "wlan0"}
		s.mu.Unlock()
		h.Refresh()
		time.Sleep(5 * time.Second)
		if n := sent() - before; n != 4 { // 2 torrents, 2 families
			t.Errorf("%d datagrams in the new network, want 4", n)
		}
	})
}
