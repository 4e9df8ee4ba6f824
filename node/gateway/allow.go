package gateway

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// An AllowList has the publications that a gateway serves.
type AllowList map[Address]bool

// Add adds a publication: a link, a key or a DNS name, as in ParseAddress.
func (l AllowList) Add(s string) error {
	a, err := ParseAddress(s)
	if err == nil {
		l[a] = true
	}
	return err
}

// AddList adds the publications that are listed in r, one on a line. Empty lines and those that begin
// with # are ignored. name is that of the list, for errors.
func (l AllowList) AddList(r io.Reader, name string) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		s := strings.TrimSpace(lines.Text())
		if s == "" || s[0] == '#' {
			continue
		}
		if err := l.Add(s); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Allows reports whether a publication may be served.
func (l AllowList) Allows(a Address) bool { return l[a] }

// AllowKeys allows every publication that is named by its key. Anyone can make names in the DNS, and
// the key of each name is pinned in a file, so that a public gateway serves only names that are listed.
func AllowKeys(a Address) bool { return a.Name == "" }
