package webseed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/traffic"
)

const (
	maxRedirects = 5 // of a mirror
	dialWithin   = 15 * time.Second
)

// addressError is returned for an address that must not be contacted.
type addressError struct {
	addr  netip.Addr
	local bool // forbidden because it is not public
}

func (e *addressError) Error() string {
	if e.local {
		return fmt.Sprintf("%s is not a public address; use --local-web-seeds to allow it", e.addr)
	}
	return fmt.Sprintf("%s is blocked", e.addr)
}

// Dial is the type of the function that opens a client's connections.
type Dial = func(ctx context.Context, network, hostPort string, check func(netip.Addr) error) (net.Conn, error)

// NewClient returns a client for mirrors. Unless local is true, it contacts only public
// addresses: the author of a link or torrent chooses its web seeds, and must not be able to
// cause requests in the network of the user who opens it. Every address is checked when it
// is dialed, after names have been resolved and redirects followed. If allowed is not nil, it
// must return true for the address too. dial connects to HOST:PORT and calls check with each
// address before it sends anything to it (netx.Outbound.DialHost). The proxy of the environment
// is not used, because it would dial for us.
func NewClient(dial Dial, local bool, allowed func(netip.Addr) bool) *http.Client {
	check := func(ip netip.Addr) error {
		switch {
		case !local && !addrs.IsPublic(ip):
			return &addressError{ip, true}
		case allowed != nil && !allowed(ip):
			return &addressError{ip, false}
		}
		return nil
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, dialWithin)
				defer cancel()
				return dial(ctx, network, hostPort, check)
			},
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        time.Minute,
			TLSHandshakeTimeout:    15 * time.Second,
			ResponseHeaderTimeout:  20 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0].URL
			switch {
			case len(via) > maxRedirects:
				return errors.New("too many redirects")
			case req.URL.Scheme != "https" && (req.URL.Scheme != "http" || first.Scheme == "https"):
				return fmt.Errorf("redirect to a URL with scheme %q", req.URL.Scheme)
			}
			req.URL.RawQuery = encodeQuery(req.URL.RawQuery) // net/http sends it unchanged
			// Our headers are not sent to another host on a redirect automatically.
			req.Header.Set("Range", via[0].Header.Get("Range"))
			req.Header.Set("Accept-Encoding", "identity")
			return nil
		},
	}
}

// Count counts the bytes of the connections of a client of NewClient. of returns the meter for the address of a
// mirror. It is called before the first request.
func Count(c *http.Client, of func(netip.Addr) *traffic.Meter) {
	t := c.Transport.(*http.Transport)
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return of(conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()).Conn(conn), nil
	}
}
