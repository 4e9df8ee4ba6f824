package swarm

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/swarm/wire"
)

// A torrent without memory waits, connected, until it gets some.
func TestWithoutMemoryNothingIsDownloaded(t *testing.T) {
	info, full := makeContent(t, 3<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(31, simnet.Link{Delay: 20 * time.Millisecond})
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.SetLimits(0, 8, 50, false)
		leech.addPeers(seed)
		time.Sleep(5 * time.Minute)
		if s := leech.Snapshot(); s.Downloaded != 0 || s.Connected != 1 || !s.Metadata {
			t.Fatalf("%+v", s)
		}
		leech.SetLimits(2, 8, 50, false)
		leech.await(FirstPiece, 10*time.Second)
		leech.SetLimits(0, 8, 50, false)
		time.Sleep(time.Minute)
		if s := leech.Snapshot(); s.Complete {
			// The download may have finished before the cut; then there is nothing to
			// check.
			return
		}
		leech.SetLimits(8, 8, 50, false)
		leech.await(Complete, time.Minute)
		leech.checkContent(full)
	})
}

// A peer that names the torrent and then stays silent takes one of few places, and not
// for long.
func TestPendingHandshakesAreBounded(t *testing.T) {
	info, full := makeContent(t, 64<<10, 64<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(32, simnet.Link{Delay: 20 * time.Millisecond})
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		for i := range 2 * maxHandshakes {
			c, err := n.Host(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})).Dial(t.Context(), seed.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var r wire.Reserved
			if _, err := c.Write(wire.AppendHandshake(nil, r, info.Hash, id.ID{})[:helloLen]); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n := seed.host.Conns(); n != maxHandshakes {
			t.Errorf("%d handshakes in progress", n)
		}
		time.Sleep(HandshakeTimeout)
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.addPeers(seed)
		leech.await(Complete, time.Minute)
		if n := seed.host.Conns(); n > 1 {
			t.Errorf("%d connections remain", n)
		}
	})
}
