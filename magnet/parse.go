package magnet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"seedbed/internal/id"
	"seedbed/internal/sealed"
)

const (
	// MaxLen bounds the length of a link: the longest ones in practice, with hundreds of
	// trackers, have about 20 KB.
	MaxLen = 256 << 10

	// maxDecoded bounds the decoded parameters. Since a byte takes at most three when
	// encoded, a parsed link can be formatted and parsed again.
	maxDecoded = MaxLen / 4

	maxParams = 4096

	// maxWarnings bounds the number of warnings.
	maxWarnings = 16

	// maxSalt is BEP 44's limit: "salt [...] may not be longer than 64 bytes".
	maxSalt = 64
)

// Parse parses a magnet link. The error is an *Error.
func Parse(s string) (*Link, error) {
	s = strings.TrimSpace(s)
	if len(s) > MaxLen {
		return nil, &Error{Part: s[:32] + "…", Reason: fmt.Sprintf("has %d bytes; at most %d are allowed", len(s), MaxLen)}
	}
	const scheme = "magnet:?"
	// RFC 3986: schemes are case-insensitive.
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		if l, err := bareHash(s); err == nil {
			return nil, &Error{Part: s, Reason: "is a bare infohash; as a link it is " + l.String()}
		}
		if s == "" {
			return nil, &Error{Reason: "it is empty; a link begins with " + scheme}
		}
		if IsMistyped(s) {
			return nil, &Error{Part: s, Reason: fmt.Sprintf("has %d hexadecimal digits; an infohash has 40, or 64 in version 2", len(s))}
		}
		return nil, &Error{Part: s, Reason: "does not begin with " + scheme}
	}
	p := parser{l: &Link{}}
	for part := range strings.SplitSeq(s[len(scheme):], "&") {
		if err := p.param(part); err != nil {
			return nil, err
		}
	}
	return p.finish()
}

// parser builds a Link.
type parser struct {
	l       *Link
	salts   []string
	params  int
	decoded int
}

// param parses one parameter.
func (p *parser) param(part string) error {
	key, raw, _ := strings.Cut(part, "=")
	key = unescape(key)
	value := unescape(raw)
	if value == "" && key == "" {
		return nil
	}
	p.params++
	p.decoded += len(key) + len(value) + len("&=")
	switch {
	case p.params > maxParams:
		return &Error{Part: part, Reason: fmt.Sprintf("is one parameter too many; at most %d are allowed", maxParams)}
	case p.decoded > maxDecoded:
		return &Error{Part: part, Reason: fmt.Sprintf("is too long; all parameters together may have %d bytes", maxDecoded)}
	}
	l := p.l
	name, known := canonical(key)
	if known && value == "" {
		return nil // as if it were absent
	}
	var err error
	switch name {
	case "xt":
		err = p.topic(value)
	case "xs":
		err = p.source(value)
	case "s":
		p.salts = append(p.salts, value)
	case readParam:
		err = p.secret(sealed.Read, value)
	case keepParam:
		err = p.secret(sealed.KeepAlive, value)
	case "dn":
		if l.Name != "" {
			p.other("dn", value)
			break
		}
		// Web forms encode spaces as plus signs, and so do most clients here.
		l.Name = unescape(strings.ReplaceAll(raw, "+", " "))
	case "xl":
		p.length(value)
	case "tr":
		l.Trackers = append(l.Trackers, value)
	case "ws":
		l.WebSeeds = append(l.WebSeeds, value)
	case "as":
		l.Sources = append(l.Sources, value)
	case "kt":
		for word := range strings.SplitSeq(raw, "+") {
			if word != "" {
				l.Keywords = append(l.Keywords, unescape(word))
			}
		}
	case "x.pe":
		if peer, bad := endpoint(value); bad != nil {
			p.warn(bad)
		} else {
			l.Peers = append(l.Peers, peer)
		}
	case "so":
		p.ranges(value)
	default:
		p.other(key, value)
	}
	return err
}

// warn records an ignored hint.
func (p *parser) warn(e *Error) {
	if len(p.l.Warnings) < maxWarnings {
		e.Reason += "; ignored"
		p.l.Warnings = append(p.l.Warnings, e)
	}
}

func (p *parser) other(key, value string) {
	p.l.Other = append(p.l.Other, Param{key, value})
}

// canonical returns the name of a known parameter in lower case, without the number of
// repeated ones ("tr.1").
func canonical(key string) (name string, known bool) {
	if dot := strings.LastIndexByte(key, '.'); dot >= 0 && digits(key[dot+1:]) {
		key = key[:dot]
	}
	name = strings.ToLower(key)
	switch name {
	case "xt", "xs", "s", "dn", "xl", "tr", "ws", "as", "kt", "x.pe", "so", readParam, keepParam:
		return name, true
	}
	return "", false
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// topic parses the value of xt.
func (p *parser) topic(value string) error {
	l := p.l
	part := "xt=" + value
	switch {
	case hasPrefix(value, v1Prefix):
		h, err := infoHash(value[len(v1Prefix):])
		if err != nil {
			return &Error{Part: part, Reason: err.Error() + " after " + v1Prefix}
		}
		if l.HasInfoHash && h != l.InfoHash {
			return &Error{Part: part, Reason: "names a second torrent after " + l.InfoHash.String() + "; a link can name only one"}
		}
		l.InfoHash, l.HasInfoHash = h, true
	case hasPrefix(value, "urn:btmh:"):
		if !hasPrefix(value, v2Prefix) {
			return &Error{Part: part, Reason: "is not a SHA-256 multihash: urn:btmh: must be followed by 1220 and 64 hexadecimal digits"}
		}
		h, err := hash32(value[len(v2Prefix):])
		if err != nil {
			return &Error{Part: part, Reason: err.Error() + " after " + v2Prefix}
		}
		if l.HasV2 && h != l.V2 {
			return &Error{Part: part, Reason: "names a second v2 torrent after " + l.V2.String() + "; a link can name only one"}
		}
		l.V2, l.HasV2 = h, true
	default:
		// Identities of other networks may be present too.
		p.other("xt", value)
	}
	return nil
}

// infoHash parses an infohash. BEP 9: hexadecimal "for a total of 40 characters";
// "clients should also support the 32 character base32".
func infoHash(s string) (id.ID, error) {
	switch len(s) {
	case 40:
		if err := onlyDigits(s, hexDigits); err != nil {
			return id.ID{}, err
		}
		return id.ParseHex(s)
	case 32:
		if err := onlyDigits(s, base32Digits); err != nil {
			return id.ID{}, err
		}
		return id.ParseBase32(s)
	}
	return id.ID{}, fmt.Errorf("has %d characters instead of 40 hexadecimal or 32 base32 digits", len(s))
}

// hash32 parses a v2 infohash or a public key.
func hash32(s string) (id.ID32, error) {
	if len(s) != 64 {
		return id.ID32{}, fmt.Errorf("has %d characters instead of 64 hexadecimal digits", len(s))
	}
	if err := onlyDigits(s, hexDigits); err != nil {
		return id.ID32{}, err
	}
	return id.ParseHex32(s)
}

const (
	hexDigits    = "0123456789abcdefABCDEF"
	base32Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567"
)

func onlyDigits(s, alphabet string) error {
	rest := strings.TrimLeft(s, alphabet)
	if rest == "" {
		return nil
	}
	kind := "hexadecimal"
	if alphabet == base32Digits {
		kind = "base32"
	}
	c, _ := utf8.DecodeRuneInString(rest)
	return fmt.Errorf("has %q instead of a %s digit", c, kind)
}

// source parses the value of xs.
func (p *parser) source(value string) error {
	l := p.l
	if !hasPrefix(value, keyPrefix) {
		l.ExactSources = append(l.ExactSources, value)
		return nil
	}
	part := "xs=" + value
	k, err := hash32(value[len(keyPrefix):])
	if err != nil {
		return &Error{Part: part, Reason: err.Error() + " after " + keyPrefix}
	}
	if l.HasPublicKey && k != l.PublicKey {
		return &Error{Part: part, Reason: "names a second public key after " + l.PublicKey.String() + "; a link can name only one"}
	}
	l.PublicKey, l.HasPublicKey = k, true
	return nil
}

func (p *parser) length(value string) {
	n, err := strconv.ParseUint(value, 10, 63)
	switch {
	case err != nil:
		p.warn(&Error{Part: "xl=" + value, Reason: "is not a length in bytes"})
	case p.l.Length != 0:
		p.other("xl", value)
	default:
		p.l.Length = int64(n)
	}
}

// bareHash parses an infohash without a link: in hexadecimal or base32, or a v2 infohash
// of 64 digits or its multihash, which starts with 1220. A URN prefix may precede it.
func bareHash(s string) (*Link, error) {
	for _, prefix := range []string{v1Prefix, "urn:btmh:"} {
		if hasPrefix(s, prefix) {
			s = s[len(prefix):]
			break
		}
	}
	switch len(s) {
	case 32, 40:
		h, err := infoHash(s)
		return &Link{InfoHash: h, HasInfoHash: true}, err
	case 68:
		if !strings.HasPrefix(s, multihash) {
			break
		}
		s = s[len(multihash):]
		fallthrough
	case 64:
		h, err := hash32(s)
		return &Link{V2: h, HasV2: true}, err
	}
	return nil, errNoHash
}

var errNoHash = errors.New("is not an infohash")

// ParseBare parses a link or a bare infohash: 40 hexadecimal or 32 base32 digits, or the
// 64 hexadecimal digits of a v2 infohash, with or without the 1220 of its multihash. The
// error is an *Error.
func ParseBare(s string) (*Link, error) {
	if l, err := bareHash(strings.TrimSpace(s)); err == nil {
		return l, nil
	}
	return Parse(s)
}

// IsBare reports whether s is a bare infohash in a form that ParseBare accepts.
func IsBare(s string) bool {
	_, err := bareHash(strings.TrimSpace(s))
	return err == nil
}

// IsMistyped reports whether s was probably meant as a bare infohash but has too few or too
// many hexadecimal digits.
func IsMistyped(s string) bool {
	const few = 24
	return len(s) >= few && strings.Trim(s, "0123456789abcdefABCDEF") == "" && !IsBare(s)
}

// finish parses parameters that depend on others, and checks the whole link.
func (p *parser) finish() (*Link, error) {
	l := p.l
	if !l.Secret.IsZero() {
		if err := p.private(); err != nil {
			return nil, err
		}
	}
	for _, value := range p.salts {
		if !l.HasPublicKey || l.Salt != nil {
			p.other("s", value)
			continue
		}
		salt, err := hex.DecodeString(value)
		if err != nil {
			return nil, &Error{Part: "s=" + value, Reason: "is not a salt: it needs an even number of hexadecimal digits"}
		}
		if len(salt) > maxSalt {
			return nil, &Error{Part: "s=" + value, Reason: fmt.Sprintf("is a salt of %d bytes; at most %d are allowed", len(salt), maxSalt)}
		}
		l.Salt = bytes.Clone(salt)
	}
	l.Select = merge(l.Select)
	if l.HasInfoHash || l.HasV2 || l.HasPublicKey {
		return l, nil
	}
	for _, o := range l.Other {
		if o.Key == "xt" {
			return nil, &Error{Part: "xt=" + o.Value, Reason: "is not a BitTorrent identifier: " + wantTopic}
		}
	}
	return nil, l.Openable()
}

// hasPrefix ignores case, because URN namespaces are case-insensitive.
func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
