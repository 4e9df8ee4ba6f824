package sealed

import (
	"encoding/binary"
	"errors"
)

const (
	// maxValue is BEP 44's limit on a bencoded value, 1,000 bytes, less those of the
	// dictionary d2:sb…e around the sealed string.
	maxValue = 1000 - len("d2:sb990:e")

	// MaxValuePlain is the limit on a value before it is sealed.
	MaxValuePlain = maxValue - 1 - Overhead - 2

	// valueUnit is what the length of a sealed value is a multiple of, so that it tells
	// little about what the value contains.
	valueUnit = 128
)

// ErrValue reports an item that the secret does not open.
var ErrValue = errors.New("the item does not open with the secret of this link: the link has the secret of another publication, or the publisher signed something else")

// ErrValueLen reports a value that is too long to be sealed.
var ErrValueLen = errors.New("the value of the item is too long")

// SealValue seals the value of an item with the keys that a secret to keep gives. The result
// has at most 990 bytes: the version, and what siv makes of the length and the value, padded
// with zeros.
func (s Secret) SealValue(plain []byte) ([]byte, error) {
	if len(plain) > MaxValuePlain {
		return nil, ErrValueLen
	}
	size := min((2+len(plain)+valueUnit-1)/valueUnit*valueUnit, 2+MaxValuePlain)
	b := binary.BigEndian.AppendUint16(nil, uint16(len(plain)))
	b = append(b, plain...)
	b = append(b, make([]byte, size-len(b))...)
	return s.valueKeys().seal([]byte{Version}, 0, b), nil
}

// OpenValue returns what SealValue has sealed. The error is ErrValue or a *VersionError.
func (s Secret) OpenValue(box []byte) ([]byte, error) {
	if len(box) == 0 || len(box) > maxValue {
		return nil, ErrValue
	}
	if box[0] != Version {
		return nil, &VersionError{"item"}
	}
	b, ok := s.valueKeys().open(nil, 0, box[1:])
	if !ok || len(b) < 2 {
		return nil, ErrValue
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > len(b)-2 {
		return nil, ErrValue
	}
	return b[2 : 2+n], nil
}

func (s Secret) valueKeys() *siv { return newSIV(s.keepKey(), "value") }
