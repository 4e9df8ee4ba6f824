// Package socks5 is the client's part of the SOCKS5 protocol (RFC 1928), with user name and password
// (RFC 1929): the messages that ask a proxy for a connection or a UDP association, and the
// header of relayed datagrams.
//
// Handshake runs on a connection to the proxy; the caller sets its deadlines. It reads not one byte more
// than the proxy's replies have. Errors are a *ReplyError, ErrMethod, ErrAuth, ErrProtocol, or
// those of the connection. Everything that comes from the proxy may be hostile.
package socks5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Command is what the proxy shall do.
type Command byte

// The commands of RFC 1928 that are used.
const (
	Connect   Command = 1 // connect over TCP
	Associate Command = 3 // relay datagrams
)

// Sizes in bytes.
const (
	// MaxHeader is the length of the longest header of a datagram that AppendHeader writes.
	MaxHeader = 4 + 1 + maxName + 2
	// MaxSecret is the longest user name and the longest password.
	MaxSecret = 255

	maxName = 255
)

const (
	version     = 5
	authVersion = 1 // RFC 1929

	methodNone     = 0x00
	methodPassword = 0x02
	methodRefused  = 0xff

	typeIPv4 = 1
	typeName = 3
	typeIPv6 = 4
)

var (
	// ErrMethod means that the proxy requires a kind of authentication that was not offered:
	// user name and password, if none were given.
	ErrMethod = errors.New("the proxy requires authentication")
	// ErrAuth means that the proxy refused the user name or the password.
	ErrAuth = errors.New("the proxy refused the user name or the password")
	// ErrProtocol means that the other side does not follow RFC 1928.
	ErrProtocol = errors.New("this is no SOCKS5 proxy")
	// ErrHeader is returned for a datagram that is not relayed, is a fragment, or does not name
	// its source as an address.
	ErrHeader = errors.New("the header of the relayed datagram is invalid")
)

// Reply is the code of a reply that is not a success.
type Reply byte

// The replies of RFC 1928, section 6.
const (
	GeneralFailure     Reply = 1
	NotAllowed         Reply = 2
	NetworkUnreachable Reply = 3
	HostUnreachable    Reply = 4
	Refused            Reply = 5
	Expired            Reply = 6 // the TTL
	Unsupported        Reply = 7 // the command
	UnsupportedAddress Reply = 8
)

var replies = [...]string{GeneralFailure: "general failure", NotAllowed: "not allowed by its rules", NetworkUnreachable: "network unreachable",
	HostUnreachable: "host unreachable", Refused: "connection refused", Expired: "no answer", Unsupported: "command not supported", UnsupportedAddress: "address type not supported"}

// ReplyError is a reply that refuses the request.
type ReplyError struct{ Reply Reply }

func (e *ReplyError) Error() string {
	if int(e.Reply) < len(replies) && e.Reply > 0 {
		return "the proxy replied: " + replies[e.Reply]
	}
	return fmt.Sprintf("the proxy replied with code %d", e.Reply)
}

// Addr is a destination: an address, or a host name that the proxy resolves.
type Addr struct {
	Name string // of at most 255 bytes; "" if IP is set
	IP   netip.Addr
	Port uint16
}

// AddrOf returns the Addr of an address.
func AddrOf(a netip.AddrPort) Addr { return Addr{IP: a.Addr().Unmap(), Port: a.Port()} }

// Handshake authenticates and sends one request. It returns the address that the proxy uses for it
// (BND.ADDR); the address is unspecified or invalid if the proxy does not say. An empty user means
// that no authentication is offered.
func Handshake(rw io.ReadWriter, user, password string, c Command, to Addr) (bound netip.AddrPort, err error) {
	if len(user) > MaxSecret || len(password) > MaxSecret {
		return bound, ErrAuth
	}
	if len(to.Name) > maxName {
		return bound, &ReplyError{HostUnreachable}
	}
	if err := authenticate(rw, user, password); err != nil {
		return bound, err
	}
	if _, err := rw.Write(appendAddr([]byte{version, byte(c), 0}, to)); err != nil {
		return bound, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return bound, err
	}
	switch {
	case head[0] != version:
		return bound, ErrProtocol
	case head[1] != 0:
		return bound, &ReplyError{Reply(head[1])}
	}
	return readBound(rw, head[3])
}

func authenticate(rw io.ReadWriter, user, password string) error {
	hello := []byte{version, 1, methodNone}
	if user != "" {
		hello = []byte{version, 2, methodNone, methodPassword}
	}
	if _, err := rw.Write(hello); err != nil {
		return err
	}
	var b [2]byte
	if _, err := io.ReadFull(rw, b[:]); err != nil {
		return err
	}
	switch {
	case b[0] != version:
		return ErrProtocol
	case b[1] == methodNone:
		return nil
	case b[1] == methodRefused:
		return ErrMethod
	case b[1] != methodPassword || user == "":
		return ErrProtocol
	}
	secret := append([]byte{authVersion, byte(len(user))}, user...)
	secret = append(append(secret, byte(len(password))), password...)
	if _, err := rw.Write(secret); err != nil {
		return err
	}
	if _, err := io.ReadFull(rw, b[:]); err != nil {
		return err
	}
	if b[1] != 0 {
		return ErrAuth
	}
	return nil
}

// readBound reads the rest of a reply. A name is not resolved.
func readBound(r io.Reader, kind byte) (bound netip.AddrPort, err error) {
	n := 4
	switch kind {
	case typeIPv4:
	case typeIPv6:
		n = 16
	case typeName:
		var length [1]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return bound, err
		}
		n = int(length[0])
	default:
		return bound, ErrProtocol
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return bound, err
	}
	var ip netip.Addr
	if kind != typeName {
		ip, _ = netip.AddrFromSlice(b[:n])
	}
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(b[n:])), nil
}

// AppendHeader appends the header of a datagram to a destination, whose name has at most 255 bytes.
func AppendHeader(b []byte, to Addr) []byte {
	return appendAddr(append(b, 0, 0, 0), to) // reserved, and fragment 0: not fragmented
}

func appendAddr(b []byte, to Addr) []byte {
	switch {
	case to.Name != "":
		b = append(append(b, typeName, byte(len(to.Name))), to.Name...)
	case to.IP.Is4():
		b = append(append(b, typeIPv4), to.IP.AsSlice()...)
	default:
		ip := to.IP.As16()
		b = append(append(b, typeIPv6), ip[:]...)
	}
	return binary.BigEndian.AppendUint16(b, to.Port)
}

// ParseHeader returns the source of a relayed datagram and its payload, which is a part of b. RFC
// 1928 allows a client that does not reassemble fragments to drop them.
func ParseHeader(b []byte) (from netip.AddrPort, payload []byte, err error) {
	if len(b) < 4 || b[0] != 0 || b[1] != 0 || b[2] != 0 {
		return from, nil, ErrHeader
	}
	n := 4
	switch b[3] {
	case typeIPv4:
	case typeIPv6:
		n = 16
	default:
		return from, nil, ErrHeader
	}
	rest := b[4:]
	if len(rest) < n+2 {
		return from, nil, ErrHeader
	}
	ip, _ := netip.AddrFromSlice(rest[:n])
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(rest[n:])), rest[n+2:], nil
}
