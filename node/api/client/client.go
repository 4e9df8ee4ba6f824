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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tmaxmax/go-sse"

	"seedbed/node/api"
	"seedbed/node/daemon"
	"seedbed/node/view"
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

func torrentPath(id string) string { return "/v1/torrents/" + url.PathEscape(id) }

// Node returns the state of the whole node.
func (c *Client) Node(ctx context.Context) (s api.NodeStatus, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/node", nil, &s)
}

// Add adds a torrent. It returns the torrent also if the session had it already.
func (c *Client) Add(ctx context.Context, b api.AddBody) (t *view.Torrent, added bool, err error) {
	resp, err := c.send(ctx, http.MethodPost, "/v1/torrents", b)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	t = new(view.Torrent)
	return t, resp.StatusCode == http.StatusCreated, c.decode(resp, t)
}

// Import takes over a torrent of another client.
func (c *Client) Import(ctx context.Context, b api.ImportBody) (*view.Imported, error) {
	o := new(view.Imported)
	return o, c.do(ctx, http.MethodPost, "/v1/import", b, o)
}

// A Filter selects torrents. An empty field selects all.
type Filter struct{ Label, Category, State string }

// List returns the torrents that a filter selects.
func (c *Client) List(ctx context.Context, f Filter) (all []*view.Torrent, err error) {
	q := url.Values{}
	for name, v := range map[string]string{"label": f.Label, "category": f.Category, "state": f.State} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for after := int64(0); ; {
		var page api.TorrentList
		if err := c.do(ctx, http.MethodGet, "/v1/torrents?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		torrents := present(page.Torrents)
		all = append(all, torrents...)
		if !page.More || len(torrents) == 0 || torrents[len(torrents)-1].Number <= after {
			return all, nil
		}
		after = torrents[len(torrents)-1].Number
		q.Set("after", strconv.FormatInt(after, 10))
	}
}

// present returns a list without null, which another daemon may send.
func present[T any](list []*T) []*T {
	return slices.DeleteFunc(list, func(x *T) bool { return x == nil })
}

// Torrent returns one torrent.
func (c *Client) Torrent(ctx context.Context, id string) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodGet, torrentPath(id), nil, t)
}

// Files returns the files of a torrent.
func (c *Client) Files(ctx context.Context, id string) (files []view.TorrentFile, err error) {
	var l api.FileList
	err = c.do(ctx, http.MethodGet, torrentPath(id)+"/files", nil, &l)
	return l.Files, err
}

// Link makes a link for a player: to a file, or to a playlist of the torrent if file is 0. Its URL is
// empty if players cannot reach the daemon.
func (c *Client) Link(ctx context.Context, id string, file int, seconds int64) (l api.StreamLink, err error) {
	at := torrentPath(id)
	if file > 0 {
		at += "/files/" + strconv.Itoa(file)
	}
	err = c.do(ctx, http.MethodPost, at+"/link?seconds="+strconv.FormatInt(seconds, 10), nil, &l)
	if err == nil && c.isURL {
		l.URL = c.base + l.Path
	}
	return l, err
}

// Page makes a URL of the web page that logs in once and then offers to add a torrent, unless that is the
// zero value. It is empty if browsers cannot reach the daemon.
func (c *Client) Page(ctx context.Context, add api.ToAdd) (string, error) {
	var l api.LoginCode
	err := c.do(ctx, http.MethodPost, "/v1/session/code", add, &l)
	if err == nil && c.isURL {
		l.URL = c.base + "/" + api.LoginFragment(l.Code)
	}
	return l.URL, err
}

// Peers returns the connected peers of a torrent.
func (c *Client) Peers(ctx context.Context, id string) ([]view.Connection, error) {
	var l api.PeerList
	err := c.do(ctx, http.MethodGet, torrentPath(id)+"/peers", nil, &l)
	return l.Connections, err
}

// Perform performs an operation without arguments: pause, resume, start or recheck.
func (c *Client) Perform(ctx context.Context, verb, id string) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/"+verb+waiting, nil, t)
}

// Move moves the data of a torrent, or only changes its folder if the data is alreadyThere. It returns
// when the daemon has accepted that.
func (c *Client) Move(ctx context.Context, id, dir string, alreadyThere bool) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/move"+waiting, map[string]any{"dir": dir, "already_there": alreadyThere}, t)
}

// Rename renames a torrent, or the file or folder at a path in it; see api. It waits for up to a
// minute.
func (c *Client) Rename(ctx context.Context, id, path, name string) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/rename"+waiting, map[string]string{"path": path, "name": name}, t)
}

// Requeue moves a torrent in the queue: to the top, up, down, or to the bottom.
func (c *Client) Requeue(ctx context.Context, id string, to daemon.Where) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/queue", map[string]daemon.Where{"to": to}, t)
}

// Change changes labels, limits, seeding goals or wanted files.
func (c *Client) Change(ctx context.Context, id string, change api.TorrentChange) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPatch, torrentPath(id)+waiting, change, t)
}

// Remove removes a torrent from the session.
func (c *Client) Remove(ctx context.Context, id string, deleteData bool) error {
	return c.do(ctx, http.MethodDelete, torrentPath(id)+waiting+"&delete_data="+strconv.FormatBool(deleteData), nil, nil)
}

// ErrEnded is returned when the event stream has ended, because the daemon ends or the connection is
// lost.
var ErrEnded = errors.New("the daemon has ended")

// maxEvent limits one event of the stream, in bytes: the objects of 100,000 torrents.
const maxEvent = 256 << 20

// Cursor returns the daemon's position in its change log.
func (c *Client) Cursor(ctx context.Context) (int64, error) {
	var page api.TorrentList
	err := c.do(ctx, http.MethodGet, "/v1/torrents?limit=1", nil, &page)
	return page.Cursor, err
}

// Events is an open event stream. The caller closes it.
type Events struct {
	ctx  context.Context
	body io.ReadCloser
}

// Events opens the stream of the events after a cursor. No event that happens after it has
// returned is missing.
func (c *Client) Events(ctx context.Context, since int64) (*Events, error) {
	resp, err := c.sendWith(ctx, http.MethodGet, "/v1/events", nil, http.Header{"Last-Event-ID": {strconv.FormatInt(since, 10)}})
	if err != nil {
		return nil, err
	}
	return &Events{ctx, resp.Body}, nil
}

// Close closes the stream.
func (e *Events) Close() { e.body.Close() }

// Read calls handle with each event until handle returns an error, which it returns. If the
// daemon ends first, it returns ErrEnded.
func (e *Events) Read(handle func(event string, data []byte) error) error {
	for ev, err := range sse.Read(e.body, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			break
		}
		if err := handle(ev.Type, []byte(ev.Data)); err != nil {
			return err
		}
	}
	if err := e.ctx.Err(); err != nil {
		return err
	}
	return ErrEnded
}

// Categories returns the categories of the daemon, sorted by name.
func (c *Client) Categories(ctx context.Context) ([]daemon.Category, error) {
	var l api.CategoryList
	err := c.do(ctx, http.MethodGet, "/v1/categories", nil, &l)
	return l.Categories, err
}

// PutCategory creates a category, or changes its folder.
func (c *Client) PutCategory(ctx context.Context, k daemon.Category) error {
	return c.do(ctx, http.MethodPut, "/v1/categories/"+url.PathEscape(k.Name), map[string]string{"dir": k.Dir}, nil)
}

// Publications returns what the daemon publishes, and if ended is set, what it has published with
// the history kept.
func (c *Client) Publications(ctx context.Context, ended bool) ([]*view.History, error) {
	var l api.PublicationList
	err := c.do(ctx, http.MethodGet, "/v1/publications?ended="+strconv.FormatBool(ended), nil, &l)
	return present(l.Publications), err
}

func publicationPath(id string) string { return "/v1/publications/" + url.PathEscape(id) }

// Publish starts a job that publishes a file or folder.
func (c *Client) Publish(ctx context.Context, b api.PublishBody) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, "/v1/publications", b, j)
}

// Rollback starts a job that publishes an earlier version again.
func (c *Client) Rollback(ctx context.Context, id string, seq int64, overrule bool) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, publicationPath(id)+"/rollback", map[string]any{"seq": seq, "overrule": overrule}, j)
}

// Unpublish ends a publication for good, with or without its history.
func (c *Client) Unpublish(ctx context.Context, id string, keepHistory bool) error {
	return c.do(ctx, http.MethodDelete, publicationPath(id)+"?keep_history="+strconv.FormatBool(keepHistory), nil, nil)
}

// Keys returns the publishing keys of the daemon's machine, without secrets.
func (c *Client) Keys(ctx context.Context) ([]*view.Key, error) {
	var l api.KeyList
	err := c.do(ctx, http.MethodGet, "/v1/keys", nil, &l)
	return present(l.Keys), err
}

// Follows returns what the daemon follows.
func (c *Client) Follows(ctx context.Context) ([]*view.Followed, error) {
	var l api.FollowList
	err := c.do(ctx, http.MethodGet, "/v1/follows", nil, &l)
	return present(l.Follows), err
}

// Follow makes the daemon follow a publication. added is false if the daemon follows it already.
func (c *Client) Follow(ctx context.Context, b api.FollowBody) (f *view.Followed, added bool, err error) {
	resp, err := c.send(ctx, http.MethodPost, "/v1/follows", b)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	f = new(view.Followed)
	return f, resp.StatusCode == http.StatusCreated, c.decode(resp, f)
}

// Unfollow ends a follow for good.
func (c *Client) Unfollow(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/follows/"+url.PathEscape(id), nil, nil)
}

// Stay goes back to an earlier version of a follow, and stays there.
func (c *Client) Stay(ctx context.Context, id string, seq int64) (*view.Followed, error) {
	f := new(view.Followed)
	return f, c.do(ctx, http.MethodPut, "/v1/follows/"+url.PathEscape(id)+"/stay", map[string]int64{"seq": seq}, f)
}

// Continue ends Stay.
func (c *Client) Continue(ctx context.Context, id string) (*view.Followed, error) {
	f := new(view.Followed)
	return f, c.do(ctx, http.MethodDelete, "/v1/follows/"+url.PathEscape(id)+"/stay", nil, f)
}

// Doctor starts a job that finds out why connections do not work. link may be empty.
func (c *Client) Doctor(ctx context.Context, link string) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, "/v1/doctor", map[string]string{"link": link}, j)
}

// Wait calls progress with each new state of a job, and returns its last one when it has ended.
// events was opened before the job was started. Other events go to other, which may be nil.
func (e *Events) Wait(job int64, progress func(*view.Job), other func(event string, data []byte)) (*view.Job, error) {
	ended := errors.New("ended")
	j := new(view.Job)
	err := e.Read(func(event string, data []byte) error {
		if event != "job" {
			if other != nil {
				other(event, data)
			}
			return nil
		}
		now := new(view.Job)
		if err := json.Unmarshal(data, now); err != nil || now.Number != job {
			return err
		}
		j = now
		progress(j)
		if j.Status != "running" {
			return ended
		}
		return nil
	})
	if errors.Is(err, ended) {
		err = nil
	}
	return j, err
}

// DHT returns the state of the daemon's node in the DHT, with its routing tables.
func (c *Client) DHT(ctx context.Context) (s api.DHTStatus, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/dht", nil, &s)
}

// FindPeers looks up the peers of an infohash in the DHT, with an estimate of their number if scrape
// is set.
func (c *Client) FindPeers(ctx context.Context, infohash string, scrape bool) (p api.Peers, err error) {
	return p, c.do(ctx, http.MethodPost, "/v1/dht/lookup", map[string]any{"infohash": infohash, "scrape": scrape}, &p)
}

// GetItem looks up an item in the DHT by its target, or by its public key and salt.
func (c *Client) GetItem(ctx context.Context, target, salt string) (i api.FoundItem, err error) {
	return i, c.do(ctx, http.MethodPost, "/v1/dht/get", map[string]string{"target": target, "salt": salt}, &i)
}

// Tokens returns the tokens of the daemon.
func (c *Client) Tokens(ctx context.Context) (l api.TokenList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/tokens", nil, &l)
}

// NewToken makes a token.
func (c *Client) NewToken(ctx context.Context, name, scope string) (t api.NewToken, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/tokens", map[string]string{"name": name, "scope": scope}, &t)
}

// RevokeToken revokes a token by its id or name.
func (c *Client) RevokeToken(ctx context.Context, which string) (l api.TokenList, err error) {
	return l, c.do(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(which), nil, &l)
}

// Settings returns the settings of the daemon that can change while it runs.
func (c *Client) Settings(ctx context.Context) (l api.SettingList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/settings", nil, &l)
}

// SetSettings changes settings: all of them, or none if it returns an error.
func (c *Client) SetSettings(ctx context.Context, values map[string][]string) (l api.SettingList, err error) {
	return l, c.do(ctx, http.MethodPatch, "/v1/settings", values, &l)
}

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
