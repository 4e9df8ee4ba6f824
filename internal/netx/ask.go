package netx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"seedbed/internal/socks5"
)

// Ask sends a datagram to a host whose name the proxy resolves, and waits until ctx ends for the
// first datagram for which isAnswer is true. It returns the source of that one.
//
// It asks once, and over an association of its own: while Dante resolves a name, it relays
// nothing else, and with a name server that does not answer, each datagram takes it many seconds.
func (h *ProxyHost) Ask(ctx context.Context, host string, port uint16, question []byte, isAnswer func([]byte) bool) (from netip.Addr, err error) {
	if len(host) > maxHostName {
		return from, fmt.Errorf("the host name has %d bytes; %d are allowed", len(host), maxHostName)
	}
	s, err := h.out.associate(ctx, h.dscp)
	if err != nil {
		return from, err
	}
	defer context.AfterFunc(ctx, func() { s.conn.Close() })()
	defer s.close()
	b := append(socks5.AppendHeader(nil, socks5.Addr{Name: host, Port: port}), question...)
	if err := s.conn.WriteTo(b, s.proxy); err != nil {
		return from, err
	}
	ms := []Datagram{{Buf: make([]byte, MaxDatagram)}}
	for {
		if _, err := s.conn.ReadBatch(ms); err != nil {
			return from, errors.Join(ctx.Err(), err)
		}
		source, payload, err := socks5.ParseHeader(ms[0].Buf[:ms[0].N])
		if err == nil && ms[0].Addr == s.proxy && isAnswer(payload) {
			return source.Addr(), nil
		}
	}
}
