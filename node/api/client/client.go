// Package client controls a daemon over its REST interface.
//
// A Client talks over the unix socket of a daemon on this machine, which needs no token, or to a
// URL with a token. Its methods return what the daemon answers: the objects of package view, or a
// *api.Problem.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"seedbed/node/api"
)

// ErrNoDaemon is returned if no process serves the socket or the address.
var ErrNoDaemon = errors.New("no daemon answers")

// A Client controls one daemon. Its methods may be called from any goroutine.
type Client struct {
	base  string // URL without a slash at the end
	where string // for messages
	token string
	isURL bool // base is the URL that others use
	http  *http.Client
}

// SocketPath returns the path of the unix socket of the daemon with that state directory, unless
// the user has chosen another.
func SocketPath(state string) string { return filepath.Join(state, "daemon.sock") }

// OverSocket returns a client of the daemon that serves a unix socket.
func OverSocket(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{base: "http://localhost", where: path, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// OverURL returns a client of the daemon at a URL, such as https://nas.example.org/seedbed. A
// password in the URL is the token, unless one is given.
func OverURL(text, token string) (*Client, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a daemon: http://HOST:PORT or https://HOST", text)
	}
	if password, ok := u.User.Password(); ok && token == "" {
		token = password
	}
	u.User = nil
	return &Client{base: strings.TrimSuffix(u.String(), "/"), where: u.Redacted(), token: token, isURL: true, http: &http.Client{}}, nil
}

// do sends a request and decodes the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body, out any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return c.decode(resp, out)
}

// create creates an object at a path, or returns the one that exists already. body names it.
func create[T any](ctx context.Context, c *Client, path string, body any) (o *T, created bool, err error) {
	resp, err := c.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	o = new(T)
	return o, resp.StatusCode == http.StatusCreated, c.decode(resp, o)
}

// maxAnswer limits an answer, in bytes: a page of 10,000 torrents has some 10 MB.
const maxAnswer = 256 << 20

func (c *Client) decode(resp *http.Response, out any) error {
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s does not answer like a daemon: %w", c.where, err)
	}
	return nil
}

// send sends a request. An answer that is an error is returned as a *api.Problem.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	return c.sendWith(ctx, method, path, body, nil)
}

// sendWith is send with further headers.
func (c *Client) sendWith(ctx context.Context, method, path string, body any, header http.Header) (*http.Response, error) {
	var from io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		from = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, from)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	switch {
	case err != nil:
		return nil, c.unanswered(err)
	case resp.StatusCode >= 400:
		defer resp.Body.Close()
		return nil, c.problem(resp)
	}
	return resp, nil
}

// maxProblem limits the text of an error, in bytes.
const maxProblem = 64 << 10

func (c *Client) problem(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return err
	}
	p := new(api.Problem)
	if json.Unmarshal(b, p) != nil || p.Detail == "" {
		p = &api.Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode), Detail: strings.TrimSpace(string(b))}
	}
	if len(p.Errors) > 0 {
		p.Detail += ": " + strings.Join(p.Errors, "; ")
	}
	if resp.StatusCode == http.StatusUnauthorized {
		p.Hint = "give a token with --token, or in SEEDBED_TOKEN"
	}
	return p
}

// waiting makes the daemon answer an operation when it is done, or after 2 seconds.
const waiting = "?wait=2"

// Ready waits until a daemon answers, and returns its last error when ctx ends.
func (c *Client) Ready(ctx context.Context) error {
	for {
		_, err := c.Node(ctx)
		if err == nil || !errors.Is(err, ErrNoDaemon) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
