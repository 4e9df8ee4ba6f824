package wire

import (
	"encoding/binary"

	"seedbed/internal/id"
)

// The types of sb_dialback messages. Other types must be ignored. docs/dialback.md specifies the
// extension.
const (
	DialBackRequest = 0
	DialBackResult  = 1
)

// DialBackTransports is a set of transports.
type DialBackTransports uint8

const (
	DialBackTCP DialBackTransports = 1 << iota
	DialBackUTP
)

// DialBackOutcome is what happened when the asked peer connected to the asker.
type DialBackOutcome uint8

const (
	DialBackConnected DialBackOutcome = iota
	DialBackRefused
	DialBackTimedOut // no answer, or not that of a BitTorrent peer with the token
	DialBackNotTried // the asked peer does not do it, or not now
	numDialBackOutcomes
)

// DialBackMsg is an sb_dialback message. A request asks its receiver to connect to the address that the
// sender has in this connection, at Port, and to send a handshake with Token as the infohash. A result
// answers it, with one message for each transport.
type DialBackMsg struct {
	Type       uint8
	Transports DialBackTransports // to try; in a result, the one that was tried, or those that were not with DialBackNotTried
	Port       uint16             // of a request
	Outcome    DialBackOutcome    // of a result
	Token      id.ID              // random; a result has that of its request
}

// dialBackLen is the length of an sb_dialback message in bytes.
const dialBackLen = 4 + id.Len

// ParseDialBack parses the payload of an sb_dialback message. A message of an unknown type has only its
// Type.
func ParseDialBack(payload []byte) (DialBackMsg, error) {
	if len(payload) == 0 {
		return DialBackMsg{}, badLength(payload)
	}
	m := DialBackMsg{Type: payload[0]}
	if m.Type > DialBackResult {
		return m, nil
	}
	if len(payload) != dialBackLen {
		return DialBackMsg{}, badLength(payload)
	}
	m.Transports = DialBackTransports(payload[1])
	if m.Transports == 0 || m.Transports > DialBackTCP|DialBackUTP {
		return DialBackMsg{}, badField(payload, "transports")
	}
	switch n := binary.BigEndian.Uint16(payload[2:]); {
	case m.Type == DialBackRequest && n == 0:
		return DialBackMsg{}, badField(payload, "port")
	case m.Type == DialBackRequest:
		m.Port = n
	case n >= uint16(numDialBackOutcomes):
		return DialBackMsg{}, badField(payload, "outcome")
	default:
		m.Outcome = DialBackOutcome(n)
	}
	copy(m.Token[:], payload[4:])
	return m, nil
}

// AppendDialBack appends the payload of a request or a result.
func AppendDialBack(dst []byte, m DialBackMsg) []byte {
	n := m.Port
	if m.Type == DialBackResult {
		n = uint16(m.Outcome)
	}
	dst = binary.BigEndian.AppendUint16(append(dst, m.Type, byte(m.Transports)), n)
	return append(dst, m.Token[:]...)
}
