package node

import (
	"errors"
	"net/netip"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/swarm/engine"
)

// Settings can change while a node runs. The zero value of a field means its
// default, which DefaultSettings returns.
type Settings struct {
	// MaxConns is the maximum number of connections of all torrents together.
	MaxConns int

	// HalfOpen is the maximum number of pending dials of all torrents together, and
	// DialRate the maximum number of dials that start in a second.
	HalfOpen, DialRate int

	// Uploads is the number of regular upload slots of a torrent; there is one optimistic
	// slot in addition.
	Uploads int

	// SuperSeed says when a complete torrent offers each peer only pieces that the swarm
	// does not have yet (BEP 16).
	SuperSeed engine.SuperSeed

	// UpRate and DownRate limit what all torrents together send to and receive from peers,
	// in bytes a second, including all messages. TorrentUpRate and TorrentDownRate limit
	// each torrent. 0 means no limit.
	UpRate, DownRate               int64
	TorrentUpRate, TorrentDownRate int64

	// SeedRatio, SeedIdle and SeedTime are the seeding goals of torrents that have no goals of
	// their own; see Goals. 0 means no goal.
	SeedRatio          float64
	SeedIdle, SeedTime time.Duration

	// NoLSD disables local service discovery (BEP 14), which announces the torrents that are not
	// private to the local network.
	NoLSD bool

	// NoDialBack disables dialing back: peers are not asked to connect to us, which shows whether
	// others can, and are not dialed when they ask.
	NoDialBack bool

	// Blocklist holds the addresses that we neither dial nor accept.
	Blocklist *blocklist.List
}

// DefaultSettings returns the default settings.
func DefaultSettings() Settings {
	return Settings{MaxConns: 500, HalfOpen: 64, DialRate: 30, Uploads: 8}
}

// Validate replaces zero values by their defaults and rejects invalid ones.
func (s *Settings) Validate() error {
	d := DefaultSettings()
	setDefault(&s.MaxConns, d.MaxConns)
	setDefault(&s.HalfOpen, d.HalfOpen)
	setDefault(&s.DialRate, d.DialRate)
	setDefault(&s.Uploads, d.Uploads)
	if s.MaxConns < 1 || s.HalfOpen < 1 || s.DialRate < 1 || s.Uploads < 1 {
		return usageFault(errors.New("connections, half-open connections, the dial rate and upload slots must each be 1 or more"))
	}
	if s.UpRate < 0 || s.DownRate < 0 || s.TorrentUpRate < 0 || s.TorrentDownRate < 0 || !(s.SeedRatio >= 0) || s.SeedIdle < 0 || s.SeedTime < 0 {
		return usageFault(errors.New("the limits and the seeding goals must not be negative"))
	}
	return nil
}

// Settings returns the current settings.
func (n *Node) Settings() Settings { return *n.settings.Load() }

// isBlocked reports whether an address is on the user's blocklist.
func (n *Node) isBlocked(ip netip.Addr) bool { return n.settings.Load().Blocklist.Contains(ip) }

// Apply applies s to all torrents until the node closes or the settings change again.
// If a limit becomes smaller, the excess connections end when they become idle.
func (n *Node) Apply(s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	n.settingsMu.Lock()
	defer n.settingsMu.Unlock()
	n.settings.Store(&s)
	n.shared.SetRates(s.UpRate, s.DownRate)
	n.budget.dials.resize(s.HalfOpen, s.DialRate)
	n.wakeLSD()
	for _, t := range n.Torrents() {
		t.applySettings(&s)
	}
	n.reshare()
	return nil
}

// applySettings applies changed settings to a running torrent.
func (t *Torrent) applySettings(s *Settings) {
	if r := t.run.Load(); r != nil {
		r.swarm.SetRates(t.rates(s))
		r.swarm.SetUploads(s.Uploads, s.SuperSeed)
	}
}
