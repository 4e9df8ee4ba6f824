package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxConns limits the connections of a Server.
const maxConns = 64

// Server serves metrics on a listener of its own.
type Server struct {
	*http.Server
	Addr string
}

// Serve starts a server at addr, which is HOST:PORT. The caller closes the server.
func Serve(addr string, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot serve metrics at %s: %w", addr, err)
	}
	s := &Server{
		Server: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10},
		Addr:   l.Addr().String(),
	}
	go func() {
		if err := s.Serve(netutil.LimitListener(l, maxConns)); err != nil && !errors.Is(err, http.ErrServerClosed) {
			panic(err) // Serve ends only with Close
		}
	}()
	return s, nil
}
