package pins

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"seedbed/dht"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/magnet"
)

// A list of pins is a text file in UTF-8:
//
//	seedbed-pins 1
//	magnet:?xs=urn:btpk:...
//	magnet:?xt=urn:btih:...
//
// The first line has the version of the format. Each further line is a magnet link; empty
// lines and lines that begin with # are ignored. A reader skips a line that it cannot use,
// so that a later version can add kinds of links.
const (
	listHeader = "seedbed-pins 1"

	// MaxListBytes limits the file.
	MaxListBytes = 1 << 20
	// MaxListed limits the links in a file. A file with more is not used at all.
	MaxListed = 10000
	// maxLine limits a line in bytes; a longer one is skipped.
	maxLine = 4096
	// maxHints limits the peers (x.pe) that are used of a link.
	maxHints = 8
	// maxName limits the name of a pin in bytes.
	maxName = 256
)

// errNotList is the error for a file that is no list of pins.
var errNotList = fmt.Errorf("the file is not a list of pins, which begins with the line %q", listHeader)

// idOf returns the id of the pin of a link: the target of its item in the DHT if it names a
// publication, otherwise its infohash.
func idOf(l *magnet.Link) id.ID {
	if l.HasPublicKey {
		return dht.ItemTarget(l.PublicKey, l.Salt)
	}
	return l.Hash()
}

// reduce returns the link with what is needed to keep its content alive. Web seeds, sources and
// trackers are left out: a list must not make this machine send HTTP requests. Of the hints, a
// few public addresses stay. A link to read a private publication becomes one to keep it alive.
func reduce(l *magnet.Link) *magnet.Link {
	r := &magnet.Link{InfoHash: l.InfoHash, HasInfoHash: l.HasInfoHash, V2: l.V2, HasV2: l.HasV2,
		PublicKey: l.PublicKey, HasPublicKey: l.HasPublicKey, Salt: l.Salt, Secret: l.Secret, Name: clip(l.Name)}
	for _, p := range l.Peers {
		a, err := netip.ParseAddrPort(p)
		if err == nil && a.Port() != 0 && addrs.IsPublic(a.Addr()) && len(r.Peers) < maxHints && !slices.Contains(r.Peers, p) {
			r.Peers = append(r.Peers, p)
		}
	}
	return r
}

// clip shortens a name to maxName bytes, between two characters.
func clip(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := 0
	for i := range name {
		if i > maxName {
			break
		}
		end = i
	}
	return name[:end]
}

// FormatList returns the file that lists the links. It leaves out private publications,
// because everyone can read the file. A comment has the name of the list, which makes its torrent
// different from those of other lists with the same links: a node can have a torrent only once.
func FormatList(name string, links []*magnet.Link) []byte {
	lines := make([]string, 0, len(links))
	for _, l := range links {
		if line := reduce(l).String(); !l.IsPrivate() && len(line) <= maxLine {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	b := []byte(listHeader + "\n# " + name + "\n")
	for _, line := range slices.Compact(lines) {
		b = append(append(b, line...), '\n')
	}
	return b
}

// ParseList returns the links in a file, each pin once, and the number of lines that cannot be
// used. The links have no more hints than reduce leaves.
func ParseList(b []byte) (links []*magnet.Link, skipped int, err error) {
	if len(b) > MaxListBytes {
		return nil, 0, fmt.Errorf("the list has %d bytes; at most %d are allowed", len(b), MaxListBytes)
	}
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	if string(bytes.TrimSuffix(first, []byte("\r"))) != listHeader {
		return nil, 0, errNotList
	}
	known := map[id.ID]bool{}
	lines := 0
	for line := range bytes.Lines(rest) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if lines++; lines > MaxListed {
			return nil, 0, fmt.Errorf("the list has more than %d links", MaxListed)
		}
		l, err := parseListed(line)
		if err != nil {
			skipped++
			continue
		}
		if !known[idOf(l)] {
			known[idOf(l)] = true
			links = append(links, l)
		}
	}
	return links, skipped, nil
}

// parseListed returns the link in a line of a list.
func parseListed(line []byte) (*magnet.Link, error) {
	if len(line) > maxLine {
		return nil, errors.New("the line is too long")
	}
	l, err := magnet.Parse(string(line))
	if err == nil && !l.HasPublicKey {
		err = l.Openable()
	}
	if err != nil {
		return nil, err
	}
	return reduce(l), nil
}
