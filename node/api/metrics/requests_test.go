package metrics

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// observed returns the handler of a daemon in small: a guard that refuses requests without a token, a mux behind it,
// and another one behind that.
func observed(m *Metrics) http.Handler {
	inner := http.NewServeMux()
	inner.HandleFunc("GET /v1/torrents/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.PathValue("id")) })
	inner.HandleFunc("POST /v1/torrents", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	inner.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
	})
	inner.HandleFunc("GET /v1/panic", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		panic(errors.New("a bug"))
	})
	mux := http.NewServeMux()
	mux.Handle("/v1/", inner)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { r.Pattern = "/api/known" })
	routed := Route(mux)
	return m.Observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		routed.ServeHTTP(w, r.WithContext(r.Context())) // as the guard does
	}))
}

// Requests are counted by the pattern of their path, never by the path itself.
func TestRequestsByRoute(t *testing.T) {
	m := New("1.2")
	h := observed(m)
	do := func(method, path, token string) {
		defer func() { _ = recover() }() // as the server does
		r := httptest.NewRequest(method, path, nil)
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, path := range []string{"/v1/torrents/1", "/v1/torrents/2", "/v1/torrents/hostile\"}%0a"} {
		do("GET", path, "x")
	}
	do("POST", "/v1/torrents", "x")
	do("GET", "/v1/events", "x")
	do("GET", "/v1/panic", "x")
	do("GET", "/nothing/here", "x")
	do("GET", "/api/any", "x")
	do("GET", "/v1/torrents/1", "")
	_, text := get(t, m.Scrape(), "/metrics")
	for _, line := range []string{
		`seedbed_http_requests_total{code="200",route="GET /v1/torrents/{id}"} 3`,
		`seedbed_http_requests_total{code="201",route="POST /v1/torrents"} 1`,
		`seedbed_http_requests_total{code="200",route="GET /v1/events"} 1`,
		`seedbed_http_requests_total{code="500",route="GET /v1/panic"} 1`,
		`seedbed_http_requests_total{code="404",route="unknown"} 1`,
		`seedbed_http_requests_total{code="200",route="/api/known"} 1`,
		`seedbed_http_requests_total{code="401",route="refused"} 1`,
		`seedbed_http_request_duration_seconds_count{route="GET /v1/torrents/{id}"} 3`,
		`seedbed_http_requests_in_flight 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if n := strings.Count(text, "seedbed_http_requests_total{"); n != 7 {
		t.Errorf("%d time series", n)
	}
}

// The duration ends when the answer begins, so that an event stream does not count for hours.
func TestDurationUntilTheAnswerBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New("1.2")
		var during string
		h := m.Observe(Route(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			time.Sleep(3 * time.Second)
			w.WriteHeader(http.StatusAccepted)
			time.Sleep(time.Hour)
			_, during = get(t, m.Scrape(), "/metrics")
		})))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		_, after := get(t, m.Scrape(), "/metrics")
		if !strings.Contains(during, "\nseedbed_http_requests_in_flight 1\n") || !strings.Contains(after, "\nseedbed_http_requests_in_flight 0\n") {
			t.Error("the request in flight is not counted")
		}
		for _, line := range []string{`seedbed_http_requests_total{code="202",route="unknown"} 1`, `seedbed_http_request_duration_seconds_sum{route="unknown"} 3`} {
			if !strings.Contains(after, "\n"+line+"\n") {
				t.Errorf("no line %s", line)
			}
		}
	})
}
