// Package transmission serves a daemon to the remote controls of Transmission: its RPC, in both
// dialects, and the files of its web page.
//
// The RPC is a POST of JSON to rpc. A client first gets a session id, in a header of an answer
// with the status 409, and sends it with every request, which pages of other sites cannot do.
// Package guard checks the token, and each method needs a scope.
//
// A request says which dialect it uses: JSON-RPC 2.0 with names in snake case (Transmission
// 4.1), or the one before it. Names are accepted in both forms in either dialect, answers are in
// the dialect of the request, and integers are written without a fraction, because clients
// decode them strictly.
//
// Sizes are in bytes, rates in bytes a second, limits in units of 1,000 bytes a second, as in
// Transmission. An answer waits for a disk for at most two seconds: an operation that takes longer
// continues after its answer.
package transmission

import (
	"compress/gzip"
	"crypto/rand"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
	"seedbed/node/daemon/token"
)

// Config configures the interface.
type Config struct {
	Daemon  *daemon.Daemon
	Version string // of the program
	// Fetch downloads the .torrent files that clients name by URL.
	Fetch *fetch.Fetcher
	// Web is the folder with the files of a web page for Transmission; "" means none.
	Web string
	// Close ends the daemon, for session-close.
	Close func()
}

// The versions that the interface reports. Clients decide by them which methods and fields to use.
const (
	claimed         = "4.1.3"
	rpcVersion      = 18
	rpcVersionMin   = 14
	rpcSemver       = "6.1.0"
	sessionIDHeader = "X-Transmission-Session-Id"
)

// handler serves everything below /transmission/.
type handler struct {
	*daemon.Daemon
	cfg     Config
	session string // the session id of this run
	started time.Time
	before  node.Totals // the traffic of all torrents when it started
	recent  recent
	lasts   lasts
	// incomplete is the folder for incomplete data that a client named last.
	incomplete atomic.Pointer[string]
	schedule   atomic.Pointer[daemon.Schedule] // as it was before it was switched off
}

// New returns the handler of everything below /transmission/.
func New(cfg Config) http.Handler {
	_, served := newHandler(cfg)
	return served
}

func newHandler(cfg Config) (*handler, http.Handler) {
	h := &handler{Daemon: cfg.Daemon, cfg: cfg, session: rand.Text() + rand.Text(), started: time.Now()}
	h.before = traffic(h.Node().Torrents())
	h.recent.start(h.Node())
	mux := http.NewServeMux()
	mux.HandleFunc("/transmission/rpc", h.rpc)
	mux.HandleFunc("/transmission/rpc/{$}", h.rpc)
	mux.HandleFunc("/transmission/{$}", toWeb("web/"))
	mux.HandleFunc("/transmission/web", toWeb("web/"))
	mux.Handle("/transmission/web/", h.web())
	return h, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Server", "Transmission")
		head.Set("X-Frame-Options", "SAMEORIGIN")
		head.Set("Content-Security-Policy", "frame-ancestors 'self'")
		head.Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// toWeb redirects to the web page. The address is relative, so that it is correct below any base
// path.
func toWeb(relative string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", relative)
		w.WriteHeader(http.StatusMovedPermanently)
	}
}

// maxReadBody limits the body of a request that can add nothing.
const maxReadBody = 1 << 20

// rpc answers a request. It ignores the Content-Type, because clients send different ones.
func (h *handler) rpc(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(sessionIDHeader)), []byte(h.session)) != 1 {
		head.Set(sessionIDHeader, h.session)
		head.Set("X-Transmission-Rpc-Version", rpcSemver) // clients of 4.1 choose the dialect by it
		head.Set("Access-Control-Expose-Headers", sessionIDHeader+", X-Transmission-Rpc-Version")
		http.Error(w, "send the request again with the header "+sessionIDHeader+": "+h.session, http.StatusConflict)
		return
	}
	if r.Method != http.MethodPost {
		head.Set("Allow", http.MethodPost)
		http.Error(w, "requests are sent with POST", http.StatusMethodNotAllowed)
		return
	}
	scope := guard.ScopeOf(r.Context())
	in := r.Body
	if scope < token.Add {
		in = http.MaxBytesReader(w, in, maxReadBody)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		http.Error(w, "the request is too large or incomplete", http.StatusRequestEntityTooLarge)
		return
	}
	answer := h.answer(r.Context(), body, scope)
	if answer == nil { // only notifications
		w.WriteHeader(http.StatusNoContent)
		return
	}
	head.Set("Content-Type", "application/json; charset=UTF-8")
	head.Set("Cache-Control", "no-store")
	send(w, r, answer)
}

// minCompressed is the size from which answers are compressed. A smaller one fits in a packet.
const minCompressed = 1400

var compressors = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return z
}}

// send sends an answer, compressed if the client accepts that.
func send(w http.ResponseWriter, r *http.Request, answer []byte) {
	w.Header().Set("Vary", "Accept-Encoding")
	if len(answer) < minCompressed || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		_, _ = w.Write(answer) // an error means that the client has gone
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(w)
	_, _ = z.Write(answer)
	_ = z.Close()
}
