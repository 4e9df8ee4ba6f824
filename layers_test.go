// Package seedbed_test checks the layers: which package may import which, directly
// and indirectly, and which packages are pure.
//
// layers_test.go parses every file, so it covers all platforms. layers_deps_test.go asks
// the go command for the indirect imports.
//
// A new package gets a row in the table packages, with the layer that its imports
// allow and one line on its purpose.
package seedbed_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "seedbed"

// top is the layer of scenarios and test networks. They may import every package,
// and only tests may import them.
const top = 100

// A pkg is the rules for one package.
type pkg struct {
	layer int
	pure  bool
	owns  string
	// peers are the packages of the same layer that this one may import.
	peers []string
	// testPeers are the packages of the same layer that only its tests may import.
	testPeers []string
	// third are the third-party packages that a pure package may import.
	third []string
}

const lru = "github.com/hashicorp/golang-lru/v2/simplelru"

var packages = map[string]pkg{
	"internal/bencode":  {layer: 0, pure: true, owns: "the bencode scanner and writer"},
	"internal/id":       {layer: 0, pure: true, owns: "identifiers and the XOR distance"},
	"internal/addrs":    {layer: 0, pure: true, owns: "compact addresses and special-purpose ranges"},
	"internal/bitset":   {layer: 0, pure: true, owns: "sets of small numbers"},
	"internal/excerpt":  {layer: 0, pure: true, owns: "shortening text for messages"},
	"internal/mono":     {layer: 0, pure: true, owns: "time as an argument"},
	"internal/fifo":     {layer: 0, pure: true, owns: "the one queue"},
	"internal/hashpair": {layer: 0, pure: true, owns: "two SHA-1 at once", third: []string{"github.com/klauspost/cpuid/v2"}},
	"internal/rate":     {layer: 0, pure: true, owns: "token buckets, averages and flows", peers: []string{"internal/mono"}, third: []string{lru}},
	"internal/traffic":  {layer: 0, owns: "counting bytes"},
	"internal/buf":      {layer: 0, owns: "the pool of piece buffers"},

	"internal/option":    {layer: 0, owns: "values with a text form: flags, settings, requests"},
	"internal/freespace": {layer: 0, owns: "the space of file systems"},
	"internal/statefile": {layer: 0, owns: "reading, replacing and locking files of a state directory"},
	"internal/userfile":  {layer: 0, owns: "reading files and pipes that a user names", peers: []string{"internal/statefile", "internal/await"}},
	"internal/await":     {layer: 0, owns: "waiting for a disk or for time, until a context ends"},
	"internal/journal":   {layer: 0, owns: "records by key in one file", peers: []string{"internal/id", "internal/statefile"}},

	"internal/sealed":       {layer: 1, pure: true, owns: "the format of private publications"},
	"magnet":                {layer: 1, pure: true, owns: "magnet links", peers: []string{"internal/sealed"}},
	"magnet/metainfo":       {layer: 1, pure: true, owns: "info dictionaries and their assembly", third: []string{"golang.org/x/text/..."}},
	"swarm/wire":            {layer: 1, pure: true, owns: "the peer wire messages"},
	"internal/socks5":       {layer: 1, pure: true, owns: "the client's part of SOCKS5"},
	"internal/blocklist":    {layer: 1, owns: "lists of unwanted addresses", third: []string{"github.com/gaissmai/bart", "go4.org/netipx"}},
	"internal/objectstore":  {layer: 1, owns: "the client of an S3 object store"},
	"internal/rendezvous":   {layer: 1, pure: true, owns: "which members of a fleet own what"},
	"internal/shaper":       {layer: 1, owns: "limits of rates"},
	"swarm/mse":             {layer: 1, owns: "the encryption of peer connections"},
	"internal/utp":          {layer: 1, pure: true, owns: "one uTP connection and its packets"},
	"internal/reachability": {layer: 1, pure: true, owns: "whether others can connect to us, judged from evidence"},
	"pex":                   {layer: 1, pure: true, owns: "peer exchange messages and limits"},
	"dht/krpc":              {layer: 1, pure: true, owns: "the KRPC view and the reply writer"},

	"dht/table":          {layer: 2, pure: true, owns: "the routing table"},
	"dht/lookup":         {layer: 2, pure: true, owns: "one iterative lookup"},
	"dht/store":          {layer: 2, pure: true, owns: "peer tables, items and tokens", third: []string{lru}},
	"magnet/mutable":     {layer: 2, pure: true, owns: "torrents that an item of the DHT names"},
	"magnet/delegation":  {layer: 3, pure: true, owns: "which items of several publishers count"},
	"internal/piecehash": {layer: 2, owns: "hashing pieces on all cores"},
	"swarm/engine":       {layer: 2, pure: true, owns: "one torrent's decisions"},

	"dht/respond":   {layer: 3, pure: true, owns: "what an inbound query does", third: []string{lru}},
	"dht/announce":  {layer: 3, pure: true, owns: "the announce scheduler"},
	"dht/bootstrap": {layer: 3, pure: true, owns: "the ring of verified nodes"},

	"swarm/webseed":  {layer: 4, owns: "HTTP servers as peers", testPeers: []string{"internal/netx"}},
	"swarm/peerconn": {layer: 4, owns: "one peer connection"},
	"swarm/storage":  {layer: 4, owns: "files and the resume record"},
	// It is a storage too, with its errors, and makes torrents as create does.
	"swarm/s3store": {layer: 4, owns: "files that are objects of a store", peers: []string{"swarm/storage", "swarm/create"}},
	// It reads folders as storage does: within them (os.Root), with its LRU and its errors.
	"swarm/create": {layer: 4, owns: "making torrents", peers: []string{"swarm/storage"}},
	// Its tests make the torrents of what it encrypts.
	"internal/sealedfs": {layer: 4, owns: "the encrypted copies of files that are published", testPeers: []string{"swarm/create"}},
	"internal/netx":     {layer: 4, owns: "the sockets"},
	"internal/lsd":      {layer: 4, owns: "local service discovery"},

	"internal/portmap/pcp": {layer: 1, pure: true, owns: "the messages of PCP and NAT-PMP"},
	"internal/portmap":     {layer: 4, owns: "ports mapped in routers: PCP, NAT-PMP, UPnP", peers: []string{"internal/netx"}},

	"internal/utpconn": {layer: 5, owns: "uTP connections on the sockets"},

	"dht":          {layer: 5, owns: "the UDP shell around the pure DHT packages"},
	"dht/bootnode": {layer: 5, owns: "the UDP shell around the ring: a public entry point"},
	"swarm":        {layer: 5, owns: "the torrent shell"},

	"node/lifecycle": {layer: 2, pure: true, owns: "the next step in the life of a torrent"},
	"node":           {layer: 6, owns: "the composition"},

	"node/delegate": {layer: 7, owns: "statements by which a key is delegated"},
	"node/publish":  {layer: 7, owns: "what is published under keys", peers: []string{"node/delegate"}},
	// Its tests publish what is followed.
	"node/follow":    {layer: 7, owns: "the newest version of what others publish", testPeers: []string{"node/delegate", "node/publish", "node/tree"}},
	"node/catalogue": {layer: 7, owns: "the torrents that an object store lists"},
	"node/pins":      {layer: 7, owns: "content of others that is kept alive within quotas", peers: []string{"node/follow"}, testPeers: []string{"node/publish"}},
	"node/keys":      {layer: 7, owns: "signing keys in files"},
	"node/names":     {layer: 7, owns: "domain names of publications, and the keys that are pinned for them"},
	"node/visit":     {layer: 7, owns: "short visits to the DHT"},
	"node/doctor":    {layer: 7, owns: "the diagnosis of what does not work", peers: []string{"node/visit"}},
	"node/view":      {layer: 7, owns: "the JSON objects of events and results"},
	"node/stream":    {layer: 7, owns: "a torrent's files over HTTP, while they come", peers: []string{"node/tree"}},
	"node/tree":      {layer: 7, owns: "the files of a version as its publisher named them"},

	"node/fleet": {layer: 7, owns: "several nodes over one object store"},

	"node/daemon/token":    {layer: 7, owns: "the tokens that give access to a daemon"},
	"node/daemon/fetch":    {layer: 7, owns: "downloads from the URLs that clients name"},
	"node/daemon/hook":     {layer: 7, owns: "commands and URLs that are told what happens"},
	"node/daemon/watch":    {layer: 7, owns: "files that appear in a folder"},
	"node/daemon/rss":      {layer: 7, owns: "torrents that feeds name", peers: []string{"node/daemon/fetch"}},
	"node/daemon/importer": {layer: 7, owns: "the sessions of other clients"},
	"node/gateway":         {layer: 8, owns: "publications for browsers"},
	"node/daemon":          {layer: 8, owns: "the operations of a node that runs as a service"},

	"node/api/metrics":      {layer: 9, owns: "the numbers of a daemon or a bootstrap node for Prometheus"},
	"node/api/guard":        {layer: 9, owns: "who may use the HTTP interfaces"},
	"node/api":              {layer: 9, owns: "REST and the event stream", peers: []string{"node/api/guard"}},
	"node/api/httpd":        {layer: 9, owns: "the HTTP server of a daemon", peers: []string{"node/api/guard"}},
	"node/api/transmission": {layer: 9, owns: "the RPC of Transmission", peers: []string{"node/api/guard"}},
	"node/api/qbittorrent":  {layer: 9, owns: "the WebAPI of qBittorrent", peers: []string{"node/api/guard"}},
	"node/web":              {layer: 9, owns: "the web page"},
	"node/api/client":       {layer: 9, owns: "a client of REST", peers: []string{"node/api"}},

	"cmd/seedbed/settings": {layer: 10, owns: "the settings of a node as flags, environment and settings file"},
	"cmd/seedbed/report":   {layer: 10, owns: "what the terminal, a log file and a script read"},
	"cmd/seedbed/hook":     {layer: 10, owns: "the command of --on-complete"},
	"cmd/seedbed/version":  {layer: 10, owns: "the name of the release"},
	"cmd/seedbed/process":  {layer: 10, owns: "SIGHUP, the service manager and the memory limit"},
	"cmd/seedbed/exit":     {layer: 11, owns: "exit codes, and errors with advice"},
	"cmd/seedbed/argument": {layer: 12, owns: "links, .torrent files and URLs as a user gives them"},
	"cmd/seedbed/app":      {layer: 13, owns: "what every command shares: output, settings, flags, a node"},
	"cmd/seedbed/query":    {layer: 14, owns: "a command's visit to the DHT"},
	"cmd/seedbed/session":  {layer: 14, owns: "a command's torrents until its goal is reached"},
	"cmd/seedbed/making":   {layer: 14, owns: "making torrents: flags, progress, links"},
	"cmd/seedbed/manpage":  {layer: 14, owns: "the manual pages of the commands"},

	"cmd/seedbed/torrentcmd": {layer: 15, owns: "get, seed, stream, create, check and show", peers: []string{"cmd/seedbed/handover", "cmd/seedbed/remotecmd"}},
	// Publishing without a key is seeding.
	"cmd/seedbed/pubcmd": {layer: 15, owns: "publish, follow and key", peers: []string{"cmd/seedbed/handover", "cmd/seedbed/remotecmd", "cmd/seedbed/torrentcmd"}},
	// token works with the running daemon if there is one.
	"cmd/seedbed/daemoncmd":    {layer: 15, owns: "daemon and token", peers: []string{"cmd/seedbed/remotecmd"}},
	"cmd/seedbed/gatewaycmd":   {layer: 15, owns: "gateway"},
	"cmd/seedbed/pincmd":       {layer: 15, owns: "pin", peers: []string{"cmd/seedbed/handover", "cmd/seedbed/remotecmd"}},
	"cmd/seedbed/cataloguecmd": {layer: 15, owns: "catalogue", peers: []string{"cmd/seedbed/remotecmd"}},
	"cmd/seedbed/fleetcmd":     {layer: 15, owns: "fleet", peers: []string{"cmd/seedbed/remotecmd"}},
	"cmd/seedbed/importcmd":    {layer: 15, owns: "import", peers: []string{"cmd/seedbed/remotecmd"}},
	"cmd/seedbed/opencmd":      {layer: 15, owns: "open", peers: []string{"cmd/seedbed/remotecmd"}},
	"cmd/seedbed/handover":     {layer: 15, owns: "what a daemon does in place of a command", peers: []string{"cmd/seedbed/remotecmd"}},
	"cmd/seedbed/remotecmd":    {layer: 15, owns: "the commands that control a daemon"},
	"cmd/seedbed/dhtcmd":       {layer: 15, owns: "dht, bootstrap and doctor", peers: []string{"cmd/seedbed/handover", "cmd/seedbed/remotecmd"}},
	"cmd/seedbed/demo":         {layer: 15, owns: "the demonstration"},
	"cmd/seedbed":              {layer: 16, owns: "the command line as a whole"},

	"internal/simnet": {layer: top, owns: "the in-memory network and disk"},
	// Modules of their own: what the packages are made with, and what tests connect to, is no
	// dependency of the program.
	"packaging":                {layer: top, owns: "making the packages"},
	"integration/peers/libutp": {layer: top, owns: "the uTP connections of libutp, for the tests", third: []string{"github.com/anacrolix/go-libutp"}},

	"internal/sockstest": {layer: top, owns: "a SOCKS5 proxy for tests"},
	"internal/s3test":    {layer: top, owns: "object stores with faults for tests"},
	"internal/dnstest":   {layer: top, owns: "DNS servers for tests"},
	"internal/filetest":  {layer: top, owns: "folders of files for tests"},
	"internal/nodetest":  {layer: top, owns: "whole nodes on the in-memory network, for tests"},
	"internal/vt":        {layer: top, owns: "the terminal that tests look at"},
	"internal/udpload":   {layer: top, owns: "the load and the echo that UDP servers are measured with"},
	"integration":        {layer: top, owns: "scenarios with real clients"},
}

type owner struct {
	pkg, why string
	alone    bool   // the rule does not apply to the packages below mod in the tree
	tree     bool   // the packages below pkg in the tree may import it too
	via      string // a third-party package that imports it too, without using it in what we call
}

// owns reports whether the package in dir may import it.
func (o owner) owns(dir string) bool {
	return o.pkg == dir || o.tree && strings.HasPrefix(dir, o.pkg+"/")
}

// covers reports whether the rule for mod applies to an import.
func (o owner) covers(mod, imp string) bool {
	return imp == mod || !o.alone && strings.HasPrefix(imp, mod+"/")
}

// owners maps third-party packages to the only package of ours that may import them. If
// that is empty, only tests may.
var owners = map[string]owner{
	"github.com/anacrolix/dht/v2":         {pkg: "", why: "its Server must not face the network, and our queries have one way out", alone: true},
	"github.com/anacrolix/dht/v2/krpc":    {pkg: "dht", why: "it brings in net/http: the pure packages of the DHT have a codec of their own"},
	"github.com/anacrolix/dht/v2/bep44":   {pkg: "dht", why: "items are signed and verified where they are put and found"},
	"github.com/anacrolix/dht/v2/int160":  {pkg: "dht", why: "internal/id is the identifier of every other package"},
	"github.com/huin/goupnp":              {pkg: "internal/portmap", why: "one package asks routers, with limits on what they answer"},
	"github.com/minio/minio-go/v7":        {pkg: "internal/objectstore", why: "one package speaks to object stores, with limits on what they answer"},
	"github.com/johannesboyne/gofakes3":   {pkg: "internal/s3test", why: "its object store is for tests"},
	"github.com/hashicorp/memberlist":     {pkg: "node/fleet", why: "one package knows the members of a fleet, with limits on what they send"},
	"github.com/libp2p/go-reuseport":      {pkg: "internal/netx", why: "netx owns the sockets, so that there is one port and one demultiplexer"},
	"github.com/spf13/cobra":              {pkg: "cmd/seedbed", tree: true, why: "the command line is the terminal's business; below it are Config structs"},
	"github.com/prometheus/client_golang": {pkg: "node/api/metrics", why: "packages count in plain numbers; only one exposes them"},
	"github.com/danielgtaylor/huma/v2":    {pkg: "node/api", why: "OpenAPI and validation belong to REST; operations are plain Go"},
	"github.com/tmaxmax/go-sse":           {pkg: "node/api/client", why: "only a client reads the event stream"},
	"github.com/coreos/go-systemd/v22":    {pkg: "cmd/seedbed/daemoncmd", why: "only a service takes sockets from systemd"},
	"github.com/pelletier/go-toml/v2":     {pkg: "cmd/seedbed/settings", why: "one place reads the settings file"},
	"github.com/fsnotify/fsnotify":        {pkg: "node/daemon/watch", why: "one package watches folders that a person fills"},
	"github.com/mmcdole/gofeed":           {pkg: "node/daemon/rss", why: "one package reads feeds"},
	"github.com/gofrs/flock":              {pkg: "internal/statefile", why: "one place knows how the files of a state directory are locked"},
	"golang.org/x/term":                   {pkg: "cmd/seedbed/report", why: "only the terminal asks what the terminal can do"},
	"github.com/rogpeppe/go-internal":     {pkg: "", why: "its test scripts are for tests"},
	"github.com/google/jsonschema-go":     {pkg: "", why: "it makes schemas by reflection: it is for tests"},
	"github.com/google/go-cmp/cmp":        {pkg: "", why: "it panics by design on what it cannot compare: it is for tests"},
	"github.com/miekg/dns":                {pkg: "", via: "github.com/hashicorp/memberlist", why: "its DNS servers are for tests; queries are written and read with golang.org/x/net/dns/dnsmessage"},
	"go.uber.org/goleak":                  {pkg: "", why: "it inspects all goroutines: it is for tests"},
	"pgregory.net/rapid":                  {pkg: "", why: "it generates inputs: it is for tests"},
}

// impure lists the packages of the standard library ("/..." includes subpackages) that a
// pure package must not import, and why.
var impure = map[string]string{
	"net":           "sockets belong to internal/netx; addresses are netip.AddrPort",
	"net/...":       "sockets belong to internal/netx; addresses are netip.AddrPort",
	"os":            "files and environment belong to swarm/storage and node",
	"os/...":        "processes and signals belong to cmd/seedbed",
	"io/ioutil":     "files belong to swarm/storage",
	"io/fs":         "files belong to swarm/storage",
	"path/filepath": "paths of the machine belong to swarm/storage; paths inside a torrent are component lists",
	"syscall":       "the kernel belongs to internal/netx and swarm/storage",
	"runtime/...":   "the scheduler and its measurements belong to the shells",
	"runtime":       "the scheduler and its measurements belong to the shells",
	"sync":          "a pure package is called by one goroutine at a time; locks belong to its shell",
	"sync/...":      "a pure package is called by one goroutine at a time; atomics belong to its shell",
	"context":       "nothing here waits, so there is nothing to cancel",
	"log":           "a pure package returns what happened; its shell logs it",
	"log/...":       "a pure package returns what happened; its shell logs it",
	"crypto/rand":   "randomness is an argument, so that the same seed gives the same run",
	"crypto/tls":    "sockets belong to internal/netx",
	"crypto/x509":   "it reads the machine's certificates",
	"hash/maphash":  "its seed is random per process, so runs would differ",
	"embed":         "data of a pure package is Go source",
	"testing":       "test helpers belong to _test.go files",
}

// allowed lists exceptions to impure.
var allowed = []string{"net/netip"}

// impureNames lists the forbidden functions of packages that are otherwise allowed.
var impureNames = map[string]struct {
	names []string
	but   bool // forbids all functions except these
	why   string
}{
	"time": {names: []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Timer", "Ticker", "Local", "LoadLocation"},
		why: "time is an argument (mono.Time) and deadlines are returned, so that tests own the clock"},
	"math/rand": {names: []string{"New", "NewSource", "NewZipf", "Rand", "Source", "Source64", "Zipf"}, but: true,
		why: "the global generator differs at each run: take a *rand.Rand"},
	"math/rand/v2": {names: []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}, but: true,
		why: "the global generator differs at each run: take a *rand.Rand"},
	"fmt": {names: []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
		why: "the terminal belongs to cmd/seedbed"},
}

// separate packages do not import one another although their layers would allow it.
var separate = []string{"dht", "swarm", "pex"}

// TestLayers checks every import against the table.
func TestLayers(t *testing.T) {
	for dir, files := range sources(t) {
		t.Run(dir, func(t *testing.T) {
			r, known := packages[dir]
			if !known && dir != "." {
				t.Fatalf("package %s is not in the table of packages in layers_test.go: give it the layer that its imports allow "+
					"and say what it owns, or put the code in a package that exists", dir)
			}
			if dir == "." { // the root holds only tests of the whole module
				r = pkg{layer: top}
			}
			for _, f := range files {
				for _, v := range edges(dir, r, f) {
					t.Error(v)
				}
				if r.pure && !f.test {
					for _, v := range impurities(dir, r, f) {
						t.Error(v)
					}
				}
			}
		})
	}
}

// TestPackageComments checks that every package has a package comment.
func TestPackageComments(t *testing.T) {
	for dir, files := range sources(t) {
		documented, code := false, false
		for _, f := range files {
			code = code || !f.test
			if d := f.ast.Doc; d != nil && (!f.test || dir == "." || allTests(files)) {
				want := "Package " + f.ast.Name.Name + " "
				if f.ast.Name.Name == "main" {
					want = ""
				}
				documented = documented || strings.HasPrefix(d.Text(), want)
			}
		}
		if !documented && (code || allTests(files)) {
			t.Errorf("package %s has no package comment: say what it owns, what it never does, its units and its errors "+
				"(\"Package %s …\")", dir, path.Base(dir))
		}
	}
}

func allTests(files []source) bool {
	return !slices.ContainsFunc(files, func(f source) bool { return !f.test })
}

type source struct {
	name string // relative to the root, with slashes
	test bool
	fset *token.FileSet
	ast  *ast.File
}

func (s source) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(p).Line)
}

// sources parses every Go file of the module, by directory.
func sources(t *testing.T) map[string][]source {
	t.Helper()
	all := map[string][]source{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || base[0] == '.' || base[0] == '_' {
			return nil
		}
		s := source{name: filepath.ToSlash(name), test: strings.HasSuffix(base, "_test.go"), fset: token.NewFileSet()}
		if s.ast, err = parser.ParseFile(s.fset, name, nil, parser.ParseComments); err != nil {
			return err
		}
		dir := path.Dir(s.name)
		all[dir] = append(all[dir], s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// edges returns the imports of f that the layers forbid, each with the reason.
func edges(dir string, r pkg, f source) (bad []string) {
	for _, spec := range f.ast.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		say := func(format string, args ...any) {
			bad = append(bad, fmt.Sprintf("%s: %s imports %s: %s", f.at(spec.Pos()), dir, imp, fmt.Sprintf(format, args...)))
		}
		for mod, o := range owners {
			if !f.test && r.layer != top && !o.owns(dir) && o.covers(mod, imp) {
				if o.pkg == "" {
					say("%s", o.why)
				} else {
					say("%s alone knows it: %s", o.pkg, o.why)
				}
			}
		}
		to, inside := strings.CutPrefix(imp, module+"/")
		if !inside || to == dir {
			continue
		}
		target, known := packages[to]
		switch {
		case !known:
			say("that package is not in the table of packages")
		case r.layer == top || slices.Contains(r.peers, to):
		case f.test && (target.layer == top || slices.Contains(r.testPeers, to)):
		case target.layer == top:
			say("it is for tests; what a user runs does not carry it")
		case keptApart(dir, to):
			say("dht, swarm and pex do not know one another: node introduces them, and turns what one finds into the " +
				"engine's Candidate, so that each can be read, tested and used alone (the engine alone uses pex, as a codec)")
		case target.layer == r.layer:
			say("both are of layer %d, and packages of one layer do not import each other: "+
				"let a package above introduce them, or move what they share below", r.layer)
		case target.layer > r.layer:
			say("a package of layer %d imports lower layers only, and that is layer %d (%s): "+
				"take what you need as an argument or return what the upper package should do", r.layer, target.layer, target.owns)
		case r.pure && !target.pure:
			say("%s is pure and imports pure packages only; %s is not (%s)", dir, to, target.owns)
		}
	}
	return bad
}

func keptApart(from, to string) bool {
	a, b := groupOf(from), groupOf(to)
	return a != b && slices.Contains(separate, a) && slices.Contains(separate, b) && !(from == "swarm/engine" && to == "pex")
}

// groupOf returns the top-level folder of a package.
func groupOf(dir string) string {
	group, _, _ := strings.Cut(dir, "/")
	return group
}

// impurities returns the uses in f of what pure packages must not use.
func impurities(dir string, r pkg, f source) (bad []string) {
	say := func(p token.Pos, what, why string) {
		bad = append(bad, fmt.Sprintf("%s: %s is pure, but %s: %s", f.at(p), dir, what, why))
	}
	local := map[string]string{} // name in this file -> import path
	for _, spec := range f.ast.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(imp)
		if imp == "math/rand/v2" {
			name = "rand"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = imp
		switch first, _, _ := strings.Cut(imp, "/"); {
		case name == "." && first != module:
			say(spec.Pos(), "imports "+imp+" with a dot", "names must say where they come from for this test to work")
		case first == module || slices.Contains(allowed, imp):
		case strings.Contains(first, "."):
			if !slices.ContainsFunc(r.third, func(p string) bool { return covers(p, imp) }) {
				say(spec.Pos(), "imports "+imp, "a pure package imports the third-party packages that the table lists, which have neither lock nor clock")
			}
		default:
			for _, p := range slices.Sorted(maps.Keys(impure)) {
				if covers(p, imp) {
					say(spec.Pos(), "imports "+imp, impure[p])
					break
				}
			}
		}
	}
	const noConcurrency = "concurrency belongs to the shell; here one caller steps, drains and asks for the deadline"
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			say(n.Pos(), "starts a goroutine", noConcurrency)
		case *ast.ChanType:
			say(n.Pos(), "has a channel", noConcurrency)
		case *ast.SendStmt:
			say(n.Pos(), "sends on a channel", noConcurrency)
		case *ast.SelectStmt:
			say(n.Pos(), "selects over channels", noConcurrency)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				say(n.Pos(), "receives from a channel", noConcurrency)
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok || x.Obj != nil { // Obj: a local variable hides the import
				break
			}
			if rule, ok := impureNames[local[x.Name]]; ok && slices.Contains(rule.names, n.Sel.Name) != rule.but {
				say(n.Pos(), "uses "+local[x.Name]+"."+n.Sel.Name, rule.why)
			}
		}
		return true
	})
	return bad
}

func covers(pattern, imp string) bool {
	if p, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(imp, p+"/")
	}
	return pattern == imp
}

// TestTheRulesCatch checks that the rules catch violations in snippets.
func TestTheRulesCatch(t *testing.T) {
	for _, c := range []struct{ dir, src, want string }{
		{"swarm/wire", `import "seedbed/swarm"`, "lower layers only"},
		{"swarm/wire", `import "seedbed/pex"`, "do not know one another"},
		{"swarm/engine", `import "seedbed/pex"`, ""},
		{"swarm", `import "seedbed/pex"`, "do not know one another"},
		{"dht", `import "seedbed/swarm/wire"`, "do not know one another"},
		{"swarm", `import "seedbed/swarm/engine"`, ""},
		{"magnet", `import "seedbed/dht/krpc"`, "packages of one layer"},
		{"internal/rate", `import "seedbed/internal/mono"`, ""},
		{"magnet", `import "seedbed/internal/buf"`, "imports pure packages only"},
		{"node", `import "seedbed/integration"`, "for tests"},
		{"node", `import "seedbed/attic"`, "not in the table"},
		{"integration", `import "seedbed/dht"`, ""},
		{"node", `import "github.com/anacrolix/dht/v2/krpc"`, "dht alone knows it"},
		{"dht", `import "github.com/anacrolix/dht/v2/krpc"`, ""},
		{"dht", `import "github.com/anacrolix/dht/v2"`, "must not face the network"},
		{"dht/krpc", `import "github.com/anacrolix/dht/v2/krpc"`, "the table lists"},
		{"cmd/seedbed/app", `import "github.com/spf13/cobra"`, ""},
		{"node", `import "github.com/spf13/cobra"`, "cmd/seedbed alone knows it"},
		{"dht/store", `import "github.com/hashicorp/golang-lru/v2/simplelru"`, ""},
		{"dht/krpc", `import "github.com/anacrolix/dht/v2/krpc"`, "dht alone knows it"},
		{"pex", `import "net/netip"`, ""},
		{"pex", `import "net"`, "sockets belong"},
		{"pex", `import "net/http"`, "sockets belong"},
		{"pex", `import "sync/atomic"`, "atomics belong"},
		{"pex", `import "golang.org/x/text/unicode/norm"`, "the table lists"},
		{"magnet/metainfo", `import "golang.org/x/text/unicode/norm"`, ""},
		{"pex", `import "time"; var t = time.Second`, ""},
		{"pex", `import "time"; var t = time.Now()`, "time is an argument"},
		{"pex", `import clock "time"; var t = clock.Since`, "time is an argument"},
		{"pex", `import "math/rand/v2"; var r = rand.New(rand.NewPCG(1, 2))`, ""},
		{"pex", `import "math/rand/v2"; var r = rand.IntN(4)`, "take a *rand.Rand"},
		{"pex", `import "math/rand/v2"; func f(rand *rand.Rand) int { return rand.IntN(4) }`, ""},
		{"pex", `import . "time"`, "with a dot"},
		{"pex", `func f() { go f() }`, "starts a goroutine"},
		{"pex", `func f(c chan int) int { return 0 }`, "has a channel"},
		{"dht", `import "time"; var t = time.Now()`, ""},
	} {
		s := source{name: c.dir + "/x.go", fset: token.NewFileSet()}
		var err error
		if s.ast, err = parser.ParseFile(s.fset, "x.go", "package x; "+c.src, 0); err != nil {
			t.Fatal(c.src, err)
		}
		bad := edges(c.dir, packages[c.dir], s)
		if packages[c.dir].pure {
			bad = append(bad, impurities(c.dir, packages[c.dir], s)...)
		}
		got := strings.Join(bad, "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s with %s\n got %q\nwant %q", c.dir, c.src, got, c.want)
		}
	}
}
