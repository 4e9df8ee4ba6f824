package fleet

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listen starts a program on a host that does with each connection what serve does, and then closes it.
func (r *rig) listen(at netip.Addr, serve func(net.Conn)) {
	r.t.Helper()
	stack, err := r.net.Host(at).Open(testPort)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(r.t.Context())
	r.t.Cleanup(func() { stop(); stack.Close() })
	go func() {
		for {
			c, err := stack.Accept(ctx)
			if err != nil {
				return
			}
			go func() { serve(c); c.Close() }()
		}
	}()
}

// A node that cannot join the others says why and what to do, in Status at once, and in one warning after a while. It works alone.
func TestWhyANodeCannotJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.start(1)
		noKey := func(c *Config) { c.Key, c.Listen = nil, "127.0.0.1:7946" }
		r.startWith(2, noKey)
		http, closes, other := netip.MustParseAddr("10.9.9.1"), netip.MustParseAddr("10.9.9.2"), netip.MustParseAddr("10.9.9.3")
		answer := func(text string) func(net.Conn) {
			return func(c net.Conn) {
				_, _ = c.Read(make([]byte, 100))
				_, _ = io.WriteString(c, text)
			}
		}
		r.listen(http, answer("HTTP/1.1 400 Bad Request\r\n\r\n"))
		r.listen(closes, answer(""))
		r.listen(other, answer("\x06garbage of another program"))
		cases := []struct {
			to     string
			change func(*Config)
			want   string
		}{
			{fleetAddr(1).String(), func(c *Config) { c.Key = bytes.Repeat([]byte{1}, KeyLen) }, "has another key: give all nodes of the fleet the same --fleet-key"},
			{fleetAddr(1).String(), noKey, "has a key, and this node has none"},
			{fleetAddr(2).String(), func(*Config) {}, "has no key, or is no node of a fleet"},
			{http.String() + ":7946", func(*Config) {}, "has no key, or is no node of a fleet"},
			{http.String() + ":7946", noKey, "is no node of a fleet"},
			{closes.String() + ":7946", func(*Config) {}, "closes the connection without an answer"},
			{other.String() + ":7946", noKey, "is no node of a fleet"},
			{"10.9.9.9:7946", func(*Config) {}, "does not answer: check that its node runs"},
			{"pod-7.fleet.invalid:7946", func(*Config) {}, "no such host"},
		}
		for i, c := range cases {
			r.startWith(3+i, func(cfg *Config) { c.change(cfg); cfg.Members = []string{c.to} })
		}
		time.Sleep(20 * time.Second)
		for i, c := range cases {
			why := r.nodes[3+i].Status().Unreachable
			if host, _, _ := strings.Cut(c.to, ":"); !strings.Contains(why, c.want) || !strings.Contains(why, host) {
				t.Errorf("%s: %q, want %q", c.to, why, c.want)
			}
		}
		time.Sleep(time.Minute)
		for i, c := range cases {
			if w := r.nodes[3+i].Warnings(); strings.Count(w, "no node of --fleet can be reached") != 1 || !strings.Contains(w, c.want) {
				t.Errorf("%s: it warns %q", c.to, w)
			}
			if !r.divided(3 + i) {
				t.Errorf("%s: the node does not work alone", c.to)
			}
		}
		if w := r.nodes[1].Warnings(); w != "" {
			t.Errorf("node 1 warns %q", w)
		}
	})
}

// The user is warned once of a member with another store and of two members that tell the others one address, by each node that
// sees them for a while. The other members go on.
func TestMembersThatAreConfiguredWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.startThree(1)
		r.startWith(4, func(c *Config) { c.Members, c.Store = []string{fleetAddr(1).String()}, "s3://bucket/other" })
		r.startWith(5, func(c *Config) { c.Members, c.Advertise = []string{fleetAddr(1).String()}, fleetAddr(2).String() })
		seen := false
		for range 150 {
			time.Sleep(time.Second)
			for _, m := range r.nodes[1].Status().Members {
				seen = seen || m.Name == name(5) && m.SameAddr == name(2)
			}
		}
		if !seen {
			t.Error("Status does not show the shared address")
		}
		for num, m := range r.nodes {
			w := m.Warnings()
			what := "the node node-4 of the fleet, at 10.0.4.1:7946, has another --store"
			if num == 4 {
				what = " nodes of the fleet have another --store, such as node-1 at "
			}
			if strings.Count(w, "another --store") != 1 || !strings.Contains(w, what) {
				t.Errorf("node %d warns %q, want %q", num, w, what)
			}
			if strings.Count(w, "node-2 and node-5 of the fleet tell the others the same address") != 1 {
				t.Errorf("node %d warns %q", num, w)
			}
		}
		for _, torrent := range r.torrents {
			if len(r.announcing(torrent)) == 0 {
				t.Error("nobody announces a torrent")
			}
		}
	})
}
