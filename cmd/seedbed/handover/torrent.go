package handover

import (
	"errors"
	"sync"

	"seedbed/cmd/seedbed/exit"
	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/lifecycle"
	"seedbed/node/view"
	"seedbed/swarm/engine"
)

// knownNode is the state of a daemon's node for a reporter.
type knownNode struct{ api.NodeStatus }

func (n knownNode) DHTNodes() int                  { return n.NodeStatus.DHTNodes }
func (n knownNode) Announcing() dht.AnnouncerStats { return dht.AnnouncerStats{} }

// A torrent is a torrent of a daemon, as the last answer described it. It implements
// report.Torrent.
type torrent struct {
	infohash id.ID
	settled  bool // complete or failed

	mu    sync.Mutex
	o     *view.Torrent
	phase lifecycle.Phase
}

func newTorrent(o *view.Torrent) (*torrent, error) {
	infohash, err := id.ParseHex(o.InfoHash)
	if err != nil {
		return nil, err
	}
	t := &torrent{infohash: infohash}
	t.set(o)
	return t, nil
}

// set stores a newer state. A state that this version does not know keeps the last one.
func (t *torrent) set(o *view.Torrent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.o = o
	_ = t.phase.UnmarshalText([]byte(o.State))
}

// rename changes the name until the next state is stored.
func (t *torrent) rename(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := *t.o
	o.Name = name
	t.o = &o
}

func (t *torrent) InfoHash() id.ID { return t.infohash }

func (t *torrent) Name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.o.Name
}

func (t *torrent) dir() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.o.Dir
}

func (t *torrent) magnet() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.o.Magnet
}

func (t *torrent) Phase() lifecycle.Phase {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phase
}

func (t *torrent) Snapshot() node.Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.o
	s := node.Snapshot{State: t.phase, Checked: o.Checked, ToCheck: o.ToCheck, Reason: o.Reason}
	s.Stats = engine.Stats{Metadata: o.Size > 0, Size: o.Size, Wanted: o.Wanted, Have: o.Have, HaveWanted: o.Have, DownRate: float64(o.DownRate), UpRate: float64(o.UpRate),
		Connected: o.Peers, Seeds: o.Seeds, Known: o.Known}
	if o.Fault != nil {
		s.Paused = exit.Fail(exit.OfFault(o.Fault.Kind), o.Fault.Hint, errors.New(o.Fault.Error))
	}
	return s
}

func (t *torrent) isComplete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.o.Complete
}

// isIncomplete reports whether a torrent that the daemon has lacks data. One that is being checked, or
// was stopped by an error, may have it by now.
func isIncomplete(o *view.Torrent) bool {
	return !o.Complete && o.Fault == nil && o.State != lifecycle.Checking.String()
}

// isStopped reports whether a torrent of the daemon does nothing until it is resumed.
func isStopped(o *view.Torrent) bool {
	switch o.State {
	case lifecycle.Paused.String(), lifecycle.Failed.String(), lifecycle.Missing.String():
		return true
	}
	return false
}
