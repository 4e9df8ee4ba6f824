package pcp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	natPMPVersion = 0

	natPMPAddress = 0 // opcodes
	natPMPMapUDP  = 1
	natPMPMapTCP  = 2
)

// AppendNATPMPAddress appends a NAT-PMP request for the external address (RFC 6886, 3.2). The
// request is 2 bytes long.
func AppendNATPMPAddress(dst []byte) []byte { return append(dst, natPMPVersion, natPMPAddress) }

// ParseNATPMPAddress reads the response to AppendNATPMPAddress. The router also sends such a
// response to all hosts when it starts (RFC 6886, 3.2.1).
func ParseNATPMPAddress(b []byte) (external netip.Addr, epoch uint32, err error) {
	epoch, err = parseNATPMPHeader(b, natPMPAddress)
	if err != nil {
		return netip.Addr{}, epoch, err
	}
	if len(b) < 12 {
		return netip.Addr{}, 0, ErrMalformed
	}
	return netip.AddrFrom4([4]byte(b[8:12])), epoch, nil
}

// AppendNATPMPMap appends a NAT-PMP mapping request (RFC 6886, 3.3). Of m.External only the port
// counts. The request is 12 bytes long.
func AppendNATPMPMap(dst []byte, m *Mapping) []byte {
	external := m.External.Port()
	if m.Lifetime == 0 {
		external = 0 // RFC 6886, 3.4: a request to remove a mapping has a zero external port
	}
	dst = append(dst, natPMPVersion, natPMPOp(m.Protocol), 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, m.Internal)
	dst = binary.BigEndian.AppendUint16(dst, external)
	return binary.BigEndian.AppendUint32(dst, seconds(m.Lifetime))
}

func natPMPOp(p Protocol) byte {
	if p == TCP {
		return natPMPMapTCP
	}
	return natPMPMapUDP
}

// ParseNATPMPMap reads the response to a mapping request for p. The internal port of the result can
// differ from that of the request: some VPN servers ignore the internal port that is asked
// for. The external address of the result is unspecified, because the response has only the port.
func ParseNATPMPMap(b []byte, p Protocol) (m Mapping, epoch uint32, err error) {
	epoch, err = parseNATPMPHeader(b, natPMPOp(p))
	if err != nil {
		return m, epoch, err
	}
	if len(b) < 16 {
		return m, 0, ErrMalformed
	}
	return Mapping{
		Protocol: p, Internal: binary.BigEndian.Uint16(b[8:]),
		External: netip.AddrPortFrom(netip.IPv4Unspecified(), binary.BigEndian.Uint16(b[10:])),
		Lifetime: time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Second,
	}, epoch, nil
}

func parseNATPMPHeader(b []byte, op byte) (epoch uint32, err error) {
	if len(b) < 8 || len(b) > MaxLen || b[0] != natPMPVersion || b[1] != response|op {
		return 0, ErrMalformed
	}
	epoch = binary.BigEndian.Uint32(b[4:])
	if result := binary.BigEndian.Uint16(b[2:]); result != 0 {
		return epoch, &ResultError{Code: result, IsNATPMP: true}
	}
	return epoch, nil
}
