package names

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"seedbed/internal/netx"
)

// https is a server for DNS over HTTPS (RFC 8484).
type https struct {
	url    string
	client *http.Client
}

// httpsWait limits one query. messageType is the media type of DNS messages.
const (
	httpsWait   = 10 * time.Second
	messageType = "application/dns-message"
)

func newHTTPS(url string, out netx.Outbound) *https {
	dial := func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		return out.DialHost(ctx, network, hostPort, nil)
	}
	t := &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: httpsWait, MaxIdleConns: 1,
		IdleConnTimeout: httpsWait, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10}
	if out.IsZero() {
		t.Proxy = http.ProxyFromEnvironment
	}
	return &https{url: url, client: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("it redirects to another server")
	}}}
}

// exchange sends a query by POST. The ID is 0, so that caches give the same response to all (RFC 8484, 4.1).
func (h *https) exchange(ctx context.Context, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, httpsWait)
	defer cancel()
	query[0], query[1] = 0, 0
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", messageType)
	req.Header.Set("Accept", messageType)
	res, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != messageType {
		return nil, fmt.Errorf("the server answers %s with content of type %q, which is not DNS over HTTPS", res.Status, got)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxMessage:
		return nil, fmt.Errorf("the response is larger than %d bytes", maxMessage)
	}
	_, err = check(query, b)
	return b, err
}
