package guard

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"seedbed/internal/addrs"
)

const (
	// failureBurst is how many wrong tokens an address may send at once, and failureEvery the
	// time after which it may send one more.
	failureBurst = 10
	failureEvery = 10 * time.Second
	// RetryAfter is that time as it is in a header, in seconds.
	RetryAfter = "10"
	// maxAddresses is how many addresses are remembered.
	maxAddresses = 4096
)

// failures limits the wrong tokens of each client.
type failures struct {
	mu   sync.Mutex
	from *lru.Cache[netip.Prefix, *rate.Limiter] // by addrs.ClientNet
}

func newFailures() *failures {
	c, err := lru.New[netip.Prefix, *rate.Limiter](maxAddresses)
	if err != nil {
		panic(err) // the size is valid
	}
	return &failures{from: c}
}

// allow counts a wrong token and reports whether the address may have an ordinary answer.
func (f *failures) allow(from netip.Addr) bool {
	if !from.IsValid() {
		return false
	}
	p := addrs.ClientNet(from)
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.from.Get(p)
	if !ok {
		l = rate.NewLimiter(rate.Every(failureEvery), failureBurst)
		f.from.Add(p, l)
	}
	return l.Allow()
}

// clientOf returns the address of the client: the last one that is not a trusted proxy. It is not valid
// over a unix socket.
func (g *Guard) clientOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && g.IsProxy(client); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = hop.Unmap().WithZone("")
	}
	return client
}

// IsProxy reports whether an address is that of a trusted reverse proxy.
func (g *Guard) IsProxy(a netip.Addr) bool {
	for _, p := range g.cfg.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
