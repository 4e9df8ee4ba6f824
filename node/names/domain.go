package names

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"seedbed/node"
)

const (
	keyLabel  = "_btpk."
	linkLabel = "_dnslink."
	// maxDomain is the limit of the DNS (RFC 1035: 255 bytes on the wire, 253 as text), without the
	// longest label that is put before a domain.
	maxDomain = 253 - len(linkLabel)
)

var errNotADomain = errors.New("is not a domain name")

// Parse returns a domain name in the form that the DNS has: lower case, without a dot at the end, and with
// international labels in ASCII (IDNA2008). The error is a fault of kind node.FaultUsage.
//
// A domain has two labels or more, and the last one is not a number. Names under localhost and
// onion are refused, because they must not be looked up in the DNS (RFC 6761, RFC 7686).
func Parse(s string) (string, error) {
	ascii, err := parse(s)
	if err != nil {
		return "", node.NewFault(node.FaultUsage, fmt.Errorf("%q %w", s, err), "give a name such as example.org")
	}
	return ascii, nil
}

func parse(s string) (string, error) {
	if len(s) > 4*maxDomain { // before it is converted
		return "", errNotADomain
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	if err != nil || len(ascii) > maxDomain {
		return "", errNotADomain
	}
	dot := strings.LastIndexByte(ascii, '.')
	last := ascii[dot+1:]
	if dot <= 0 || strings.Trim(last, "0123456789") == "" {
		return "", errNotADomain
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return "", errNotADomain
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", errNotADomain
		}
	}
	if last == "localhost" || last == "onion" {
		return "", fmt.Errorf("cannot be looked up: the DNS has no names under %s", last)
	}
	return ascii, nil
}

// RecordName returns the name of the TXT record for a domain that Parse has returned.
func RecordName(domain string) string { return keyLabel + domain }

// IsName reports whether a word that a user gives can be a domain name. A word that ends in .torrent
// is meant as a file.
func IsName(word string) bool {
	if strings.HasSuffix(strings.ToLower(word), ".torrent") {
		return false
	}
	_, err := parse(word)
	return err == nil
}
