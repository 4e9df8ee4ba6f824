package pins

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/follow"
)

// A list of pins is published as a single file (list.go). Who subscribes to it holds what it
// names, and follows its changes. Lists are not nested: a list that a list names is held like
// any other publication, and what it names is not looked at. So two nodes can subscribe to
// each other's lists, and a node that publishes a list writes only the pins of its user into it.

const (
	// MaxLists limits the subscriptions of a node.
	MaxLists = 64
	// DefaultListPins is how many pins of a list are held by default.
	DefaultListPins = 100
	// readEvery is the shortest interval at which new versions of a list are read, because each can
	// begin and end all pins of the list.
	readEvery = 10 * time.Second
)

// list is a subscription. Manager.mu guards its fields.
type list struct {
	id   id.ID
	link *magnet.Link
	savedList
	wants    wanted // the pins that it names, as far as they are held
	named    int    // how many links it names
	skipped  int    // how many lines cannot be used
	follower *follow.Follower
	failed   error
	badSeq   int64     // the version that could not be used, or 0
	read     time.Time // when a version was read last
}

// Subscription describes a list that is subscribed to.
type Subscription struct {
	ID      id.ID // the target of the item in the DHT
	Link    *magnet.Link
	Quota   int64 // of all pins of the list together, in bytes
	Max     int   // how many pins of the list are held
	Seq     int64 // of the version whose pins are held; 0 if there is none yet
	Named   int   // how many links it names
	Pins    int   // how many of them are held
	Skipped int   // how many of its lines cannot be used
	Size    int64 // bytes that its pins are charged with
	Problem string
}

// SubscribeConfig describes a subscription.
type SubscribeConfig struct {
	Link  *magnet.Link
	Quota int64 // of all pins of the list together, in bytes; required
	Max   int   // how many pins of the list are held; 0: DefaultListPins
}

// Subscribe holds what the list that a link names has, and follows its changes. If the list is subscribed to
// already, its quota and number are replaced.
func (m *Manager) Subscribe(ctx context.Context, cfg SubscribeConfig) (s Subscription, added bool, err error) {
	switch {
	case !cfg.Link.HasPublicKey:
		return s, false, usage(errors.New("the link has no public key (xs=urn:btpk:), so it is not that of a list of pins"), "seedbed pin add pins other links")
	case cfg.Quota <= 0:
		return s, false, usage(errors.New("the list has no quota"), "say how many bytes its pins may use, for example 20G")
	case cfg.Max < 0 || cfg.Max > MaxPins:
		return s, false, usage(fmt.Errorf("%d is not a number of pins", cfg.Max), fmt.Sprintf("give a number from 1 to %d", MaxPins))
	case cfg.Max == 0:
		cfg.Max = DefaultListPins
	}
	end, err := m.begin(ctx)
	if err != nil {
		return s, false, err
	}
	defer end()
	target := idOf(cfg.Link)
	if m.cfg.Elsewhere != nil {
		if why := m.cfg.Elsewhere(target); why != "" {
			return s, false, node.NewFault(node.FaultConflict, errors.New(why), "subscribe to the lists of others")
		}
	}
	m.mu.Lock()
	l := m.listOf(target)
	switch {
	case l != nil:
	case m.pins[target] != nil:
		m.mu.Unlock()
		return s, false, node.NewFault(node.FaultConflict, errors.New("the list itself is pinned"), "remove that pin first; a subscription keeps the list alive, too")
	case len(m.lists) >= MaxLists:
		m.mu.Unlock()
		return s, false, node.NewFault(node.FaultFull, fmt.Errorf("there are %d subscriptions, which is the limit", MaxLists), "end some")
	default:
		l, added = &list{id: target, link: cfg.Link, wants: wanted{}}, true
		l.savedList = savedList{Link: cfg.Link.String(), Dir: filepath.Join(m.cfg.Dir(), target.String())}
		m.lists = append(m.lists, l)
		m.revive(target)
	}
	l.Quota, l.Max, m.unsaved = cfg.Quota, cfg.Max, true
	l.Seq, l.read = 0, time.Time{} // read it again, for the number of pins
	m.mu.Unlock()
	err = m.save()
	m.poke()
	return m.subscription(l), added, err
}

// Unsubscribe ends a subscription. The pins that only this list names end, and their data is
// deleted.
func (m *Manager) Unsubscribe(ctx context.Context, of id.ID) error {
	end, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	m.mu.Lock()
	l := m.listOf(of)
	if l == nil {
		m.mu.Unlock()
		return ErrUnknown
	}
	m.lists = slices.DeleteFunc(m.lists, func(other *list) bool { return other == l })
	m.retireUnwanted()
	m.retire(&pin{id: l.id, link: l.link, savedPin: savedPin{Link: l.Link, Dir: l.Dir}, follower: l.follower}, true)
	m.mu.Unlock()
	return errors.Join(m.finish(ctx), m.save())
}

// Subscriptions returns the lists that are subscribed to, in the order of subscription.
func (m *Manager) Subscriptions() []Subscription {
	m.mu.Lock()
	lists := slices.Clone(m.lists)
	m.mu.Unlock()
	all := make([]Subscription, len(lists))
	for i, l := range lists {
		all[i] = m.subscription(l)
	}
	return all
}

func (m *Manager) subscription(l *list) Subscription {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Subscription{ID: l.id, Link: l.link, Quota: l.Quota, Max: l.Max, Seq: l.Seq, Named: l.named, Skipped: l.skipped, Pins: len(l.wants)}
	for _, p := range m.pins {
		if m.payer(p) == l {
			s.Size += p.Charge.total()
		}
	}
	if l.failed != nil {
		s.Problem = l.failed.Error()
	}
	return s
}

// listOf returns the subscription with that id, or nil. m.mu is held.
func (m *Manager) listOf(of id.ID) *list {
	for _, l := range m.lists {
		if l.id == of {
			return l
		}
	}
	return nil
}

// startList follows a list.
func (m *Manager) startList(l *list) {
	f, err := follow.Start(m.node, follow.Config{Link: l.link, Dir: l.Dir, KeepAlive: true, Poll: m.cfg.Poll, Keep: -1, Owner: owner, Admit: admitList})
	m.mu.Lock()
	l.follower, l.failed = f, err
	m.mu.Unlock()
}

// admitList is the follow.Config.Admit of a list.
func admitList(_ int64, info *metainfo.Info, _ int64) error {
	if info.IsMulti() || info.Payload() > MaxListBytes {
		return node.NewFault(node.FaultOther, fmt.Errorf("this is not fetched: a list of pins is one file of at most %d bytes", MaxListBytes), "ask its publisher for the link of the list")
	}
	return nil
}

// readLists applies the lists of which a newer version is complete. It returns the time until one has to
// be read, at most retryEvery. m.change is held.
func (m *Manager) readLists() (wait time.Duration) {
	wait = retryEvery
	m.mu.Lock()
	lists := slices.Clone(m.lists)
	m.mu.Unlock()
	for _, l := range lists {
		f := l.follower
		if f == nil {
			continue
		}
		d := f.Describe()
		if d.Seq == 0 || d.Seq == l.Seq || d.Seq == l.badSeq {
			continue
		}
		if left := readEvery - time.Since(l.read); left > 0 {
			wait = min(wait, left)
			continue
		}
		l.read = time.Now()
		links, skipped, err := readList(d.Folder)
		m.mu.Lock()
		l.failed, l.badSeq = err, 0
		if err != nil { // what the version before named stays
			l.badSeq = d.Seq
			l.failed = fmt.Errorf("version %d of the list is not used: %w", d.Seq, err)
		} else {
			m.applyList(l, d.Seq, links, skipped)
			m.retireUnwanted()
		}
		err = l.failed
		m.mu.Unlock()
		m.warn(err)
	}
	return wait
}

// readList reads the only file in the folder of a version of a list.
func readList(dir string) ([]*magnet.Link, int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	if len(entries) != 1 || !entries[0].Type().IsRegular() {
		return nil, 0, errNotList
	}
	b, err := statefile.ReadMax(filepath.Join(dir, entries[0].Name()), MaxListBytes)
	if err != nil {
		return nil, 0, err
	}
	return ParseList(b)
}

// applyList makes the first links of a list its pins, up to its number. Pins that are not in it
// any more are only unmarked. m.mu is held.
func (m *Manager) applyList(l *list, seq int64, links []*magnet.Link, skipped int) {
	l.Seq, l.named, l.skipped, m.unsaved = seq, len(links), skipped, true
	l.wants = wanted{}
	for _, link := range links {
		of := idOf(link)
		if len(l.wants) == l.Max {
			break
		}
		if m.listOf(of) != nil { // a subscription keeps its list alive
			continue
		}
		if m.pins[of] == nil {
			if len(m.pins) >= MaxPins {
				l.failed = fmt.Errorf("some links of the list are not pinned, because there are %d pins, which is the limit", MaxPins)
				break
			}
			m.newPin(link)
		}
		l.wants[of] = true
	}
}

// retireUnwanted ends the pins that belong to nobody any more. m.mu and m.change are held.
func (m *Manager) retireUnwanted() {
	for _, p := range m.sorted() {
		if !p.Own && m.payer(p) == nil {
			m.retire(p, true)
		}
	}
}

// List keeps a file at path that lists the pins of the user, for others to subscribe to. With "", it
// no longer does.
func (m *Manager) List(path string) error {
	m.mu.Lock()
	m.listing, m.unsaved = path, true
	if m.listName == "" {
		m.listName = rand.Text()
	}
	m.mu.Unlock()
	return m.save()
}

func writeListing(path string, b []byte) error {
	if old, err := statefile.ReadMax(path, MaxListBytes); err == nil && string(old) == string(b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return statefile.Write(path, b)
}
