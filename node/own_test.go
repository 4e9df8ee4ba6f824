package node

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/swarm/engine"
)

// The DHT and PEX return our own address: we announce it, and peers that we dialled pass it
// on. We dial neither the address that we listen on nor our external one.
func TestWeDoNotDialOurselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(11, simnet.Link{Delay: 25 * ms})
		spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		tap := newDialTap()
		r := start(t, n, 1, through(tap))
		if got := r.own(); got[0] != addr(1) || got[1].IsValid() {
			t.Errorf("before any vote our address is %v, want the one that we listen on", got)
		}
		self := at(1)
		lyingPeerAddr := at(50)
		outside := netip.MustParseAddrPort("10.9.9.9:6881")
		lyingPeer(t, n, lyingPeerAddr, spec.InfoHash(), func() []netip.AddrPort { return []netip.AddrPort{self, outside} })
		tor := r.add(Spec{Link: withPeers(spec, lyingPeerAddr.String()), Dir: t.TempDir()})
		time.Sleep(30 * time.Second)
		if k := tap.to(self.Addr()); k != 0 {
			t.Errorf("we dialled ourselves %d times", k)
		}
		seen := tap.to(outside.Addr())
		if seen == 0 {
			t.Error("another address of the same port was not dialled")
		}

		// Four networks report our address.
		for i := range 4 {
			r.dht.YourIP(addr(60+i), outside.Addr())
		}
		if got := r.own(); got[0] != outside.Addr() {
			t.Errorf("our address is %v after the vote", got)
		}
		tor.foundPeers(lyingPeerAddr, []netip.AddrPort{outside})
		seen = tap.to(outside.Addr())
		tor.run.Load().swarm.AddCandidates([]engine.Candidate{{Addr: outside, Source: engine.FromDHT}})
		time.Sleep(time.Hour)
		if k := tap.to(outside.Addr()) - seen; k != 0 {
			t.Errorf("we dialled our external address %d times", k)
		}
	})
}
