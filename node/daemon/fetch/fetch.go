// Package fetch downloads what a URL from another program names: a .torrent file, a feed.
//
// A client that may add torrents chooses the URL. The daemon must not make requests for that client
// to machines that only the daemon reaches, such as a router or the metadata service of a
// cloud. Only public addresses are contacted, unless Config.Private is set. Each address is
// checked when it is dialled, which is after its name was resolved, and again after each redirect.
// The proxy of the environment is not used, because it would resolve names and dial on its own.
//
// Sizes are in bytes. An error is a *node.Fault that says what happened; *AddressError is
// wrapped for an address that is not allowed.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/netx"
	"seedbed/node"
)

const (
	// Within limits a download, including the resolution of names.
	Within = time.Minute
	// MaxTorrent limits the size of a .torrent file: 64 MiB of metadata, and space for the rest.
	MaxTorrent = 80 << 20
	// MaxURL limits the length of a URL.
	MaxURL = 8 << 10

	// maxAtOnce limits the downloads of a Fetcher at a time. Compressed, a large file takes the
	// other side next to nothing.
	maxAtOnce = 16

	maxRedirects = 10
	dialWithin   = 15 * time.Second
	headWithin   = 30 * time.Second
)

// Config configures a Fetcher.
type Config struct {
	// Agent is sent as User-Agent.
	Agent string
	// Outbound opens the connections.
	Outbound netx.Outbound
	// Private allows all addresses. It is for URLs from the owner of the machine, not from clients.
	Private bool
	// Allowed, if not nil, must also return true for an address.
	Allowed func(netip.Addr) bool
}

// A Fetcher downloads. Its methods may be called from any goroutine.
type Fetcher struct {
	agent   string
	client  *http.Client
	running chan struct{} // has an element for each download
}

// An AddressError is returned for a server whose address must not be contacted.
type AddressError struct {
	Addr netip.Addr
}

func (e *AddressError) Error() string { return e.Addr.String() + " is not an allowed address" }

// New returns a Fetcher.
func New(cfg Config) *Fetcher {
	check := func(ip netip.Addr) error {
		if !cfg.Private && !addrs.IsPublic(ip) || cfg.Allowed != nil && !cfg.Allowed(ip) {
			return &AddressError{ip}
		}
		return nil
	}
	dial := func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialWithin)
		defer cancel()
		return cfg.Outbound.DialHost(ctx, network, hostPort, check)
	}
	return &Fetcher{agent: cfg.Agent, running: make(chan struct{}, maxAtOnce), client: &http.Client{
		Timeout: Within,
		Transport: &http.Transport{
			DialContext: dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialWithin,
			ResponseHeaderTimeout: headWithin, MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: Within, MaxIdleConnsPerHost: 2,
		},
		CheckRedirect: checkRedirect,
	}}
}

// Close closes idle connections.
func (f *Fetcher) Close() { f.client.CloseIdleConnections() }

// IsURL reports whether s is an HTTP or HTTPS URL.
func IsURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// isMagnet reports whether s is a magnet link.
func isMagnet(s string) bool { return len(s) >= 7 && strings.EqualFold(s[:7], "magnet:") }

// errMagnet ends a download that leads to a magnet link.
var errMagnet = errors.New("it redirects to a magnet link")

func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case isMagnet(req.URL.String()):
		return errMagnet
	case !IsURL(req.URL.String()):
		return fmt.Errorf("it redirects to a URL with the scheme %q", req.URL.Scheme)
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("it redirects from https to http")
	case len(via) > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// Torrent downloads the .torrent file at address, at most MaxTorrent bytes. If the server
// redirects to a magnet link, as index sites do, it returns that link instead. cookies is the
// Cookie header for the first host, or "".
func (f *Fetcher) Torrent(ctx context.Context, address, cookies string) (torrent []byte, link string, err error) {
	header := http.Header{"Accept": {"application/x-bittorrent, */*;q=0.5"}}
	if cookies != "" {
		header.Set("Cookie", cookies)
	}
	torrent, _, err = f.get(ctx, address, header, MaxTorrent)
	var failed *url.Error
	if errors.Is(err, errMagnet) && errors.As(err, &failed) && isMagnet(failed.URL) {
		return nil, failed.URL, nil
	}
	if err == nil && len(torrent) > 0 && torrent[0] == '<' {
		err = fault(address, errors.New("is a web page, not a .torrent file"), "open it in a browser; it may ask for a login")
	}
	return torrent, "", err
}

// Get downloads what is at address, at most limit bytes.
func (f *Fetcher) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	b, _, err := f.get(ctx, address, http.Header{"Accept": {"*/*"}}, limit)
	return b, err
}

// A Version identifies the version of a document, by the headers of the server.
type Version struct{ ETag, Modified string }

// GetChanged is Get for a document that was downloaded before, in version last. It returns nil if
// the server says that the document has not changed.
func (f *Fetcher) GetChanged(ctx context.Context, address string, limit int64, last Version) ([]byte, Version, error) {
	header := http.Header{"Accept": {"*/*"}}
	if last.ETag != "" {
		header.Set("If-None-Match", last.ETag)
	}
	if last.Modified != "" {
		header.Set("If-Modified-Since", last.Modified)
	}
	b, got, err := f.get(ctx, address, header, limit)
	if err != nil || b == nil {
		return nil, last, err
	}
	return b, Version{got.Get("ETag"), got.Get("Last-Modified")}, nil
}

// get returns nil for a document that has not changed.
func (f *Fetcher) get(ctx context.Context, address string, header http.Header, limit int64) ([]byte, http.Header, error) {
	switch {
	case len(address) > MaxURL:
		return nil, nil, fault(address[:40]+"…", fmt.Errorf("is too long for a URL (over %d bytes)", MaxURL), "")
	case !IsURL(address):
		return nil, nil, fault(address, errors.New("is not an HTTP or HTTPS URL"), "")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, fault(address, fmt.Errorf("is not a valid URL: %w", err), "")
	}
	req.Header = header
	req.Header.Set("User-Agent", f.agent)
	select {
	case f.running <- struct{}{}:
		defer func() { <-f.running }()
	case <-ctx.Done():
		return nil, nil, downloadFault(address, ctx.Err())
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, nil, downloadFault(address, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified {
		return nil, nil, nil
	}
	if res.StatusCode != http.StatusOK {
		return nil, nil, fault(address, fmt.Errorf("was answered with %s", res.Status), "open it in a browser")
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, nil, downloadFault(address, err)
	case int64(len(b)) > limit:
		return nil, nil, fault(address, fmt.Errorf("is larger than %d bytes", limit), "")
	}
	return b, res.Header, nil
}

// downloadFault returns the fault for a failure of the connection.
func downloadFault(address string, err error) error {
	var forbidden *AddressError
	var timeout net.Error
	var failed *url.Error
	if errors.As(err, &failed) && !errors.Is(err, errMagnet) {
		err = failed.Err // its text has the query
	}
	switch {
	case errors.As(err, &forbidden):
		return fault(address, fmt.Errorf("was not downloaded: %w", forbidden), "download it and add the file")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fault(address, fmt.Errorf("was not downloaded within %v: %w", Within, err), "download it with a browser and add the file")
	}
	return fault(address, fmt.Errorf("was not downloaded: %w", err), "")
}

// fault returns a Fault about an address. It leaves out the query, which may have a passkey,
// and the user's password.
func fault(address string, err error, hint string) error {
	if u, e := url.Parse(address); e == nil {
		u.RawQuery, u.User = "", nil
		address = u.String()
	}
	return node.NewFault(node.FaultUsage, fmt.Errorf("%s %w", address, err), hint)
}
