package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"

	"seedbed/node"
)

// LocalDomain is the domain of a gateway for the users of its machine. Browsers resolve all hosts below
// it to the machine itself, and treat them as secure contexts (RFC 6761).
const LocalDomain = "localhost"

// DefaultAddr is the address at which a gateway listens unless another is given.
const DefaultAddr = "127.0.0.1:8010"

// A Server is a gateway that listens.
type Server struct {
	domain   string
	library  *Library
	handler  *Handler
	listener net.Listener
	http     *http.Server
	ended    chan error
}

// ServerConfig configures a Server.
type ServerConfig struct {
	Config
	// Addr is HOST:PORT. Unless Domain is set, the host must be a loopback address, because all who
	// reach the gateway can read every publication, and can make the node look for any.
	Addr string
	// Domain, if not "", serves the public: publications are below this host, and those with a name are
	// at their name too.
	Domain  string
	Proxies []netip.Prefix // see HandlerConfig
}

// checkLoopback returns an error if addr may be reached from other machines.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return node.NewFault(node.FaultUsage, fmt.Errorf("the gateway cannot listen at %q: it is not of the form HOST:PORT", addr), "")
	}
	if ip, err := netip.ParseAddr(host); host != LocalDomain && (err != nil || !ip.IsLoopback()) {
		return node.NewFault(node.FaultUsage, fmt.Errorf("the gateway cannot listen at %s, which other machines may reach", addr), "use a loopback address such as "+DefaultAddr)
	}
	return nil
}

// Open starts a gateway.
func Open(cfg ServerConfig) (*Server, error) {
	domain := cfg.Domain
	if domain == "" {
		domain = LocalDomain
		if err := checkLoopback(cfg.Addr); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, node.NetworkFault(fmt.Errorf("cannot listen at %s: %w", cfg.Addr, err))
	}
	cfg.limitClients = cfg.Domain != ""
	library, err := OpenLibrary(cfg.Config)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Server{domain: domain, library: library, listener: l, ended: make(chan error, 1)}
	s.handler = NewHandler(HandlerConfig{Source: library, Domain: domain, Public: cfg.Domain != "", Proxies: cfg.Proxies})
	s.http = newHTTPServer(s.handler)
	conns := netutil.LimitListener(l, maxConns)
	if cfg.Domain != "" {
		conns = &sharedListener{l, newShare(maxConns), clients{cfg.Proxies}.isProxy}
	}
	go func() { s.ended <- s.http.Serve(conns) }()
	return s, nil
}

// newHTTPServer returns a server that gives slow clients little time. A Handler limits how long an answer
// may take, because a film takes as long as it is watched.
func newHTTPServer(h *Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
}

// maxConns is the maximum number of connections of clients. A public gateway shares them out.
const maxConns = 4096

// URL returns the URL of the gateway itself.
func (s *Server) URL() string { return s.urlOf(s.domain) }

// PublicationURL returns the URL of a publication.
func (s *Server) PublicationURL(a Address) string { return s.urlOf(a.Host(s.domain)) }

func (s *Server) urlOf(host string) string {
	return fmt.Sprintf("http://%s:%d/", host, s.listener.Addr().(*net.TCPAddr).Port)
}

// Close stops the gateway at once, and waits until it has ended.
func (s *Server) Close() error {
	err := s.http.Close()
	if e := <-s.ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	s.library.Close()
	return err
}

// Run serves until ctx ends, and then closes the gateway. It returns an error if serving fails before.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return s.Close()
	case err := <-s.ended:
		s.ended <- http.ErrServerClosed // for Close
		return errors.Join(err, s.Close())
	}
}
