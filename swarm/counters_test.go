package swarm

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// The counters of a Shared agree with what its torrents say, while they run and after they have stopped.
func TestCountersOfATransfer(t *testing.T) {
	info, full := makeContent(t, 3<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		n.SetLink(netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, 0, 0, 2}), simnet.Link{Delay: 10 * time.Millisecond, Rate: 1 << 20})
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.addPeers(seed)
		leech.AddCandidates([]engine.Candidate{{Addr: netip.MustParseAddrPort("10.200.0.1:6881"), Source: engine.FromDHT}})
		leech.await(FirstPiece, time.Minute)
		l, s := leech.shared.Counters(), seed.shared.Counters()
		if l.Peers.V4 != (PeerCounts{Outgoing: 1}) || s.Peers.V4 != (PeerCounts{Incoming: 1}) || l.Peers.V6 != (PeerCounts{}) {
			t.Errorf("peers of the leecher %+v, and of the seed %+v", l.Peers, s.Peers)
		}
		leech.await(Complete, time.Minute)
		time.Sleep(DialTimeout)
		size := int64(3 << 20)
		l, s = leech.shared.Counters(), seed.shared.Counters()
		if l.Downloaded != size+l.Wasted || s.Uploaded != l.Downloaded || l.Written != size || s.Read < s.Uploaded || l.Uploaded != 0 {
			t.Errorf("the leecher has %+v, and the seed %+v", l, s)
		}
		if l.TCP.V4.In <= l.Downloaded || l.TCP.V4.In != s.TCP.V4.Out || l.TCP.V4.Out != s.TCP.V4.In || l.TCP.V6.In != 0 {
			t.Errorf("bytes of the leecher %+v, and of the seed %+v", l.TCP, s.TCP)
		}
		if d := l.Dials.V4; d[Connected] != 1 || d[TimedOut] == 0 || d[Refused] != 0 {
			t.Errorf("dials %v", d)
		}
		if l.Reads != 0 || l.Writes != 0 || l.HashFailures+l.Bans+l.StorageFailures != 0 {
			t.Errorf("%+v", l)
		}
		leech.close()
		synctest.Wait()
		if after := leech.shared.Counters(); after.Downloaded != l.Downloaded || after.Peers.V4.Outgoing != 0 {
			t.Errorf("after the torrent has stopped: %+v", after)
		}
	})
}

// Wrong data, bans and a broken disk are counted.
func TestCountersOfFailures(t *testing.T) {
	info, full := makeContent(t, 4<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, newMem(info))
		defer nd.close()
		liar := dialScript(t, n, 66, nd, info.Hash, false)
		defer liar.nc.Close()
		honest := dialScript(t, n, 2, nd, info.Hash, false)
		defer honest.nc.Close()
		go liar.serve(full, func(q wire.Msg, b []byte) bool { b[5] ^= 1; return true })
		go honest.serve(full, func(wire.Msg, []byte) bool { time.Sleep(5 * time.Millisecond); return true })
		nd.await(Complete, 5*time.Minute)
		if c, s := nd.shared.Counters(), nd.Snapshot(); c.HashFailures != int64(s.HashFails) || c.HashFailures == 0 || c.Bans == 0 || c.Wasted == 0 || c.Wasted != s.Wasted {
			t.Errorf("%+v, and the torrent has %d wrong pieces and %d bytes wasted", c, s.HashFails, s.Wasted)
		}
	})
}
