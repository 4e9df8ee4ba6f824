package bootnode

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
	"seedbed/internal/netx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t testing.TB, listen []string, change ...func(*Config)) *Server {
	t.Helper()
	conns, err := netx.OpenUDP(netx.UDPConfig{Listen: listen, Sockets: 2})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Conns: conns}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func addr(s *Server) netip.AddrPort { return s.loops[0].conn.LocalAddr() }

// node is a DHT node that answers pings.
type node struct {
	testing.TB
	c       *net.UDPConn
	replies chan krpc.Message
}

func newNode(t testing.TB, i int, to netip.AddrPort) *node {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t, c, make(chan krpc.Message, 16)}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		for {
			b := make([]byte, 2048)
			k, err := c.Read(b)
			if err != nil {
				return
			}
			var m krpc.Message
			if krpc.Parse(b[:k], &m) != nil {
				continue
			}
			if m.Y == 'q' {
				fmt.Fprintf(c, "d1:rd2:id20:%020de1:t%d:%s1:y1:re", i, len(m.T), m.T)
			} else {
				select {
				case n.replies <- m:
				default: // find has repeated its query, and nobody waits for all answers
				}
			}
		}
	}()
	return n
}

func (n *node) find() krpc.Message {
	n.Helper()
	for range 600 {
		fmt.Fprintf(n.c, "d1:ad2:id20:%s6:target20:%se1:q9:find_node1:t2:aa1:y1:qe", strings.Repeat("i", 20), strings.Repeat("t", 20))
		select {
		case m := <-n.replies:
			return m
		case <-time.After(100 * time.Millisecond):
		}
	}
	n.Fatal("no answer")
	panic("unreachable")
}

// eventually polls a condition that has no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

func TestNodesFindEachOther(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := serve(t, []string{listen})
		nodes := make([]*node, 5)
		for i := range nodes {
			nodes[i] = newNode(t, i, addr(s))
			nodes[i].find()
		}
		family := func() FamilyStats {
			st := s.Stats()
			if st.V4.Has {
				return st.V4
			}
			return st.V6
		}
		eventually(t, "not all were verified", func() bool { return family().Nodes == len(nodes) })
		last := newNode(t, 9, addr(s))
		m := last.find()
		if got := len(m.Response.Nodes)/krpc.NodeLen4 + len(m.Response.Nodes6)/krpc.NodeLen6; got != len(nodes) {
			t.Fatalf("%s: got %d nodes", listen, got)
		}
		if m.IP != last.c.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Errorf("%s: ip %v", listen, m.IP)
		}
		st := s.Stats()
		if st.Loops != 2 || st.Running != 2 || st.Verified < 5 || st.Pinged < st.Verified || st.Sum(bootstrap.Answered) < 6 || st.OutBytes == 0 {
			t.Errorf("%+v", st)
		}
	}
}

func TestSavedNodesAreKnownToTheNextRun(t *testing.T) {
	s := serve(t, []string{"127.0.0.1:0"})
	n := newNode(t, 1, addr(s))
	n.find()
	eventually(t, "not verified", func() bool { return s.Stats().V4.Nodes == 1 })
	st := s.State()
	next := serve(t, []string{"127.0.0.1:0"}, func(c *Config) { c.Saved = st })
	if got := next.Stats(); got.V4.Nodes != 1 || got.V4.ID != s.Stats().V4.ID {
		t.Fatalf("%+v", got)
	}
	// The nodes of an old ring are pinged again before they are returned.
	st.Saved = st.Saved.Add(-time.Hour)
	next = serve(t, []string{"127.0.0.1:0"}, func(c *Config) { c.Saved = st })
	eventually(t, "the saved node was not pinged", func() bool { return next.Stats().Pinged > 0 })
	if next.Stats().V4.Nodes != 0 {
		t.Fatal("an old node counts as verified before it was pinged")
	}
}

func TestCloseEndsAllLoops(t *testing.T) {
	s := serve(t, []string{"127.0.0.1:0"})
	s.Close()
	if st := s.Stats(); st.Running != 0 || st.Loops != 2 {
		t.Fatal(st.Running)
	}
	s.Close()
}

func TestInvalidConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no sockets")
	}
	s := serve(t, []string{"127.0.0.1:0"})
	if _, err := New(Config{Conns: []netx.PacketConn{s.loops[0].conn}, VerifyAfter: -1}); err == nil {
		t.Error("a negative delay")
	}
}
