package query

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node/view"
)

// ParseID parses an id of 40 hex digits or 32 base32 digits.
func ParseID(s string) (id.ID, error) {
	x, err := id.ParseHex(s)
	if err != nil && len(s) == 32 {
		x, err = id.ParseBase32(s)
	}
	if err != nil {
		return id.ID{}, exit.Misuse(fmt.Errorf("%q is not an id of 40 hex digits", s))
	}
	return x, nil
}

// Millis formats a short time.
func Millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// Summary describes a lookup in one line.
func Summary(l *view.Lookup) string {
	s := fmt.Sprintf("%s asked, %d answered", report.Plural(l.Asked, "node"), l.Answered)
	if l.Failed > 0 {
		s += fmt.Sprintf(", %d failed", l.Failed)
	}
	if l.First > 0 {
		s += ", the first after " + Millis(Span(l.First))
	}
	s += "; done after " + Millis(Span(l.Took))
	if l.Bits != nil {
		s += fmt.Sprintf("; the closest shares %s with the target", report.Plural(*l.Bits, "bit"))
	}
	return s
}

// Span returns a time that an object has in milliseconds.
func Span(millis float64) time.Duration { return time.Duration(millis * float64(time.Millisecond)) }

// Bits formats a number of bits for a column of width 8.
func Bits(n int) string {
	if n == 1 {
		return "1 bit "
	}
	return fmt.Sprintf("%d bits", n)
}

// ContactRow formats one line of a list of nodes.
func ContactRow(c *dht.Contact, target id.ID, outcome string) string {
	o := view.ContactOf(*c, &target)
	return NodeRow(&o, outcome)
}

// NodeRow formats one line of a list of nodes, which may come from a daemon.
func NodeRow(c *view.Contact, outcome string) string {
	bits := 0
	if c.Bits != nil {
		bits = *c.Bits
	}
	return strings.TrimRight(fmt.Sprintf("  %8s  %s  %-21s  %8s  %-8s  %s",
		Bits(bits), c.ID, c.Addr, Millis(Span(c.RTT)), c.Client, outcome), " ")
}

// Render formats a bencoded value as text: UTF-8 strings in quotes, other strings in
// hexadecimal.
func Render(v bencode.Value) string {
	switch v.Kind() {
	case bencode.String:
		b, _ := v.Bytes()
		if utf8.Valid(b) {
			return strconv.Quote(string(b))
		}
		return "0x" + hex.EncodeToString(b)
	case bencode.List:
		var parts []string
		for e := range v.List() {
			parts = append(parts, Render(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case bencode.Dict:
		var parts []string
		for k, e := range v.Dict() {
			parts = append(parts, Render(bencode.AppendBytes(nil, k))+": "+Render(e))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return strings.Trim(string(v), "ie")
}

// ParseInfoHash parses an infohash or a magnet link that contains one.
func ParseInfoHash(s string) (id.ID, error) {
	if argument.IsMagnet(s) || magnet.IsBare(s) {
		link, err := magnet.ParseBare(s)
		if err != nil {
			return id.ID{}, err
		}
		if !link.HasInfoHash && !link.HasV2 {
			return id.ID{}, exit.Fail(exit.Magnet, "", errors.New("the link has no infohash of either version (xt=urn:btih, xt=urn:btmh)"))
		}
		return link.Hash(), nil
	}
	return ParseID(s)
}
