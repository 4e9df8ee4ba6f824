// Package delegation decides which of the items of a publication is its newest version, if the
// owner of the publication has delegated it to other keys.
//
// The items under the key in the link, the master key, say which other keys publish:
// mutable.Delegation is that statement. docs/delegation.md has the rules. In short:
//
//   - The master's item with the highest number is the statement. A lower one never counts
//     again, so that nobody can bring back what the owner has revoked.
//   - The versions are the one that the statement names and the newest item of each key that
//     it names. The highest number is the newest version.
//   - A key that the statement does not name has no say, however high its numbers are. If the
//     newest version becomes void in this way, the best of the others takes its place, even if its
//     number is lower.
//   - When the statement has expired, new items of its keys do not count. Those that counted
//     before do.
//
// A Judge is given items whose signatures the caller has verified, and the time. It keeps one
// item of the master and of each named key.
package delegation

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
)

// Tolerance is how long after its expiry a statement still counts, because clocks are wrong.
const Tolerance = 24 * time.Hour

// Item is an item of the DHT (BEP 44). Its signature is valid, and it has the salt of the link.
type Item struct {
	Key   id.ID32 // that has signed it
	Seq   int64
	Value bencode.Value
	Sig   [ed25519.SignatureSize]byte
}

// Version is a version of a publication.
type Version struct {
	mutable.Version
	Number int64 // versions are ordered by it
	Item   Item  // that names it
}

// Errors of Offer. An item whose value names no torrent has the error mutable.ErrNoTorrent, and
// one that comes too late an *ExpiredError.
var (
	ErrKnown   = errors.New("the item is known")
	ErrOlder   = errors.New("the item is older than one that is known")
	ErrForked  = errors.New("another value is known with this number: the key is used in two places")
	ErrForeign = errors.New("the item is signed with a key that does not publish this")
)

// ExpiredError reports that an item does not count because the statement has expired.
type ExpiredError struct {
	Key    id.ID32
	Expiry time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("the key %s was allowed to publish until %s", e.Key.Short(), e.Expiry.UTC().Format("2006-01-02 15:04 MST"))
}

// Judge has the items of one publication that count. It is not safe for concurrent use.
type Judge struct {
	link   *magnet.Link
	master voice
	others []voice // the keys that the statement names, in its order
}

// voice is what is known of a key that publishes.
type voice struct {
	key     id.ID32
	refused int64 // the highest number of its items that name no torrent
	item    Item  // the newest one that counts; Seq is 0 if there is none
	version mutable.Version
}

// New returns a judge for the publication of a link with a public key. It knows no item.
func New(l *magnet.Link) *Judge {
	return &Judge{link: l, master: voice{key: l.PublicKey}}
}

// Offer lets an item count from now on, or returns why it does not count. With the zero Time as
// now, the statement has not expired; items that counted in an earlier run are offered in
// this way, the statement first.
func (j *Judge) Offer(i Item, now time.Time) error {
	x := j.voice(i.Key)
	if x == nil {
		return ErrForeign
	}
	switch {
	case i.Seq == x.item.Seq && i.Seq > 0:
		if bytes.Equal(i.Value, x.item.Value) {
			return ErrKnown
		}
		return ErrForked
	case i.Seq <= x.after():
		return ErrOlder
	}
	if x != &j.master && j.Expired(now) {
		return &ExpiredError{i.Key, j.master.version.Delegation.Expiry}
	}
	v, err := mutable.Read(j.link, i.Value)
	if err != nil && (x != &j.master || v.Delegation == nil) {
		x.refused = i.Seq
		return err
	}
	x.item, x.version = i, v
	if x == &j.master {
		j.renew(v.Delegation)
	}
	return nil
}

// renew changes the keys that publish to those of a new statement.
func (j *Judge) renew(d *mutable.Delegation) {
	was := j.others
	j.others = nil
	if d == nil {
		return
	}
	for _, key := range d.Keys {
		x := voice{key: key}
		if i := slices.IndexFunc(was, func(x voice) bool { return x.key == key }); i >= 0 {
			x = was[i]
		}
		j.others = append(j.others, x)
	}
}

func (j *Judge) voice(key id.ID32) *voice {
	if key == j.master.key {
		return &j.master
	}
	for k := range j.others {
		if j.others[k].key == key {
			return &j.others[k]
		}
	}
	return nil
}

// after returns the number that the next item of the key must exceed.
func (x *voice) after() int64 { return max(x.item.Seq, x.refused) }

// Keys returns the keys whose items count, the master first. There are at most
// 1+mutable.MaxDelegates.
func (j *Judge) Keys() []id.ID32 {
	keys := []id.ID32{j.master.key}
	for _, x := range j.others {
		keys = append(keys, x.key)
	}
	return keys
}

// After returns the number that the next item of a key must exceed to count, or 0.
func (j *Judge) After(key id.ID32) int64 {
	if x := j.voice(key); x != nil {
		return x.after()
	}
	return 0
}

// Item returns the newest item of a key that counts.
func (j *Judge) Item(key id.ID32) (Item, bool) {
	if x := j.voice(key); x != nil && x.item.Seq > 0 {
		return x.item, true
	}
	return Item{}, false
}

// Statement returns the statement that counts, or nil.
func (j *Judge) Statement() *mutable.Delegation { return j.master.version.Delegation }

// Expired reports whether there is a statement that no longer lets new items count.
func (j *Judge) Expired(now time.Time) bool {
	d := j.Statement()
	return d != nil && now.After(d.Expiry.Add(Tolerance))
}

// Newest returns the newest version. Of several with the same number, the one that the
// statement names comes first, then those of its keys in its order, so that all who have the same
// items choose the same version.
func (j *Judge) Newest() (newest Version, ok bool) {
	consider := func(x *voice, number int64) {
		if x.item.Seq > 0 && !x.version.InfoHash.IsZero() && number > newest.Number {
			newest, ok = Version{x.version, number, x.item}, true
		}
	}
	number := j.master.item.Seq
	if d := j.Statement(); d != nil && d.Number > 0 {
		number = d.Number
	}
	consider(&j.master, number)
	for k := range j.others {
		consider(&j.others[k], j.others[k].item.Seq)
	}
	return newest, ok
}
