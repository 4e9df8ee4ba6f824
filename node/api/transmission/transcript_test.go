package transmission

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
	"seedbed/node/daemon/token"
	"seedbed/node/lifecycle"
)

var update = flag.Bool("update", false, "write the answers into testdata")

// rig is a daemon without a DHT behind the interface.
type rig struct {
	t       testing.TB
	dir     string // has state and data
	d       *daemon.Daemon
	handler *handler
	http.Handler
	tokens map[token.Scope]string
	closed chan struct{} // closed by session-close
}

func newRig(t testing.TB, opts ...func(*node.Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	cfg := node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}
	for _, o := range opts {
		o(&cfg)
	}
	d, err := daemon.Open(t.Context(), daemon.Config{Node: cfg, Settings: daemon.Settings{Dir: filepath.Join(dir, "data")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	r := &rig{t: t, dir: dir, d: d, tokens: map[token.Scope]string{}, closed: make(chan struct{})}
	f := fetch.New(fetch.Config{Agent: "test"})
	t.Cleanup(f.Close)
	r.handler, r.Handler = newHandler(Config{Daemon: d, Version: "X", Fetch: f, Web: filepath.Join(dir, "web"), Close: func() { close(r.closed) }})
	r.Handler = guard.New(guard.Config{Tokens: d.Tokens()}).Remote(r.Handler)
	for _, s := range []token.Scope{token.Read, token.Add, token.Admin} {
		if r.tokens[s], _, err = d.Tokens().New("", s); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// write writes a file below the download folder.
func (r *rig) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "data", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// torrentOf returns the .torrent file of a file or folder in the download folder.
func (r *rig) torrentOf(name string) []byte {
	r.t.Helper()
	made, err := node.Make(r.t.Context(), filepath.Join(r.dir, "data", name), node.ShareOptions{Format: metainfo.V1})
	if err != nil {
		r.t.Fatal(err)
	}
	return (&metainfo.Torrent{Info: made.Info}).Append(nil)
}

// post sends a request with the session id and returns the answer.
func (r *rig) post(scope token.Scope, body string) *httptest.ResponseRecorder {
	return r.do(scope, "POST", "/transmission/rpc", http.Header{sessionIDHeader: {r.handler.session}}, body)
}

func (r *rig) do(scope token.Scope, method, path string, head http.Header, body string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, "http://127.0.0.1:8009"+path, strings.NewReader(body))
	for name, v := range head {
		q.Header[name] = v
	}
	if text := r.tokens[scope]; text != "" {
		q.SetBasicAuth("anybody", text)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	return w
}

// TestTranscripts sends the requests in testdata, which were recorded from clients, and compares
// the answers. A block is a request, a line ----, and the answer. A request is a line with the
// method, the path and options, header lines, and the body. A line that begins with "wait" waits
// until a torrent has what it wants.
//
// Words stand for what differs between runs: SESSION, DIR (the folder with the data),
// TIME, PORT, NUMBER, and in requests FILM (the .torrent file of a complete torrent, in base64),
// FILMHASH (its infohash), and BOOK and BOOKHASH (of one whose data is missing).
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newTranscript(t).run(string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s; if the new answers are right, run the test with -update\n%s", file, firstDifference(string(want), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\nwant %s\n got %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines instead of %d", len(b), len(a))
}

type transcript struct {
	*rig
	in  *strings.Replacer // words in requests
	out *strings.Replacer // what stands for them in answers
}

func newTranscript(t *testing.T) *transcript {
	r := newRig(t)
	r.write("film/a.mkv", strings.Repeat("film", 20000))
	r.write("film/b.srt", "subtitles")
	film := r.torrentOf("film")
	r.write("book", "book")
	book := r.torrentOf("book")
	if err := os.Remove(filepath.Join(r.dir, "data", "book")); err != nil {
		t.Fatal(err)
	}
	r.write("../web/index.html", "<p>page")
	r.write("../web/app.js", "go()")
	if err := os.WriteFile(filepath.Join(r.dir, "data", "film.torrent"), film, 0o644); err != nil {
		t.Fatal(err)
	}
	return &transcript{r,
		strings.NewReplacer("SESSION", r.handler.session, "DIR", r.dir, "FILMHASH", hashOf(t, film), "BOOKHASH", hashOf(t, book), "FILM", base64.StdEncoding.EncodeToString(film), "BOOK", base64.StdEncoding.EncodeToString(book)),
		strings.NewReplacer(r.handler.session, "SESSION", r.dir, "DIR")}
}

func hashOf(t *testing.T, torrent []byte) string {
	m, err := metainfo.ParseTorrent(torrent)
	if err != nil {
		t.Fatal(err)
	}
	return m.Info.Hash.String()
}

var (
	aTime   = regexp.MustCompile(`\b1[6-9]\d{8}\b`)
	aPort   = regexp.MustCompile(`("peer.port"):\d+`)
	aNumber = regexp.MustCompile(`("(?:seconds.?[Aa]ctive|seconds.?[Dd]ownloading|seconds.?[Ss]eeding|download.dir.free.space|size.bytes|total_size)"):(?:\d{9,}|\d{1,2}\b)`)
)

func (x *transcript) run(text string) string {
	x.t.Helper()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		if i > 0 {
			out.WriteString("\n\n")
		}
		request, _, _ := strings.Cut(block, "\n----\n")
		request = strings.TrimSuffix(request, "\n----")
		out.WriteString(request)
		var lines []string
		for line := range strings.Lines(request) {
			line = strings.TrimRight(line, "\n")
			if hash, ok := strings.CutPrefix(line, "wait "); ok {
				x.wait(hash)
			} else if !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		for _, t := range x.d.Node().Torrents() { // what the last request has started
			_ = t.Settled(x.t.Context())
			for t.Info() != nil && slices.Contains([]lifecycle.Phase{lifecycle.Metadata, lifecycle.Checking}, t.Snapshot().State) && x.t.Context().Err() == nil {
				time.Sleep(time.Millisecond) // its files are being opened
			}
		}
		if len(lines) > 0 {
			out.WriteString("\n----\n" + x.send(lines))
		}
	}
	return out.String() + "\n"
}

// wait waits until a torrent has everything that it wants.
func (x *transcript) wait(number string) {
	x.t.Helper()
	t, err := x.d.Find(number)
	if err != nil {
		x.t.Fatalf("wait %s: %v", number, err)
	}
	select {
	case <-t.Done():
	case <-x.t.Context().Done():
		x.t.Fatalf("wait %s: %v", number, x.t.Context().Err())
	}
}

// shown are the headers of answers in transcripts.
var shown = []string{"Allow", "Content-Type", "Location", sessionIDHeader, "X-Transmission-Rpc-Version", "WWW-Authenticate"}

// send sends the request in lines: the method, the path, and the scope of the token; headers;
// the body.
func (x *transcript) send(lines []string) string {
	x.t.Helper()
	words := strings.Fields(lines[0])
	scope := token.Admin
	if len(words) > 2 {
		var err error
		if scope, err = token.ParseScope(words[2]); err != nil {
			scope = 0 // none
		}
	}
	head := http.Header{}
	lines = lines[1:]
	for len(lines) > 0 && !strings.ContainsAny(lines[0][:1], "{[") {
		name, v, ok := strings.Cut(lines[0], ": ")
		if !ok {
			break
		}
		head.Set(name, x.in.Replace(v))
		lines = lines[1:]
	}
	w := x.do(scope, words[0], words[1], head, x.in.Replace(strings.Join(lines, "\n")))
	var b bytes.Buffer
	fmt.Fprintln(&b, w.Code)
	for _, name := range shown {
		if v := w.Header().Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	b.WriteString(strings.TrimRight(w.Body.String(), "\n"))
	text := x.out.Replace(strings.TrimRight(b.String(), "\n"))
	text = aNumber.ReplaceAllString(text, "$1:NUMBER")
	return aPort.ReplaceAllString(aTime.ReplaceAllString(text, "TIME"), "$1:PORT")
}
