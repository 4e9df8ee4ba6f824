package catalogue

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
)

// entry is what is known of one object. There are many, so it is small.
type entry struct {
	infohash id.ID  // zero for one that is refused
	version  uint64 // of the content; see versionOf
	round    uint32 // the last complete or running listing that has it
	absent   uint32 // since when complete listings lack it, as Catalogue.now; 0: the last one has it
	kind     kind
}

// kind says what an object led to.
type kind uint8

const (
	ours    kind = iota + 1 // the catalogue has added the torrent
	others                  // the user had added it before
	refused                 // it is no torrent that can be shared
)

var kindNames = [...]string{ours: "ours", others: "others", refused: "refused"}

// keyOf returns the key of an object in memory and in the journal.
func keyOf(name string) id.ID { return sha1.Sum([]byte(name)) }

// versionOf returns a number that changes with the content of an object.
func versionOf(o *objectstore.Object) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", o.Size, o.ETag) // it never fails
	if o.ETag == "" {
		_, _ = fmt.Fprintf(h, " %d", o.Modified.UnixNano())
	}
	return h.Sum64()
}

// encode returns the value of an entry in the journal: KIND INFOHASH VERSION. The name of the object is only in its key, because
// others choose it: it may have line breaks.
func (e *entry) encode() []byte {
	return fmt.Appendf(nil, "%s %s %016x", kindNames[e.kind], e.infohash, e.version)
}

// parseEntry parses the value of an entry in the journal.
func parseEntry(b []byte) (e entry, err error) {
	word, rest, _ := strings.Cut(string(b), " ")
	infohash, version, _ := strings.Cut(rest, " ")
	for k, text := range kindNames {
		if text == word && text != "" {
			e.kind = kind(k)
		}
	}
	if e.infohash, err = id.ParseHex(infohash); err != nil {
		return e, err
	}
	if _, err := fmt.Sscanf(version, "%016x", &e.version); err != nil || e.kind == 0 {
		return e, errors.New("the entry is damaged")
	}
	return e, nil
}
