package swarm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// requester is a peer that has nothing and requests blocks over and over, including those it
// has received, so that there are always waiting requests.
type requester struct {
	*script
	info  *metainfo.Info
	depth int   // number of waiting requests
	asked int64 // blocks
	got   atomic.Int64
}

func (k *requester) ask(n int) {
	per := k.info.PieceLength >> 14
	var b []byte
	for range n {
		i := k.asked % (per * int64(k.info.NumPieces()))
		b = wire.Append(b, wire.Msg{Type: wire.Request, Index: uint32(i / per), Begin: uint32(i % per << 14), Length: 16 << 10})
		k.asked++
	}
	k.write(b)
}

// run receives until the connection ends, and counts the bytes of the piece messages.
func (k *requester) run() {
	k.r = bufio.NewReaderSize(k.nc, 64<<10)
	k.send(wire.Msg{Type: wire.Interested})
	for {
		var head [wire.PrefixLen + 1]byte
		if _, err := io.ReadFull(k.r, head[:wire.PrefixLen]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n == 0 {
			continue
		}
		if _, err := io.ReadFull(k.r, head[wire.PrefixLen:]); err != nil {
			return
		}
		if _, err := k.r.Discard(n - 1); err != nil {
			return
		}
		switch wire.Type(head[wire.PrefixLen]) {
		case wire.Unchoke: // a choke has dropped the waiting requests
			k.ask(k.depth)
		case wire.Piece:
			k.got.Add(int64(n + wire.PrefixLen))
			k.ask(1)
		}
	}
}

// While requests wait, exactly the upload limit is used, however many peers there are and
// however high it is: if each peer has many requests, and also if all together have only
// a quarter of a second's worth.
func TestUploadLimitIsUsed(t *testing.T) {
	if raceEnabled {
		t.Skip("it moves gigabytes")
	}
	info, full := makeContent(t, 4<<20, 256<<10)
	measure := func(t *testing.T, limit int64, peers, depth int, span time.Duration) (used float64) {
		sim(t, func(t *testing.T, _ *simnet.Net) {
			// A simnet connection carries 256 KiB per round trip.
			n := simnet.New(1, simnet.Link{Delay: time.Millisecond})
			seed := startNode(t, n, 1, info, full.copy(), rates(limit, 0), func(c *Config, _ *SharedConfig) { c.Uploads = peers })
			defer seed.close()
			seed.await(Opened, time.Second)
			var takers []*requester
			for i := range peers {
				k := &requester{script: dialScript(t, n, byte(i), seed, info.Hash, false), info: info, depth: depth}
				defer k.nc.Close()
				go k.run()
				takers = append(takers, k)
			}
			total := func() (n int64) {
				for _, k := range takers {
					n += k.got.Load()
				}
				return n
			}
			time.Sleep(5 * time.Second)
			before := total()
			time.Sleep(span)
			used = float64(total()-before) / (float64(limit) * span.Seconds())
		})
		return used
	}
	for _, limit := range []int64{64 << 10, 512 << 10, 4 << 20, 64 << 20} {
		for _, peers := range []int{1, 4, 16} {
			quarter := max(4, int(limit/4>>14))
			span := 30 * time.Second
			if limit > 32<<20 {
				span /= 10 // as many blocks as 30 s at 6 MiB/s
			}
			for _, depth := range []int{100, max(1, quarter/peers)} {
				t.Run(fmt.Sprintf("%d KiB a second, %d peers, %d requests each", limit>>10, peers, depth), func(t *testing.T) {
					used := measure(t, limit, peers, depth, span)
					t.Logf("used %.4f of the limit", used)
					// There may be a block more or less in progress than at the start.
					if block := 16 << 10 / (float64(limit) * span.Seconds()); used < 0.98-block || used > 1.001+block {
						t.Errorf("used %.4f of the limit", used)
					}
				})
			}
		}
	}
}

// If the upload rate is limited, blocks are sent in the order of the engine's commands,
// whichever connections they are for.
func TestBlocksAreSentInTheOrderOfTheCommands(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		seed := startNode(t, n, 1, info, full, rates(256<<10, 0))
		defer seed.close()
		seed.await(Opened, time.Second)
		// The engine does not know these connections, so it does not influence what they
		// send.
		const first = 1000
		var mu sync.Mutex
		var got []int
		var peers sync.WaitGroup
		var conns []*conn
		listener, err := n.Host(netip.AddrFrom4([4]byte{10, 9, 0, 1})).Listen(1)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		for i := range 3 {
			nc, err := seed.host.Dial(t.Context(), listener.Addrs()[0])
			if err != nil {
				t.Fatal(err)
			}
			peer, err := listener.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, newConn(seed.Torrent, engine.Conn(first+i), nc, listener.Addrs()[0], incoming))
			s := &script{t: t, nc: peer, r: bufio.NewReader(peer)}
			peers.Go(func() {
				defer peer.Close()
				for {
					m, err := s.next()
					if err != nil {
						return
					}
					if m.Type == wire.Piece {
						mu.Lock()
						got = append(got, i)
						mu.Unlock()
					}
				}
			})
		}
		order := []int{2, 2, 0, 1, 2, 2, 2, 1, 0, 0, 0, 1, 2, 0}
		seed.inbox.post(item{fn: func() {
			for i, c := range conns {
				seed.conns[c.id] = c
				c.Start()
				seed.do(&engine.Command{Kind: engine.CmdSend, Conn: c.id, Bytes: wire.Append(nil, wire.Msg{Type: wire.Have, Index: uint32(i)})})
			}
			for i, to := range order {
				seed.do(&engine.Command{Kind: engine.CmdUpload, Conn: engine.Conn(first + to), Block: engine.Block{Piece: 0, Begin: uint32(i) << 14, Length: 16 << 10}})
			}
		}})
		time.Sleep(10 * time.Second)
		for _, c := range conns {
			c.Close(engine.FaultLocal)
		}
		peers.Wait()
		if !slices.Equal(got, order) {
			t.Errorf("the blocks were for %v, not %v", got, order)
		}
	})
}
