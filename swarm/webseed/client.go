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

// maxRedirects bounds the redirects of a mirror.
const maxRedirects = 5

// addressError is returned for an address that must not be contacted.
type addressError struct{ addr netip.Addr }

func (e *addressError) Error() string {
	return fmt.Sprintf("%s is not a public address, and web seeds of a link must not access the local network", e.addr)
}

// NewClient returns a client for mirrors. Without local it contacts only public
// addresses: the author of a link or torrent chooses its web seeds, and must not cause
// requests in the network of the person who opens it. Every address is checked when it is
// dialed, after names have been resolved and redirects followed. allowed may forbid
// more; it may be nil. No proxy is used, because it would dial for us.
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
