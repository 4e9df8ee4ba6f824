//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"seedbed/node/api"
)

// state returns the state directory of a daemon.
func (s *service) state() string { return filepath.Dir(s.socket) }

// kill ends a program as the system does when it has no memory left.
func (p *process) kill() {
	syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// onlyFailedRequests checks that the console has nothing but requests that were not answered.
func (w *webPage) onlyFailedRequests() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.errors {
		if !strings.HasPrefix(e, "Failed to load resource: net::ERR_") {
			w.t.Errorf("a script failed: %s", e)
		}
	}
	w.errors = nil
}

const (
	bar      = `document.querySelector(".offline")?.textContent ?? "nothing"`
	addField = `document.querySelector("dialog textarea")`
)

// A page whose daemon is killed and started again says so, and then goes on: without a login, with the list as it is then, and with
// what was typed.
func TestPageContinuesAfterAKill(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.6")
	ctx := p.webPage.ctx
	add := func(s *service, name string, n int) {
		t.Helper()
		_, _, err := s.rest.Add(ctx, api.AddBody{Link: magnetOf(n), Name: name, Paused: true})
		must(t, err)
	}
	add(p.service, "stays", 61)
	add(p.service, "goes", 62)
	p.until("the torrents", rows, "2")
	p.click("button.add")
	p.until("the dialog", "document.activeElement.tagName", "TEXTAREA")
	p.enter("dialog textarea", "magnet:?xt=urn:btih:not yet")
	p.enter(`dialog .fields label:nth-child(3) input`, "typed, before")
	p.noErrors()

	p.kill()
	p.until("that the daemon does not answer", bar, "does not answer")
	// It runs without the page for a time, so that the page misses what happens.
	other := serve(t, ctx, "10.4.198.6", p.state(), t.TempDir())
	add(other, "comes", 63)
	must(t, other.rest.Remove(ctx, fmt.Sprintf("%040x", 62), false))
	other.kill()
	again := serve(t, ctx, "10.4.198.6", p.state(), t.TempDir(), "--http", "10.4.198.6:8009")
	p.until("the connection", bar, "nothing")
	p.until("the torrents of the new run", `[...document.querySelectorAll(".rows .row .name")].map((e) => e.textContent).sort().join("|")`, "comes|stays")
	if text := evaluate[string](p.webPage, addField+`.value + "|" + document.querySelector("dialog .fields label:nth-child(3) input").value`); text != "magnet:?xt=urn:btih:not yet|typed, before" {
		t.Errorf("the dialog has lost what was typed: %q", text)
	}
	add(again, "later", 64)
	p.until("the event stream", names, "later")
	p.onlyFailedRequests()
}

// An inspection of the dialog that adds is begun again with the new run of the daemon, and is never taken for another one there.
func TestPageInspectsAgainAfterARestart(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.7")
	ctx := p.webPage.ctx
	shown := newPayload(t, "shown.bin", 32<<10, false, map[string]int{"": 100_000})
	other := newPayload(t, "other.bin", 32<<10, false, map[string]int{"": 100_000})
	content, err := os.ReadFile(shown.torrent)
	must(t, err)
	p.dropFile("shown.torrent", content)
	p.until("the file", `document.querySelector("dialog .item").textContent`, "100 kB")
	p.kill()
	p.until("that the daemon does not answer", bar, "does not answer")
	again := serve(t, ctx, "10.4.198.7", p.state(), t.TempDir(), "--http", "10.4.198.7:8009")
	content, err = os.ReadFile(other.torrent)
	must(t, err)
	body, err := json.Marshal(api.InspectBody{Torrent: content})
	must(t, err)
	for range 3 {
		_, err := again.send(ctx, "POST", "/v1/inspect", "application/json", body)
		must(t, err)
	}
	p.until("the connection", bar, "nothing")
	p.click(`dialog button[type="submit"]`)
	p.until("the torrent", names, "shown.bin")
	if _, err := again.rest.Torrent(ctx, shown.infohash); err != nil {
		t.Error(err)
	}
	p.onlyFailedRequests()
}

// An upgrade is a reverse proxy that shows the files of the page below another path, as another version of the program does, until
// the upgrade is done.
type upgrade struct{ done atomic.Bool }

var filesOfPage = regexp.MustCompile(`page/[0-9a-f]{16}/`)

const oldFiles = "page/0123456789abcdef/"

func (u *upgrade) serve(t *testing.T, at, daemon string) {
	to, err := url.Parse(daemon)
	must(t, err)
	var files atomic.Value // of the present version
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Transport: new(http.Transport), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		r.Out.Header.Del("Accept-Encoding")
		r.Out.Header.Del("If-None-Match")
		if now, ok := files.Load().(string); ok && !u.done.Load() {
			r.Out.URL.Path = strings.Replace(r.Out.URL.Path, oldFiles, now, 1)
		}
	}, ModifyResponse: func(r *http.Response) error {
		if r.Request.URL.Path != "/" || u.done.Load() {
			return nil
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		files.Store(string(filesOfPage.Find(b)))
		b = filesOfPage.ReplaceAll(b, []byte(oldFiles))
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.Header.Set("Content-Length", strconv.Itoa(len(b)))
		return nil
	}}
	l, err := net.Listen("tcp", at)
	must(t, err)
	s := &http.Server{Handler: proxy}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// After an upgrade of the daemon, a page of the old version loads itself again, or asks for it if something would be lost. A view that it
// cannot load any more says what to do.
func TestPageOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.8")
	ctx := p.webPage.ctx
	u := new(upgrade)
	u.serve(t, "10.4.198.8:8010", "http://10.4.198.8:8009")
	version := func(want string) {
		t.Helper()
		p.until("the version of the page", `document.querySelector("script").src`, want)
	}
	p.do(chromedp.Navigate("http://10.4.198.8:8010/"))
	p.until("the page, with the session of the other port", `document.querySelector("main").textContent`, "There is no torrent yet")
	version(oldFiles)
	p.noErrors()
	p.click("button.add")
	p.until("the dialog", "document.activeElement.tagName", "TEXTAREA")
	p.enter("dialog textarea", "half a link")
	current := filesOfPage.FindString(evaluate[string](p.webPage, `fetch("http://10.4.198.8:8010/").then((r) => r.text())`))

	restart := func() {
		t.Helper()
		p.stop()
		p.until("that the daemon does not answer", bar, "does not answer")
		u.done.Store(true)
		p.service = serve(t, ctx, "10.4.198.8", p.state(), t.TempDir(), "--http", "10.4.198.8:8009")
	}
	restart()
	p.until("that there is another version", bar, "another version of this page")
	p.inEveryLook("another version", p.accessible)
	if text := evaluate[string](p.webPage, addField+".value"); text != "half a link" {
		t.Errorf("the dialog has lost what was typed: %q", text)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("dialog").close(); document.querySelector('nav a[href="#/doctor"]').click()`))
	p.until("that the view cannot be loaded", `document.querySelector("main").textContent`, "Load the page again")
	p.ignore("Failed to load resource")
	p.click(".offline button")
	p.until("the view", `document.querySelector("main").textContent`, "Run the checks")
	if now := evaluate[string](p.webPage, `document.querySelector("script").src`); strings.Contains(now, oldFiles) || current != oldFiles {
		t.Errorf("the page is %s, and was %s", now, current)
	}
	p.noErrors()

	// A page in which nothing was typed loads itself.
	u.done.Store(false)
	p.do(chromedp.Evaluate[chromedp.Void]("sessionStorage.clear()"), chromedp.Navigate("about:blank"), chromedp.Navigate("http://10.4.198.8:8010/"))
	p.until("the page", `document.querySelector("main").textContent`, "There is no torrent yet")
	version(oldFiles)
	restart()
	p.until("the present version", `!document.querySelector("script").src.includes("`+oldFiles+`")`, "true")
	p.until("the page", `document.querySelector("main").textContent`, "There is no torrent yet")
	p.onlyFailedRequests()
}

// A hole is a network between a page and its daemon that can stop to deliver anything, without an error, as after a suspension.
type hole struct {
	mu    sync.Mutex
	open  chan struct{} // closed while it delivers
	conns map[net.Conn]bool
}

func (h *hole) serve(t *testing.T, at, daemon string) {
	h.conns, h.open = map[net.Conn]bool{}, make(chan struct{})
	close(h.open)
	l, err := net.Listen("tcp", at)
	must(t, err)
	t.Cleanup(func() {
		l.Close()
		h.mu.Lock()
		defer h.mu.Unlock()
		for c := range h.conns {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.forward(c, daemon)
		}
	}()
}

// forward delivers one connection. A connection that was open when the hole was closed delivers nothing any more.
func (h *hole) forward(c net.Conn, daemon string) {
	h.mu.Lock()
	h.conns[c] = true
	open := h.open
	h.mu.Unlock()
	<-open
	d, err := net.Dial("tcp", daemon)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.conns[d] = true
	h.mu.Unlock()
	deliver := func(to, from net.Conn) {
		for b := make([]byte, 32<<10); ; {
			n, err := from.Read(b)
			h.mu.Lock()
			isDead := h.open != open
			h.mu.Unlock()
			if isDead {
				return
			}
			if n > 0 {
				if _, err := to.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				to.Close()
				return
			}
		}
	}
	go deliver(c, d)
	deliver(d, c)
}

// close stops delivering; the connections stay open. reopen delivers those that are opened from then on, or have waited.
func (h *hole) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = make(chan struct{})
}

func (h *hole) reopen() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.open)
}

// clock lets a test end the long waits of a page: those of silence, and the limits of requests.
const clock = `
	const set = window.setTimeout, clear = window.clearTimeout, held = new Map();
	window.armed = 0;
	window.setTimeout = (f, ms, ...more) => {
		if (ms !== 15000) return set(f, ms, ...more);
		held.set(++armed, f);
		return "held " + armed;
	};
	window.clearTimeout = (id) => String(id).startsWith("held ") ? held.delete(Number(id.slice(5))) : clear(id);
	window.wait15s = () => { const now = [...held.values()]; held.clear(); now.forEach((f) => f()); return now.length; };
	const limits = [];
	AbortSignal.timeout = (ms) => { const c = new AbortController(); limits.push(c); return c.signal; };
	window.wait30s = () => limits.splice(0).forEach((c) => c.abort(new DOMException("", "TimeoutError")));
`

// A connection over which nothing comes any more, without an error, is noticed after 15 seconds: the daemon sends something every
// second. The page says so, and continues when the network is back.
func TestPageNoticesADeadConnection(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.9")
	ctx := p.webPage.ctx
	h := new(hole)
	h.serve(t, "10.4.198.9:8010", "10.4.198.9:8009")
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: clock})
		return err
	}))
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate("http://10.4.198.9:8010/"))
	p.until("the page", `document.querySelector("main").textContent`, "There is no torrent yet")
	p.until("a sign of life each second", `armed > 3`, "true")
	if text := evaluate[string](p.webPage, bar); text != "nothing" {
		t.Errorf("a page that is connected says %q", text)
	}
	h.close()
	_, _, err := p.rest.Add(ctx, api.AddBody{Link: magnetOf(65), Name: "missed", Paused: true})
	must(t, err)
	if n := evaluate[int](p.webPage, "wait15s()"); n != 1 {
		t.Errorf("%d waits for a sign of life", n)
	}
	p.until("that the daemon does not answer", bar, "does not answer")
	h.reopen()
	// Requests over the connections that are dead end by their limits.
	p.until("the connection", `(() => {
		if (armed !== window.last) [window.last, window.same] = [armed, 0];
		else if (++same > 20) [same] = [0, wait15s(), wait30s()];
		return `+bar+`;
	})()`, "nothing")
	p.until("what was missed", names, "missed")
	p.onlyFailedRequests()
}
