package pins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
)

// A pin that ends stays on record as an ending until its follower, its torrent and its data are gone.
// So if the process is killed or the disk fails in between, a record still names what is left. What could not be
// removed is tried again.

// ending is a pin, or the list of a subscription, that ends. Manager.mu guards its fields.
type ending struct {
	*pin
	deleteData bool
}

// savedEnding is what a restart needs of an ending.
type savedEnding struct {
	Link       string `json:"link"`
	Dir        string `json:"dir"` // absolute
	DeleteData bool   `json:"delete_data,omitempty"`
}

// retire makes a pin an ending. m.mu and m.change are held.
func (m *Manager) retire(p *pin, deleteData bool) {
	if m.pins[p.id] == p {
		delete(m.pins, p.id)
	}
	p.removed, m.unsaved = true, true
	p.failed = nil // finish skips what has failed, but nothing was tried yet to remove this
	m.endings = append(m.endings, &ending{p, deleteData})
}

// revive drops the ending of a link that is pinned or subscribed to again, whose data stays. m.mu and m.change
// are held.
func (m *Manager) revive(of id.ID) {
	m.endings = slices.DeleteFunc(m.endings, func(e *ending) bool { return e.id == of })
}

// finish removes what endings have left. m.change is held.
func (m *Manager) finish(ctx context.Context) error {
	m.mu.Lock()
	all := slices.DeleteFunc(slices.Clone(m.endings), func(e *ending) bool { return e.failed != nil }) // until forgetFailures
	m.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	_ = m.save() // a removal must be possible on a full disk; the caller saves again, and reports it
	var errs []error
	for _, e := range all {
		if err := m.clear(ctx, e); err != nil {
			m.mu.Lock()
			e.failed = err
			m.mu.Unlock()
			errs = append(errs, fmt.Errorf("%.8s is not completely removed yet; the daemon tries again within a minute: %w", e.id, err))
			continue
		}
		m.mu.Lock()
		m.endings = slices.DeleteFunc(m.endings, func(other *ending) bool { return other == e })
		m.unsaved = true
		m.mu.Unlock()
	}
	return errors.Join(errs...)
}

// clear removes the follower or the torrent of an ending, and its data. After a restart it has neither, but
// there are records of them.
func (m *Manager) clear(ctx context.Context, e *ending) (err error) {
	m.mu.Lock()
	f, t := e.follower, e.torrent
	m.mu.Unlock()
	if f == nil && e.link.HasPublicKey {
		var elsewhere elsewhere
		var damaged *node.DamagedError
		switch f, _, err = m.open(e.pin); {
		case errors.As(err, &elsewhere):
			err = nil
		case errors.As(err, &damaged): // it stays so; the record is left to the user, whose own it may be
			m.warn(err)
			err = nil
		}
	}
	switch {
	case err != nil:
	case f != nil:
		err = f.Remove(ctx)
	case t != nil:
		if err = m.node.Remove(ctx, t.InfoHash(), false); err == nil {
			err = t.Settled(ctx)
		}
		if errors.Is(err, node.ErrUnknown) {
			err = nil
		}
	case !e.link.HasPublicKey:
		err = m.node.Forget(e.link.Hash())
	}
	if err == nil && e.deleteData {
		err = os.RemoveAll(e.Dir) // only pins write there
	}
	return err
}

// loadEnding takes up an ending on record.
func (m *Manager) loadEnding(s savedEnding) error {
	link, err := magnet.Parse(s.Link)
	if err != nil {
		return err
	}
	p := &pin{id: idOf(link), link: link, savedPin: savedPin{Link: s.Link, Dir: s.Dir}, removed: true}
	if err := checkDir(s.Dir, p.id); err != nil {
		return err
	}
	m.endings = append(m.endings, &ending{p, s.DeleteData})
	return nil
}
