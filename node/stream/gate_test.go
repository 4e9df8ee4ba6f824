package stream

import (
	"errors"
	"net/netip"
	"testing"
)

// fill takes places for a client until it is refused. It returns how many it got and the refusal.
func fill(g *Gate, c Client) (n int, err error) {
	for err = g.enter(c); err == nil; err = g.enter(c) {
		n++
	}
	return n, err
}

// However many places a client and its account take, the next client and the next account get some.
func TestAGateKeepsPlacesForOthers(t *testing.T) {
	client := func(account, addr string) Client {
		return Client{account, netip.PrefixFrom(netip.MustParseAddr(addr), 32)}
	}
	g := NewGate(64)
	for _, c := range []struct {
		who  Client
		want int
		err  error
	}{
		{client("a", "192.0.2.1"), 16, ErrTooManyOfClient},
		{client("a", "192.0.2.2"), 8, ErrTooManyOfClient},
		{client("b", "192.0.2.1"), 10, ErrTooManyOfClient},
		{Client{Account: "socket"}, 15, ErrTooManyOfClient},
		{client("a", "192.0.2.3"), 0, ErrTooManyOfClient}, // its account has more than is free
		{Client{Account: "c"}, 8, ErrTooManyOfClient},
		{Client{Account: "d"}, 4, ErrTooManyOfClient},
		{Client{Account: "e"}, 2, ErrTooManyOfClient},
		{Client{Account: "f"}, 1, ErrTooMany},
		{Client{Account: "g"}, 0, ErrTooMany},
	} {
		if n, err := fill(g, c.who); n != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v got %d places, then %v; want %d, then %v", c.who, n, err, c.want, c.err)
		}
	}
}

// A place that is left can be taken again, and a gate without readers remembers no client.
func TestALeftPlaceIsFree(t *testing.T) {
	g, c := NewGate(64), Client{Account: "a"}
	first, _ := fill(g, c)
	for range first {
		g.leave(c)
	}
	if len(g.accounts)+len(g.clients) != 0 {
		t.Errorf("it remembers %v %v", g.accounts, g.clients)
	}
	if again, _ := fill(g, c); again != first || first != 32 {
		t.Errorf("first %d places, then %d", first, again)
	}
	if served, open := g.Requests(); served != 64 || open != 32 {
		t.Errorf("%d served, %d open", served, open)
	}
}
