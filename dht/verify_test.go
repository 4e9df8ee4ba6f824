package dht

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

// asker is a node that sends hand-made queries.
type asker struct {
	t    *testing.T
	conn netx.PacketConn
	to   netip.AddrPort
}

func (a *asker) send(method string, q queryArgs) {
	a.t.Helper()
	if err := a.conn.WriteTo(appendQuery(nil, []byte("tt"), id.ID{1}, method, &q, true), a.to); err != nil {
		a.t.Fatal(err)
	}
}

// reply returns the next datagram from the queried node.
func (a *asker) reply() (m krpc.Message) {
	a.t.Helper()
	in := []netx.Datagram{{Buf: make([]byte, 2048)}}
	for {
		if _, err := a.conn.ReadBatch(in); err != nil {
			a.t.Fatal(err)
		}
		// BEP 45: "Responses must be sent from the same socket address on which
		// the corresponding request was received."
		if in[0].Addr != a.to {
			a.t.Fatalf("a reply from %v", in[0].Addr)
		}
		if err := krpc.Parse(bytes.Clone(in[0].Buf[:in[0].N]), &m); err != nil {
			a.t.Fatal(err)
		}
		if m.Y != 'q' {
			return m
		}
	}
}

func (a *asker) ask(method string, q queryArgs) krpc.Message {
	a.t.Helper()
	a.send(method, q)
	return a.reply()
}

// about returns the arguments of a query about a target.
func about(target id.ID) (a queryArgs) {
	a.Target = akrpc.ID(target)
	return a
}

// put returns the arguments of a put of a mutable item.
func (a *asker) put(key ed25519.PrivateKey, seq int64, v string) (put queryArgs) {
	put.K = [32]byte(key.Public().(ed25519.PublicKey))
	put.Sig = [64]byte(ed25519.Sign(key, store.AppendSigned(nil, nil, seq, []byte(v))))
	put.Seq, put.V = &seq, bencode.Value(v)
	m := a.ask("get", about(store.MutableTarget(put.K[:], nil)))
	put.Token = string(m.Response.Token)
	return put
}

// BEP 44: "On the storage node, the signature MUST be verified before accepting
// the store command."
func TestBEP44PutsAreVerifiedOutsideTheReadLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(1, simnet.Link{Delay: 20 * ms})
		d := newNode(t, Config{Conns: conn(t, net, public(1)), Private: true})
		a := &asker{t, conn(t, net, public(2))[0], at(public(1))}
		defer a.conn.Close()
		key := ed25519.NewKeyFromSeed(make([]byte, 32))
		target := store.MutableTarget(key.Public().(ed25519.PublicKey), nil)

		put := a.put(key, 1, "5:first")
		if m := a.ask("put", put); m.Y != 'r' || m.Response.ID != d.ID(false) {
			t.Fatalf("%+v", m)
		}
		forged := a.put(key, 2, "6:second")
		forged.V = bencode.Value("6:forged")
		if m := a.ask("put", forged); m.Error.Code != krpc.CodeBadSig {
			t.Fatalf("%+v", m)
		}
		if ret := func() krpc.Returned { m := a.ask("get", about(target)); return m.Returned() }(); string(ret.Value) != "5:first" || ret.Seq != 1 {
			t.Fatalf("%+v", ret)
		}

		// Of a flood, as many puts as fit into the queue are verified. The rest is dropped,
		// and other queries are answered meanwhile.
		const flood = 2000
		for i := range flood {
			forged.V = bencode.Value(fmt.Appendf(nil, "6:%06d", i))
			a.send("put", forged)
		}
		a.send("ping", queryArgs{})
		refused, pong := 0, 0
		for pong == 0 || refused+int(d.Stats().V4.Dropped.Busy) < flood {
			if m := a.reply(); m.Error.Code == krpc.CodeBadSig {
				refused++
			} else if m.Y == 'r' {
				pong++
			}
		}
		if pong != 1 || refused == 0 {
			t.Error(pong, refused)
		}
		time.Sleep(time.Second)
		if m := a.ask("put", a.put(key, 2, "6:second")); m.Y != 'r' {
			t.Fatalf("%+v", m)
		}
	})
}

func TestConfigIsPassedToTheResponder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(2, simnet.Link{})
		newNode(t, Config{Conns: conn(t, net, public(1)), EnforceID: true, Store: store.Config{Infohashes: 1}})
		a := &asker{t, conn(t, net, public(2))[0], at(public(1))}
		defer a.conn.Close()
		if m := a.ask("ping", queryArgs{}); m.Error.Code != krpc.CodeProtocol {
			t.Errorf("BEP 42 is not enforced: %+v", m)
		}
	})
}
