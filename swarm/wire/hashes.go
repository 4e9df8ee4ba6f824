package wire

import "encoding/binary"

// HashMsg is the body of the three hash messages of BEP 52, with the fields defined
// there. Length and ProofLayers count hashes and layers.
type HashMsg struct {
	Root        [32]byte // of a file's tree
	Base        uint32   // layers above the leaves
	Index       uint32   // of the first hash in its layer
	Length      uint32
	ProofLayers uint32
	Hashes      []byte // of a hashes message: 32 bytes each
}

const hashHeaderLen = 32 + 4*4

// HashesLen returns the length of a hashes message without its length prefix.
func HashesLen(hashes int) int { return 1 + hashHeaderLen + 32*hashes }

// ParseHash parses the body of a HashRequest, Hashes or HashReject message. The result's
// Hashes is part of it.
func ParseHash(m *Msg) (h HashMsg, err error) {
	b := m.Payload
	rest := len(b) - hashHeaderLen
	if rest < 0 || rest%32 != 0 || rest > 0 && m.Type != Hashes {
		return h, &Error{Kind: BadLength, Type: m.Type, Len: int64(len(b) + 1)}
	}
	copy(h.Root[:], b)
	h.Base = binary.BigEndian.Uint32(b[32:])
	h.Index = binary.BigEndian.Uint32(b[36:])
	h.Length = binary.BigEndian.Uint32(b[40:])
	h.ProofLayers = binary.BigEndian.Uint32(b[44:])
	h.Hashes = b[hashHeaderLen:]
	return h, nil
}

// AppendHash appends the body of a hash message.
func AppendHash(dst []byte, h HashMsg) []byte {
	dst = append(dst, h.Root[:]...)
	for _, n := range []uint32{h.Base, h.Index, h.Length, h.ProofLayers} {
		dst = binary.BigEndian.AppendUint32(dst, n)
	}
	return append(dst, h.Hashes...)
}
