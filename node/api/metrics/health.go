package metrics

import (
	"io"
	"net/http"
	"sync/atomic"
)

const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// IsOpen reports whether a path needs no token.
func IsOpen(path string) bool { return path == healthPath || path == readyPath }

// health says why a daemon is not ready.
type health struct {
	check atomic.Pointer[func() string]
}

// set makes reason the reason until the next call of set or watch.
func (h *health) set(reason string) { h.watch(func() string { return reason }) }

// watch asks check for the reason from now on; "" means ready.
func (h *health) watch(check func() string) { h.check.Store(&check) }

func (h *health) reason() string { return (*h.check.Load())() }

// answerHealth answers 200 without a reason, otherwise 503.
func answerHealth(w http.ResponseWriter, reason string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if reason == "" {
		_, _ = io.WriteString(w, "ok\n") // an error means that the client has gone
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, reason+"\n")
}
