package wire

import "fmt"

// Kind is what a peer got wrong.
type Kind uint8

const (
	// BadHandshake: it does not begin as a BitTorrent handshake does.
	BadHandshake Kind = iota + 1
	// Short: right so far, but the bytes end too soon.
	Short
	// TooLong: more bytes than any honest peer sends.
	TooLong
	// BadLength: a message whose length is not what its id demands.
	BadLength
	// BadID: an id that cannot be on the wire.
	BadID
	// BadBencode: an extension's dictionary that is none.
	BadBencode
	// BadField: a dictionary that lacks a value, or holds one out of range.
	BadField
)

// Error is a peer's fault.
type Error struct {
	Kind  Kind
	Type  Type   // of the message; of no meaning in a handshake
	Len   int64  // of the frame or the payload, in bytes
	Field string // the dictionary key, of BadField
	Err   error  // of BadBencode, what the scanner said
}

func (e *Error) Error() string {
	switch e.Kind {
	case BadHandshake:
		return "not a BitTorrent handshake"
	case Short:
		return fmt.Sprintf("handshake ends after %d bytes of %d", e.Len, HandshakeLen)
	case TooLong:
		return fmt.Sprintf("%s of %d bytes is longer than any may be", e.Type, e.Len)
	case BadLength:
		return fmt.Sprintf("%s of %d bytes, which is not its length", e.Type, e.Len)
	case BadID:
		return fmt.Sprintf("reserved message id %d", uint8(e.Type))
	case BadBencode:
		return fmt.Sprintf("extended message of %d bytes: %v", e.Len, e.Err)
	case BadField:
		return fmt.Sprintf("extended message of %d bytes: %q is missing or out of range", e.Len, e.Field)
	}
	return "unknown fault"
}

func (e *Error) Unwrap() error { return e.Err }
