package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Members send each other three kinds of messages:
//   - a meta, which is part of the membership and must fit into 512 bytes,
//   - a report of their numbers every few seconds,
//   - questions and answers (question.go).
//
// All are in JSON. A member ignores the fields that it does not know, so that versions can differ.

const (
	maxMeta   = 512  // memberlist.MetaMaxSize
	maxReport = 1024 // fits a packet with everything around it
	maxAddrs  = 6
	maxName   = 64
	maxText   = 64
	// maxNumber is the largest number in a message. Sums and percentages of those of maxMembers members do not overflow, and
	// JavaScript can represent it.
	maxNumber = 1 << 53
)

// areCounts reports whether all numbers of a message are possible.
func areCounts(numbers ...int64) bool {
	return !slices.ContainsFunc(numbers, func(n int64) bool { return n < 0 || n > maxNumber })
}

// meta is what a member says of itself.
type meta struct {
	Store string           `json:"s"` // hashOf the location of its store
	Addrs []netip.AddrPort `json:"a"` // where peers find it, the best one first
	// Announces says that it can announce all torrents of the catalogue in the DHT.
	Announces bool `json:"d"`
}

// hashOf returns a short hash of a location.
func hashOf(location string) string {
	h := sha256.Sum256([]byte(location))
	return hex.EncodeToString(h[:8])
}

// best returns the best address of each family.
func (m *meta) best() (list []netip.AddrPort) {
	for _, is4 := range []bool{true, false} {
		if i := slices.IndexFunc(m.Addrs, func(a netip.AddrPort) bool { return a.Addr().Is4() == is4 }); i >= 0 {
			list = append(list, m.Addrs[i])
		}
	}
	return list
}

var errMessage = errors.New("it cannot be parsed")

// encode returns the meta in at most maxMeta bytes. It leaves out addresses that parseMeta refuses, because a node whose meta is
// refused is no member.
func (m *meta) encode() []byte {
	m.Addrs = slices.DeleteFunc(slices.Clone(m.Addrs), func(a netip.AddrPort) bool { return !isPeerAddr(a) })
	m.Addrs = m.Addrs[:min(len(m.Addrs), maxAddrs)]
	for {
		b, err := json.Marshal(m)
		if err != nil {
			panic(err) // every field has a text form
		}
		if len(b) <= maxMeta {
			return b
		}
		m.Addrs = m.Addrs[:len(m.Addrs)-1]
	}
}

// parseMeta parses the meta of a member.
func parseMeta(b []byte) (m meta, err error) {
	if len(b) > maxMeta {
		return meta{}, errMessage
	}
	if err := json.Unmarshal(b, &m); err != nil || len(m.Store) > maxText || len(m.Addrs) > maxAddrs {
		return meta{}, errMessage
	}
	for i, a := range m.Addrs {
		if m.Addrs[i] = netip.AddrPortFrom(a.Addr().Unmap(), a.Port()); !isPeerAddr(m.Addrs[i]) {
			return meta{}, errMessage
		}
	}
	return m, nil
}

// isPeerAddr reports whether a meta can have an address. One with a zone means nothing on another machine.
func isPeerAddr(a netip.AddrPort) bool {
	ip := a.Addr()
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && ip.Zone() == "" && a.Port() != 0
}

// report has the numbers of a member.
type report struct {
	Name  string `json:"n"`
	Start int64  `json:"t"` // when the member started, in Unix milliseconds: later reports of one name have a higher (Start, Seq)
	Seq   int64  `json:"q"`
	Numbers
}

// Numbers are what a member says about its work. Counts begin at its start.
type Numbers struct {
	Version   string `json:"v"`
	Torrents  int64  `json:"nt"` // infohashes of the catalogue, now
	Owned     int64  `json:"no"` // of these, announced by the member
	Announced int64  `json:"na"` // all infohashes that it announces, now
	Connected int64  `json:"np"` // peers, now

	Uploaded int64 `json:"u"`  // bytes sent to peers
	UpRate   int64 `json:"ur"` // bytes a second, now

	Hits     int64 `json:"h"`  // reads that the cache answered
	Misses   int64 `json:"m"`  // reads that waited for the store
	Requests int64 `json:"sr"` // sent to the store
	Fetched  int64 `json:"sb"` // bytes read from the store
	Cached   int64 `json:"cb"` // bytes in the cache, now
}

func (r *report) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // every field has a text form
	}
	return b
}

// parseReport parses the report of a member.
func parseReport(b []byte) (r report, err error) {
	if len(b) > maxReport {
		return report{}, errMessage
	}
	if err := json.Unmarshal(b, &r); err != nil || CheckName(r.Name) != nil || !isText(r.Version) || len(r.Version) > maxText {
		return report{}, errMessage
	}
	if !areCounts(r.Start, r.Seq, r.Torrents, r.Owned, r.Announced, r.Connected, r.Uploaded, r.UpRate, r.Hits, r.Misses, r.Requests, r.Fetched, r.Cached) {
		return report{}, errMessage
	}
	return r, nil
}

// isNewer reports whether r was sent after s, by the same member.
func (r *report) isNewer(s *report) bool {
	return r.Start > s.Start || r.Start == s.Start && r.Seq > s.Seq
}

// CheckName returns an error if name cannot be the name of a member.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
	}) >= 0 {
		return fmt.Errorf("%.80q cannot be the name of a node of a fleet: it has 1 to %d letters, digits, dots, hyphens and underscores", name, maxName)
	}
	return nil
}

// isText reports whether s is printable ASCII.
func isText(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}
