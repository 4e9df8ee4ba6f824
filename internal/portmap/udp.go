package portmap

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/portmap/pcp"
)

// patience is how long to wait for an answer after each time that a request is sent. A router on
// the local network answers within milliseconds. The RFCs' schedules, 64 s and more, would keep the
// other methods waiting; instead everything is tried again later.
var patience = [...]time.Duration{250 * time.Millisecond, 400 * time.Millisecond, 500 * time.Millisecond}

// errNoService is the error if the router says that nothing listens there.
var errNoService = errors.New("the router does not offer it")

// udpSocket is a socket that is connected to the router, which keeps out datagrams from others.
type udpSocket struct {
	conn  net.Conn
	to    netip.Addr
	begun time.Time
	buf   [pcp.MaxLen + 1]byte
}

func dialRouter(sys system, local, router netip.Addr) (*udpSocket, error) {
	c, err := sys.dialUDP(netip.AddrPortFrom(local, 0), netip.AddrPortFrom(router, pcp.Port))
	if err != nil {
		return nil, err
	}
	return &udpSocket{conn: c, to: router, begun: time.Now()}, nil
}

func (s *udpSocket) now() mono.Time { return mono.From(s.begun, time.Now()) }

func (s *udpSocket) router() netip.Addr { return s.to.WithZone("") }

func (s *udpSocket) close() { s.conn.Close() }

func (s *udpSocket) checkEvery() time.Duration { return 30 * time.Second }
func (s *udpSocket) renewEvery() time.Duration { return pollRenew }

// exchange sends a request until read accepts a response. read returns pcp.ErrMalformed for what is
// no response to the request.
func (s *udpSocket) exchange(ctx context.Context, request []byte, read func([]byte) error) error {
	for _, wait := range patience {
		if err := s.conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
		err := s.sendAndRead(request, read)
		stop()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, syscall.ECONNREFUSED):
			return errNoService
		case !isTimeout(err):
			return err
		}
	}
	return errNoAnswer
}

func (s *udpSocket) sendAndRead(request []byte, read func([]byte) error) error {
	if _, err := s.conn.Write(request); err != nil {
		return err
	}
	for {
		n, err := s.conn.Read(s.buf[:])
		if err != nil {
			return err
		}
		if err := read(s.buf[:n]); !errors.Is(err, pcp.ErrMalformed) {
			return err
		}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// pcpClient is a client of PCP.
type pcpClient struct {
	*udpSocket
	local  netip.Addr
	nonces map[Protocol]pcp.Nonce // of the two mappings
	clock  pcp.EpochClock
}

func newPCP(s *udpSocket, t *target) client {
	c := &pcpClient{udpSocket: s, local: t.local, nonces: map[Protocol]pcp.Nonce{}}
	for _, p := range []Protocol{TCP, UDP} {
		var n pcp.Nonce
		_, _ = rand.Read(n[:]) // never fails
		c.nonces[p] = n
	}
	return c
}

func (c *pcpClient) method() Method { return PCP }

func (c *pcpClient) mapPort(ctx context.Context, p Protocol, internal, external uint16) (grant, error) {
	m, err := c.request(ctx, p, internal, external, lease)
	// An external address of the other family (NAT64) is not where peers of this family reach us.
	if ip := m.External.Addr(); err == nil && (m.Lifetime == 0 || !ip.IsUnspecified() && ip.Is4() != c.local.Is4()) {
		err = errInvalid
	}
	return grant{internal, m.External, m.Lifetime}, err
}

func (c *pcpClient) unmapPort(ctx context.Context, p Protocol, g grant) error {
	_, err := c.request(ctx, p, g.internal, 0, 0)
	return err
}

func (c *pcpClient) request(ctx context.Context, p Protocol, internal, external uint16, lifetime time.Duration) (m pcp.Mapping, err error) {
	var suggested netip.AddrPort
	if external != 0 {
		any := netip.IPv4Unspecified()
		if c.local.Is6() {
			any = netip.IPv6Unspecified()
		}
		suggested = netip.AddrPortFrom(any, external)
	}
	want := pcp.Mapping{Nonce: c.nonces[p], Protocol: p, Internal: internal, External: suggested, Lifetime: lifetime}
	err = c.exchange(ctx, pcp.AppendMap(nil, c.local, &want), func(b []byte) error {
		got, epoch, err := pcp.ParseMap(b, &want)
		if err == nil {
			m = got
			c.clock.Update(c.now(), epoch)
		}
		return err
	})
	return m, err
}

func (c *pcpClient) check(ctx context.Context, _ grant) error {
	return c.exchange(ctx, pcp.AppendAnnounce(nil, c.local), func(b []byte) error {
		epoch, err := pcp.ParseAnnounce(b)
		if err == nil && c.clock.Update(c.now(), epoch) {
			return errLost
		}
		return err
	})
}

// natPMPClient is a client of NAT-PMP.
type natPMPClient struct {
	*udpSocket
	isGiven  bool
	external netip.Addr // of the router
	clock    pcp.EpochClock
}

func newNATPMP(s *udpSocket, t *target) client {
	return &natPMPClient{udpSocket: s, isGiven: t.isGiven, external: netip.IPv4Unspecified()}
}

func (c *natPMPClient) method() Method { return NATPMP }

func (c *natPMPClient) mapPort(ctx context.Context, p Protocol, internal, external uint16) (grant, error) {
	if err := c.askAddress(ctx); err != nil && !errors.Is(err, errLost) {
		return grant{}, err
	}
	m, err := c.request(ctx, p, internal, external, lease)
	var refused *pcp.ResultError
	if c.isGiven && errors.As(err, &refused) && !refused.IsVersion() {
		// VPN servers map a port of their choice, to the same port here. They expect internal
		// port 0 and external port 1 in the request.
		m, err = c.request(ctx, p, 0, 1, lease)
	}
	if err == nil && m.Lifetime == 0 {
		err = errInvalid
	}
	if m.Internal == 0 {
		m.Internal = m.External.Port()
	}
	return grant{m.Internal, netip.AddrPortFrom(c.external, m.External.Port()), m.Lifetime}, err
}

func (c *natPMPClient) unmapPort(ctx context.Context, p Protocol, g grant) error {
	_, err := c.request(ctx, p, g.internal, 0, 0)
	return err
}

func (c *natPMPClient) request(ctx context.Context, p Protocol, internal, external uint16, lifetime time.Duration) (m pcp.Mapping, err error) {
	want := pcp.Mapping{Protocol: p, Internal: internal, External: netip.AddrPortFrom(netip.IPv4Unspecified(), external), Lifetime: lifetime}
	err = c.exchange(ctx, pcp.AppendNATPMPMap(nil, &want), func(b []byte) error {
		got, epoch, err := pcp.ParseNATPMPMap(b, p)
		if err == nil && got.Internal != internal && !c.isGiven {
			return pcp.ErrMalformed // it is for an earlier request
		}
		if err == nil {
			m = got
			c.clock.Update(c.now(), epoch)
		}
		return err
	})
	return m, err
}

// askAddress asks for the external address. It returns errLost if that has changed, or if the
// router has restarted: the mappings are gone in both cases.
func (c *natPMPClient) askAddress(ctx context.Context) error {
	return c.exchange(ctx, pcp.AppendNATPMPAddress(nil), func(b []byte) error {
		ip, epoch, err := pcp.ParseNATPMPAddress(b)
		if err != nil {
			return err
		}
		before := c.external
		c.external = ip
		if c.clock.Update(c.now(), epoch) || !before.IsUnspecified() && before != ip {
			return errLost
		}
		return nil
	})
}

func (c *natPMPClient) check(ctx context.Context, _ grant) error { return c.askAddress(ctx) }
