package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label route of requests that no handler answered.
const (
	routeRefused = "refused" // by the guard: the host name, the site or the token
	routeUnknown = "unknown" // there is no such path
)

// requests counts HTTP requests.
type requests struct {
	answered *prometheus.CounterVec
	took     *prometheus.HistogramVec
	running  prometheus.Gauge
}

func newRequests(r prometheus.Registerer) *requests {
	q := &requests{
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "http_requests_total",
			Help: "HTTP requests that have ended, by route (the pattern of the path) and status code."}, []string{"route", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + "http_request_duration_seconds",
			Help: "Time until the answer to an HTTP request began.", Buckets: []float64{.001, .005, .02, .1, .5, 2, 10}}, []string{"route"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "http_requests_in_flight", Help: "HTTP requests that are being answered, including event streams."}),
	}
	r.MustRegister(q.answered, q.took, q.running)
	return q
}

// routeKey is the key of the *string for the route in a request's context.
type routeKey struct{}

// Observe returns a handler that counts the requests to next, which contains a handler that Route has wrapped.
func (m *Metrics) Observe(next http.Handler) http.Handler {
	q := m.requests
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := routeRefused
		a := answer{ResponseWriter: w, began: time.Now()}
		q.running.Inc()
		defer func() { // also if the handler panics
			q.running.Dec()
			if a.code == 0 {
				a.note(http.StatusOK)
			}
			q.answered.WithLabelValues(route, strconv.Itoa(a.code)).Inc()
			q.took.WithLabelValues(route).Observe(a.took.Seconds())
		}()
		next.ServeHTTP(&a, r.WithContext(context.WithValue(r.Context(), routeKey{}, &route)))
	})
}

// Route returns a handler that tells Observe the pattern of next, a mux, that matched. A handler behind it that
// dispatches by itself sets Request.Pattern; never to what a client has sent.
func Route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, ok := r.Context().Value(routeKey{}).(*string)
		if ok {
			*route = routeUnknown
			defer func() {
				if r.Pattern != "" {
					*route = r.Pattern
				}
			}()
		}
		next.ServeHTTP(w, r)
	})
}

// answer notes the status of an answer and when it began.
type answer struct {
	http.ResponseWriter
	began time.Time
	took  time.Duration
	code  int // 0: it has not begun
}

func (a *answer) note(code int) { a.code, a.took = code, time.Since(a.began) }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 && code >= http.StatusOK { // others are followed by the answer
		a.note(code)
	}
	a.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.note(http.StatusOK)
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
