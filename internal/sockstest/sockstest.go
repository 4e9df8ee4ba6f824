// Package sockstest has a SOCKS5 proxy for tests (RFC 1928 and 1929): CONNECT and UDP ASSOCIATE over
// loopback.
package sockstest

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"

	"seedbed/internal/socks5"
)

// Server is a SOCKS5 proxy. Start starts it and stops it at the end of the test.
type Server struct {
	User     string // required user name; "" means no authentication
	Password string
	NoUDP    bool                  // refuse UDP ASSOCIATE
	ZeroAddr bool                  // reply 0.0.0.0 as the address of an association
	Hosts    map[string]netip.Addr // the names that it resolves

	l net.Listener

	mu       sync.Mutex
	conns    map[net.Conn]bool // of clients
	controls int               // associations so far
	dialled  []string
	relayed  []string // destinations of datagrams
}

// Start starts s and returns it.
func Start(t testing.TB, s *Server) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.l, s.conns = l, map[net.Conn]bool{}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			running.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.Drop()
		running.Wait()
	})
	return s
}

// Addr returns the HOST:PORT of the proxy.
func (s *Server) Addr() string { return s.l.Addr().String() }

// Drop ends all connections of clients.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *Server) note(list *[]string, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, what)
}

// Dialled returns the destinations of all connections that clients have asked for.
func (s *Server) Dialled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dialled)
}

// Relayed returns the destinations of all datagrams of clients.
func (s *Server) Relayed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.relayed)
}

// Associations returns how many associations clients have asked for.
func (s *Server) Associations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.controls
}

func (s *Server) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}()
	b := make([]byte, 512)
	read := func(n int) []byte { _, _ = io.ReadFull(c, b[:n]); return b[:n] }
	methods := read(int(read(2)[1]))
	if s.User == "" {
		_, _ = c.Write([]byte{5, 0})
	} else {
		if len(methods) < 2 {
			_, _ = c.Write([]byte{5, 0xff})
			return
		}
		_, _ = c.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		if password := string(read(int(read(1)[0]))); user != s.User || password != s.Password {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	head := read(4)
	cmd, kind := head[1], head[3]
	host := ""
	switch kind {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 4:
		host = netip.AddrFrom16([16]byte(read(16))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	port := binary.BigEndian.Uint16(read(2))
	to := net.JoinHostPort(host, strconv.Itoa(int(port)))
	if ip, ok := s.Hosts[host]; ok {
		host = ip.String()
	}
	reply := func(code socks5.Reply, at netip.AddrPort) {
		_, _ = c.Write(append([]byte{5, byte(code), 0}, socks5.AppendHeader(nil, socks5.AddrOf(at))[3:]...))
	}
	zero := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	switch {
	case cmd == 1:
		s.note(&s.dialled, to)
		peer, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err != nil {
			reply(socks5.Refused, zero)
			return
		}
		reply(0, zero)
		go func() { _, _ = io.Copy(peer, c); peer.Close() }()
		_, _ = io.Copy(c, peer)
	case cmd == 3 && !s.NoUDP:
		s.associate(c, reply)
	default:
		reply(socks5.Unsupported, zero)
	}
}

// associate relays datagrams until the client's connection ends.
func (s *Server) associate(c net.Conn, reply func(socks5.Reply, netip.AddrPort)) {
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		reply(socks5.GeneralFailure, netip.AddrPort{})
		return
	}
	defer u.Close()
	s.mu.Lock()
	s.controls++
	s.mu.Unlock()
	at := u.LocalAddr().(*net.UDPAddr).AddrPort()
	if s.ZeroAddr {
		at = netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())
	}
	reply(0, at)
	go func() {
		_, _ = io.Copy(io.Discard, c)
		u.Close()
	}()
	var client netip.AddrPort
	b := make([]byte, 4096)
	for {
		n, from, err := u.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		isClient := !client.IsValid() || from == client
		if !isClient { // a reply
			_, _ = u.WriteToUDPAddrPort(append(socks5.AppendHeader(nil, socks5.AddrOf(from)), b[:n]...), client)
			continue
		}
		client = from
		if b[3] == 3 { // a name
			end := 5 + int(b[4])
			name, port := string(b[5:end]), binary.BigEndian.Uint16(b[end:])
			s.note(&s.relayed, name)
			if ip, ok := s.Hosts[name]; ok {
				_, _ = u.WriteToUDPAddrPort(b[end+2:n], netip.AddrPortFrom(ip, port))
			}
			continue
		}
		to, payload, err := socks5.ParseHeader(b[:n])
		if err == nil {
			s.note(&s.relayed, to.String())
			_, _ = u.WriteToUDPAddrPort(payload, to)
		}
	}
}
