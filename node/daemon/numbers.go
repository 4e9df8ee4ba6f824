package daemon

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"seedbed/internal/id"
	"seedbed/node"
)

// numbers assigns a small number to every torrent, in the order in which they are added. A number is
// never assigned to another torrent in the same run. It is remembered while the torrent is in the
// node, and for some time afterwards, because interfaces report removed torrents by their numbers.
type numbers struct {
	node     *node.Node
	remember int // removed torrents that keep their numbers

	mu      sync.Mutex
	last    int64
	byID    map[id.ID]int64
	ids     map[int64]id.ID // of torrents in the node
	removed []id.ID         // the last removals, oldest first
}

// rememberRemoved is the default of numbers.remember: as many removals as the node's change log
// remembers at most.
const rememberRemoved = 8192

func newNumbers(n *node.Node) *numbers {
	return &numbers{node: n, remember: rememberRemoved, byID: map[id.ID]int64{}, ids: map[int64]id.ID{}}
}

// of returns the number of a torrent, or 0 if the node neither has it nor had it recently.
func (n *numbers) of(torrent id.ID) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.byID[torrent]
	if n.ids[k] == torrent && k != 0 || n.node.Torrent(torrent) == nil {
		return k
	}
	n.last++
	n.byID[torrent], n.ids[n.last] = n.last, torrent
	return n.last
}

// torrent returns the torrent with a number.
func (n *numbers) torrent(number int64) (id.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, ok := n.ids[number]
	return t, ok
}

// handle forgets the numbers of torrents that have left the node.
func (n *numbers) handle(events []node.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range events {
		switch e.Kind {
		case node.Removed:
			n.remove(e.InfoHash)
		case node.Missed:
			for _, torrent := range n.ids {
				n.remove(torrent)
			}
		}
	}
}

// remove forgets the number of a torrent, unless the node has the torrent. mu is held.
func (n *numbers) remove(torrent id.ID) {
	k := n.byID[torrent]
	if n.ids[k] != torrent || n.node.Torrent(torrent) != nil {
		return
	}
	delete(n.ids, k)
	if n.removed = append(n.removed, torrent); len(n.removed) < 2*n.remember {
		return
	}
	for _, old := range n.removed[:n.remember] {
		if n.ids[n.byID[old]] != old { // it was not added again
			delete(n.byID, old)
		}
	}
	n.removed = append([]id.ID(nil), n.removed[n.remember:]...)
}

// Number returns the number of a torrent in this run, or 0 if it has left the node long ago.
func (d *Daemon) Number(t *node.Torrent) int64 { return d.numbers.of(t.InfoHash()) }

// NumberOf returns the number of the torrent with an infohash, also if it was removed recently. It
// returns 0 if there was none.
func (d *Daemon) NumberOf(torrent id.ID) int64 { return d.numbers.of(torrent) }

// Numbered returns the torrent with a number, or nil.
func (d *Daemon) Numbered(number int64) *node.Torrent {
	hash, ok := d.numbers.torrent(number)
	if !ok {
		return nil
	}
	return d.node.Torrent(hash)
}

// minPrefix is the shortest beginning of an infohash that names a torrent. Anything shorter, if
// it has digits only, is more likely a number.
const minPrefix = 4

// hexDigits is the number of digits of an infohash; one of v2 in full has 64.
const hexDigits = 2 * len(id.ID{})

// An AmbiguousError says that a name is the beginning of several infohashes or ids.
type AmbiguousError struct {
	Prefix string
	Count  int
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s is the beginning of %d infohashes; give more digits", e.Prefix, e.Count)
}

// Find returns the torrent that name names: a number, an infohash (v1, or v2 in full or
// truncated), or the beginning of an infohash, of at least four digits. A number wins over a
// beginning. The error is node.ErrUnknown, or an *AmbiguousError.
func (d *Daemon) Find(name string) (*node.Torrent, error) {
	if number, err := strconv.ParseInt(name, 10, 64); err == nil && len(name) < hexDigits {
		if t := d.Numbered(number); t != nil {
			return t, nil
		}
	}
	if len(name) < minPrefix || len(name) > 64 {
		return nil, node.ErrUnknown
	}
	name = strings.ToLower(name[:min(len(name), hexDigits)])
	if hash, err := id.ParseHex(name); err == nil { // a hybrid has two
		if t := d.node.Torrent(hash); t != nil {
			return t, nil
		}
	}
	return d.findPrefix(name)
}

func (d *Daemon) findPrefix(prefix string) (*node.Torrent, error) {
	return only(d.node.Torrents(), prefix, node.ErrUnknown, func(t *node.Torrent) bool { return strings.HasPrefix(t.InfoHash().String(), prefix) })
}

// only returns the element of all that name names. The error is none if there is no such element, or an
// *AmbiguousError.
func only[T any](all []T, name string, none error, isNamed func(T) bool) (found T, err error) {
	var zero T
	count := 0
	for _, x := range all {
		if isNamed(x) {
			found = x
			count++
		}
	}
	switch count {
	case 0:
		return zero, none
	case 1:
		return found, nil
	}
	return zero, &AmbiguousError{name, count}
}
