package names

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
)

// Publication identifies a publication: its key and its salt (BEP 44, at most 64 bytes).
type Publication struct {
	Key  id.ID32
	Salt []byte
}

// Equal reports whether both are the same publication.
func (p Publication) Equal(q Publication) bool {
	return p.Key == q.Key && bytes.Equal(p.Salt, q.Salt)
}

// String returns the text of a TXT record for the publication. It always fits one string of
// a record, which has at most 255 bytes.
func (p Publication) String() string {
	text := keyWord + p.Key.String()
	if len(p.Salt) > 0 {
		text += " " + saltWord + hex.EncodeToString(p.Salt)
	}
	return text
}

// link returns the link of the publication under a domain.
func (p Publication) link(domain string) *magnet.Link { return mutable.Link(p.Key, p.Salt, domain) }

const (
	keyWord  = "btpk="
	saltWord = "salt="
	linkWord = "dnslink="
	// maxText limits the text of one TXT record that is read, in bytes. A record has about 200; a magnet
	// link with many hints has more.
	maxText = 4 << 10
	// maxSalt is the limit of BEP 44.
	maxSalt = 64
)

// readTexts returns the publication that the TXT records of a DNS name contain, or nil if none of
// them is meant for this. Each text is one record, whose strings are joined without a separator
// (RFC 7208, section 3.3). Several records may say the same.
func readTexts(texts []string, read func(string) (*Publication, error)) (*Publication, error) {
	var found *Publication
	for _, text := range texts {
		p, err := read(text)
		switch {
		case err != nil:
			return nil, err
		case p == nil:
		case found != nil && !found.Equal(*p):
			return nil, fmt.Errorf("two records name two publications: %s and %s", found, p)
		default:
			found = p
		}
	}
	return found, nil
}

// readKey reads a record of the form "btpk=KEY salt=SALT": words separated by spaces, of which the first is the key
// in hexadecimal. The salt, in hexadecimal too, may be left out. Other words of the form NAME=VALUE are
// ignored. It returns nil for other records, such as "v=spf1 -all" of a wildcard.
func readKey(text string) (*Publication, error) {
	words := strings.Fields(text[:min(len(text), maxText+1)])
	if len(words) == 0 || !hasPrefix(words[0], keyWord) {
		return nil, nil
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("the record is longer than %d bytes", maxText)
	}
	p := new(Publication)
	var err error
	if p.Key, err = id.ParseHex32(words[0][len(keyWord):]); err != nil {
		return nil, fmt.Errorf("%s has no key: a key has 64 hexadecimal digits", quote(words[0]))
	}
	for _, word := range words[1:] {
		switch {
		case hasPrefix(word, keyWord), hasPrefix(word, saltWord) && p.Salt != nil:
			return nil, fmt.Errorf("%s comes after another word of that name", quote(word))
		case hasPrefix(word, saltWord):
			p.Salt, err = hex.DecodeString(word[len(saltWord):])
			if err != nil || len(p.Salt) == 0 || len(p.Salt) > maxSalt {
				return nil, fmt.Errorf("%s is not a salt: it needs 2 to %d hexadecimal digits, an even number", quote(word), 2*maxSalt)
			}
		case !strings.Contains(word, "="):
			return nil, fmt.Errorf("%s is not of the form NAME=VALUE", quote(word))
		}
	}
	return p, nil
}

// bitTorrent lists the beginnings of DNSLink values for BitTorrent. DNSLink defines
// none. bittorrent://KEY and bt://KEY are the URLs of the Agregore browser, and the paths are their
// form in DNSLink, as /hyper/KEY is that of hyper://KEY.
var bitTorrent = []string{"/bt/", "/bittorrent/", "bt://", "bittorrent://"}

// readLink reads a record of the form "dnslink=VALUE" whose value is a magnet link with a
// key, or a key in hexadecimal after one of bitTorrent. It returns nil for other records: a domain may
// have DNSLink records for several networks.
func readLink(text string) (*Publication, error) {
	if !hasPrefix(text, linkWord) {
		return nil, nil
	}
	value := strings.TrimSpace(text[len(linkWord):])
	rest := ""
	for _, prefix := range bitTorrent {
		if hasPrefix(value, prefix) {
			rest = value[len(prefix):]
		}
	}
	isMagnet := hasPrefix(value, "magnet:")
	switch {
	case rest == "" && !isMagnet:
		return nil, nil
	case len(text) > maxText:
		return nil, fmt.Errorf("the record is longer than %d bytes", maxText)
	case isMagnet:
		l, err := magnet.Parse(value)
		if err != nil {
			return nil, err
		}
		if !l.HasPublicKey {
			return nil, errNoKey
		}
		return &Publication{l.PublicKey, l.Salt}, nil
	}
	key, path, _ := strings.Cut(rest, "/")
	if path != "" {
		return nil, fmt.Errorf("%s names a path in a publication; only whole publications have names", quote(value))
	}
	p := new(Publication)
	var err error
	if p.Key, err = id.ParseHex32(key); err != nil {
		return nil, errNoKey
	}
	return p, nil
}

var errNoKey = errors.New("the DNSLink record has no key of a publication (64 hexadecimal digits, or a magnet link with xs=urn:btpk:)")

func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// quote quotes a text of the DNS for a message, and shortens it.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
