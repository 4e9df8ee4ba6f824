package wire

import (
	"errors"
	"net/netip"
	"unicode"
	"unicode/utf8"

	"seedbed/internal/addrs"
	"seedbed/internal/bencode"
)

// The ids of the extension messages that we accept. We announce them in our m dictionary,
// and peers use them in Msg.Ext. 0 is the extension handshake.
const (
	ExtHandshakeID uint8 = 0
	ExtMetadata    uint8 = 1 // BEP 9 ut_metadata
	ExtPex         uint8 = 2 // BEP 11 ut_pex
	ExtDontHave    uint8 = 3 // BEP 54 lt_donthave
	ExtUploadOnly  uint8 = 4 // BEP 21 upload_only, sent when it changes
	ExtHolepunch   uint8 = 5 // BEP 55 ut_holepunch
	ExtDialBack    uint8 = 6 // sb_dialback, see DialBackMsg
	ExtItem        uint8 = 7 // sb_item, see ItemMsg
)

// DefaultReqq is the request queue length of a peer that does not announce one (BEP 10).
const DefaultReqq = 250

// MaxReqq is the largest reqq; larger values are reduced to it.
const MaxReqq = 1 << 16

// maxExtHandshake is the maximal length of an extension handshake in bytes. Real clients send
// about 300.
const maxExtHandshake = 32 << 10

// maxVersion is the length in bytes to which a client's name is truncated.
const maxVersion = 100

// Exts is a set of extensions.
type Exts uint8

const (
	HasMetadata Exts = 1 << iota
	HasPex
	HasDontHave
	HasUploadOnly
	HasHolePunch
	HasDialBack
	HasItem
)

// ExtHandshake is the handshake of BEP 10. Every part is optional; zero means that it was
// missing or invalid.
type ExtHandshake struct {
	// The ids under which its sender accepts these extensions; 0 means not supported.
	// Named contains the extensions that the m dictionary names: an explicit 0 disables an
	// extension, unlike a missing one (see Merge).
	UtMetadata   uint8
	UtPex        uint8
	LtDontHave   uint8
	UploadOnlyID uint8
	HolePunch    uint8
	DialBack     uint8
	Item         uint8
	Named        Exts

	MetadataSize int64      // size of the info dictionary in bytes (BEP 9), positive; not checked against a maximum
	Version      string     // client name, printable
	Port         uint16     // where the sender listens for TCP
	Reqq         int        // requests that the sender queues, 1 to MaxReqq
	YourIP       netip.Addr // our address as the sender sees it
	IPv4         netip.Addr // the sender's other addresses
	IPv6         netip.Addr
	UploadOnly   bool // BEP 21: it will not download
	UploadKnown  bool // upload_only was present
}

var handshakeLimits = bencode.Limits{Depth: 8, Tokens: 2000, StringLen: maxExtHandshake}

// ParseExtHandshake parses the payload of an extension message with id 0.
//
// The only error is a payload that does not start with a bencoded dictionary. A value of
// the wrong type or out of range counts as missing: real clients send a metadata_size of
// 0 while they have no metadata, a port of 0 when they do not listen, empty address
// strings, and unsorted keys; and BEP 10 makes every item optional.
func ParseExtHandshake(payload []byte) (ExtHandshake, error) {
	if len(payload) > maxExtHandshake {
		return ExtHandshake{}, &Error{Kind: TooLong, Type: Extended, Len: int64(len(payload))}
	}
	v, _, err := parseDict(payload, handshakeLimits)
	if err != nil {
		return ExtHandshake{}, err
	}
	var h ExtHandshake
	for key, v := range v.Dict() {
		switch string(key) {
		case "m":
			h.readM(v)
		case "metadata_size":
			if n, _ := v.Int(); n > 0 {
				h.MetadataSize = n
			}
		case "v":
			b, _ := v.Bytes()
			h.Version = printable(b)
		case "p":
			if n, _ := v.Int(); 0 < n && n <= 65535 {
				h.Port = uint16(n)
			}
		case "reqq":
			if n, _ := v.Int(); n > 0 {
				h.Reqq = int(min(n, MaxReqq))
			}
		case "upload_only":
			if n, ok := v.Int(); ok {
				h.UploadOnly, h.UploadKnown = n != 0, true
			}
		case "yourip":
			h.YourIP = readAddr(v)
		case "ipv4":
			if a := readAddr(v); a.Is4() {
				h.IPv4 = a
			}
		case "ipv6":
			if a := readAddr(v); a.Is6() {
				h.IPv6 = a
			}
		}
	}
	return h, nil
}

func (h *ExtHandshake) readM(m bencode.Value) {
	for key, v := range m.Dict() {
		dst, has := h.ext(string(key))
		if dst == nil {
			continue
		}
		// BEP 10: the value is the extension message id; 0 disables it. Ids are one byte,
		// so other numbers are ignored.
		if n, ok := v.Int(); ok && 0 <= n && n <= 255 {
			*dst = uint8(n)
			h.Named |= has
		}
	}
}

func (h *ExtHandshake) ext(name string) (*uint8, Exts) {
	switch name {
	case "ut_metadata":
		return &h.UtMetadata, HasMetadata
	case "ut_pex":
		return &h.UtPex, HasPex
	case "lt_donthave":
		return &h.LtDontHave, HasDontHave
	case "upload_only":
		return &h.UploadOnlyID, HasUploadOnly
	case "ut_holepunch":
		return &h.HolePunch, HasHolePunch
	case "sb_dialback":
		return &h.DialBack, HasDialBack
	case "sb_item":
		return &h.Item, HasItem
	}
	return nil, 0
}

// Merge applies a later handshake. BEP 10: the handshake may be repeated, m is additive,
// and 0 disables an extension.
func (h *ExtHandshake) Merge(later ExtHandshake) {
	for _, name := range extNames {
		src, has := later.ext(name)
		if later.Named&has == 0 {
			continue
		}
		dst, _ := h.ext(name)
		*dst = *src
		h.Named |= has
	}
	setIf(&h.MetadataSize, later.MetadataSize)
	setIf(&h.Version, later.Version)
	setIf(&h.Port, later.Port)
	setIf(&h.Reqq, later.Reqq)
	setIf(&h.YourIP, later.YourIP)
	setIf(&h.IPv4, later.IPv4)
	setIf(&h.IPv6, later.IPv6)
	if later.UploadKnown {
		h.UploadOnly, h.UploadKnown = later.UploadOnly, true
	}
}

func setIf[T comparable](dst *T, v T) {
	if v != *new(T) {
		*dst = v
	}
}

// extNames lists the keys of m in bencode order.
var extNames = [...]string{"lt_donthave", "sb_dialback", "sb_item", "upload_only", "ut_holepunch", "ut_metadata", "ut_pex"}

// AppendExtHandshake appends the payload of an extension message with id 0.
func AppendExtHandshake(dst []byte, h ExtHandshake) []byte {
	dst = append(dst, 'd')
	dst = appendAddr(dst, "ipv4", h.IPv4)
	dst = appendAddr(dst, "ipv6", h.IPv6)
	dst = append(bencode.AppendString(dst, "m"), 'd')
	for _, name := range extNames {
		if p, has := h.ext(name); *p != 0 || h.Named&has != 0 {
			dst = appendInt(dst, name, int64(*p))
		}
	}
	dst = append(dst, 'e')
	if h.MetadataSize > 0 {
		dst = appendInt(dst, "metadata_size", h.MetadataSize)
	}
	if h.Port != 0 {
		dst = appendInt(dst, "p", int64(h.Port))
	}
	if h.Reqq > 0 {
		dst = appendInt(dst, "reqq", int64(h.Reqq))
	}
	switch {
	case h.UploadOnly:
		dst = appendInt(dst, "upload_only", 1)
	case h.UploadKnown:
		dst = appendInt(dst, "upload_only", 0)
	}
	if h.Version != "" {
		dst = bencode.AppendString(bencode.AppendString(dst, "v"), h.Version)
	}
	dst = appendAddr(dst, "yourip", h.YourIP)
	return append(dst, 'e')
}

func appendInt(dst []byte, key string, n int64) []byte {
	return bencode.AppendInt(bencode.AppendString(dst, key), n)
}

func appendAddr(dst []byte, key string, a netip.Addr) []byte {
	if !a.IsValid() {
		return dst
	}
	dst = bencode.AppendString(dst, key)
	var b [16]byte
	return bencode.AppendBytes(dst, addrs.AppendIP(b[:0], a))
}

// readAddr reads 4 or 16 bytes (BEP 10 yourip: "compact", so without a port).
func readAddr(v bencode.Value) netip.Addr {
	b, _ := v.Bytes()
	a := addrs.ParseIP(b)
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// printable returns b as text that can be shown on a terminal: without control or
// direction characters, valid UTF-8, and not too long.
func printable(b []byte) string {
	out := make([]byte, 0, min(len(b), maxVersion))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			if len(out)+n > maxVersion {
				break
			}
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return string(out)
}

var errNoDict = errors.New("not a dictionary")

// parseDict returns the dictionary at the start of b and the remaining bytes.
func parseDict(b []byte, lim bencode.Limits) (v bencode.Value, rest []byte, err error) {
	v, rest, err = bencode.Parse(b, lim)
	if err == nil && v.Kind() != bencode.Dict {
		err = errNoDict
	}
	if err != nil {
		return nil, nil, &Error{Kind: BadBencode, Type: Extended, Len: int64(len(b)), Err: err}
	}
	return v, rest, nil
}
