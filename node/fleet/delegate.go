package fleet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/hashicorp/memberlist"
)

// delegate has the functions that memberlist calls. They must not block, and some are called with its locks held.
type delegate Fleet

var (
	_ memberlist.Delegate         = (*delegate)(nil)
	_ memberlist.AliveDelegate    = (*delegate)(nil)
	_ memberlist.ConflictDelegate = (*delegate)(nil)
)

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte {
	f := (*Fleet)(d)
	m := f.meta()
	b := m.encode()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own.meta = string(b)
	return b
}

// NotifyMsg implements memberlist.Delegate: it takes a message of a member.
func (d *delegate) NotifyMsg(b []byte) {
	if err := (*Fleet)(d).take(b); err != nil {
		d.log.Debug("fleet: a message was ignored", "err", err)
	}
}

// take takes a message of a member.
func (f *Fleet) take(b []byte) error {
	var tag byte
	if len(b) > 0 {
		tag = b[0]
	}
	switch tag {
	case questionTag:
		q, err := parseQuestion(b)
		if err == nil {
			f.takeQuestion(q)
		}
		return err
	case answerTag:
		a, err := parseAnswer(b)
		if err == nil {
			f.takeAnswer(&a)
		}
		return err
	default:
		r, err := parseReport(b)
		if err == nil {
			f.takeReport(&r)
		}
		return err
	}
}

// takeReport takes the report of a member.
func (f *Fleet) takeReport(r *report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.members
	if _, isLive := m.live[r.Name]; !isLive || r.Name == f.cfg.Name {
		return
	}
	if before, ok := m.reports[r.Name]; !ok || r.isNewer(&before.report) {
		m.reports[r.Name] = received{*r, f.now()}
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState([]byte, bool) {}

var errFull = fmt.Errorf("the fleet has %d members already", maxMembers)

// NotifyAlive implements memberlist.AliveDelegate: it refuses members that cannot be used.
func (d *delegate) NotifyAlive(m *memberlist.Node) error {
	f := (*Fleet)(d)
	if err := CheckName(m.Name); err != nil {
		return err
	}
	if _, err := parseMeta(m.Meta); err != nil {
		return fmt.Errorf("the data about it: %w", err)
	}
	if ip, ok := netip.AddrFromSlice(m.Addr); !ok || ip.IsUnspecified() || ip.IsMulticast() || m.Port == 0 {
		return errors.New("it has no usable address")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, isLive := f.members.live[m.Name]; !isLive && len(f.members.live) >= maxMembers {
		return errFull
	}
	return nil
}
