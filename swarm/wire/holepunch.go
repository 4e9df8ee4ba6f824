package wire

import (
	"encoding/binary"
	"net/netip"

	"seedbed/internal/addrs"
)

// HolepunchType is the type of a ut_holepunch message (BEP 55). Other types are ignored.
type HolepunchType uint8

const (
	HolepunchRendezvous HolepunchType = iota // connect me and the peer at Addr
	HolepunchConnect                         // connect to the peer at Addr over uTP now
	HolepunchError                           // answers a rendezvous that cannot be fulfilled
)

// HolepunchErr is why a rendezvous cannot be fulfilled (BEP 55).
type HolepunchErr uint32

const (
	NoSuchPeer   HolepunchErr = iota + 1 // the address is invalid
	NotConnected                         // the relay is not connected to the target
	NoSupport                            // the target does not support ut_holepunch
	NoSelf                               // the address is the relay's own
)

// HolepunchMsg is a ut_holepunch message.
type HolepunchMsg struct {
	Type HolepunchType
	Addr netip.AddrPort
	Err  HolepunchErr // of HolepunchError
}

// ParseHolepunch parses a ut_holepunch message. In BEP 55 every message ends with an
// error code; libtorrent omits it if it is 0.
func ParseHolepunch(payload []byte) (HolepunchMsg, error) {
	if len(payload) < 2 {
		return HolepunchMsg{}, badLength(payload)
	}
	m := HolepunchMsg{Type: HolepunchType(payload[0])}
	n := 0
	switch payload[1] {
	case 0:
		n = addrs.Len4
	case 1:
		n = addrs.Len6
	default:
		return HolepunchMsg{}, badField(payload, "addr_type")
	}
	b := payload[2:]
	if len(b) != n+4 && (len(b) != n || m.Type == HolepunchError) {
		return HolepunchMsg{}, badLength(payload)
	}
	m.Addr = addrs.Parse(b[:n])
	if len(b) > n {
		m.Err = HolepunchErr(binary.BigEndian.Uint32(b[n:]))
	}
	return m, nil
}

// AppendHolepunch appends the payload of a ut_holepunch message.
func AppendHolepunch(dst []byte, m HolepunchMsg) []byte {
	addrType := byte(0)
	if !m.Addr.Addr().Unmap().Is4() {
		addrType = 1
	}
	dst = addrs.Append(append(dst, byte(m.Type), addrType), m.Addr)
	return binary.BigEndian.AppendUint32(dst, uint32(m.Err))
}
