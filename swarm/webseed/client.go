package webseed

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"seedbed/internal/addrs"
)

// maxRedirects bounds how often a mirror may send us on.
const maxRedirects = 5

// addressError is an address that must not be reached.
type addressError struct{ addr netip.Addr }

func (e *addressError) Error() string {
	return fmt.Sprintf("%s is no public address, and a link does not make us ask in the local network", e.addr)
}

// NewClient is a client for mirrors. Without local it reaches public addresses alone:
// whoever makes a link or a torrent chooses its web seeds, and must not have requests made in
// the network of whoever opens it. Every address is judged when it is dialled, after
// names are resolved and redirects followed. allowed may forbid more; it may be nil.
// No proxy is used, which would dial for us.
func NewClient(local bool, allowed func(netip.Addr) bool) *http.Client {
	dial := &net.Dialer{
		Timeout: 15 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			ip := to.Addr().Unmap().WithZone("")
			if !local && !addrs.IsPublic(ip) || allowed != nil && !allowed(ip) {
				return &addressError{ip}
			}
			return nil
		},
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial.DialContext,
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
				return errors.New("it sends on and on")
			case req.URL.Scheme != "https" && (req.URL.Scheme != "http" || first.Scheme == "https"):
				return fmt.Errorf("it sends on to a URL that begins with %q", req.URL.Scheme)
			}
			req.URL.RawQuery = encodeQuery(req.URL.RawQuery) // net/http sends it as it is
			// A header of ours does not follow a redirect to another host by itself.
			req.Header.Set("Range", via[0].Header.Get("Range"))
			req.Header.Set("Accept-Encoding", "identity")
			return nil
		},
	}
}
