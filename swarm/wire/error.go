package wire

import "fmt"

// Kind says what a peer did wrong.
type Kind uint8

const (
	// BadHandshake: the bytes cannot be a BitTorrent handshake.
	BadHandshake Kind = iota + 1
	// Short: valid so far, but too short.
	Short
	// TooLong: longer than anything an honest peer sends.
	TooLong
	// BadLength: a message whose length does not match its id.
	BadLength
	// BadID: an id that must not occur.
	BadID
	// BadBencode: an extension message that is not a valid dictionary.
	BadBencode
	// BadField: a dictionary in which a value is missing or out of range.
	BadField
)

// Error reports that a peer violated the protocol.
type Error struct {
	Kind  Kind
	Type  Type   // of the message; unused for a handshake
	Len   int64  // of the frame or payload in bytes
	Field string // of BadField: the dictionary key
	Err   error  // of BadBencode: the scanner's error
}

func (e *Error) Error() string {
	switch e.Kind {
	case BadHandshake:
		return "not a BitTorrent handshake"
	case Short:
		return fmt.Sprintf("handshake ends after %d bytes of %d", e.Len, HandshakeLen)
	case TooLong:
		return fmt.Sprintf("%s of %d bytes is too long", e.Type, e.Len)
	case BadLength:
		return fmt.Sprintf("%s of %d bytes has the wrong length", e.Type, e.Len)
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
