package argument

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/version"
	"seedbed/internal/netx"
)

const (
	// fetchTimeout limits the fetch of a .torrent file, including name resolution.
	fetchTimeout = time.Minute
	tlsTimeout   = 10 * time.Second
	// maxRedirects limits the redirects of a fetch; browsers allow 20, curl 50.
	maxRedirects = 10
)

// fetchTorrent downloads the .torrent file at url, at most maxTorrentFile bytes. If the
// server redirects to a magnet link, as index sites do, it returns that link instead.
// out opens the connections.
func fetchTorrent(ctx context.Context, out netx.Outbound, url string) (b []byte, link string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil && req.URL.Host == "" {
		err = errors.New("it has no host")
	}
	if err != nil {
		return nil, "", exit.Fail(exit.Usage, "", fmt.Errorf("%s is not a valid URL: %w", url, err))
	}
	req.Header.Set("User-Agent", "seedbed/"+version.String())
	req.Header.Set("Accept", "application/x-bittorrent, */*;q=0.5")
	dial := func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		return out.DialHost(ctx, network, hostPort, nil)
	}
	transport := &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: tlsTimeout}
	if out.IsZero() {
		transport.Proxy = http.ProxyFromEnvironment
	}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case IsMagnet(req.URL.String()):
			link = req.URL.String()
			return http.ErrUseLastResponse
		case !IsURL(req.URL.String()):
			return fmt.Errorf("it redirects to %s, which is not an HTTP URL", req.URL)
		case len(via) > maxRedirects:
			return fmt.Errorf("it redirects more than %d times", maxRedirects)
		}
		return nil
	}}
	res, err := client.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, "", exit.Fail(exit.Timeout, "download the file with a browser and use its path", fmt.Errorf("%s did not answer within %v", url, fetchTimeout))
	case err != nil:
		return nil, "", exit.Fail(exit.Network, "", fmt.Errorf("cannot download the .torrent file: %w", err))
	}
	defer res.Body.Close()
	if link != "" {
		return nil, link, nil
	}
	if res.StatusCode != http.StatusOK {
		code := exit.Network
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone {
			code = exit.NotFound
		}
		return nil, "", exit.Fail(code, "open it in a browser", fmt.Errorf("%s answered %s", url, res.Status))
	}
	b, err = io.ReadAll(io.LimitReader(res.Body, maxTorrentFile+1))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, "", exit.Fail(exit.Timeout, "download the file with a browser and use its path", fmt.Errorf("%s was not downloaded within %v", url, fetchTimeout))
	case err != nil:
		return nil, "", exit.Fail(exit.Network, "", fmt.Errorf("%s: the download was interrupted: %w", url, err))
	case len(b) > maxTorrentFile:
		return nil, "", exit.Fail(exit.Torrent, "", fmt.Errorf("%s is too large for a .torrent file (over %s)", url, report.Size(maxTorrentFile)))
	case len(b) > 0 && b[0] == '<':
		return nil, "", exit.Fail(exit.Bencode, "open it in a browser; it may ask for a login", fmt.Errorf("%s is a web page, not a .torrent file", url))
	}
	return b, "", nil
}
