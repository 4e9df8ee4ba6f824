// Package pins keeps content of others alive, within quotas.
//
// A pin is a link whose content this node holds and seeds. If the link names a publication
// (BEP 46), the pin follows it: it republishes the publisher's signed item, fetches the newest
// version and drops the one before. A Manager keeps the pins of one node on record, so that
// they are resumed after a restart.
//
// Quotas are in bytes of content. They are checked when the metadata of a version is known,
// before any of its data is fetched (quota.go). A version that exceeds a quota is not fetched:
// the pin holds the version that it has, its state is OverQuota, and the node emits a warning.
// It is tried again from time to time, so that it is fetched when there is room.
//
// A pin belongs to the user, to the lists that name it (subscribe.go), or to both. It ends when
// it belongs to none.
//
// A Manager is a client of the node and of package follow, and uses only their public API.
package pins

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/follow"
)

// MaxPins limits the pins of a node, those of lists included.
const MaxPins = 1000

// owner is the follow.Config.Owner of pins and of subscribed lists.
const owner = "pins"

// Config configures a Manager.
type Config struct {
	Node  *node.Node
	Quota int64         // of all pins together, in bytes; 0 means no limit
	Dir   func() string // the folder for the folders of new pins
	// Poll is the interval at which publications are checked for newer versions; by default that
	// of package follow.
	Poll time.Duration
	// Elsewhere returns why a link needs no pin, because this node publishes or follows it, or
	// "". May be nil.
	Elsewhere func(id.ID) string
	// Ready is closed when Elsewhere knows everything. May be nil.
	Ready <-chan struct{}
}

// Manager holds the pins of a node. All methods are safe for concurrent use.
type Manager struct {
	cfg    Config
	node   *node.Node
	ctx    context.Context
	cancel context.CancelFunc
	remove func() // undoes OnClose
	done   chan struct{}
	wake   chan struct{} // has a buffer of one
	change chan struct{} // holds a value while pins or lists are added or removed

	saving sync.Mutex // held while the record is written, so that an older one never replaces a newer one

	mu       sync.Mutex // never held while waiting
	pins     map[id.ID]*pin
	lists    []*list // in the order of subscription
	endings  []*ending
	quota    int64
	listing  string // the path of the file that lists the user's pins, or ""
	listName string
	unsaved  bool
}

// pin is one pin. Manager.mu guards its fields.
type pin struct {
	id   id.ID
	link *magnet.Link
	savedPin
	follower *follow.Follower // of a publication
	torrent  *node.Torrent    // of a link without versions
	refused  error            // why the newest version is not fetched
	failed   error            // why nothing is fetched at all
	removed  bool
}

// Open takes up the pins on record and resumes them, until Close or until the node closes. The
// error is a *node.DamagedError if the record cannot be read.
func Open(cfg Config) (*Manager, error) {
	m := &Manager{cfg: cfg, node: cfg.Node, quota: cfg.Quota, done: make(chan struct{}), wake: make(chan struct{}, 1), change: make(chan struct{}, 1), pins: map[id.ID]*pin{}}
	err := m.load()
	var damaged *node.DamagedError
	if errors.As(err, &damaged) {
		return nil, err
	}
	if err != nil {
		m.node.Emit(node.Event{Kind: node.Warning, Err: err})
	}
	m.ctx, m.cancel = context.WithCancel(m.node.Context())
	if m.remove, err = m.node.OnClose(m.end); err != nil {
		m.cancel()
		return nil, err
	}
	go m.run()
	return m, nil
}

// Close stops the management of the pins. They stay on record, and continue to run until the
// node closes.
func (m *Manager) Close() {
	m.remove()
	m.end()
}

func (m *Manager) end() {
	m.cancel()
	<-m.done
}

// begin waits until no other goroutine adds or removes pins. The caller calls the returned function when
// it is done.
func (m *Manager) begin(ctx context.Context) (end func(), err error) {
	select {
	case m.change <- struct{}{}:
		return func() { <-m.change }, nil
	case <-m.ctx.Done():
		return nil, node.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// AddConfig describes a pin.
type AddConfig struct {
	Link  *magnet.Link // of a publication, or with an infohash
	Name  string       // to show; "": that of the link
	Quota int64        // the largest version that is fetched, in bytes; 0 means no limit
}

// Add pins a link for the user. If it is pinned already, its name and quota are replaced, and
// added is false unless only lists have named it.
func (m *Manager) Add(ctx context.Context, cfg AddConfig) (s Status, added bool, err error) {
	link := cfg.Link
	if link.IsPrivate() {
		link = link.ToKeep()
	}
	if !link.HasPublicKey {
		if err := link.Openable(); err != nil {
			return Status{}, false, err
		}
	}
	if cfg.Quota < 0 || len(cfg.Name) > maxName {
		return Status{}, false, usage(fmt.Errorf("the quota must not be negative, and the name of a pin has at most %d bytes", maxName), "")
	}
	end, err := m.begin(ctx)
	if err != nil {
		return Status{}, false, err
	}
	defer end()
	m.mu.Lock()
	endings := slices.Clone(m.endings) // newPin drops that of the link
	p := m.pins[idOf(link)]
	if p == nil {
		if len(m.pins) >= MaxPins {
			m.mu.Unlock()
			return Status{}, false, node.NewFault(node.FaultFull, fmt.Errorf("there are %d pins, which is the limit", MaxPins), "remove some")
		}
		p = m.newPin(link)
	}
	before := p.savedPin
	added = !p.Own
	p.Own, p.Quota = true, cfg.Quota
	if cfg.Name != "" {
		p.Name = cfg.Name
	}
	m.unsaved = true
	m.mu.Unlock()
	if err := m.save(); err != nil { // before anything of it is on disk
		m.mu.Lock()
		if p.savedPin = before; !before.Own && m.payer(p) == nil {
			delete(m.pins, p.id)
			m.endings = endings
		}
		m.mu.Unlock()
		return Status{}, false, err
	}
	m.start(p)
	return m.status(p), added, nil
}

// newPin adds a pin that belongs to nobody yet. m.mu is held.
func (m *Manager) newPin(link *magnet.Link) *pin {
	p := &pin{id: idOf(link), link: link}
	p.savedPin = savedPin{Link: link.String(), Name: clip(link.Name), Dir: filepath.Join(m.cfg.Dir(), p.id.String()), Added: time.Now()}
	m.pins[p.id] = p
	m.revive(p.id)
	return p
}

// ErrUnknown is returned for a pin or a subscription that does not exist.
var ErrUnknown = errors.New("there is no such pin")

// Remove ends a pin of the user, with or without its data. If a list names it as well, it stays
// for that list, and kept is true.
func (m *Manager) Remove(ctx context.Context, of id.ID, deleteData bool) (kept bool, err error) {
	end, err := m.begin(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	m.mu.Lock()
	p := m.pins[of]
	if p == nil {
		m.mu.Unlock()
		return false, ErrUnknown
	}
	p.Own, p.Quota, m.unsaved = false, 0, true
	if kept = m.payer(p) != nil; !kept {
		m.retire(p, deleteData)
	}
	m.mu.Unlock()
	return kept, errors.Join(m.finish(ctx), m.save())
}

// sorted returns the pins, the oldest first. m.mu is held.
func (m *Manager) sorted() []*pin {
	all := make([]*pin, 0, len(m.pins))
	for _, p := range m.pins {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pin) int { return cmp.Or(a.Added.Compare(b.Added), bytes.Compare(a.id[:], b.id[:])) })
	return all
}

// usage returns an error about an invalid request.
func usage(err error, hint string) error { return node.NewFault(node.FaultUsage, err, hint) }
