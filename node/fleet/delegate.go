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
