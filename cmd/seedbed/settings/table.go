package settings

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"github.com/spf13/pflag"

	"seedbed/internal/netx"
	"seedbed/internal/option"
	"seedbed/internal/userfile"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/swarm"
	"seedbed/swarm/s3store"
)

// Values are the settings of one command. Its flags point into them.
type Values struct {
	Config   node.Config     // without its Settings
	Live     daemon.Settings // those of the node, and those of the daemon for its command
	Peers    []string
	Timeout  time.Duration
	Resolver string // as for names.Config
	Store    Store

	proxyAuth                string
	bootstrap, blocklists    []string
	encryption, utp, portMap option.Word
	announcePort             int
}

// NewValues returns the defaults.
func NewValues() *Values {
	live := daemon.DefaultSettings()
	live.Dir = xdg.UserDirs.Download
	return &Values{
		Config:     node.Config{DHTRate: node.DefaultDHTRate, DHTFlows: node.DefaultDHTFlows, Memory: node.DefaultMemory},
		Live:       live,
		encryption: option.Word{Value: "prefer", Words: []string{"prefer", "require", "off"}},
		utp:        option.Word{Value: "on", Words: []string{"on", "off"}},
		portMap:    option.Word{Value: node.PortMapWords[0], Words: node.PortMapWords},
		Store:      newStore(),
	}
}

// A Setting describes a setting. Flags, environment variables, the settings file and the
// manual are generated from it.
type Setting struct {
	Name   string // of the flag and of the key in the settings file
	Letter string // for short; or ""
	Help   string // one line for --help
	Manual string // Markdown for the manual, if it differs from Help
	Live   bool   // can change while a node runs
	Shared bool   // applies to every command with the flag, even if it runs no node

	value func(*Values) option.Value
}

// Table lists all settings of a node, in the order of the manual.
var Table = []Setting{
	{Name: "listen", Help: "`HOST:PORT` for TCP and UDP (default port 6881, or a free one)",
		Manual: "one port for TCP and UDP; outgoing connections use it too. An empty host means every address. The default is port 6881, or a free port if that is taken; a port given here that is taken is an error",
		value:  func(v *Values) option.Value { return (*option.Addr)(&v.Config.Listen) }},
	{Name: "bind-interface", Help: "use the network interface `NAME` only, such as wg0, and wait while it is missing", Shared: true,
		Manual: "use the network interface NAME only, such as the `wg0` of a VPN: for peers, the DHT, name lookups, web seeds and everything else that leaves this machine. While the interface is missing or down, seedbed waits for it and uses no other. Linux and macOS; Linux before 5.7 requires CAP_NET_RAW. If the name server of this machine is a local program, the servers behind systemd-resolved are asked over the interface, and those of other local programs are not asked at all",
		value:  func(v *Values) option.Value { return &device{&v.Config.Outbound.Interface} }},
	{Name: "proxy", Help: "reach everything through the SOCKS5 proxy at `socks5://HOST:PORT`", Shared: true,
		Manual: "reach everything through a SOCKS5 proxy, `socks5://HOST:PORT`: peers, the DHT, web seeds, feeds. Nothing goes around it: names are resolved by the proxy (except its own), and no port is open for incoming connections. The DHT requires a proxy that relays datagrams (UDP ASSOCIATE); with another one the DHT is silent. Peers that are given by name are connected to over TCP only. The rules of the proxy decide whether the names of web seeds and peers may lead to its local network; names that are local by their form, such as `nas.local`, are not used for peers",
		value:  func(v *Values) option.Value { return &proxy{&v.Config.Outbound.Proxy} }},
	{Name: "proxy-auth-file", Help: "`FILE` with USER:PASSWORD for --proxy", Shared: true,
		Manual: "file that has USER:PASSWORD for `--proxy` in its first line",
		value:  func(v *Values) option.Value { return &option.Path{To: &v.proxyAuth, Arg: "FILE"} }},
	{Name: "resolver", Help: "look up the names of publications at `SERVER`: HOST:PORT, or https:// for DNS over HTTPS", Shared: true,
		Manual: "look up the domain names of publications at this DNS server: `HOST:PORT`, or the URL of a server for DNS over HTTPS (RFC 8484), such as `https://dns.example/dns-query`. The default is the resolver of the system, which is not asked with `--proxy`, because it would be asked around the proxy. The server is reached over `--proxy`, by TCP, and over `--bind-interface`; a server on this machine is asked directly. All other names, such as those of bootstrap nodes, are resolved as before",
		value:  func(v *Values) option.Value { return &resolver{&v.Resolver} }},
	{Name: "port-map", Help: "ask routers to forward the port by this method; off asks none",
		Manual: "ask the routers of the local network to forward the port, for TCP and UDP, so that peers can connect from outside. `auto` (the default) tries PCP, then NAT-PMP, then UPnP; `pcp`, `natpmp` and `upnp` try that one alone; `off` asks none. The mappings are renewed, and removed at the end. Nothing is mapped for loopback and public addresses", Shared: true,
		value: func(v *Values) option.Value { return &v.portMap }},
	{Name: "port-map-gateway", Help: "ask the router at `ADDRESS` in place of the default gateways",
		Manual: "ask the router at this local address to forward the port, in place of the default gateways. Some VPN providers forward ports by NAT-PMP at an address inside the tunnel, such as 10.2.0.1; if the server forwards to another port than ours, seedbed listens on that one", Shared: true,
		value: func(v *Values) option.Value { return &option.IP{To: &v.Config.PortMapGateway, Arg: "ADDRESS"} }},
	{Name: "announce-port", Help: "tell peers and the DHT port `N`, which is forwarded to the listening port",
		Manual: "tell peers and the DHT this port, if something else than `--port-map` forwards it to the listening port; 0 for the port that is known",
		value:  func(v *Values) option.Value { return &option.Number{To: &v.announcePort, Min: 0, Max: math.MaxUint16} }},
	{Name: "bootstrap", Help: "DHT bootstrap node `HOST:PORT` (repeatable; replaces the built-in list; \"none\" disables it)",
		Manual: "DHT bootstrap node; repeatable; replaces the built-in list; `none` disables it", Shared: true,
		value: func(v *Values) option.Value {
			return &option.List{To: &v.bootstrap, Arg: "HOST:PORT", Check: checkBootstrap}
		}},
	{Name: "no-dht", Help: "do not use the DHT",
		value: func(v *Values) option.Value { return &option.Bool{To: &v.Config.NoDHT} }},
	{Name: "dht-rate", Help: "send at most `N` DHT queries a second",
		value: func(v *Values) option.Value { return &option.Number{To: &v.Config.DHTRate, Min: 1, Also: 1} }},
	{Name: "dht-flows", Help: "query at most `N` DHT nodes in 30 seconds, to spare the router; -1: no limit",
		Manual: "maximum number of DHT nodes queried in 30 seconds, so that the connection table of a home router has room for other connections; -1 for no limit",
		value:  func(v *Values) option.Value { return &option.Number{To: &v.Config.DHTFlows, Min: 1, Also: -1} }},
	{Name: "dht-enforce-id", Help: "refuse DHT nodes whose id does not match their address (BEP 42)",
		value: func(v *Values) option.Value { return &option.Bool{To: &v.Config.EnforceID} }},
	live("up-limit"),
	live("down-limit"),
	live("torrent-up-limit"),
	live("torrent-down-limit"),
	live("connections"),
	live("upload-slots"),
	{Name: "memory", Help: "memory for the pieces of all torrents together",
		Manual: "piece buffers of all torrents together; at least 2M. Metadata is not included, and takes at most 64 MiB",
		value: func(v *Values) option.Value {
			return &option.MinSize{Size: (*option.Size)(&v.Config.Memory), Min: node.MinMemory}
		}},
	live("seed-ratio"),
	live("seed-idle"),
	live("seed-time"),
	{Name: "blocklist", Help: "`FILE` of addresses to block (CIDR, P2P or DAT, gzipped or not); repeatable", Live: true,
		Manual: "addresses that are neither dialled nor accepted: CIDR, ranges, PeerGuardian (P2P) or eMule (DAT), gzipped or not; repeatable; a line that cannot be parsed is an error",
		value:  func(v *Values) option.Value { return &option.List{To: &v.blocklists, Arg: "FILE", Check: checkPath} }},
	{Name: "encryption", Help: "encryption of peer connections; prefer also allows unencrypted ones",
		Manual: "encryption of peer connections (MSE). `prefer` (the default) dials without encryption and, if the peer closes the connection or sends no handshake within about 3 seconds, encrypted; it remembers which of the two worked, and accepts both. `require` dials and accepts RC4 only; `off` neither dials nor accepts encryption. It hides the traffic from simple filters; it provides neither confidentiality nor authentication",
		value:  func(v *Values) option.Value { return &v.encryption }},
	{Name: "utp", Help: "connect to peers over uTP (UDP) as well as TCP (BEP 29)",
		Manual: "connections to peers over uTP (BEP 29), which runs over UDP and yields to other traffic of the line. With `on` (the default), a peer is dialled over TCP and, if that does not answer at once, over uTP; what worked is remembered. On local networks TCP is preferred. With uTP, peers that cannot be dialled because they are behind routers are connected by a third peer that both are connected to (hole punching, BEP 55); that works unless a router uses another port for each destination, and not for private torrents. `off` neither dials nor accepts uTP",
		value:  func(v *Values) option.Value { return &v.utp }},
	{Name: "dscp", Help: "mark the packets of peer connections and the DHT: default, le (lower effort) or a number from 0 to 63",
		Manual: "mark the packets of peer connections and the DHT with this differentiated services code point: `default` (0), `le` (lower effort: routers that know it let all other traffic pass first, RFC 8622) or a number from 0 to 63",
		value:  func(v *Values) option.Value { return dscp{&v.Config.DSCP} }},
	live("super-seed"),
	live("lsd"),
	live("dial-back"),
	{Name: "no-web-seeds", Help: "do not fetch from HTTP mirrors that links and torrents name (BEP 19)",
		Manual: "do not fetch from the HTTP mirrors that links (`ws=`) and torrents name (BEP 19)",
		value:  func(v *Values) option.Value { return &option.Bool{To: &v.Config.NoWebSeeds} }},
	{Name: "local-web-seeds", Help: "fetch from HTTP mirrors at private and loopback addresses too",
		value: func(v *Values) option.Value { return &option.Bool{To: &v.Config.LocalWebSeeds} }},
	{Name: "store", Help: "the files are objects below `s3://BUCKET/PREFIX`", Shared: true,
		Manual: "the place in an object store (S3, R2, Ceph, SeaweedFS) that has the files: an object named NAME below it is the file of the torrent NAME, and objects named NAME/PATH are the files of a folder. Objects are read in blocks of about 8 MiB, which are verified and kept in `--cache`. They are written only by downloads into the store (`get --store`, `add --in-store`), and never replaced. Credentials are looked for where the AWS tools do: in the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`), in `~/.aws/credentials`, and in the role of the machine. See fleet.md",
		value:  func(v *Values) option.Value { return &storeLocation{&v.Store.Location} }},
	{Name: "cache", Help: "keep what was read from --store in `DIR` (default by XDG: ~/.cache/seedbed/store)", Shared: true,
		Manual: "keep what was read from `--store` in this folder (default `$XDG_CACHE_HOME/seedbed/store`, otherwise `~/.cache/seedbed/store`). One process uses it at a time",
		value:  func(v *Values) option.Value { return &option.Path{To: &v.Store.Cache, Arg: "DIR"} }},
	{Name: "cache-size", Help: "size of --cache (default: a tenth of the free space, at least 1G)", Shared: true,
		Manual: "size of `--cache`; the blocks that were not read for the longest time are deleted. The default is a tenth of the free space of its disk, and at least 1G",
		value: func(v *Values) option.Value {
			return &option.MinSize{Size: (*option.Size)(&v.Store.CacheSize), Min: s3store.MinCache}
		}},
	{Name: "store-endpoint", Help: "`URL` of the object store (default: $AWS_ENDPOINT_URL_S3, $AWS_ENDPOINT_URL, or Amazon S3)", Shared: true,
		Manual: "URL of the object store, such as `https://s3.example.org`. The default is that of the AWS tools: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or Amazon S3",
		value:  func(v *Values) option.Value { return &storeEndpoint{&v.Store.endpoint} }},
	{Name: "store-region", Help: "`REGION` of the bucket (default: $AWS_REGION, $AWS_DEFAULT_REGION, or what the store says)", Shared: true,
		Manual: "region of the bucket. The default is that of the AWS tools: `AWS_REGION`, `AWS_DEFAULT_REGION`, or what the store says",
		value:  func(v *Values) option.Value { return &option.Path{To: &v.Store.region, Arg: "REGION"} }},
	{Name: "store-style", Help: "where requests name the bucket: in the path or in the host", Shared: true,
		Manual: "where requests name the bucket: `path` is https://HOST/BUCKET, `host` is https://BUCKET.HOST, and `auto` (the default) is `host` for Amazon and others that are known for it, `path` for the rest",
		value:  func(v *Values) option.Value { return &v.Store.style }},
	{Name: "store-anonymous", Help: "read the object store without credentials, because it is public", Shared: true,
		value: func(v *Values) option.Value { return &option.Bool{To: &v.Store.Anonymous} }},
	{Name: "peer", Help: "`HOST:PORT` of a peer to try; repeatable",
		value: func(v *Values) option.Value {
			return &option.List{To: &v.Peers, Arg: "HOST:PORT", Check: option.CheckPeer}
		}},
	{Name: "timeout", Help: "give up after this long (90s, 2h) with exit code 2",
		Manual: "give up after this long (`90s`, `2h`): exit 2, or 9 if a full disk was the reason",
		value:  func(v *Values) option.Value { return option.Span{To: &v.Timeout} }},
	{Name: "state", Help: "state directory `DIR` (default by XDG: ~/.local/state/seedbed)", Shared: true,
		Manual: "state directory (default `$XDG_STATE_HOME/seedbed`, otherwise `~/.local/state/seedbed`)",
		value:  func(v *Values) option.Value { return &option.Path{To: &v.Config.State, Arg: "DIR"} }},
}

// live returns the description of a setting that can change while a node runs.
func live(name string) Setting { return ofDaemon(daemon.FindSetting(name)) }

func ofDaemon(d *daemon.Setting) Setting {
	return Setting{Name: d.Name, Letter: d.Letter, Help: d.Help, Manual: d.Manual, Live: true, value: func(v *Values) option.Value { return d.Value(&v.Live) }}
}

// device is a flag for the name of a network interface.
type device struct{ to *string }

// Type implements option.Value.
func (d *device) Type() string { return "NAME" }

// String implements option.Value.
func (d *device) String() string { return *d.to }

// Set implements option.Value. An empty name, as from a variable that is not set, must not mean every
// interface. A name with the other characters can never appear on Linux.
func (d *device) Set(name string) error {
	if name == "" || strings.ContainsAny(name, "/ \t\r\n") {
		return fmt.Errorf("%q is not the name of a network interface, such as wg0", name)
	}
	*d.to = name
	return nil
}

// dscp is a flag for node.Config.DSCP.
type dscp struct{ to *netx.DSCP }

// Type implements option.Value.
func (d dscp) Type() string { return "default|le|N" }

// String implements option.Value.
func (d dscp) String() string { return d.to.String() }

// Set implements option.Value.
func (d dscp) Set(text string) error {
	v, err := netx.ParseDSCP(text)
	if err == nil {
		*d.to = v
	}
	return err
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

// ofNode marks the flags of Table.
const ofNode = "seedbed_of_node"

// IsSetting reports whether a flag is a setting of a node.
func IsSetting(f *pflag.Flag) bool { return f.Annotations[ofNode] != nil }

// AddDaemon adds the flags of the settings that only a daemon has. The settings file has them in
// the table of its command.
func (v *Values) AddDaemon(fs *pflag.FlagSet) {
	for i := range daemon.Table {
		if d := &daemon.Table[i]; !d.Node {
			s := ofDaemon(d)
			v.add(fs, &s, false)
		}
	}
}

// AddAll adds the flags of all settings except some.
func (v *Values) AddAll(fs *pflag.FlagSet, except ...string) {
	for i := range Table {
		if !slices.Contains(except, Table[i].Name) {
			v.add(fs, &Table[i], true)
		}
	}
}

// Add adds the flags of the named settings, for a command that runs no node.
func (v *Values) Add(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		s := find(name)
		v.add(fs, s, s.Shared)
	}
}

func (v *Values) add(fs *pflag.FlagSet, s *Setting, fromFile bool) {
	f := fs.VarPF(s.value(v), s.Name, s.Letter, s.Help)
	if _, ok := f.Value.(*option.Bool); ok {
		f.NoOptDefVal = "true"
	}
	f.Annotations = map[string][]string{}
	if find(s.Name) != nil {
		f.Annotations[ofNode] = []string{s.Name}
	}
	if fromFile {
		f.Annotations[annotation] = []string{s.Name}
	}
	if s.Manual != "" {
		f.Annotations[manualText] = []string{s.Manual}
	}
}

// none stands for an empty list of bootstrap hosts.
const none = "none"

// checkBootstrap returns an error if v is neither "none" nor HOST:PORT.
func checkBootstrap(v string) error {
	if v == none {
		return nil
	}
	return option.CheckPeer(v)
}

// checkPath returns an error if v cannot be the name of a file.
func checkPath(v string) error {
	if v == "" {
		return errors.New("the name of the file is empty")
	}
	return nil
}

// Bootstrap returns the hosts for node.Config: nil for the built-in list, empty for none.
func (v *Values) Bootstrap() ([]string, error) {
	hosts := v.bootstrap
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

// PortMap returns the methods for node.Config.
func (v *Values) PortMap() node.PortMap {
	return node.PortMap(slices.Index(node.PortMapWords, v.portMap.Value))
}

// UTP reports whether uTP is on.
func (v *Values) UTP() bool { return v.utp.Value == "on" }

// State returns the state directory.
func (v *Values) State() string {
	if v.Config.State != "" {
		return v.Config.State
	}
	return filepath.Join(xdg.StateHome, "seedbed")
}

// Node returns the configuration of a node. It reads the blocklists.
func (v *Values) Node(ctx context.Context) (node.Config, error) {
	return v.node(ctx, userfile.AllowPipes)
}

func (v *Values) node(ctx context.Context, pipes userfile.Pipes) (cfg node.Config, err error) {
	cfg = v.Config
	cfg.State, cfg.Settings = v.State(), v.Live.Settings
	if cfg.Outbound, err = v.Outbound(); err != nil {
		return cfg, err
	}
	if cfg.Bootstrap, err = v.Bootstrap(); err != nil {
		return cfg, err
	}
	if cfg.Encryption, err = swarm.ParseEncryption(v.encryption.Value); err != nil {
		return cfg, err
	}
	cfg.UTP = v.UTP()
	cfg.PortMap, cfg.AnnouncePort = v.PortMap(), uint16(v.announcePort)
	cfg.Blocklist, err = readBlocklists(ctx, v.blocklists, pipes)
	return cfg, err
}
