package lsd

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"seedbed/internal/id"
)

// The groups to which announces are sent (BEP 14).
var (
	Group4 = netip.MustParseAddrPort("239.192.152.143:6771")
	Group6 = netip.MustParseAddrPort("[ff15::efc0:988f]:6771")
)

// Limits of a message.
const (
	// maxSent is the length in bytes that a sent message does not exceed (BEP 14: "the packet
	// length should not exceed 1400 bytes").
	maxSent = 1400
	// MaxReceived is the length in bytes of the longest message that Parse accepts.
	MaxReceived = 2048
	// MaxHashes is the maximum number of infohashes of a sent message. It stays within maxSent.
	MaxHashes = 24
	// maxParsed is how many infohashes of a received message are used: as many as fit.
	maxParsed = MaxReceived / (len("Infohash:\n") + 2*len(id.ID{}))
	// maxCookie is the length in bytes of the longest cookie that is kept.
	maxCookie = 64
)

// Message is an announce: a peer takes part in the swarms of these torrents.
type Message struct {
	Port   uint16 // on which the peer accepts connections
	Hashes []id.ID
	Cookie string // recognizes messages of our own; "": none
}

// Error says why a message cannot be used.
type Error struct {
	Kind Kind
	Len  int // of the message in bytes
}

// Kind is the kind of an Error.
type Kind uint8

const (
	TooLong    Kind = iota + 1 // a message of more than MaxReceived bytes
	NoAnnounce                 // the first line is not that of an announce
	BadPort                    // no header has a port from 1 to 65535
	NoHash                     // no header has an infohash
)

func (e *Error) Error() string {
	switch e.Kind {
	case TooLong:
		return fmt.Sprintf("local announce of %d bytes is too long", e.Len)
	case NoAnnounce:
		return "not a local announce"
	case BadPort:
		return "local announce without a valid port"
	}
	return "local announce without a valid infohash"
}

// method is the first word of the first line.
const method = "BT-SEARCH"

// Append appends m as it is sent to a group. m has up to MaxHashes infohashes.
func Append(dst []byte, group netip.AddrPort, m Message) []byte {
	dst = fmt.Appendf(dst, "%s * HTTP/1.1\r\nHost: %s\r\nPort: %d\r\n", method, group, m.Port)
	for _, h := range m.Hashes {
		dst = fmt.Appendf(dst, "Infohash: %s\r\n", h)
	}
	if m.Cookie != "" {
		dst = fmt.Appendf(dst, "cookie: %s\r\n", m.Cookie)
	}
	return append(dst, "\r\n\r\n"...)
}

// Parse parses a message. Like other clients it is lenient: lines may end without a carriage
// return, names of headers may have any case, and unknown headers and infohashes that are invalid or
// repeated are ignored. An error is an *Error.
func Parse(b []byte) (m Message, err error) {
	if len(b) > MaxReceived {
		return m, &Error{Kind: TooLong, Len: len(b)}
	}
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	if words := bytes.Fields(first); len(words) != 3 || string(words[0]) != method || !bytes.HasPrefix(words[2], []byte("HTTP/")) {
		return m, &Error{Kind: NoAnnounce, Len: len(b)}
	}
	for line := range bytes.Lines(rest) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(bytes.ToLower(name)) {
		case "port":
			if n, err := strconv.ParseUint(string(value), 10, 16); err == nil {
				m.Port = uint16(n)
			}
		case "infohash":
			var h id.ID
			if len(value) != hex.EncodedLen(len(h)) || len(m.Hashes) == maxParsed {
				continue
			}
			if _, err := hex.Decode(h[:], value); err == nil && !h.IsZero() && !slices.Contains(m.Hashes, h) {
				m.Hashes = append(m.Hashes, h)
			}
		case "cookie":
			if len(value) <= maxCookie {
				m.Cookie = string(value)
			}
		}
	}
	switch {
	case m.Port == 0:
		return Message{}, &Error{Kind: BadPort, Len: len(b)}
	case len(m.Hashes) == 0:
		return Message{}, &Error{Kind: NoHash, Len: len(b)}
	}
	return m, nil
}
