package swarm

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/swarm/wire"
)

// A peer that announces no listening port, like webtorrent and rain, still receives the
// address of the peer that can be dialed, and of the next one at least 65 s later.
func TestPEXMessagesAreSixtyFiveSecondsApart(t *testing.T) {
	info, full := makeContent(t, 40<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		leech := startNode(t, n, 1, info, nil)
		defer leech.close()
		other := startNode(t, n, 2, info, newMem(info))
		defer other.close()
		other.addPeers(leech)
		time.Sleep(time.Second)

		nc, err := n.Host(netip.MustParseAddr("10.9.0.1")).Dial(context.Background(), leech.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		s := &script{t, nc, bufio.NewReader(nc)}
		var r wire.Reserved
		r.SetExtended()
		s.write(wire.AppendHandshake(nil, r, info.Hash, id.ID{9, 9}))
		if _, err := io.ReadFull(s.r, make([]byte, wire.HandshakeLen)); err != nil {
			t.Fatal(err)
		}
		s.send(wire.Msg{Type: wire.Extended, Ext: wire.ExtHandshakeID, Payload: []byte("d1:md6:ut_pexi7eee")})
		pex := func() time.Time {
			for {
				if m, at := s.until(wire.Extended); m.Ext == 7 {
					return at
				}
			}
		}
		first := pex()
		more := startNode(t, n, 3, info, full)
		defer more.close()
		more.addPeers(leech)
		if gap := pex().Sub(first); gap < 65*time.Second || gap > 80*time.Second {
			t.Errorf("%v between two messages", gap)
		}
	})
}
