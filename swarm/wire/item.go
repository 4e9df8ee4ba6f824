package wire

import (
	"bytes"

	"seedbed/internal/bencode"
)

// Limits of an sb_item message in bytes. BEP 44 limits the value and the salt.
const (
	MaxItemValue = 1000
	MaxItemSalt  = 64
	// maxItem is the maximal length of the whole payload: the two, a key, a signature, and the rest of
	// the dictionary with room for entries that we do not know.
	maxItem = MaxItemValue + MaxItemSalt + itemKeyLen + itemSigLen + 240

	itemKeyLen = 32
	itemSigLen = 64
)

// ItemMsg is an sb_item message: a mutable item of the DHT (BEP 44), which names the newest version of a
// publication (BEP 46). docs/push.md specifies the extension.
type ItemMsg struct {
	Key   [itemKeyLen]byte // ed25519
	Salt  []byte           // at most MaxItemSalt bytes; part of the payload
	Seq   int64            // not negative
	Sig   [itemSigLen]byte // not checked
	Value bencode.Value    // canonical, at most MaxItemValue bytes; part of the payload
}

var itemLimits = bencode.Limits{Depth: 32, Tokens: 1000, StringLen: MaxItemValue}

// ParseItem parses the payload of an sb_item message: a dictionary with the arguments of a put (BEP 44):
// k, salt, seq, sig and v. Other entries are ignored. It does not check the signature.
func ParseItem(payload []byte) (ItemMsg, error) {
	if len(payload) > maxItem {
		return ItemMsg{}, &Error{Kind: TooLong, Type: Extended, Len: int64(len(payload))}
	}
	v, err := bencode.ParseStrict(payload, itemLimits)
	if err == nil && v.Kind() != bencode.Dict {
		err = errNoDict
	}
	if err != nil {
		return ItemMsg{}, &Error{Kind: BadBencode, Type: Extended, Len: int64(len(payload)), Err: err}
	}
	var m ItemMsg
	if b, _ := v.Get("k").Bytes(); copy(m.Key[:], b) != itemKeyLen || len(b) != itemKeyLen {
		return ItemMsg{}, badField(payload, "k")
	}
	if salt := v.Get("salt"); salt != nil {
		var ok bool
		if m.Salt, ok = salt.Bytes(); !ok || len(m.Salt) > MaxItemSalt {
			return ItemMsg{}, badField(payload, "salt")
		}
	}
	var ok bool
	if m.Seq, ok = v.Get("seq").Int(); !ok || m.Seq < 0 {
		return ItemMsg{}, badField(payload, "seq")
	}
	if b, _ := v.Get("sig").Bytes(); copy(m.Sig[:], b) != itemSigLen || len(b) != itemSigLen {
		return ItemMsg{}, badField(payload, "sig")
	}
	if m.Value = v.Get("v"); m.Value == nil || len(m.Value) > MaxItemValue {
		return ItemMsg{}, badField(payload, "v")
	}
	return m, nil
}

// AppendItem appends the payload of an sb_item message.
func AppendItem(dst []byte, m *ItemMsg) []byte {
	dst = bencode.AppendBytes(bencode.AppendString(append(dst, 'd'), "k"), m.Key[:])
	if len(m.Salt) > 0 {
		dst = bencode.AppendBytes(bencode.AppendString(dst, "salt"), m.Salt)
	}
	dst = appendInt(dst, "seq", m.Seq)
	dst = bencode.AppendBytes(bencode.AppendString(dst, "sig"), m.Sig[:])
	dst = append(bencode.AppendString(dst, "v"), m.Value...)
	return append(dst, 'e')
}

// Clone returns a copy that shares no memory with m.
func (m *ItemMsg) Clone() *ItemMsg {
	c := *m
	c.Salt, c.Value = bytes.Clone(m.Salt), bytes.Clone(m.Value)
	return &c
}

// IsSameVersion reports whether two items have the same number and value.
func (m *ItemMsg) IsSameVersion(o *ItemMsg) bool {
	return m.Seq == o.Seq && bytes.Equal(m.Value, o.Value)
}
