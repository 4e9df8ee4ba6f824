// Package pcp is the codec of the two protocols by which a host asks its router for port
// mappings: PCP (RFC 6887) and its predecessor NAT-PMP (RFC 6886). Both use UDP port 5351 of the
// router, and the first byte of a message is the version.
//
// The Append functions write requests, and the Parse functions read responses. Lifetimes and
// epochs are in seconds on the wire; lifetimes are time.Duration here. Responses come from the
// network, so every length is checked: a message that is not a response to a request of this
// package yields ErrMalformed, and a refusal of the router yields a *ResultError.
//
// EpochClock tells from the responses whether the router has lost its mappings.
package pcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Port is the UDP port of a router for requests. ClientPort is the port at which hosts receive
// the router's multicast announcements of a restart.
const (
	Port       = 5351
	ClientPort = 5350
)

// MaxLen is the maximum length of a message in bytes (RFC 6887, 7).
const MaxLen = 1100

// NonceLen is the length of a Nonce in bytes.
const NonceLen = 12

// Nonce identifies a PCP mapping. Renewing and removing the mapping takes the same Nonce, and an
// attacker who cannot read the request cannot forge the response.
type Nonce [NonceLen]byte

// Protocol is the transport protocol of a mapping, as an IANA protocol number.
type Protocol uint8

const (
	TCP Protocol = 6
	UDP Protocol = 17
)

func (p Protocol) String() string {
	if p == TCP {
		return "TCP"
	}
	return "UDP"
}

// ErrMalformed is the error for bytes that are not a response to our request.
var ErrMalformed = errors.New("pcp: not a response to this request")

const (
	version = 2

	opAnnounce = 0
	opMap      = 1
	response   = 0x80 // the R bit

	headerLen = 24
	mapLen    = 36
)

// Mapping is the content of a MAP request or response.
type Mapping struct {
	Nonce    Nonce
	Protocol Protocol
	Internal uint16         // port of this host
	External netip.AddrPort // in a request, what we suggest; the zero value is for no preference
	Lifetime time.Duration  // whole seconds; in a request, 0 removes the mapping
}

// AppendMap appends a MAP request (RFC 6887, 11.1) from the host at client. The request is 60 bytes
// long.
func AppendMap(dst []byte, client netip.Addr, m *Mapping) []byte {
	dst = appendHeader(dst, opMap, m.Lifetime, client)
	dst = append(dst, m.Nonce[:]...)
	dst = append(dst, byte(m.Protocol), 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, m.Internal)
	dst = binary.BigEndian.AppendUint16(dst, m.External.Port())
	// RFC 6887, 5: "all zeros" of the family that is wanted means no preference.
	ext := m.External.Addr()
	if !ext.IsValid() {
		ext = netip.IPv6Unspecified()
		if client.Unmap().Is4() {
			ext = netip.IPv4Unspecified()
		}
	}
	b := ext.As16()
	return append(dst, b[:]...)
}

// AppendAnnounce appends an ANNOUNCE request (RFC 6887, 14.1), which asks for the epoch. The
// request is 24 bytes long.
func AppendAnnounce(dst []byte, client netip.Addr) []byte {
	return appendHeader(dst, opAnnounce, 0, client)
}

func appendHeader(dst []byte, op byte, lifetime time.Duration, client netip.Addr) []byte {
	dst = append(dst, version, op, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, seconds(lifetime))
	b := client.As16() // IPv4 addresses are in IPv6-mapped form (RFC 6887, 5)
	return append(dst, b[:]...)
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), 1<<32-1))
}

// ParseMap reads the response to the MAP request want. The external address and the lifetime of
// the result are those that the router granted. The epoch is also returned with a *ResultError.
func ParseMap(b []byte, want *Mapping) (m Mapping, epoch uint32, err error) {
	lifetime, epoch, result, err := parseHeader(b, opMap)
	if err != nil {
		return m, 0, err
	}
	if result == unsupportedVersion {
		// Such a response may lack what follows the header (RFC 6887, 9).
		return m, epoch, &ResultError{result, false, 0}
	}
	if len(b) < headerLen+mapLen {
		return m, 0, ErrMalformed
	}
	p := b[headerLen:]
	m = Mapping{
		Nonce: Nonce(p), Protocol: Protocol(p[NonceLen]), Lifetime: lifetime,
		Internal: binary.BigEndian.Uint16(p[16:]),
		External: netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[20:36])).Unmap(), binary.BigEndian.Uint16(p[18:])),
	}
	// RFC 6887, 11.4: a response that does not match the request is ignored.
	if m.Nonce != want.Nonce || m.Protocol != want.Protocol || m.Internal != want.Internal {
		return Mapping{}, 0, ErrMalformed
	}
	if result != 0 {
		return Mapping{}, epoch, &ResultError{result, false, lifetime}
	}
	return m, epoch, nil
}

// ParseAnnounce reads a response to an ANNOUNCE request. The router also sends such a response to
// all hosts when it starts (RFC 6887, 14.1.3; see IsAnnouncement). A router that does not know the request answers with an
// error, which has the epoch as well: ParseAnnounce returns it without an error.
func ParseAnnounce(b []byte) (epoch uint32, err error) {
	_, epoch, _, err = parseHeader(b, opAnnounce)
	return epoch, err
}

// IsAnnouncement reports whether b is what a router sends to all hosts when it has started or its
// external address has changed: a response to AppendAnnounce (RFC 6887, 14.1) or to
// AppendNATPMPAddress (RFC 6886, 3.2.1) that nobody asked for.
func IsAnnouncement(b []byte) bool {
	if _, _, err := ParseNATPMPAddress(b); err == nil {
		return true
	}
	_, _, result, err := parseHeader(b, opAnnounce)
	return err == nil && result == 0
}

func parseHeader(b []byte, op byte) (lifetime time.Duration, epoch uint32, result uint16, err error) {
	if len(b) > MaxLen || len(b) < 4 || b[1] != response|op {
		return 0, 0, 0, ErrMalformed
	}
	// A router that knows NAT-PMP only answers in its own version (RFC 6886, 3.5; RFC 6887, 9).
	if b[0] == natPMPVersion && binary.BigEndian.Uint16(b[2:]) == unsupportedVersion {
		return 0, 0, unsupportedVersion, nil
	}
	if len(b) < headerLen || len(b)%4 != 0 || b[0] != version && b[3] != unsupportedVersion {
		return 0, 0, 0, ErrMalformed
	}
	lifetime = time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	return lifetime, binary.BigEndian.Uint32(b[8:]), uint16(b[3]), nil
}

const unsupportedVersion = 1 // in both protocols

// ResultError is the refusal of a router.
type ResultError struct {
	Code     uint16
	IsNATPMP bool          // Code is of RFC 6886, 3.5, and not of RFC 6887, 7.4
	Lifetime time.Duration // PCP: how long the router expects the reason to last
}

var pcpResults = [...]string{
	1: "it does not support this version", 2: "it does not allow this host to map ports", 3: "it finds the request malformed",
	4: "it does not support this request", 5: "it does not support an option", 6: "it finds an option malformed",
	7: "its network does not work", 8: "it has no room for more mappings", 9: "it does not map this protocol",
	10: "this host has as many mappings as it allows", 11: "it cannot provide this external address or port",
	12: "there is another NAT between this host and it", 13: "the request names too many peers",
}

var natPMPResults = [...]string{
	1: "it does not support this version", 2: "it does not allow this host to map ports", 3: "its network does not work",
	4: "it has no room for more mappings", 5: "it does not support this request",
}

func (e *ResultError) Error() string {
	names := pcpResults[:]
	if e.IsNATPMP {
		names = natPMPResults[:]
	}
	if int(e.Code) < len(names) && names[e.Code] != "" {
		return "the router refuses: " + names[e.Code]
	}
	return fmt.Sprintf("the router refuses with code %d", e.Code)
}

// IsVersion reports whether the router does not support the version, so that the other protocol
// may work.
func (e *ResultError) IsVersion() bool { return e.Code == unsupportedVersion }
