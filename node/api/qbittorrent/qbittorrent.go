// Package qbittorrent serves the WebAPI v2 of qBittorrent below /api/v2/, as qBittorrent 5.0
// does (WebAPI 2.11.2), so that programs for qBittorrent can control a seedbed daemon.
//
// Every action is an operation of package daemon; the handlers here only translate.
// An endpoint that needs what seedbed does not have (trackers, search, RSS of this protocol)
// answers as qBittorrent does when nothing of it is configured.
//
// Units are those of the WebAPI: bytes, bytes a second, Unix seconds; limits of seeding times are
// minutes. A failed request has a text in its body and the status 400 (a parameter), 403 (no
// token, or its scope is too small), 404, 405, 409 (not possible now) or 415 (not a torrent).
//
// The password of a login is a token of the daemon, with any user name. Each endpoint needs a
// scope (endpoints.go).
package qbittorrent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
	"seedbed/node/daemon/token"
)

// Path is where the handler is mounted. It must be one of guard.Config.Open, because the handler itself
// answers requests without a token.
const Path = "/api/v2/"

const (
	// apiVersion is the version of the WebAPI that is served, and appVersion a version of
	// qBittorrent that has it.
	apiVersion = "2.11.2"
	appVersion = "v5.0.5"
)

// Config configures the interface.
type Config struct {
	Daemon  *daemon.Daemon
	Guard   *guard.Guard   // begins and ends the sessions of logins
	Fetcher *fetch.Fetcher // downloads the URLs of torrents/add
	Version string         // of the program
	// Shutdown ends the daemon. It must not wait until the daemon has ended.
	Shutdown func()
}

// A handler serves the interface.
type handler struct {
	Config
	node *node.Node
	sync syncer
	log  messages
	// temp and schedule are the last values of settings that are off, because clients may switch
	// them on without a value.
	temp     atomic.Pointer[string]
	schedule atomic.Pointer[daemon.Schedule]
	// reads has an element for each read of the disk that goes on.
	reads chan struct{}
}

// New returns the handler of everything below Path. It serves until the daemon's node is closed.
func New(cfg Config) http.Handler {
	h := &handler{Config: cfg, node: cfg.Daemon.Node(), reads: make(chan struct{}, maxReads)}
	h.sync.init(h)
	go h.log.follow(h.node.Subscribe())
	return h
}

// An apiError is the answer to a request that failed.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string { return e.text }

func fail(status int, format string, args ...any) error {
	return &apiError{status, fmt.Sprintf(format, args...)}
}

// errNotFound is the answer for a torrent that does not exist.
var errNotFound = fail(http.StatusNotFound, "Not Found")

// A call is one request.
type call struct {
	*handler
	params
	w http.ResponseWriter
	r *http.Request
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, name, _ := strings.Cut(r.URL.Path, Path)
	e, known := endpoints[name]
	if known {
		r.Pattern = Path + name // for metrics
	}
	scope := guard.ScopeOf(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	c := call{handler: h, w: w, r: r}
	var err error
	switch {
	case scope < e.scope, !known && scope == token.None:
		err = fail(http.StatusForbidden, "Forbidden")
	case !known:
		err = errNotFound
	case e.post && r.Method != http.MethodPost, r.Method != http.MethodGet && r.Method != http.MethodPost:
		err = fail(http.StatusMethodNotAllowed, "Method Not Allowed")
	default:
		if c.params, err = parse(r, e.files); err == nil {
			err = e.do(&c)
		}
	}
	if err != nil {
		status, text := statusOf(err)
		w.WriteHeader(status)
		c.text(text)
	}
}

// text answers with a text.
func (c *call) text(s string) error {
	_, _ = c.w.Write([]byte(s)) // an error means that the client has gone
	return nil
}

// json answers with an object.
func (c *call) json(b []byte) error {
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(b)
	return nil
}

// statusOf returns the answer for an error.
func statusOf(err error) (int, string) {
	var api *apiError
	var fault *node.Fault
	switch {
	case errors.As(err, &api):
		return api.status, api.text
	case errors.Is(err, node.ErrUnknown):
		return http.StatusNotFound, "Not Found"
	case errors.Is(err, node.ErrClosed), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, err.Error()
	case errors.As(err, &fault) && fault.Kind == node.FaultUsage:
		return http.StatusBadRequest, err.Error()
	}
	return http.StatusConflict, err.Error()
}

// answerWithin is how long a request waits for what it has started. If that takes longer, because the
// data moves or a disk hangs, the answer comes before the end, and errors are warnings of the node.
const answerWithin = 2 * time.Second

// start runs do and reports whether it has ended within answerWithin. Otherwise do continues, and its
// error is a warning of the node.
func (h *handler) start(do func(context.Context) error) (ended bool, err error) {
	done := make(chan error)
	late := make(chan struct{})
	go func() {
		err := do(h.node.Context())
		select {
		case done <- err:
		case <-late:
			h.warn(err)
		}
	}()
	t := time.NewTimer(answerWithin)
	defer t.Stop()
	select {
	case err := <-done:
		return true, err
	case <-t.C:
		close(late)
		return false, nil
	}
}

// warn reports an error that is not in an answer.
func (h *handler) warn(err error) {
	if err != nil && h.node.Context().Err() == nil {
		h.node.Emit(node.Event{Kind: node.Warning, Err: err})
	}
}
