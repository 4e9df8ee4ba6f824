package gateway

import (
	"encoding/base32"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"seedbed/internal/id"
	"seedbed/magnet"
)

// maxSalt is the maximum length of a salt in bytes (BEP 44).
const maxSalt = 64

// maxLabel is the maximum length of a label of a host name (RFC 1035).
const maxLabel = 63

// encoding is base32 of RFC 4648 in lower case, without padding. A host name does not distinguish
// case, so hexadecimal of 32 bytes is the only simpler form, and that is longer than a label may be.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// keyLabel is the length of a label with a public key.
var keyLabel = encoding.EncodedLen(len(id.ID32{}))

// An Address names a publication in the host of a URL. It is comparable.
type Address struct {
	Key  id.ID32 // zero if Name is set
	Salt string  // of the key; any bytes
	Name string  // a DNS name in lower case, without a dot at the end; or ""
	// Number, if not 0, names one version instead of the newest one. Name is "" then, because a name may
	// lead to another key tomorrow.
	Number int64
}

// newest returns the address of the newest version.
func (a Address) newest() Address {
	a.Number = 0
	return a
}

// versionPrefix begins the label with the number of a version. It is not base32, and so no salt.
const versionPrefix = "v-"

// AddressOf returns the address of the publication that a link names.
func AddressOf(l *magnet.Link) Address { return Address{Key: l.PublicKey, Salt: string(l.Salt)} }

// Host returns the host of the publication below domain. The result has no port.
func (a Address) Host(domain string) string {
	if a.Name != "" {
		return a.Name + "." + domain
	}
	var labels []string
	if a.Number != 0 {
		labels = append(labels, versionPrefix+strconv.FormatInt(a.Number, 10))
	}
	for salt := encoding.EncodeToString([]byte(a.Salt)); salt != ""; {
		n := min(len(salt), maxLabel)
		labels = append(labels, salt[:n])
		salt = salt[n:]
	}
	return strings.Join(append(labels, encoding.EncodeToString(a.Key[:]), domain), ".")
}

// String returns the address for messages.
func (a Address) String() string {
	if a.Name != "" {
		return a.Name
	}
	return a.Key.String()
}

var errHost = errors.New("the host is not one that this gateway serves")

// parseHost parses the Host of a request. isOwn reports that it is the domain of the gateway
// itself, or an address. Hosts that are not below the domain are names, if names is set. Every other
// host is an error, so that a page from elsewhere cannot read what the gateway serves by making its
// own name point here (DNS rebinding).
func parseHost(host, domain string, names bool) (a Address, isOwn bool, err error) {
	if h, _, e := net.SplitHostPort(host); e == nil {
		host = h
	}
	if ip, e := netip.ParseAddr(strings.Trim(host, "[]")); e == nil {
		if !names && !ip.IsLoopback() {
			return a, false, errHost
		}
		return a, true, nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	below, ok := strings.CutSuffix(host, "."+domain)
	switch {
	case host == domain:
		return a, true, nil
	case ok:
		a, err = parseLabels(below)
		return a, false, err
	case names && isName(host):
		return Address{Name: host}, false, nil
	}
	return a, false, errHost
}

// parseLabels parses the part of a host before the domain: KEY, SALT.KEY, one of these after v-NUMBER, a
// DNS name, or a DNS name in one label, in which "-" stands for a dot and "--" for a hyphen, because a
// certificate for *.DOMAIN covers one label only.
func parseLabels(s string) (Address, error) {
	labels := strings.Split(s, ".")
	last := len(labels) - 1
	if len(labels[last]) == keyLabel {
		if key, err := decode(labels[last]); err == nil {
			a := Address{Key: id.ID32(key)}
			first := 0
			if number, ok := strings.CutPrefix(labels[0], versionPrefix); ok {
				a.Number, err = strconv.ParseInt(number, 10, 64)
				if err != nil || a.Number < 1 {
					return Address{}, errHost
				}
				first = 1
			}
			salt, err := decode(strings.Join(labels[first:last], ""))
			a.Salt = string(salt)
			// One publication has one host, so that it has one origin.
			if err != nil || len(salt) > maxSalt || a.Host("") != s+"." {
				return Address{}, errHost
			}
			return a, nil
		}
	}
	if last == 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, "--", "\x00"), "-", "."), "\x00", "-")
	}
	if !isName(s) {
		return Address{}, errHost
	}
	return Address{Name: s}, nil
}

// decode decodes base32. The last character must have no unused bits set.
func decode(s string) ([]byte, error) {
	b, err := encoding.DecodeString(s)
	if err == nil && encoding.EncodeToString(b) != s {
		err = errHost
	}
	return b, err
}

// isName reports whether s is a DNS name in lower case with at least two labels, as used for hosts.
func isName(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}
