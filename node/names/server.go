package names

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"seedbed/internal/netx"
)

// server is a DNS server that is asked over UDP and TCP (RFC 1035), behind a proxy only over TCP.
type server struct {
	addr string // HOST:PORT
	out  netx.Outbound
}

// udpTries is how often a query is sent over UDP, udpWait how long each may take. tcpWait is the limit of
// a query over TCP.
const (
	udpTries = 3
	udpWait  = 2 * time.Second
	tcpWait  = 10 * time.Second
)

func (s *server) exchange(ctx context.Context, query []byte) ([]byte, error) {
	if s.out.Proxy != "" {
		return s.overTCP(ctx, query)
	}
	var response []byte
	var truncated bool
	err := errNoResponse
	for try := 0; try < udpTries && errors.Is(err, errNoResponse) && ctx.Err() == nil; try++ {
		response, truncated, err = s.overUDP(ctx, query)
	}
	if err == nil && truncated {
		return s.overTCP(ctx, query)
	}
	return response, err
}

var errNoResponse = errors.New("the resolver does not answer")

// overUDP sends a query once. Datagrams that are no response to it are ignored: an attacker who guesses
// the port can send them.
func (s *server) overUDP(ctx context.Context, query []byte) (response []byte, truncated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, udpWait)
	defer cancel()
	c, err := s.dial(ctx, "udp")
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(query); err != nil {
		return nil, false, err
	}
	buf := make([]byte, udpSize)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, false, noResponse(ctx, err)
		}
		if truncated, err := check(query, buf[:n]); err == nil {
			return buf[:n], truncated, nil
		}
	}
}

// overTCP sends a query on a new connection. RFC 1035, 4.2.2: a message has its length in two bytes before it.
func (s *server) overTCP(ctx context.Context, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tcpWait)
	defer cancel()
	c, err := s.dial(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, noResponse(ctx, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, noResponse(ctx, err)
	}
	response := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, response); err != nil {
		return nil, noResponse(ctx, err)
	}
	_, err = check(query, response)
	return response, err
}

func (s *server) dial(ctx context.Context, network string) (net.Conn, error) {
	return s.out.DialHost(ctx, network, s.addr, nil)
}

// noResponse returns errNoResponse in place of an error that the end of ctx has caused.
func noResponse(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNoResponse
	}
	return err
}
