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

// Settings can change while a node runs. The zero value of a field means its
// default, which DefaultSettings returns.
type Settings struct {
	// MaxConns limits the connections of all torrents together.
	MaxConns int

	// HalfOpen limits the pending dials of all torrents together, and DialRate how many
	// of them start in a second.
	HalfOpen, DialRate int

	// Uploads is the number of regular upload slots of a torrent; there is one optimistic
	// slot in addition.
	Uploads int

	// SuperSeed says when a complete torrent announces to each peer only the pieces that
	// the swarm lacks (BEP 16).
	SuperSeed engine.SuperSeed

	// UpRate and DownRate limit what all torrents together send to and receive from peers,
	// in bytes a second, including all messages. TorrentUpRate and TorrentDownRate limit
	// each torrent. 0 means no limit.
	UpRate, DownRate               int64
	TorrentUpRate, TorrentDownRate int64

	// SeedRatio and SeedTime are the seeding goals of a complete torrent. SeedRatio is the
	// upload over all runs divided by the wanted size, SeedTime the time that the torrent
	// has been seeding in this run. 0 means no goal.
	SeedRatio float64
	SeedTime  time.Duration

	// Blocklist holds the addresses that we neither dial nor accept.
	Blocklist *blocklist.List
}

// DefaultSettings returns the default settings.
func DefaultSettings() Settings {
	return Settings{MaxConns: 500, HalfOpen: 64, DialRate: 30, Uploads: 8}
}

// validate replaces zero values by their defaults and rejects invalid ones.
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

// isBlocked reports whether an address is on the user's blocklist.
func (n *Node) isBlocked(ip netip.Addr) bool { return n.settings.Load().Blocklist.Contains(ip) }

// Apply applies s to all torrents until the node closes or the settings change again.
// If a limit becomes smaller, the excess connections end when they become idle.
func (n *Node) Apply(s Settings) error {
	_, err := n.apply(s)
	return err
}

// Change is Apply for a change by the user while the node runs. It saves the differences
// in the state directory, where ChangedSettings finds them at the next start.
func (n *Node) Change(s Settings) error {
	old, err := n.apply(s)
	if err != nil {
		return err
	}
	return n.state.saveSettings(old, n.Settings())
}

// apply returns the previous settings.
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

// applySettings applies changed settings to a running torrent.
func (t *Torrent) applySettings(s *Settings) {
	if r := t.run.Load(); r != nil {
		r.swarm.SetRates(t.rates(s))
		r.swarm.SetUploads(s.Uploads, s.SuperSeed)
	}
}

// settingTexts are the settings that are saved in the state directory, by the names of
// their flags. The blocklist is not saved, because it is a file of the user.
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

// ChangedSettings returns the settings that Change has saved in a state directory: values
// in the format of the flags, by the names of the flags.
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

// saveSettings saves the differences between two settings.
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
