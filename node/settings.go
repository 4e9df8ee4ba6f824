package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/internal/statefile"
	"seedbed/swarm/engine"
)

// Settings are what can change while a node runs. The zero value of a field means its
// default, which DefaultSettings returns.
type Settings struct {
	// MaxConns bounds the connections of all torrents together.
	MaxConns int

	// HalfOpen bounds the dials under way of all torrents together, and DialRate how many
	// they begin a second.
	HalfOpen, DialRate int

	// Uploads is the number of peers that a torrent unchokes at once by merit; there is
	// one optimistic slot more.
	Uploads int

	// SuperSeed says when a complete torrent announces to each peer only what the swarm
	// lacks (BEP 16).
	SuperSeed engine.SuperSeed

	// UpRate and DownRate bound what all torrents together send and receive over peer
	// connections, in bytes a second, all messages included. TorrentUpRate and
	// TorrentDownRate bound each torrent. 0 is no limit.
	UpRate, DownRate               int64
	TorrentUpRate, TorrentDownRate int64

	// SeedRatio and SeedTime end the seeding of a complete torrent: when it has uploaded,
	// in all runs, so many times the size of what is wanted of it, or when it has been
	// seeding for so long in this run. 0 is never.
	SeedRatio float64
	SeedTime  time.Duration

	// Blocklist are addresses that are neither dialled nor accepted as peers.
	Blocklist *blocklist.List
}

// DefaultSettings returns the settings of a node that was given none.
func DefaultSettings() Settings {
	return Settings{MaxConns: 500, HalfOpen: 64, DialRate: 30, Uploads: 8}
}

// validate replaces zero values by their defaults and refuses what makes no sense.
func (s *Settings) validate() error {
	d := DefaultSettings()
	setDefault(&s.MaxConns, d.MaxConns)
	setDefault(&s.HalfOpen, d.HalfOpen)
	setDefault(&s.DialRate, d.DialRate)
	setDefault(&s.Uploads, d.Uploads)
	if s.MaxConns < 1 || s.HalfOpen < 1 || s.DialRate < 1 || s.Uploads < 1 {
		return usageFault(errors.New("connections, dials, the dial rate and uploads must each be 1 or more"))
	}
	if s.UpRate < 0 || s.DownRate < 0 || s.TorrentUpRate < 0 || s.TorrentDownRate < 0 || !(s.SeedRatio >= 0) || s.SeedTime < 0 {
		return usageFault(errors.New("rates, and the ratio and time of seeding, must not be negative"))
	}
	return nil
}

// Settings returns the settings in force.
func (n *Node) Settings() Settings { return *n.settings.Load() }

// isBlocked reports whether the user's list forbids an address.
func (n *Node) isBlocked(ip netip.Addr) bool { return n.settings.Load().Blocklist.Contains(ip) }

// Apply puts s in force, for all torrents, until the node closes or the settings change
// again. Connections above a smaller limit end as they fall idle.
func (n *Node) Apply(s Settings) error {
	_, err := n.apply(s)
	return err
}

// Change is Apply for a change that the user makes while the node runs: what differs is
// recorded in the state directory, where ChangedSettings finds it at the next start.
func (n *Node) Change(s Settings) error {
	old, err := n.apply(s)
	if err != nil {
		return err
	}
	return n.state.saveSettings(old, n.Settings())
}

// apply returns the settings that were in force before.
func (n *Node) apply(s Settings) (old Settings, err error) {
	if err := s.validate(); err != nil {
		return Settings{}, err
	}
	n.settingsMu.Lock()
	defer n.settingsMu.Unlock()
	old = *n.settings.Swap(&s)
	n.shared.SetRates(s.UpRate, s.DownRate)
	n.budget.dials.resize(s.HalfOpen, s.DialRate)
	for _, t := range n.Torrents() {
		t.applySettings(&s)
	}
	n.reshare()
	return old, nil
}

// applySettings changes what a running torrent was told when it started.
func (t *Torrent) applySettings(s *Settings) {
	if r := t.run.Load(); r != nil {
		r.swarm.SetRates(t.rates(s))
		r.swarm.SetUploads(s.Uploads, s.SuperSeed)
	}
}

// settingTexts are the settings that the state directory records, by the names of their
// flags. The blocklist is not among them: it is a file of the user's.
var settingTexts = map[string]func(*Settings) string{
	"connections":        func(s *Settings) string { return strconv.Itoa(s.MaxConns) },
	"upload-slots":       func(s *Settings) string { return strconv.Itoa(s.Uploads) },
	"super-seed":         func(s *Settings) string { return s.SuperSeed.String() },
	"up-limit":           func(s *Settings) string { return strconv.FormatInt(s.UpRate, 10) },
	"down-limit":         func(s *Settings) string { return strconv.FormatInt(s.DownRate, 10) },
	"torrent-up-limit":   func(s *Settings) string { return strconv.FormatInt(s.TorrentUpRate, 10) },
	"torrent-down-limit": func(s *Settings) string { return strconv.FormatInt(s.TorrentDownRate, 10) },
	"seed-ratio":         func(s *Settings) string { return strconv.FormatFloat(s.SeedRatio, 'g', -1, 64) },
	"seed-time":          func(s *Settings) string { return s.SeedTime.String() },
}

func settingsPath(state string) string { return filepath.Join(state, "settings.json") }

// ChangedSettings returns the settings that Change has recorded in a state directory:
// values as flags take them, by the names of the flags.
func ChangedSettings(state string) (map[string]string, error) {
	b, err := statefile.Read(settingsPath(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var changed map[string]string
	if err := json.Unmarshal(b, &changed); err != nil {
		return nil, &Fault{Kind: FaultUsage, Err: fmt.Errorf("%s is damaged: %w", settingsPath(state), err), hint: "remove it to return to the settings of the file and the flags"}
	}
	return changed, nil
}

// saveSettings records what differs between two settings.
func (s *stateDir) saveSettings(from, to Settings) error {
	changed, err := ChangedSettings(s.path)
	if err != nil || changed == nil {
		changed = map[string]string{}
	}
	for name, text := range settingTexts {
		if now := text(&to); now != text(&from) {
			changed[name] = now
		}
	}
	b, err := json.MarshalIndent(changed, "", " ")
	if err != nil {
		return err
	}
	return statefile.WriteSync(settingsPath(s.path), append(b, '\n'))
}
