package pins

import (
	"errors"
	"fmt"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// charge is the disk space in bytes that a pin is charged with. While a new version is fetched,
// the current one is still on disk, so both count. Files that both have count once.
type charge struct {
	Current int64 `json:"current,omitempty"`
	Next    int64 `json:"next,omitempty"`     // what the version that is being fetched adds
	NextSeq int64 `json:"next_seq,omitempty"` // the number of that version
	Full    int64 `json:"full,omitempty"`     // all of that version
}

func (c *charge) total() int64 { return c.Current + c.Next }

// settle charges a pin with its current version only, if that is the one that was fetched.
func (c *charge) settle(seq int64) (changed bool) {
	if c.Full == 0 || seq < c.NextSeq {
		return false
	}
	*c = charge{Current: c.Full}
	return true
}

// recharge charges a pin with its current version if it is not charged with any: the process was killed
// before the charge was on record.
func (p *pin) recharge() (changed bool) {
	if p.Charge.Current != 0 || p.follower.Seq() == 0 {
		return false
	}
	t := p.follower.Torrent()
	if t == nil || t.Info() == nil {
		return false
	}
	p.Charge.Current = t.Info().Payload()
	return p.Charge.Current != 0
}

// admit decides whether a version of a pin may be fetched, and if so, charges the pin with it.
// size is that of the version, added what it adds to the disk.
func (m *Manager) admit(p *pin, seq, size, added int64) error {
	defer m.poke() // run saves the charge
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.check(p, size, added)
	p.refused = err
	m.unsaved = true
	if err != nil {
		p.Charge = charge{Current: p.Charge.Current}
		return err
	}
	p.Charge = charge{Current: p.Charge.Current, Next: added, NextSeq: seq, Full: size}
	return nil
}

// check returns an error if a version of a pin exceeds a quota. m.mu is held.
func (m *Manager) check(p *pin, size, added int64) error {
	if p.Quota > 0 && size > p.Quota {
		return overQuota(fmt.Sprintf("it has %d bytes, but the quota of the pin is %d", size, p.Quota), "pin it again with a larger --quota")
	}
	total, ofList := p.Charge.Current+added, p.Charge.Current+added
	payer := m.payer(p)
	for _, other := range m.pins {
		if other == p {
			continue
		}
		total += other.Charge.total()
		if payer != nil && m.payer(other) == payer {
			ofList += other.Charge.total()
		}
	}
	if payer != nil && ofList > payer.Quota {
		return overQuota(fmt.Sprintf("the pins of its list would use %d bytes, but the quota of the list is %d", ofList, payer.Quota), "subscribe to the list again with a larger --quota")
	}
	if m.quota > 0 && total > m.quota {
		return overQuota(fmt.Sprintf("all pins together would use %d bytes, but their quota is %d", total, m.quota), "raise the setting pin-quota, or remove pins")
	}
	return nil
}

// overQuota returns the error for a version that is not fetched.
func overQuota(what, hint string) error {
	return node.NewFault(node.FaultFull, errors.New("this is not fetched: "+what), hint)
}

// payer returns the list whose quota a pin is charged to: the first that names it, in the order of
// subscription. It is nil for a pin of the user. m.mu is held.
func (m *Manager) payer(p *pin) *list {
	if p.Own {
		return nil
	}
	for _, l := range m.lists {
		if l.wants[p.id] {
			return l
		}
	}
	return nil
}

// admitVersion is the follow.Config.Admit of a pin.
func (m *Manager) admitVersion(p *pin) func(int64, *metainfo.Info, int64) error {
	return func(seq int64, info *metainfo.Info, added int64) error { return m.admit(p, seq, info.Payload(), added) }
}

// admitTorrent is the node.Spec.Prepare of a pin without versions, which is charged with all of
// it at once. One that was admitted before stays, even if the quota is smaller now.
func (m *Manager) admitTorrent(p *pin) func(*metainfo.Info) error {
	return func(info *metainfo.Info) error {
		size := info.Payload()
		m.mu.Lock()
		admitted := p.Charge.Current == size && size > 0
		m.mu.Unlock()
		if admitted {
			return nil
		}
		if err := m.admit(p, 0, size, size); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		p.Charge.settle(0)
		return nil
	}
}

// Used returns the bytes that all pins together are charged with.
func (m *Manager) Used() (bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pins {
		bytes += p.Charge.total()
	}
	return bytes
}

// Quota returns the quota of all pins together, in bytes; 0 means no limit.
func (m *Manager) Quota() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quota
}

// SetQuota changes the quota of all pins together. What is held stays, even if it exceeds the
// quota.
func (m *Manager) SetQuota(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quota = bytes
}

// wanted is a set of pins.
type wanted map[id.ID]bool
