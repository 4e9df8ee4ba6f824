package daemon

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"seedbed/internal/option"
	"seedbed/node/daemon/fetch"
	"seedbed/swarm/engine"
)

// A Setting describes a setting that can change while a daemon runs. Flags, environment
// variables, the settings file, the manual and the requests of clients are made from it.
type Setting struct {
	Name   string // of the flag, and of the key in the settings file
	Letter string // for short; or ""
	Help   string // one line for --help
	Manual string // Markdown for the manual, if it differs from Help
	Node   bool   // every command that runs a node has it; the others are those of a daemon
	Group  Group  // of settings that belong together
	Given  bool   // clients cannot change it; only the command line, the environment and the settings file can

	value func(*Settings) option.Value
}

// Table lists the settings, in the order of the manual.
var Table = []Setting{
	{Name: "up-limit", Group: GroupRates, Help: "limit the upload rate of all torrents together, in bytes a second; 0: no limit", Node: true,
		Manual: "bytes a second that all torrents together send, including all protocol messages to peers; shared evenly among the torrents that want more; 0 for no limit",
		value:  func(s *Settings) option.Value { return (*option.Size)(&s.UpRate) }},
	{Name: "down-limit", Group: GroupRates, Help: "limit the download rate of all torrents together, in bytes a second; 0: no limit", Node: true,
		Manual: "bytes a second that all torrents together receive; shared evenly among the torrents that want more; 0 for no limit",
		value:  func(s *Settings) option.Value { return (*option.Size)(&s.DownRate) }},
	{Name: "torrent-up-limit", Group: GroupRates, Help: "limit the upload rate of each torrent; 0: no limit", Node: true,
		value: func(s *Settings) option.Value { return (*option.Size)(&s.TorrentUpRate) }},
	{Name: "torrent-down-limit", Group: GroupRates, Help: "limit the download rate of each torrent; 0: no limit", Node: true,
		value: func(s *Settings) option.Value { return (*option.Size)(&s.TorrentDownRate) }},
	{Name: "connections", Group: GroupPeers, Help: "at most `N` peer connections of all torrents together", Node: true,
		Manual: "peer connections of all torrents together. When all are in use, a new peer replaces one that has not been useful",
		value:  func(s *Settings) option.Value { return &option.Number{To: &s.MaxConns, Min: 1, Also: 1} }},
	{Name: "upload-slots", Group: GroupPeers, Help: "upload to `N` peers of a torrent at once", Node: true,
		Manual: "peers that a torrent uploads to at once; one more slot goes to the other peers in turn, regardless of what they upload",
		value:  func(s *Settings) option.Value { return &option.Number{To: &s.Uploads, Min: 1, Also: 1} }},
	{Name: "seed-ratio", Group: GroupSeeding, Help: "stop seeding a torrent when `R` times its size has been uploaded; 0: never", Node: true,
		Manual: "stop seeding a torrent when R times its size has been uploaded, over all runs",
		value:  func(s *Settings) option.Value { return &option.Ratio{To: &s.SeedRatio} }},
	{Name: "seed-idle", Group: GroupSeeding, Help: "stop seeding a torrent that has uploaded nothing for this long (30m, 24h); 0: never", Node: true,
		Manual: "stop seeding a torrent that has uploaded nothing for this long (`30m`, `24h`)",
		value:  func(s *Settings) option.Value { return option.Span{To: &s.SeedIdle} }},
	{Name: "seed-time", Group: GroupSeeding, Help: "stop seeding a torrent after this long (90m, 48h); 0: never", Node: true,
		Manual: "stop seeding a torrent after this long (`90m`, `48h`), over all runs; the command ends when no torrent is left",
		value:  func(s *Settings) option.Value { return option.Span{To: &s.SeedTime} }},
	{Name: "super-seed", Group: GroupPeers, Help: "as the only seed, announce to each peer only pieces that the swarm lacks (BEP 16)", Node: true,
		Manual: "as the only seed of a torrent, announce to each peer only pieces that the swarm lacks (BEP 16), so that the swarm has a full copy after little more than one upload. `auto` (the default) begins when four interested peers are connected, and only without an upload limit: with one, the order in which blocks are sent has the same effect. `on` begins with the first peer. Both end when the peers together have every piece, or when another seed connects, and announce all pieces within about a second to a peer that wants others. Torrents of more than 16,384 pieces are never super-seeded",
		value: func(s *Settings) option.Value {
			return &superSeed{option.Word{Value: s.SuperSeed.String(), Words: []string{"auto", "on", "off"}}, &s.SuperSeed}
		}},
	{Name: "lsd", Group: GroupPeers, Help: "find peers in the local network, and announce torrents there (BEP 14)", Node: true,
		Manual: "local service discovery (BEP 14): announce torrents by multicast to the local network, and connect to the peers there that do the same. `on` (the default) uses every network interface with multicast except loopback and VPN tunnels, and of those only the ones whose address we listen on. Private torrents are never announced",
		value:  func(s *Settings) option.Value { return &option.Switch{Off: &s.NoLSD} }},
	{Name: "dial-back", Group: GroupPeers, Help: "let peers test whether others can connect to this node, and do the same for them", Node: true,
		Manual: "whether others can connect to this node is tested by up to three peers, which are asked to connect to its port (see dialback.md); this node does the same for peers that ask. It connects only to the address from which the peer is connected, at ports from 1024 up, and at most ten times a minute. `on` is the default. With `off`, it neither asks nor connects, and only connections and queries that arrive show that it can be reached",
		value:  func(s *Settings) option.Value { return &option.Switch{Off: &s.NoDialBack} }},

	{Name: "dir", Group: GroupFolders, Letter: "d", Help: "download torrents that are added without a folder into `DIR` (default: your Downloads folder)",
		value: func(s *Settings) option.Value { return &option.Path{To: &s.Dir, Arg: "DIR"} }},
	{Name: "incomplete-dir", Group: GroupFolders, Help: "keep the data of new torrents in `DIR` until they are complete",
		value: func(s *Settings) option.Value { return &option.Path{To: &s.IncompleteDir, Arg: "DIR"} }},
	{Name: "pin-quota", Group: GroupFolders, Help: "all pins together may use this many bytes; 0: no limit",
		Manual: "bytes that all pins together may use (see pins.md). A version that exceeds it is not downloaded, and the one before stays. 0 for no limit",
		value:  func(s *Settings) option.Value { return (*option.Size)(&s.PinQuota) }},
	{Name: "add-paused", Group: GroupQueue, Help: "add torrents of Transmission's and qBittorrent's remote controls paused, unless they say otherwise",
		value: func(s *Settings) option.Value { return &option.Bool{To: &s.AddPaused} }},
	{Name: "allow-path", Group: GroupFolders, Help: "allow data in `DIR` as well as in --dir (repeatable)", Given: true,
		value: func(s *Settings) option.Value { return &option.List{To: &s.AllowPaths, Arg: "DIR", Check: checkFolder} }},
	{Name: "allow-host", Group: GroupAccess, Help: "accept HTTP requests to the host `NAME`; *.example.org accepts all its subdomains (repeatable)",
		value: func(s *Settings) option.Value { return &option.List{To: &s.AllowHosts, Arg: "NAME"} }},
	{Name: "interface", Group: GroupAccess, Help: "serve programs that control `NAME`: transmission, qbittorrent (repeatable), or \"off\"",
		Manual: "serve programs that control NAME: `transmission`, `qbittorrent` (both by default); repeatable; `off` serves neither",
		value: func(s *Settings) option.Value {
			return &option.List{To: &s.Interfaces, Arg: "NAME", Check: checkInterface}
		}},
	{Name: "base-path", Group: GroupAccess, Help: "accept HTTP requests below `PATH` too, for a reverse proxy that does not remove it",
		value: func(s *Settings) option.Value { return &option.Path{To: &s.BasePath, Arg: "PATH"} }},
	{Name: "watch-dir", Group: GroupSources, Help: "add the .torrent and .magnet files that appear in `DIR` (repeatable)", Given: true,
		Manual: "add the `.torrent` and `.magnet` files that appear in a folder; repeatable. Words after the folder are options: `\"/srv/watch category=film label=new dir=/srv/films paused\"`",
		value:  func(s *Settings) option.Value { return &option.List{To: &s.Watch, Arg: "DIR", Check: checkWatched} }},
	{Name: "watch-delete", Group: GroupSources, Help: "delete the files of --watch-dir once they are added, instead of renaming them", Given: true,
		value: func(s *Settings) option.Value { return &option.Bool{To: &s.WatchDelete} }},
	{Name: "rss", Group: GroupSources, Help: "add the torrents that the feed at `URL` names (repeatable)", Given: true,
		Manual: "add the torrents that an RSS, Atom or JSON feed names; repeatable. Words after the URL are options: `\"https://example.org/feed match='(?i)debian' not=beta every=1h category=linux\"`",
		value:  func(s *Settings) option.Value { return &option.List{To: &s.Feeds, Arg: "URL", Check: checkFeed} }},
	{Name: "on-added", Group: GroupHooks, Help: "run `CMD` when a torrent was added", Given: true,
		value: func(s *Settings) option.Value { return &s.Hooks.Added }},
	{Name: "on-complete", Group: GroupHooks, Help: "run `CMD` when a download is complete and in its final folder", Given: true,
		value: func(s *Settings) option.Value { return &s.Hooks.Complete }},
	{Name: "on-finished", Group: GroupHooks, Help: "run `CMD` when a seeding goal has stopped a torrent", Given: true,
		value: func(s *Settings) option.Value { return &s.Hooks.Finished }},
	{Name: "on-failed", Group: GroupHooks, Help: "run `CMD` when an error has stopped a torrent", Given: true,
		value: func(s *Settings) option.Value { return &s.Hooks.Failed }},
	{Name: "post-to", Group: GroupHooks, Help: "send JSON to `URL` in each of these cases (repeatable)", Given: true,
		value: func(s *Settings) option.Value { return &option.List{To: &s.Hooks.URLs, Arg: "URL", Check: checkURL} }},
	{Name: "download-queue", Group: GroupQueue, Help: "download at most `N` torrents at a time; 0: no limit",
		Manual: "download at most N torrents at a time; the others wait for their turn. Stalled torrents do not count. 0 for no limit",
		value:  func(s *Settings) option.Value { return &option.Number{To: &s.Queue.Downloads} }},
	{Name: "seed-queue", Group: GroupQueue, Help: "seed at most `N` torrents at a time; 0: no limit",
		Manual: "seed at most N torrents at a time; the others wait for their turn. Stalled torrents do not count. 0 for no limit",
		value:  func(s *Settings) option.Value { return &option.Number{To: &s.Queue.Seeds} }},
	{Name: "queue-stalled", Group: GroupQueue, Help: "a torrent that has transferred nothing for this long does not count in the queue; 0: all count",
		value: func(s *Settings) option.Value { return option.Span{To: &s.Queue.Stalled} }},
	{Name: "alt-limits", Group: GroupRates, Help: "apply --alt-up-limit and --alt-down-limit instead of --up-limit and --down-limit",
		value: func(s *Settings) option.Value { return &option.Bool{To: &s.AltLimits} }},
	{Name: "alt-up-limit", Group: GroupRates, Help: "upload limit of all torrents together with --alt-limits; 0: no limit",
		value: func(s *Settings) option.Value { return (*option.Size)(&s.AltUpRate) }},
	{Name: "alt-down-limit", Group: GroupRates, Help: "download limit of all torrents together with --alt-limits; 0: no limit",
		value: func(s *Settings) option.Value { return (*option.Size)(&s.AltDownRate) }},
	{Name: "alt-schedule", Group: GroupRates, Help: "switch --alt-limits on and off at fixed times, `WHEN`: daily 23:00-07:00, mon-fri,sun 08:00-17:30",
		value: func(s *Settings) option.Value { return scheduleValue{&s.AltSchedule} }},
	{Name: "port", Group: GroupPeers, Help: "accept peers on port `N` in place of that of --listen; 0: that of --listen",
		Manual: "accept peers on port N in place of that of `--listen`. It can change while the daemon runs, for example to the port that a VPN forwards; connections stay open. 0 for the port of `--listen`",
		value:  func(s *Settings) option.Value { return &option.Number{To: &s.Port, Max: math.MaxUint16} }},
}

// FindSetting returns the setting with that name, or nil.
func FindSetting(name string) *Setting {
	i := slices.IndexFunc(Table, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &Table[i]
}

// Value returns the setting in s as a variable with a text form.
func (d *Setting) Value(s *Settings) option.Value { return d.value(s) }

// texts returns the texts of the setting: those of a list, or one.
func (d *Setting) texts(s *Settings) []string {
	v := d.value(s)
	if list, ok := v.(*option.List); ok {
		return append([]string{}, list.GetSlice()...)
	}
	return []string{v.String()}
}

// set sets the setting from its texts.
func (d *Setting) set(s *Settings, texts []string) (err error) {
	v := d.value(s)
	switch list, ok := v.(*option.List); {
	case ok:
		err = list.Replace(texts)
	case len(texts) == 0:
		err = v.Set("")
	case len(texts) > 1:
		err = fmt.Errorf("it takes one value, not %d", len(texts))
	default:
		err = v.Set(texts[0])
	}
	if err != nil {
		return usage(fmt.Errorf("%s: %w", d.Name, err), "")
	}
	return nil
}

// setAll sets settings from their texts, by name.
func setAll(s *Settings, values map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		d := FindSetting(name)
		if d == nil {
			return UnknownSetting(name)
		}
		if err := d.set(s, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// UnknownSetting returns the error for a name that no setting has.
func UnknownSetting(name string) error {
	var names []string
	for _, d := range Table {
		names = append(names, d.Name)
	}
	hint := "seedbed settings get lists them"
	if near := option.Nearest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return usage(fmt.Errorf("there is no setting %q that can change while the daemon runs", name), hint)
}

// superSeed is a flag for node.Settings.SuperSeed.
type superSeed struct {
	option.Word
	to *engine.SuperSeed
}

// Set implements option.Value.
func (v *superSeed) Set(text string) (err error) {
	if err := v.Word.Set(text); err != nil {
		return err
	}
	*v.to, err = engine.ParseSuperSeed(text)
	return err
}

func checkInterface(name string) error {
	if !slices.Contains(interfaces, name) {
		return fmt.Errorf("%q is none of %s; --bind-interface chooses a network interface", name, strings.Join(interfaces, ", "))
	}
	return nil
}

// interfaces are the values of the setting interface.
var interfaces = []string{InterfaceTransmission, InterfaceQBittorrent, InterfaceOff}

func checkURL(text string) error {
	if !fetch.IsURL(text) {
		return fmt.Errorf("%q is not an HTTP or HTTPS URL", text)
	}
	return nil
}

// checkFolder returns an error if a text cannot be the name of a folder.
func checkFolder(name string) error {
	if name == "" {
		return errors.New("the name of the folder is empty")
	}
	return nil
}
