package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"seedbed/dht"
	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/node/delegate"
)

// Publishers whose nodes share an object store have a record of each publication in it:
//
//	.seedbed/publications/TARGET  the newest versions with their signed items
//
// TARGET is that of the item. A version is in the record before its item is put (fence.go). Everything in it is
// signed, so nobody who can write to the store can make up a version.

// publicationsPrefix begins the names of these objects.
const publicationsPrefix = objectstore.OwnFolder + "/publications/"

const (
	// maxShared is the maximum number of versions in a record of the store. The oldest are dropped.
	maxShared = 64
	// maxSharedSize limits the size of a record in bytes. A version takes less than 2,500.
	maxSharedSize = 256 << 10
	// maxSharedText limits the names of a record in bytes.
	maxSharedText = 255
	sharedFormat  = 1
)

// sharedRecord is the content of a record in the store.
type sharedRecord struct {
	Format   int             `json:"format"`
	Key      string          `json:"key"` // public, in hex; signs the items
	Salt     []byte          `json:"salt,omitempty"`
	Versions []sharedVersion `json:"versions"` // ascending, at least one
	// Ended says that a publisher has ended the publication, so that no other machine republishes its item. It is not signed:
	// those who can write it can also remove the record.
	Ended bool `json:"ended,omitempty"`
	// Statement is the newest statement by which the owner of the link lets the key publish, as the text of its file (package
	// delegate). It is "" if the key is that of the link. Readers of the link find the versions only through the item of the
	// statement, so that it has to be republished as well.
	Statement string `json:"statement,omitempty"`

	statement *delegate.Statement // what Statement says, or nil
}

// items returns the items that a reader of the link needs: the newest version, and the statement if there is one.
func (r *sharedRecord) items() []dht.Item {
	if r.statement == nil {
		return []dht.Item{r.item()}
	}
	return []dht.Item{r.item(), r.statement.Item}
}

// setStatement sets the statement if it lets the key publish, and is newer than the one in the record. It reports whether it has.
func (r *sharedRecord) setStatement(s *delegate.Statement) bool {
	if s == nil || r.statement != nil && r.statement.Item.Seq >= s.Item.Seq || r.checkStatement(s) != nil {
		return false
	}
	r.Statement, r.statement = string(s.Append(nil)), s
	return true
}

// checkStatement returns an error if a statement does not let the key publish.
func (r *sharedRecord) checkStatement(s *delegate.Statement) error {
	key, err := id.ParseHex32(r.Key)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(s.Item.Salt, r.Salt) || !slices.Contains(s.Keys, key):
		return errors.New("its delegation is for another publication")
	}
	return nil
}

// parseStatement parses the statement.
func (r *sharedRecord) parseStatement() error {
	if r.Statement == "" {
		return nil
	}
	s, err := delegate.Parse([]byte(r.Statement))
	if err != nil {
		return err
	}
	r.statement = s
	return r.checkStatement(s)
}

// item returns the newest item.
func (r *sharedRecord) item() dht.Item {
	v := &r.Versions[len(r.Versions)-1]
	key, _ := id.ParseHex32(r.Key) // parseShared has checked it
	i := dht.Item{Value: v.Value, Mutable: true, Key: key, Salt: r.Salt, Seq: v.Seq}
	copy(i.Sig[:], v.Sig)
	return i
}

// sharedVersion is a version in a record of the store.
type sharedVersion struct {
	Seq   int64     `json:"seq"`
	Value []byte    `json:"value"`
	Sig   []byte    `json:"sig"`
	Time  time.Time `json:"time"`
	By    string    `json:"by"` // the publisher; see publisherID
	// The rest is not set for a private publication.
	Name  string `json:"name,omitempty"`
	Size  int64  `json:"size,omitempty"`
	Files int    `json:"files,omitempty"`
}

// errNewerFormat reports a record that this program cannot read.
var errNewerFormat = errors.New("a newer version of seedbed has written it")

// parseShared parses the record of a target. It verifies all signatures.
func parseShared(b []byte, target id.ID) (*sharedRecord, error) {
	if len(b) > maxSharedSize {
		return nil, fmt.Errorf("it has %d bytes, and a record has at most %d", len(b), maxSharedSize)
	}
	r := new(sharedRecord)
	err := json.Unmarshal(b, r)
	if r.Format > sharedFormat { // other fields may have other types
		return nil, fmt.Errorf("%w: it has the format %d, but this program reads %d", errNewerFormat, r.Format, sharedFormat)
	}
	if err != nil {
		return nil, err
	}
	key, err := id.ParseHex32(r.Key)
	switch {
	case r.Format != sharedFormat:
		return nil, fmt.Errorf("it has the format %d, but this program reads %d", r.Format, sharedFormat)
	case err != nil:
		return nil, err
	case len(r.Salt) > krpc.MaxSalt || dht.ItemTarget(key, r.Salt) != target:
		return nil, errors.New("it belongs to another publication")
	case len(r.Versions) == 0 || len(r.Versions) > maxShared:
		return nil, fmt.Errorf("it has %d versions, and a record has 1 to %d", len(r.Versions), maxShared)
	}
	last := int64(0)
	for i := range r.Versions {
		v := &r.Versions[i]
		if v.Seq <= last {
			return nil, errors.New("its versions are not in order")
		}
		last = v.Seq
		if err := v.check(key, r.Salt); err != nil {
			return nil, fmt.Errorf("version %d: %w", v.Seq, err)
		}
	}
	if err := r.parseStatement(); err != nil {
		return nil, err
	}
	return r, nil
}

// check returns an error if a version is not signed with the key, or is not in form.
func (v *sharedVersion) check(key id.ID32, salt []byte) error {
	if len(v.By) > maxSharedText || len(v.Name) > maxSharedText || !utf8.ValidString(v.Name) || v.Size < 0 || v.Files < 0 {
		return errors.New("it is damaged")
	}
	if len(v.Value) > krpc.MaxValue {
		return fmt.Errorf("its value has %d bytes, and BEP 44 allows %d", len(v.Value), krpc.MaxValue)
	}
	if _, err := bencode.ParseStrict(v.Value, bencode.Limits{Depth: 32}); err != nil {
		return err
	}
	i := dht.Item{Value: v.Value, Mutable: true, Key: key, Salt: salt, Seq: v.Seq}
	if copy(i.Sig[:], v.Sig) != len(i.Sig) || len(v.Sig) != len(i.Sig) || !i.IsSigned() {
		return errors.New("its signature is wrong")
	}
	return nil
}

// encode returns the content of the object.
func (r *sharedRecord) encode() ([]byte, error) { return json.Marshal(r) }

// has reports whether a version is in the record.
func (r *sharedRecord) has(v *sharedVersion) bool {
	return r != nil && slices.ContainsFunc(r.Versions, func(x sharedVersion) bool { return x.Seq == v.Seq && bytes.Equal(x.Value, v.Value) })
}

// with returns the record with one more version, the newest.
func (r *sharedRecord) with(v sharedVersion) *sharedRecord {
	next := *r
	next.Ended = false
	next.Versions = append(slices.Clone(r.Versions), v)
	next.Versions = next.Versions[max(len(next.Versions)-maxShared, 0):]
	return &next
}
