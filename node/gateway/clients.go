package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"seedbed/internal/addrs"
)

const (
	// clientRate is how many requests a second a client of a public gateway may send, and clientBurst how many
	// at once: pages with several hundred files are loaded without a wait.
	clientRate  = 50
	clientBurst = 1000
)

// clients determines the network and the URL scheme of the client that sent a request.
type clients struct {
	proxies []netip.Prefix // reverse proxies, whose X-Forwarded-For is trusted
}

// of returns the network of the client that sent a request. A trusted proxy appends the address from
// which it got the request, so what stands before that, which the client may have written, does not
// count.
func (c clients) of(r *http.Request) netip.Prefix {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	addr := addrs.Host(from.Addr())
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for c.isProxy(addr) && len(hops) > 0 {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[len(hops)-1]))
		if err != nil {
			break
		}
		addr, hops = addrs.Host(next), hops[:len(hops)-1]
	}
	return addrs.ClientNet(addr)
}

func (c clients) isProxy(a netip.Addr) bool {
	return slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// scheme returns the scheme of the URL that the client requested.
func (c clients) scheme(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil && c.isProxy(addrs.Host(from.Addr())) && r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https://"
	}
	return "http://"
}
