package node

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/swarm"
	"seedbed/swarm/wire"
)

// Connections that never send an infohash are limited for each host and in total, end soon,
// and do not block other peers.
func TestSilentConnectionsAreBoundedAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(17, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		a := seedOf(t, n, 1, spec)
		time.Sleep(time.Second)
		silent := func(from, count int) {
			for range count {
				c, err := n.Host(addr(from)).Dial(t.Context(), at(1))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
			}
		}
		silent(50, 3*maxPendingPerHost)
		time.Sleep(100 * ms)
		if n := a.host.Conns(); n != maxPendingPerHost {
			t.Errorf("%d silent connections of one host", n)
		}
		for i := range 30 {
			silent(60+i, maxPendingPerHost/2)
		}
		time.Sleep(100 * ms)
		if n := a.host.Conns(); n > maxPending {
			t.Errorf("%d silent connections", n)
		}
		b := start(t, n, 2, noDHT)
		wait(t, b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()}).Done(), 5*time.Second, "a download among the flood")
		b.close()
		time.Sleep(swarm.HandshakeTimeout + time.Second)
		if n := a.host.Conns(); n != 0 {
			t.Errorf("%d connections are still open", n)
		}
	})
}

// hello returns the first part of a handshake, without the peer id.
func hello(ih id.ID) []byte {
	var r wire.Reserved
	return wire.AppendHandshake(nil, r, ih, id.ID{})[:48]
}

// A connection with the infohash of an unknown torrent is closed at once. Bytes that may be
// the start of an encrypted handshake are read until a timeout, without a reply.
func TestConnectionsForOtherTorrentsGetNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(18, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		seedOf(t, n, 1, spec)
		for _, c := range []struct {
			first  []byte
			within time.Duration
		}{
			{hello(id.ID{7}), 100 * ms},
			{[]byte("GET / HTTP/1.1\r\n\r\n"), swarm.HandshakeTimeout + 100*ms},
		} {
			first, within := c.first, c.within
			c, err := n.Host(addr(50)).Dial(t.Context(), at(1))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := c.Write(first); err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(c); len(b) > 0 || time.Since(began) > within {
				t.Errorf("%q was answered by %q after %v", first, b, time.Since(began))
			}
			c.Close()
		}
	})
}

// Connections that complete the handshake and then send nothing are limited, and all
// torrents together stay within the node's limit.
func TestConnectionsAreBoundedForTheWholeNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(19, simnet.Link{Delay: 20 * ms})
		const most = 40
		a := start(t, n, 1, noDHT, func(c *Config) { c.MaxConns = most })
		var specs []Spec
		for range 8 {
			spec, _ := folder(t, ShareOptions{}, map[string]int{"x" + t.Name() + time.Now().String(): 1000})
			specs = append(specs, spec)
			a.add(spec)
			time.Sleep(ms)
		}
		time.Sleep(time.Second)
		for i := range 120 {
			c, err := n.Host(addr(50+i)).Dial(t.Context(), at(1))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var r wire.Reserved
			if _, err := c.Write(wire.AppendHandshake(nil, r, specs[i%len(specs)].InfoHash(), id.ID{byte(i), 1})); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * ms)
		}
		time.Sleep(time.Second)
		if n := a.host.Conns(); n > most || n < most/2 {
			t.Errorf("%d connections of at most %d", n, most)
		}
	})
}

// Silent peers use all connections of a node. A seed that connects is still accepted,
// and so is one that only we can dial.
func TestASeedIsAcceptedWhenSilentPeersUseAllConnections(t *testing.T) {
	for _, dialled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(23, simnet.Link{Delay: 20 * ms})
			const most = 30
			spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
			leech := start(t, n, 1, noDHT, func(c *Config) { c.MaxConns = most })
			link := withPeers(spec)
			if dialled {
				link.Peers = []string{at(2).String()}
			}
			got := leech.add(Spec{Link: link, Torrent: spec.Torrent, Dir: t.TempDir()})
			for i := range most {
				c, err := n.Host(addr(50+i)).Dial(t.Context(), at(1))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				var r wire.Reserved
				r.SetFast()
				b := wire.AppendHandshake(nil, r, spec.InfoHash(), id.ID{byte(i), 1})
				if _, err := c.Write(wire.Append(wire.Append(b, wire.Msg{Type: wire.HaveAll}), wire.Msg{Type: wire.Unchoke})); err != nil {
					t.Fatal(err)
				}
				go io.Copy(io.Discard, c)
			}
			time.Sleep(time.Second)
			if k := got.Snapshot().Connected; k != most {
				t.Fatalf("%d connections of at most %d", k, most)
			}
			seed := start(t, n, 2, noDHT)
			if !dialled {
				spec.Peers = []string{at(1).String()}
			}
			seed.add(spec)
			wait(t, got.Done(), 90*time.Second, "a download from the seed that is accepted")
			if k := got.Snapshot().Connected; k > most {
				t.Errorf("%d connections of at most %d", k, most)
			}
		})
	}
}
