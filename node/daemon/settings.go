package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"seedbed/internal/await"
	"seedbed/internal/option"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// Settings are everything about a daemon that can change while it runs. Every value has a text
// form, which Table describes. A list is replaced as a whole and never modified.
type Settings struct {
	// Settings are those of the node. UpRate and DownRate do not apply while AltLimits is set.
	node.Settings

	// Dir is the download folder of torrents for which the client names none. Required.
	Dir string
	// IncompleteDir is the folder for the data of new torrents until they are complete; "" means
	// that it is in its final folder from the beginning.
	IncompleteDir string
	// AddPaused adds torrents paused if the client does not say whether to start them. Only
	// Transmission's RPC and qBittorrent's WebAPI let a client leave that open.
	AddPaused bool
	// AllowPaths are further folders in which clients may place and move data.
	AllowPaths []string
	// AllowHosts are the host names under which clients reach the HTTP interfaces, besides
	// addresses and localhost. "*.example.org" stands for every name below example.org.
	AllowHosts []string

	// Interfaces are the names of the HTTP interfaces that are served for programs that control
	// other clients: InterfaceTransmission, InterfaceQBittorrent. InterfaceOff stands for none.
	Interfaces []string
	// BasePath is a path below which the HTTP interfaces are served as well, or "".
	BasePath string

	// AltLimits replaces UpRate and DownRate by AltUpRate and AltDownRate, in bytes a second.
	// 0 means no limit.
	AltLimits              bool
	AltUpRate, AltDownRate int64
	AltSchedule            Schedule // switches AltLimits on and off

	// Watch are the folders whose .torrent and .magnet files are added. WatchDelete deletes these
	// files then, instead of renaming them. No client can change either.
	Watch       []string
	WatchDelete bool
	// Feeds are the RSS feeds whose torrents are added. No client can change them.
	Feeds []string

	// PinQuota is the quota of all pins together, in bytes; 0 means no limit.
	PinQuota int64

	Queue QueueSettings
	Hooks Hooks

	// Port is the port for peers; 0 means that of the node's Config.
	Port int
}

// The values of Settings.Interfaces.
const (
	InterfaceTransmission = "transmission"
	InterfaceQBittorrent  = "qbittorrent"
	InterfaceOff          = "off"
)

// DefaultSettings returns the default settings, which have no Dir.
func DefaultSettings() Settings {
	return Settings{Settings: node.DefaultSettings(), Queue: DefaultQueueSettings(), PinQuota: DefaultPinQuota, Interfaces: []string{InterfaceTransmission, InterfaceQBittorrent}}
}

// validate replaces zero values by their defaults and rejects invalid ones.
func (s *Settings) validate() error {
	if s.Dir == "" {
		return usage(errors.New("the name of the download folder is empty"), "")
	}
	if s.Port < 0 || s.Port > math.MaxUint16 {
		return usage(fmt.Errorf("%d is not a port", s.Port), "give a number from 1 to 65535, or 0")
	}
	if s.PinQuota < 0 {
		return usage(errors.New("the quota of the pins must not be negative"), "")
	}
	if s.AltUpRate < 0 || s.AltDownRate < 0 {
		return usage(errors.New("the alternative limits must not be negative"), "")
	}
	return errors.Join(s.Queue.validate(), s.Settings.Validate())
}

// folders returns the folders in which clients may place data.
func (s *Settings) folders() []string {
	all := append([]string{s.Dir}, s.AllowPaths...)
	if s.IncompleteDir != "" {
		all = append(all, s.IncompleteDir)
	}
	return all
}

// ofNode returns the settings to apply to the node.
func (s *Settings) ofNode() node.Settings {
	n := s.Settings
	if s.AltLimits {
		n.UpRate, n.DownRate = s.AltUpRate, s.AltDownRate
	}
	return n
}

// control holds the settings of a daemon. They come from two sources: what the daemon was given
// at its start or by Reload (the command line, the environment, the settings file), and the
// changes that clients have made. A change holds, also after a restart, until the given value of
// that setting changes.
type control struct {
	now  atomic.Pointer[inForce]
	mu   sync.Mutex // held while settings change, which waits for the disk of the state directory, but not for others
	file *changesFile
}

// inForce are the settings at one moment.
type inForce struct {
	Settings
	given    Settings
	changes  changes
	roots    roots         // of the given settings
	replaced chan struct{} // closed when other settings are in force
}

// Settings returns the settings in force.
func (d *Daemon) Settings() Settings { return d.control.now.Load().Settings }

// settingsChanged returns the settings in force and a channel that is closed when they change.
func (d *Daemon) settingsChanged() (Settings, <-chan struct{}) {
	now := d.control.now.Load()
	return now.Settings, now.replaced
}

// setPort makes the node listen on the port of the settings.
func (d *Daemon) setPort(port int) error { return d.node.SetPort(cmp.Or(uint16(port), d.givenPort)) }

// openSettings puts the given settings and the changes that clients have made in force.
func (d *Daemon) openSettings(given Settings, state string) error {
	file, saved, ignored, err := openChanges(state)
	if errors.Is(err, statefile.ErrLocked) {
		return node.ErrNoSession
	}
	if err != nil {
		return err
	}
	d.control.file = file
	d.warn(fmt.Sprintf("a setting in %s is ignored", file.path), ignored)
	next, err := combine(given, saved)
	if err != nil {
		return err
	}
	d.control.now.Store(next)
	if as := d.node.Addrs(); len(as) > 0 { // nothing listens behind a proxy
		d.givenPort = as[0].Port()
	}
	if err := d.setPort(next.Port); err != nil {
		d.warn(fmt.Sprintf("peers are not accepted on port %d", next.Port), err)
	}
	return d.apply(&next.Settings)
}

// apply passes settings to the queue and the node.
func (d *Daemon) apply(s *Settings) error {
	d.queue.apply(s.Queue)
	if m := d.publications.pins.Load(); m != nil {
		m.SetQuota(s.PinQuota)
	}
	return d.node.Apply(s.ofNode())
}

// combine returns the given settings with the changes that hold over them.
func combine(given Settings, saved changes) (_ *inForce, err error) {
	if err := given.validate(); err != nil {
		return nil, err
	}
	if given.Dir, err = filepath.Abs(given.Dir); err != nil {
		return nil, err
	}
	if given.IncompleteDir != "" {
		if given.IncompleteDir, err = filepath.Abs(given.IncompleteDir); err != nil {
			return nil, err
		}
	}
	next := &inForce{Settings: given, given: given, changes: saved.over(&given), replaced: make(chan struct{})}
	if next.roots, err = openRoots(given.folders()); err != nil {
		return nil, err
	}
	if err := next.changes.apply(&next.Settings); err != nil {
		return nil, err
	}
	return next, next.validate()
}

// replaceSettings puts the settings in force that prepare makes of the present ones, with commit.
// prepare may wait for a disk: mu is not held. If others are in force when it returns, it is called
// again. commit is called with mu held.
func (d *Daemon) replaceSettings(prepare func(old *inForce) (*inForce, error), commit func(old, next *inForce) error) error {
	c := &d.control
	for {
		old := c.now.Load()
		next, err := prepare(old)
		if err != nil {
			return err
		}
		c.mu.Lock()
		if c.now.Load() == old {
			defer c.mu.Unlock()
			return commit(old, next)
		}
		c.mu.Unlock()
	}
}

// enforce puts settings in force. mu is held.
func (d *Daemon) enforce(next *inForce) error {
	err := errors.Join(d.setPort(next.Port), d.apply(&next.Settings))
	close(d.control.now.Swap(next).replaced)
	return err
}

// Reload replaces the given settings: those of the command line, the environment and the
// settings file. It drops a client's change of a setting whose given value has changed.
func (d *Daemon) Reload(given Settings) error {
	return d.replaceSettings(func(old *inForce) (*inForce, error) {
		next, err := combine(given, old.changes)
		if err == nil && next.AltSchedule.IsSet() && next.AltSchedule == old.AltSchedule {
			next.AltLimits = old.AltLimits
		}
		return next, err
	}, func(_, next *inForce) error {
		return errors.Join(d.enforce(next), d.control.file.write(next.changes))
	})
}

// ChangeSettings changes settings with edit, for a client, and saves the change. edit may change only
// what Table allows clients to change, and folders must be in the allowed ones. It is called again if
// another call was faster. If ChangeSettings returns an error, nothing has changed, unless ctx has
// ended: the work then continues in the background. A folder on a disk that hangs delays no other call.
func (d *Daemon) ChangeSettings(ctx context.Context, edit func(*Settings) error) error {
	return await.Do(ctx, func() error {
		return d.replaceSettings(func(old *inForce) (*inForce, error) { return old.with(edit) }, d.commitChange)
	})
}

// with returns the settings with the change of a client. It waits for the disks of changed folders.
func (old *inForce) with(edit func(*Settings) error) (_ *inForce, err error) {
	next := *old
	next.replaced = make(chan struct{})
	if err := edit(&next.Settings); err != nil {
		return nil, err
	}
	if err := old.roots.checkChanged(&next.Dir, old.Dir); err != nil {
		return nil, err
	}
	if err := old.roots.checkChanged(&next.IncompleteDir, old.IncompleteDir); err != nil {
		return nil, err
	}
	if err := next.validate(); err != nil {
		return nil, err
	}
	next.changes, err = old.changes.with(&next.given, &old.Settings, &next.Settings)
	return &next, err
}

// commitChange saves the change of a client and puts it in force. mu is held.
func (d *Daemon) commitChange(old, next *inForce) error {
	if err := d.setPort(next.Port); err != nil { // another program may have the port
		return err
	}
	if err := d.control.file.write(next.changes); err != nil {
		return errors.Join(err, d.setPort(old.Port))
	}
	return d.enforce(next)
}

// SetSettings is like ChangeSettings, with texts by the names of the settings. Nil for a setting undoes
// the change of a client.
func (d *Daemon) SetSettings(ctx context.Context, values map[string][]string) error {
	return d.ChangeSettings(ctx, func(s *Settings) error {
		given := &d.control.now.Load().given
		all := maps.Clone(values)
		for name, texts := range values {
			if texts == nil && FindSetting(name) != nil {
				all[name] = FindSetting(name).texts(given)
			}
		}
		return setAll(s, all)
	})
}

// SavedSettings returns the settings of a daemon that does not run: the given ones with the
// changes in its state directory.
func SavedSettings(state string, given Settings) ([]SettingState, error) {
	saved, _, err := readChanges(changesPath(state))
	if err != nil {
		return nil, err
	}
	s, err := combine(given, saved)
	if err != nil {
		return nil, err
	}
	return states(&s.Settings, s.changes), nil
}

// A SettingState is a setting of a running daemon.
type SettingState struct {
	*Setting
	Values  []string // the texts of a list, or one text
	Default []string
	IsList  bool
	Changed bool // by a client
}

// Source returns where the value comes from.
func (s *SettingState) Source() string {
	switch {
	case s.Changed:
		return "changed while running"
	case slices.Equal(s.Values, s.Default):
		return "default"
	}
	return "given"
}

// SettingStates returns all settings.
func (d *Daemon) SettingStates() (all []SettingState) {
	now := d.control.now.Load()
	return states(&now.Settings, now.changes)
}

func states(now *Settings, changed changes) (all []SettingState) {
	byDefault := DefaultSettings()
	for i := range Table {
		s := &Table[i]
		_, isChanged := changed[s.Name]
		_, isList := s.value(now).(*option.List)
		all = append(all, SettingState{s, s.texts(now), s.texts(&byDefault), isList, isChanged})
	}
	return all
}
