package settings

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/adrg/xdg"
	"github.com/spf13/pflag"

	"seedbed/node"
	"seedbed/swarm"
	"seedbed/swarm/engine"
)

// Values are the settings of one command. Its flags point into them.
type Values struct {
	Config  node.Config
	Peers   List
	Timeout time.Duration

	bootstrap, blocklists List
	encryption, superSeed Word
}

// NewValues returns the defaults.
func NewValues() *Values {
	return &Values{
		Config: node.Config{
			DHTRate: node.DefaultDHTRate, DHTFlows: node.DefaultDHTFlows, Memory: node.DefaultMemory,
			Settings: node.DefaultSettings(),
		},
		Peers:      List{Arg: "HOST:PORT", Check: CheckPeer},
		bootstrap:  List{Arg: "HOST:PORT", Check: checkBootstrap},
		blocklists: List{Arg: "FILE"},
		encryption: Word{"prefer", []string{"prefer", "require", "off"}},
		superSeed:  Word{"auto", []string{"auto", "on", "off"}},
	}
}

// A Setting describes a setting. Flags, environment variables, the settings file and the
// manual are generated from it.
type Setting struct {
	Name   string // of the flag and of the key in the settings file
	Help   string // one line for --help
	Manual string // Markdown for the manual, if it is more than Help
	Live   bool   // can change while a node runs
	Shared bool   // applies to every command with the flag, even if it runs no node

	value func(*Values) pflag.Value
}

// Table lists all settings of a node, in the order of the manual.
var Table = []Setting{
	{Name: "listen", Help: "`HOST:PORT` for TCP and UDP (default port 6881, or a free one)",
		Manual: "one port for TCP and UDP; outgoing connections use it too. An empty host means every address. The default is port 6881, or a free port if that is taken; a port given here that is taken is an error",
		value:  func(v *Values) pflag.Value { return (*Addr)(&v.Config.Listen) }},
	{Name: "bootstrap", Help: "DHT bootstrap node `HOST:PORT` (repeatable; replaces the built-in list; \"none\" disables it)",
		Manual: "DHT bootstrap node; repeatable; replaces the built-in list; `none` disables it", Shared: true,
		value: func(v *Values) pflag.Value { return &v.bootstrap }},
	{Name: "no-dht", Help: "do not use the DHT",
		value: func(v *Values) pflag.Value { return &yes{&v.Config.NoDHT} }},
	{Name: "dht-rate", Help: "send at most `N` DHT queries a second",
		value: func(v *Values) pflag.Value { return &number{to: &v.Config.DHTRate, min: 1, also: 1} }},
	{Name: "dht-flows", Help: "query at most `N` DHT nodes in half a minute, to spare the router; -1: no limit",
		Manual: "DHT nodes queried in half a minute, so that the connection table of a home router has room for others; -1 for no limit",
		value:  func(v *Values) pflag.Value { return &number{to: &v.Config.DHTFlows, min: 1, also: -1} }},
	{Name: "dht-enforce-id", Help: "refuse DHT nodes whose id does not match their address (BEP 42)",
		value: func(v *Values) pflag.Value { return &yes{&v.Config.EnforceID} }},
	{Name: "up-limit", Help: "limit the upload rate of all torrents together, in bytes a second; 0: no limit", Live: true,
		Manual: "bytes a second that all torrents together send, including all protocol messages to peers; shared evenly among the torrents that want more; 0 for no limit",
		value:  func(v *Values) pflag.Value { return (*Size)(&v.Config.UpRate) }},
	{Name: "down-limit", Help: "limit the download rate of all torrents together, in bytes a second; 0: no limit", Live: true,
		Manual: "bytes a second that all torrents together receive, likewise",
		value:  func(v *Values) pflag.Value { return (*Size)(&v.Config.DownRate) }},
	{Name: "torrent-up-limit", Help: "limit the upload rate of each torrent; 0: no limit", Live: true,
		value: func(v *Values) pflag.Value { return (*Size)(&v.Config.TorrentUpRate) }},
	{Name: "torrent-down-limit", Help: "limit the download rate of each torrent; 0: no limit", Live: true,
		value: func(v *Values) pflag.Value { return (*Size)(&v.Config.TorrentDownRate) }},
	{Name: "connections", Help: "at most `N` peer connections of all torrents together", Live: true,
		Manual: "peer connections of all torrents together. When all are in use, a peer that has been of no use is dropped for a new one",
		value:  func(v *Values) pflag.Value { return &number{to: &v.Config.MaxConns, min: 1, also: 1} }},
	{Name: "upload-slots", Help: "upload to `N` peers of a torrent at once", Live: true,
		Manual: "peers that a torrent uploads to at once; one more peer gets a turn regardless of what it gives",
		value:  func(v *Values) pflag.Value { return &number{to: &v.Config.Uploads, min: 1, also: 1} }},
	{Name: "memory", Help: "memory for the pieces of all torrents together",
		Manual: "piece buffers of all torrents together; at least 2M. Metadata is not included, and takes at most 64 MiB",
		value:  func(v *Values) pflag.Value { return &sizeFrom{(*Size)(&v.Config.Memory), node.MinMemory} }},
	{Name: "seed-ratio", Help: "stop seeding a torrent when `R` times its size has been uploaded; 0: never", Live: true,
		Manual: "stop seeding a torrent when R times its size has been uploaded, over all runs",
		value:  func(v *Values) pflag.Value { return &ratio{&v.Config.SeedRatio} }},
	{Name: "seed-time", Help: "stop seeding a torrent after this long (90m, 48h); 0: never", Live: true,
		Manual: "stop seeding a torrent after this long (`90m`, `48h`) in this run; the command ends when no torrent is left",
		value:  func(v *Values) pflag.Value { return Span{&v.Config.SeedTime} }},
	{Name: "blocklist", Help: "`FILE` of addresses to block (CIDR, P2P or DAT, gzipped or not); repeatable", Live: true,
		Manual: "addresses that are neither dialled nor accepted: CIDR, ranges, PeerGuardian (P2P) or eMule (DAT), gzipped or not; repeatable; an unparsable line is an error",
		value:  func(v *Values) pflag.Value { return &v.blocklists }},
	{Name: "encryption", Help: "encryption of peer connections; prefer accepts and makes plain ones too",
		Manual: "encryption of peer connections (MSE). `prefer` (the default) dials in the clear and, where the peer closes the connection or sends no handshake within about 3 seconds, encrypted; it remembers which of the two worked, and accepts both. `require` dials and accepts RC4 only; `off` neither dials nor accepts encryption. It hides the traffic from simple filters; it provides neither confidentiality nor authentication",
		value:  func(v *Values) pflag.Value { return &v.encryption }},
	{Name: "super-seed", Help: "as the only seed, announce to each peer only pieces that the swarm lacks (BEP 16)", Live: true,
		Manual: "as the only seed of a torrent, announce to each peer only pieces that the swarm lacks (BEP 16), so that the swarm has a full copy after little more than one upload. `auto` (the default) begins when four interested peers are connected, and only without an upload limit: with one, the order in which blocks are sent has the same effect. `on` begins with the first peer. Both end when every piece is at some peer or another seed connects, and announce all pieces within about a second to a peer that wants others. Torrents of more than 16,384 pieces are never super-seeded",
		value:  func(v *Values) pflag.Value { return &v.superSeed }},
	{Name: "no-web-seeds", Help: "do not fetch from HTTP mirrors that links and torrents name (BEP 19)",
		Manual: "do not fetch from the HTTP mirrors that links (`ws=`) and torrents name (BEP 19)",
		value:  func(v *Values) pflag.Value { return &yes{&v.Config.NoWebSeeds} }},
	{Name: "local-web-seeds", Help: "fetch from HTTP mirrors at private and loopback addresses too",
		value: func(v *Values) pflag.Value { return &yes{&v.Config.LocalWebSeeds} }},
	{Name: "peer", Help: "`HOST:PORT` of a peer to try; repeatable",
		value: func(v *Values) pflag.Value { return &v.Peers }},
	{Name: "timeout", Help: "give up after this long (90s, 2h) with exit code 2",
		Manual: "give up after this long (`90s`, `2h`): exit 2, or 9 if a full disk was the reason",
		value:  func(v *Values) pflag.Value { return Span{&v.Timeout} }},
	{Name: "state", Help: "state directory `DIR` (default by XDG: ~/.local/state/seedbed)", Shared: true,
		Manual: "state directory (default `$XDG_STATE_HOME/seedbed`, otherwise `~/.local/state/seedbed`)",
		value:  func(v *Values) pflag.Value { return &path{&v.Config.State, "DIR"} }},
}

// find returns the description of a setting, or nil.
func find(name string) *Setting {
	for i := range Table {
		if Table[i].Name == name {
			return &Table[i]
		}
	}
	return nil
}

// annotation marks flags whose value may come from the top level of the settings file.
const annotation = "seedbed_setting"

// IsSetting reports whether a flag is a setting of a node.
func IsSetting(f *pflag.Flag) bool { return find(f.Name) != nil }

// AddAll adds the flags of all settings.
func (v *Values) AddAll(fs *pflag.FlagSet) {
	for i := range Table {
		v.add(fs, &Table[i], true)
	}
}

// Add adds the flags of some settings, for a command that runs no node.
func (v *Values) Add(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		s := find(name)
		v.add(fs, s, s.Shared)
	}
}

func (v *Values) add(fs *pflag.FlagSet, s *Setting, fromFile bool) {
	f := fs.VarPF(s.value(v), s.Name, "", s.Help)
	if _, ok := f.Value.(*yes); ok {
		f.NoOptDefVal = "true"
	}
	f.Annotations = map[string][]string{}
	if fromFile {
		f.Annotations[annotation] = []string{s.Name}
	}
	if s.Manual != "" {
		f.Annotations[manualText] = []string{s.Manual}
	}
}

// Bootstrap returns the hosts for node.Config: nil for the built-in list, empty for none.
func (v *Values) Bootstrap() ([]string, error) {
	hosts := v.bootstrap.Values
	for _, h := range hosts {
		if h == none && len(hosts) > 1 {
			return nil, fmt.Errorf("--bootstrap none cannot be combined with other values")
		}
		if h == none {
			return []string{}, nil
		}
	}
	return hosts, nil
}

// State returns the state directory.
func (v *Values) State() string {
	if v.Config.State != "" {
		return v.Config.State
	}
	return filepath.Join(xdg.StateHome, "seedbed")
}

// Node returns the configuration of a node. It reads the blocklists.
func (v *Values) Node() (cfg node.Config, err error) {
	cfg = v.Config
	cfg.State = v.State()
	if cfg.Bootstrap, err = v.Bootstrap(); err != nil {
		return cfg, err
	}
	if cfg.Encryption, err = swarm.ParseEncryption(v.encryption.Value); err != nil {
		return cfg, err
	}
	if cfg.SuperSeed, err = engine.ParseSuperSeed(v.superSeed.Value); err != nil {
		return cfg, err
	}
	cfg.Blocklist, err = readBlocklists(v.blocklists.Values)
	return cfg, err
}
