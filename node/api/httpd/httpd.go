// Package httpd serves the HTTP interfaces of a daemon over TCP and a unix socket.
//
// The unix socket has the mode 0600: only the user of the daemon can open it, so its connections
// need no token. Connections over TCP pass the guard. Both have limits: the time for a request's header
// and body, the time for reading an answer, and the number of connections, of one client and in all.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"seedbed/node"
	"seedbed/node/api/guard"
)

// Config configures a Server.
type Config struct {
	Handler http.Handler
	Guard   *guard.Guard
	// Observe wraps the handlers with the guard in front of them, for example to count requests. May be nil.
	Observe func(http.Handler) http.Handler
	// Listen are HOST:PORT addresses for TCP. Listeners are sockets that are open already, as
	// systemd passes them; a unix socket among them needs no token.
	Listen    []string
	Listeners []net.Listener
	// Socket is the path of the unix socket; "" means none.
	Socket string
	// Certificate and Key are PEM files. If they are set, TCP is served with TLS.
	Certificate, Key string
	Log              *slog.Logger
}

const (
	headerWithin = 10 * time.Second
	bodyWithin   = 5 * time.Minute // 90 MiB over a slow line
	answerWithin = 2 * time.Minute // after the body; the event stream sets deadlines of its own
	idleFor      = 2 * time.Minute
	maxHeader    = 64 << 10
	maxConns     = 512 // of each listener
)

// A Server serves until Close.
type Server struct {
	remote, local *http.Server
	isProxy       func(netip.Addr) bool
	listeners     []net.Listener
	wg            sync.WaitGroup
	mu            sync.Mutex
	failed        error
}

// Open opens all sockets and starts to serve. If one cannot be opened, none stays open.
func Open(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(h http.Handler) http.Handler { return h }
	}
	s := &Server{remote: newServer(cfg.Observe(cfg.Guard.Remote(cfg.Handler)), cfg.Log), local: newServer(cfg.Observe(cfg.Guard.Local(cfg.Handler)), cfg.Log), isProxy: cfg.Guard.IsProxy, listeners: slices.Clone(cfg.Listeners)}
	if err := s.open(&cfg); err != nil {
		for _, l := range s.listeners {
			l.Close()
		}
		return nil, err
	}
	for _, l := range s.listeners {
		s.serve(l)
	}
	return s, nil
}

// open opens the sockets that are not open already.
func (s *Server) open(cfg *Config) (err error) {
	if cfg.Certificate != "" {
		if s.remote.TLSConfig, err = loadTLS(cfg.Certificate, cfg.Key); err != nil {
			return err
		}
	}
	for _, addr := range cfg.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return node.NewFault(node.FaultNetwork, fmt.Errorf("the HTTP interface cannot listen on %s: %w", addr, err), "choose another address with --http, or none with --http off")
		}
		s.listeners = append(s.listeners, l)
	}
	if cfg.Socket == "" {
		return nil
	}
	l, err := listenUnix(cfg.Socket)
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, l)
	return nil
}

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: mergeSlashes(h), ReadHeaderTimeout: headerWithin, ReadTimeout: bodyWithin, WriteTimeout: bodyWithin + answerWithin, IdleTimeout: idleFor,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

func loadTLS(cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, node.NewFault(node.FaultUsage, fmt.Errorf("the certificate cannot be used: %w", err), "give two PEM files with --tls-cert and --tls-key")
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func (s *Server) serve(l net.Listener) {
	server := s.remote
	if l.Addr().Network() == "unix" {
		server = s.local
	} else {
		l = limitClients(netutil.LimitListener(l, maxConns), s.isProxy)
	}
	s.wg.Go(func() {
		err := error(nil)
		if server.TLSConfig != nil {
			err = server.ServeTLS(l, "", "")
		} else {
			err = server.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			s.mu.Lock()
			s.failed = errors.Join(s.failed, err)
			s.mu.Unlock()
		}
	})
}

// Addrs returns the addresses of TCP and the paths of unix sockets that are served.
func (s *Server) Addrs() (addrs []net.Addr) {
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// Close stops accepting, and waits for requests that are being answered until ctx ends. The caller
// ends the event streams first; see api.Config.Ending.
func (s *Server) Close(ctx context.Context) error {
	err := errors.Join(s.remote.Shutdown(ctx), s.local.Shutdown(ctx))
	if ctx.Err() != nil {
		err = errors.Join(s.remote.Close(), s.local.Close())
	}
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.failed)
}

// maxSocketPath is the longest path of a unix socket on every system (macOS: 104 with the end).
const maxSocketPath = 103

// listenUnix opens the unix socket at path, which only its owner can use. It replaces a socket that
// no process serves any more.
func listenUnix(path string) (net.Listener, error) {
	fault := func(err error) error {
		return node.NewFault(node.FaultUsage, fmt.Errorf("the unix socket %s cannot be opened: %w", path, err), "choose another path with --socket, or none with --socket off")
	}
	if len(path) > maxSocketPath {
		return nil, fault(fmt.Errorf("its path has %d bytes; %d are possible", len(path), maxSocketPath))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fault(err)
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode().Type() != fs.ModeSocket {
			return nil, fault(errors.New("another file has this name"))
		}
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fault(errors.New("another process serves it"))
		}
		if err := os.Remove(path); err != nil {
			return nil, fault(err)
		}
	}
	// The socket must never be open to others, not even before its mode is set: it is made in a
	// folder that only we can enter.
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fault(err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fault(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		l.Close()
		return nil, fault(err)
	}
	return &unixListener{l, path}, nil
}

// A unixListener removes its socket when it is closed.
type unixListener struct {
	*net.UnixListener
	path string
}

// Addr returns the path of the socket.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening and removes the socket.
func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if e := os.Remove(l.path); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}
