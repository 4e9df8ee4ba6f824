package wire

import (
	"encoding/binary"
	"math"

	"seedbed/internal/bencode"
)

// The types of ut_metadata messages (BEP 9). Other types must be ignored.
const (
	MetadataRequest = 0
	MetadataData    = 1
	MetadataReject  = 2
)

// MetadataBlock is the size of a metadata block, except the last (BEP 9).
const MetadataBlock = 16 << 10

// MetadataMsg is a ut_metadata message.
type MetadataMsg struct {
	Type      int    // MetadataRequest, MetadataData, MetadataReject, or one to ignore
	Piece     int    // index of the block
	TotalSize int64  // of the metadata, in a data message; 0 if missing
	Data      []byte // of a data message; part of the payload
}

var metadataLimits = bencode.Limits{Depth: 4, Tokens: 64, StringLen: 1 << 10}

// maxMetadataHeader is the maximal length of the dictionary before the data, in bytes. Clients
// send about 50.
const maxMetadataHeader = 1 << 10

// ParseMetadata parses a ut_metadata message. It does not allocate.
func ParseMetadata(payload []byte) (MetadataMsg, error) {
	if len(payload) > MetadataBlock+maxMetadataHeader {
		return MetadataMsg{}, &Error{Kind: TooLong, Type: Extended, Len: int64(len(payload))}
	}
	v, rest, err := parseDict(payload, metadataLimits)
	if err != nil {
		return MetadataMsg{}, err
	}
	kind, ok := v.Get("msg_type").Int()
	if !ok || kind < 0 || kind > math.MaxInt32 {
		return MetadataMsg{}, badField(payload, "msg_type")
	}
	m := MetadataMsg{Type: int(kind)}
	if m.Type > MetadataReject {
		// BEP 9: an unrecognised message must be ignored, so it is not checked.
		return m, nil
	}
	piece, ok := v.Get("piece").Int()
	if !ok || piece < 0 || piece > math.MaxInt32 {
		return MetadataMsg{}, badField(payload, "piece")
	}
	m.Piece = int(piece)
	if m.Type == MetadataData {
		// BEP 9: the data follows the dictionary and is not part of it.
		if len(rest) == 0 || len(rest) > MetadataBlock {
			return MetadataMsg{}, badLength(payload)
		}
		if m.TotalSize, _ = v.Get("total_size").Int(); m.TotalSize < 0 {
			return MetadataMsg{}, badField(payload, "total_size")
		}
		m.Data = rest
	}
	return m, nil
}

// AppendMetadata appends the payload of a ut_metadata message.
func AppendMetadata(dst []byte, m MetadataMsg) []byte {
	dst = appendInt(append(dst, 'd'), "msg_type", int64(m.Type))
	dst = appendInt(dst, "piece", int64(m.Piece))
	if m.Type != MetadataData {
		return append(dst, 'e')
	}
	dst = append(appendInt(dst, "total_size", m.TotalSize), 'e')
	return append(dst, m.Data...)
}

// ParseDontHave parses the payload of lt_donthave: the piece that its sender no longer
// has (BEP 54).
func ParseDontHave(payload []byte) (piece uint32, err error) {
	if len(payload) != 4 {
		return 0, badLength(payload)
	}
	return binary.BigEndian.Uint32(payload), nil
}

// AppendDontHave appends the payload of lt_donthave.
func AppendDontHave(dst []byte, piece uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, piece)
}

// ParseUploadOnly parses the payload of an upload_only message: one byte, nonzero if its
// sender will not download (BEP 21, as libtorrent sends it).
func ParseUploadOnly(payload []byte) (bool, error) {
	if len(payload) != 1 {
		return false, badLength(payload)
	}
	return payload[0] != 0, nil
}

// AppendUploadOnly appends the payload of an upload_only message.
func AppendUploadOnly(dst []byte, on bool) []byte {
	if on {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func badLength(payload []byte) error {
	return &Error{Kind: BadLength, Type: Extended, Len: int64(len(payload))}
}

func badField(payload []byte, field string) error {
	return &Error{Kind: BadField, Type: Extended, Len: int64(len(payload)), Field: field}
}
