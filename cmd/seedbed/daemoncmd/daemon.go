// Package daemoncmd has the commands that run a daemon, change its settings and give access to it:
// daemon, settings get and set, and token.
package daemoncmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/process"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/cmd/seedbed/version"
	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/api/client"
	"seedbed/node/api/guard"
	"seedbed/node/api/httpd"
	"seedbed/node/api/metrics"
	"seedbed/node/daemon"
	"seedbed/node/gateway"
	"seedbed/node/view"
)

// defaultHTTP is the address of the HTTP interfaces.
const defaultHTTP = "127.0.0.1:8009"

// flags are the flags of the daemon.
type flags struct {
	app.Flags
	http, proxies            []string
	socket, certificate, key string
	transmissionWeb          string
	metrics, gateway         option.Addr
	fleet                    fleetFlags
}

// Daemon returns the command daemon.
func Daemon(a *app.App) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run as a service: a session of torrents that other commands and programs control",
		Long: `Run as a service. The session (torrents, publications and follows) survives restarts.
seedbed add, list, pause and the other remote commands control the daemon of the same
state directory; other programs use the REST interface under /v1, the RPC of
Transmission under /transmission/rpc, or the WebAPI of qBittorrent under /api/v2.

HTTP is served on ` + defaultHTTP + ` and on a unix socket in the state directory. The
socket is open to the daemon's own user. Everything else needs a token, which
seedbed token new creates; without one, HTTP gives no access.

Runs until SIGTERM or Ctrl-C, then saves its state and exits with 0. SIGHUP reads the
settings again. With systemd it can be a service of Type=notify and take its sockets
from a socket unit.`,
		Example: `  seedbed daemon -d ~/torrents
  seedbed daemon --http 0.0.0.0:8009 --tls-cert cert.pem --tls-key key.pem --allow-host nas.example.org`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.CheckCache(cmd.Flags(), settings.FromFile); err != nil {
				return err
			}
			return run(cmd.Context(), a, &f)
		},
	}
	fs := cmd.Flags()
	f.AddService(fs)
	f.AddStore(fs)
	f.AddDaemon(fs)
	fs.Lookup("dir").DefValue = "" // the manual is the same for every user
	fs.Var(&option.List{To: &f.http, Arg: "HOST:PORT", Check: checkHTTP}, "http", "serve HTTP at `HOST:PORT` (repeatable; default "+defaultHTTP+"; \"off\" disables it)")
	fs.StringVar(&f.socket, "socket", "", "serve the commands of this user on the unix socket `PATH` (default in the state directory; \"off\" disables it)")
	// The variable is the one that Transmission itself reads.
	fs.StringVar(&f.transmissionWeb, "transmission-web", os.Getenv("TRANSMISSION_WEB_HOME"), "serve the web page of Transmission, whose files are in `DIR`, at /transmission/web/ (default $TRANSMISSION_WEB_HOME)")
	fs.Lookup("transmission-web").DefValue = "" // the manual is the same for every user
	fs.Var(&option.List{To: &f.proxies, Arg: "ADDRESS", Check: option.CheckNetwork}, "trust-proxy", "trust the X-Forwarded-For of the reverse proxy, or network of proxies, at `ADDRESS` (repeatable)")
	fs.StringVar(&f.certificate, "tls-cert", "", "serve HTTPS with the certificate in `FILE` (PEM)")
	fs.StringVar(&f.key, "tls-key", "", "private key of --tls-cert, in `FILE` (PEM)")
	fs.Var(&f.metrics, "metrics", "serve /metrics for Prometheus, /healthz and /readyz at `HOST:PORT`, without a token")
	fs.Var(&f.gateway, "gateway", "serve publications to the browsers of this machine at the loopback address `HOST:PORT`, such as "+gateway.DefaultAddr)
	f.fleet.add(fs)
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return cmd
}

const off = "off"

func checkHTTP(s string) error {
	if s == off {
		return nil
	}
	return option.CheckAddr(s)
}

// httpConfig returns the sockets to open: those of systemd in place of the default ones.
func (f *flags) httpConfig() (c httpd.Config, err error) {
	if c.Listeners, err = activation.Listeners(); err != nil {
		return c, err
	}
	given := len(c.Listeners) > 0
	switch {
	case len(f.http) == 1 && f.http[0] == off, len(f.http) == 0 && given:
	case len(f.http) == 0:
		c.Listen = []string{defaultHTTP}
	default:
		c.Listen = f.http
	}
	switch {
	case f.socket == off, f.socket == "" && given:
	case f.socket == "":
		c.Socket = client.SocketPath(f.State())
	default:
		c.Socket = f.socket
	}
	c.Certificate, c.Key = f.certificate, f.key
	return c, nil
}

// given returns the settings from the command line, the environment and the settings file; cfg has
// those of the node.
func (f *flags) given(cfg node.Config) daemon.Settings {
	s := f.Live
	s.Settings = cfg.Settings
	return s
}

func (f *flags) guardConfig(a *app.App, d *daemon.Daemon, open func(path string) bool) guard.Config {
	c := guard.Config{Tokens: d.Tokens(), State: f.State(), Log: a.Logger(), Hosts: func() []string { return d.Settings().AllowHosts }, Open: open}
	for _, s := range f.proxies {
		p, err := option.ParseNetwork(s)
		if err != nil {
			panic(err) // checked when the flag was parsed
		}
		c.Proxies = append(c.Proxies, p)
	}
	return c
}

// run runs the daemon until ctx ends.
func run(ctx context.Context, a *app.App, f *flags) error {
	cfg, err := f.NodeConfig(ctx)
	if err != nil {
		return err
	}
	cfg.Log, cfg.Version = a.Logger(), "seedbed "+version.String()
	sockets, err := f.httpConfig()
	if err != nil {
		return exit.Misuse(err)
	}
	members, err := f.fleet.config(f.State())
	if err != nil {
		return err
	}
	return a.WithFeed(ctx, true, func(rep *report.Feed) error {
		closeStore, err := a.OpenStore(ctx, &f.Flags, &cfg)
		if err != nil {
			return err
		}
		defer closeStore()
		m := metrics.New(version.String())
		closeMetrics, err := serveMetrics(a, m, string(f.metrics))
		if err != nil {
			return err
		}
		defer closeMetrics()
		d, err := daemon.Open(ctx, daemon.Config{Node: cfg, Settings: f.given(cfg), Resolver: f.Resolver, Fleet: members, Omit: making.OwnFiles(a, f.State()).Has, Log: cfg.Log})
		if errors.Is(err, node.ErrNoSession) {
			return exit.Fail(exit.SameHash, "seedbed list shows its torrents; another daemon needs another --state", err)
		}
		if err != nil {
			return err
		}
		if members != nil && d.Node().Objects() == nil {
			a.Say("a fleet shares the torrents of an object store, and this daemon has none: it announces all of its torrents itself")
		}
		defer a.ReloadOnHangup(d.Reload)()
		rep.Watch(d.Node(), shows)
		m.Watch(d)
		publications, err := serveGateway(a, d, m, cfg, string(f.gateway))
		if err == nil {
			err = serve(ctx, a, d, f, sockets, m, publications)
		}
		return errors.Join(err, app.WarnOfChanges(a.CloseNode(d), rep))
	})
}

// shows reports whether the daemon prints an event. It does not print most events, because a session
// may have thousands of torrents that start and stop.
func shows(e node.Event) bool {
	switch e.Kind {
	case node.Listening, node.Mapped, node.ReachabilityChanged, node.NetworkChanged, node.Complete, node.Warning, node.Failed, node.PublishedItem, node.SwitchedVersion, node.Missed:
		return true
	}
	return false
}

// closeWithin is how long the daemon waits at its end for requests that are being answered.
const closeWithin = 2 * time.Second

// serve serves HTTP until ctx ends.
func serve(ctx context.Context, a *app.App, d *daemon.Daemon, f *flags, c httpd.Config, m *metrics.Metrics, publications string) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	served := interfaces{settings: d.Settings, transmissionWeb: f.transmissionWeb, metrics: m, gateway: publications}
	c.Guard, c.Log = guard.New(f.guardConfig(a, d, served.open)), a.Logger()
	defer c.Guard.Close()
	c.Handler, c.Observe = served.handler(ctx, d, c.Guard, end), m.Observe
	s, err := httpd.Open(c)
	if err != nil {
		return err
	}
	served.setServing(s.Addrs(), c.Certificate != "")
	announce(a, s.Addrs(), c.Certificate != "")
	if len(d.Tokens().List()) == 0 {
		a.Say("there is no token yet, so only the unix socket gives access; seedbed token new creates one")
	}
	manager := process.ServiceManager()
	manager.Tell("READY=1")
	<-ctx.Done()
	m.Ending()
	manager.Tell("STOPPING=1")
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	return s.Close(closing)
}

// serveMetrics serves metrics at an address without a token, from the start of the daemon until after it has saved
// everything. at may be "".
func serveMetrics(a *app.App, m *metrics.Metrics, at string) (end func(), err error) {
	if at == "" {
		return func() {}, nil
	}
	s, err := metrics.Serve(at, m.Handler())
	if err != nil {
		return nil, exit.Fail(exit.Network, "give another --metrics HOST:PORT", err)
	}
	if a.JSON {
		_ = a.Put(&view.Metrics{Addr: s.Addr}) // stdout may be closed: the daemon continues
	}
	a.Say("metrics on http://%s/metrics", s.Addr)
	return func() { s.Close() }, nil
}

// serveGateway serves publications at an address until the node closes. It returns the URL of the
// gateway, or "" if at is "".
func serveGateway(a *app.App, d *daemon.Daemon, m *metrics.Metrics, cfg node.Config, at string) (url string, err error) {
	if at == "" {
		return "", nil
	}
	n := d.Node()
	s, err := gateway.Open(gateway.ServerConfig{Addr: at, Config: gateway.Config{Node: n, Dir: filepath.Join(n.StateDir(), "gateway"),
		Names: d.Names(), Private: d.ReadLinks, Log: cfg.Log}})
	if err != nil {
		return "", err
	}
	if a.JSON {
		_ = a.Put(&view.Serving{Addr: s.URL()}) // stdout may be closed: the daemon continues
	}
	a.Say("serving publications at %s", s.URL())
	m.WatchGateway(s.Stats)
	go func() {
		if err := s.Run(n.Context()); err != nil {
			a.Warn(fmt.Errorf("publications are not served any more: %w", err))
		}
	}()
	return s.URL(), nil
}

func scheme(tls bool) string {
	if tls {
		return "https://"
	}
	return "http://"
}

// announce prints the addresses of the HTTP interfaces.
func announce(a *app.App, addrs []net.Addr, tls bool) {
	for _, addr := range addrs {
		text := addr.String()
		if addr.Network() != "unix" {
			text = scheme(tls) + text
		}
		if a.JSON {
			_ = a.Put(&view.Serving{Addr: text}) // stdout may be closed: the daemon continues
		}
		a.Say("serving %s", text)
	}
}
