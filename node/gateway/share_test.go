package gateway

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
)

var otherClient = netip.MustParsePrefix("198.51.100.7/32")

// One client gets half, another one half of the rest; what is given back can be taken again.
func TestSharesAreFair(t *testing.T) {
	s := newShare(64)
	count := func(c netip.Prefix) (n int) {
		for s.take(c) {
			n++
		}
		return n
	}
	if a, b, all := count(client), count(otherClient), count(netip.Prefix{}); a != 32 || b != 16 || all != 16 {
		t.Errorf("%d, %d and %d", a, b, all)
	}
	s.give(otherClient)
	if s.take(client) || s.take(otherClient) || !s.take(netip.MustParsePrefix("192.0.2.1/32")) {
		t.Error("the last one is for a client that has none")
	}
}

// One client cannot take all connections. Those of a proxy are those of many clients.
func TestConnectionsAreShared(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var proxy atomic.Bool
	shared := &sharedListener{l, newShare(8), func(netip.Addr) bool { return proxy.Load() }}
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := shared.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second)) // only a failure takes as long
		return c
	}
	var open []net.Conn
	for range 4 {
		dial()
		open = append(open, <-accepted)
	}
	if _, err := io.ReadAll(dial()); err != nil { // it is closed: half of the connections are the client's
		t.Error(err)
	}
	open[0].Close()
	open[0].Close() // as net/http may do
	dial()
	<-accepted
	if shared.share.taken() != 4 {
		t.Errorf("%d connections are counted", shared.share.taken())
	}
	proxy.Store(true)
	for range 4 {
		dial()
		<-accepted
	}
}

// A client that asks for 10,000 keys causes no more lookups than it may, in all and at a time, and others
// are served meanwhile.
func TestOneClientCausesFewLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(90, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		_, a, _ := newPublisher(t, n, 1).publish(1, map[string]int{"index.html": 3000})
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir(), limitClients: true})
		var f *Failure
		began := time.Now()
		refused := map[int]int{}
		looked := 0
		for k := range 10_000 {
			_, _, _, err := l.tryNewest(Address{Key: id.ID32{1, byte(k), byte(k >> 8)}}, client)
			switch {
			case err == nil:
				looked++
			case errors.As(err, &f) && f.Retry > 0:
				refused[f.Code]++
			default:
				t.Fatal(err)
			}
			if k%1000 == 0 {
				time.Sleep(5 * time.Second)
			}
			if l.lookups.taken() > maxLookups/2 {
				t.Fatalf("%d lookups of one client run", l.lookups.taken())
			}
		}
		if most := lookupBurst + int(time.Since(began).Seconds()+1)*lookupRate; looked > most || refused[429] == 0 {
			t.Errorf("%d lookups, of at most %d; refused: %v", looked, most, refused)
		}
		if v, done, err := l.Newest(t.Context(), a, otherClient); err != nil || v.Seq != 1 {
			t.Errorf("another client: %+v, %v", v, err)
		} else {
			done()
		}
		// What is known is served to the first one too.
		if _, done, err := l.Newest(t.Context(), a, client); err != nil {
			t.Error(err)
		} else {
			done()
		}
		if l.sites.Len() > maxSites {
			t.Errorf("%d publications are remembered", l.sites.Len())
		}
	})
}
