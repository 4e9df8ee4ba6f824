package daemoncmd

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/version"
	"seedbed/node/api"
	"seedbed/node/api/guard"
	"seedbed/node/api/metrics"
	"seedbed/node/api/qbittorrent"
	"seedbed/node/api/transmission"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
	"seedbed/node/daemon/token"
	"seedbed/node/web"
)

// metricsPath is where metrics are served, with a token.
const metricsPath = "/metrics"

// interfaces are the HTTP interfaces. REST is always served, since the commands of seedbed use it.
// The settings, which may change at any time, say which others are, and below which path.
type interfaces struct {
	settings        func() daemon.Settings
	transmissionWeb string // the folder with the web page of Transmission
	metrics         *metrics.Metrics
	gateway         string // URL of the gateway; or ""

	serving atomic.Pointer[[]string] // see urls; nil until the sockets are open
}

// urls returns the URLs at which the daemon serves TCP.
func (f *interfaces) urls() []string {
	if urls := f.serving.Load(); urls != nil {
		return *urls
	}
	return nil
}

// setServing sets the result of urls. This machine reaches a socket that listens on all addresses over
// the loopback interface.
func (f *interfaces) setServing(addrs []net.Addr, tls bool) {
	var urls []string
	for _, a := range addrs {
		at, err := netip.ParseAddrPort(a.String())
		if a.Network() == "unix" || err != nil {
			continue
		}
		switch ip := at.Addr(); {
		case ip.Is4() && ip.IsUnspecified():
			at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
		case ip.IsUnspecified():
			at = netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
		}
		urls = append(urls, scheme(tls)+at.String())
	}
	f.serving.Store(&urls)
}

// handler returns the handler of all HTTP interfaces that are switched on. end ends the daemon and
// ctx, which ends the event streams.
func (f *interfaces) handler(ctx context.Context, d *daemon.Daemon, g *guard.Guard, end context.CancelFunc) http.Handler {
	mux := http.NewServeMux()
	fetcher := fetch.New(fetch.Config{Agent: "seedbed/" + version.String(), Outbound: d.Node().Outbound()})
	mux.Handle("/", web.New())
	mux.Handle("/v1/", api.New(api.Config{Daemon: d, Guard: g, Version: version.String(), Hint: report.Hint, Ending: ctx.Done(), Serving: f.urls, Page: f.page, Gateway: f.gateway}))
	mux.Handle("/transmission/", f.onlyIf(daemon.InterfaceTransmission,
		transmission.New(transmission.Config{Daemon: d, Version: version.String(), Web: f.transmissionWeb, Close: end, Fetch: fetcher})))
	mux.Handle(qbittorrent.Path, f.onlyIf(daemon.InterfaceQBittorrent,
		qbittorrent.New(qbittorrent.Config{Daemon: d, Guard: g, Fetcher: fetcher, Version: version.String(), Shutdown: end})))
	mux.Handle("GET "+metricsPath, guard.Require(token.Read, f.metrics.Scrape()))
	f.metrics.AddHealth(mux)
	return f.belowBase(metrics.Route(mux))
}

// serves reports whether an interface is switched on.
func (f *interfaces) serves(name string) bool {
	s := f.settings()
	return slices.Contains(s.Interfaces, name)
}

// onlyIf serves an interface while it is switched on.
func (f *interfaces) onlyIf(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.serves(name) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// page returns the URL of the web page that logs in with a code, or "" if the daemon serves no TCP
// address. Browsers do not send what follows the #, so that the code is in no log.
func (f *interfaces) page(code string) string {
	urls := f.urls()
	if len(urls) == 0 {
		return ""
	}
	return urls[0] + strings.TrimSuffix(f.base(), "/") + "/" + api.LoginFragment(code)
}

// open reports whether the handler of a path answers requests without a token.
func (f *interfaces) open(path string) bool {
	path = f.withoutBase(path)
	return web.IsOpen(path) || api.IsOpen(path) || metrics.IsOpen(path) || f.serves(daemon.InterfaceQBittorrent) && strings.HasPrefix(path, qbittorrent.Path)
}

// base returns the base path: with a slash at its beginning, and at its end only if it is empty.
func (f *interfaces) base() string { return path.Join("/", f.settings().BasePath) }

// withoutBase returns the path of a request without the base path.
func (f *interfaces) withoutBase(path string) string {
	if below, ok := strings.CutPrefix(path, f.base()); ok && strings.HasPrefix(below, "/") {
		return below
	}
	return path
}

// belowBase serves requests below the base path as if they were for the path without it.
func (f *interfaces) belowBase(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := f.base()
		switch {
		case base == "/":
		case r.URL.Path == base: // the links of the page are relative to a folder
			http.Redirect(w, r, base+"/", http.StatusPermanentRedirect)
			return
		case strings.HasPrefix(r.URL.Path, base+"/"):
			http.StripPrefix(base, next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
