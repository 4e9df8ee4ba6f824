//go:build linux

package integration

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	remote "seedbed/node/api/client"
)

// service is a running seedbed daemon, driven over its unix socket.
type service struct {
	*ours
	t      testing.TB
	socket string
	rest   *remote.Client
	http   http.Client
}

// serve starts a daemon, without a DHT unless the arguments name a bootstrap node. Its socket accepts every interface without a token.
func serve(t testing.TB, ctx context.Context, ip, state, dir string, args ...string) *service {
	t.Helper()
	return serveAs(t, ctx, []string{seedbed}, ip, state, dir, args...)
}

// serveAs is like serve, with a command that starts the binary.
func serveAs(t testing.TB, ctx context.Context, command []string, ip, state, dir string, args ...string) *service {
	t.Helper()
	if !slices.Contains(args, "--http") {
		args = append(args, "--http", "off")
	}
	if !slices.Contains(args, "--bootstrap") {
		args = offline(args...)
	}
	args = append([]string{"daemon", "-d", dir, "--state", state}, args...)
	s := &service{ours: runAs(t, command, ip, args...), t: t, socket: remote.SocketPath(state)}
	s.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}, MaxIdleConnsPerHost: 16}
	s.rest = remote.OverSocket(s.socket)
	must(t, s.rest.Ready(ctx))
	return s
}

// shortDir returns a folder for a state directory: the path of a unix socket is short.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// send sends a request and returns the body of the answer, which must have status 2xx.
func (s *service) send(ctx context.Context, method, path, contentType string, body []byte, head ...string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(head); i += 2 {
		q.Header.Set(head[i], head[i+1])
	}
	r, err := s.http.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode/100 != 2 {
		err = &refusal{r.StatusCode, r.Header, fmt.Sprintf("%s %s: %s: %.200s", method, path, r.Status, b)}
	}
	return b, err
}

// refusal is an answer with a status other than 2xx.
type refusal struct {
	status int
	head   http.Header
	text   string
}

func (r *refusal) Error() string { return r.text }

// transmissionRPC is a client of the Transmission RPC.
type transmissionRPC struct {
	*service
	id string // of the session
}

// call sends a request of the old dialect and returns the arguments of the answer.
func (c *transmissionRPC) call(ctx context.Context, method string, args map[string]any) (json.RawMessage, error) {
	body := []byte(encode(map[string]any{"method": method, "arguments": args}))
	for {
		b, err := c.send(ctx, "POST", "/transmission/rpc", "application/json", body, "X-Transmission-Session-Id", c.id)
		if r, ok := err.(*refusal); ok && r.status == http.StatusConflict && r.head.Get("X-Transmission-Session-Id") != c.id {
			c.id = r.head.Get("X-Transmission-Session-Id")
			continue
		}
		if err != nil {
			return nil, err
		}
		var a struct {
			Result    string
			Arguments json.RawMessage
		}
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, fmt.Errorf("%s: %w: %.200s", method, err, b)
		}
		if a.Result != "success" {
			return nil, fmt.Errorf("%s: %s", method, a.Result)
		}
		return a.Arguments, nil
	}
}

// webAPI sends a request of the WebAPI.
func (s *service) webAPI(ctx context.Context, name string, values url.Values) ([]byte, error) {
	return s.send(ctx, "POST", "/api/v2/"+name, "application/x-www-form-urlencoded", []byte(values.Encode()))
}

// smallTorrents writes the files of n torrents of one piece into dir and returns the torrents.
func smallTorrents(t testing.TB, dir string, n, size int) (torrents [][]byte) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for i := range n {
		name := fmt.Sprintf("file-%06d", i)
		content := bytes.Repeat([]byte(name), size/len(name)+1)[:size]
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
		hash := sha1.Sum(content)
		torrents = append(torrents, bencode(nil, map[string]any{"info": map[string]any{
			"length": size, "name": name, "piece length": max(size, 16<<10), "pieces": string(hash[:])}}))
	}
	return torrents
}

// magnetOf returns a link whose infohash is a number.
func magnetOf(i int) string { return fmt.Sprintf("magnet:?xt=urn:btih:%040x", i) }
