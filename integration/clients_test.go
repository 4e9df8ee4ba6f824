//go:build linux

package integration

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client is a BitTorrent client that is not ours.
type client interface {
	name() string
	// missing says why it cannot run here; "" if it can.
	missing() string
	// start runs it at ip:6881 with the DHT entered at the given nodes; no
	// DHT without them.
	start(t scope, ip string, dht []string) daemon
}

// daemon is a client that runs. It does one torrent in its life.
type daemon interface {
	// seed shares p's own data and returns when all of it is verified.
	seed(ctx context.Context, p *payload)
	// leech opens a magnet link and returns at once.
	leech(ctx context.Context, magnet, dir string)
	// done returns when all is downloaded and verified.
	done(ctx context.Context)
}

func command(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Sprintf("there is no %s command (`make peers` installs it)", name)
	}
	return ""
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// ---- libtorrent

type libtorrent struct{}

//go:embed peers/libtorrent_peer.py
var libtorrentScript string

// libtorrentPath is where the script was written for Python to read.
var libtorrentPath = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), "libtorrent_peer.py")
	return path, os.WriteFile(path, []byte(libtorrentScript), 0o644)
})

const systemPython = "/usr/bin/python3" // the one that Debian's packages are for

func (libtorrent) name() string { return "libtorrent" }

func (libtorrent) missing() string {
	if exec.Command(systemPython, "-c", "import libtorrent").Run() != nil {
		return "there is no libtorrent for " + systemPython + " (`make peers` installs it)"
	}
	return ""
}

func (libtorrent) start(t scope, ip string, dht []string) daemon {
	return &libtorrentDaemon{t: t, settings: map[string]any{"listen": []string{endpoint(ip)}, "dht": dht}}
}

// with starts it with settings of the script that the interface does not know.
func (libtorrent) with(t scope, ip string, dht []string, more map[string]any) *libtorrentDaemon {
	d := libtorrent{}.start(t, ip, dht).(*libtorrentDaemon)
	for k, v := range more {
		d.settings[k] = v
	}
	return d
}

type libtorrentDaemon struct {
	t        scope
	settings map[string]any
	*process
	seen  map[string]int
	peers map[string]bool // address -> known through PEX
}

func (d *libtorrentDaemon) run() {
	d.t.Helper()
	d.seen = map[string]int{}
	script, err := libtorrentPath()
	if err != nil {
		d.t.Fatalf("%v", err)
		return
	}
	d.process = start(d.t, "libtorrent", func(p *process, line string) {
		var e struct {
			Event string
			Peers [][2]any
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			return
		}
		p.logf(line)
		d.seen[e.Event]++
		if e.Event == "peers" {
			d.peers = map[string]bool{}
			for _, p := range e.Peers {
				d.peers[p[0].(string)] = p[1].(bool)
			}
		}
	}, systemPython, script, encode(d.settings))
}

func (d *libtorrentDaemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	d.settings["torrent"], d.settings["dir"] = p.torrent, p.parent
	d.run()
	d.event(ctx, "ready")
}

func (d *libtorrentDaemon) leech(ctx context.Context, magnet, dir string) {
	d.settings["magnet"], d.settings["dir"] = magnet, dir
	d.run()
}

func (d *libtorrentDaemon) done(ctx context.Context) { d.t.Helper(); d.event(ctx, "finished") }

func (d *libtorrentDaemon) event(ctx context.Context, name string) {
	d.t.Helper()
	d.until(ctx, name, func() bool { return d.seen[name] > 0 })
}

// limit sets the torrent's rates in bytes a second; 0 is none.
func (d *libtorrentDaemon) limit(ctx context.Context, up, down int) {
	d.t.Helper()
	d.mu.Lock()
	n := d.seen["limited"]
	d.mu.Unlock()
	fmt.Fprintln(d.in, encode(map[string]int{"up": up, "down": down}))
	d.until(ctx, "the new limits", func() bool { return d.seen["limited"] > n })
}

// ---- transmission

type transmission struct{}

func (transmission) name() string { return "transmission" }

func (transmission) missing() string { return command("transmission-daemon") }

type transmissionDaemon struct {
	*process
	url, session string
}

func (transmission) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	conf := tempDir(t)
	v4, v6 := ip, "::1"
	if strings.Contains(ip, ":") {
		v4, v6 = "127.0.0.1", ip
	}
	must(t, os.WriteFile(filepath.Join(conf, "settings.json"), []byte(encode(map[string]any{
		"bind-address-ipv4": v4, "bind-address-ipv6": v6, "peer-port": 6881,
		"dht-enabled": len(dht) > 0, "lpd-enabled": false, "pex-enabled": true, "utp-enabled": false,
		"port-forwarding-enabled": false, "encryption": 0, "blocklist-enabled": false,
		"rpc-bind-address": ip, "rpc-port": 9091, "rpc-whitelist-enabled": false,
		"rpc-host-whitelist-enabled": false, "rpc-authentication-required": false,
		"download-queue-enabled": false, "seed-queue-enabled": false, "ratio-limit-enabled": false,
		"idle-seeding-limit-enabled": false, "start-added-torrents": true, "rename-partial-files": true,
		"message-level": 3, "preallocation": 0, "umask": 18,
	})), 0o644))
	// It says 'broken' and asks nobody until it has about ten good nodes, and
	// pings those of this file one after the other.
	must(t, os.WriteFile(filepath.Join(conf, "dht.bootstrap"), []byte(strings.ReplaceAll(strings.Join(dht, "\n"), ":", " ")+"\n"), 0o644))
	return &transmissionDaemon{
		process: start(t, "transmission", nil, "transmission-daemon", "-f", "-g", conf),
		url:     "http://" + net.JoinHostPort(ip, "9091") + "/transmission/rpc",
	}
}

func (d *transmissionDaemon) call(ctx context.Context, method string, args, result any) error {
	body := encode(map[string]any{"method": method, "arguments": args})
	for range 2 {
		q, _ := http.NewRequestWithContext(ctx, "POST", d.url, strings.NewReader(body))
		q.Header.Set("X-Transmission-Session-Id", d.session)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return err
		}
		if r.StatusCode == http.StatusConflict {
			d.session = r.Header.Get("X-Transmission-Session-Id")
			continue
		}
		var answer struct {
			Result    string
			Arguments json.RawMessage
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			return fmt.Errorf("%s: %w: %s", r.Status, err, b)
		}
		if answer.Result != "success" {
			return errors.New(answer.Result)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(answer.Arguments, result)
	}
	return errors.New("no session id")
}

func (d *transmissionDaemon) add(ctx context.Context, torrent, dir string) {
	d.t.Helper()
	var last error
	d.poll(ctx, "transmission's RPC", func() bool {
		last = d.call(ctx, "torrent-add", map[string]any{"filename": torrent, "download-dir": dir}, nil)
		var refused *net.OpError
		return last == nil || !errors.As(last, &refused)
	})
	if last != nil {
		d.t.Fatalf("torrent-add: %v", last)
	}
}

func (d *transmissionDaemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	d.add(ctx, p.torrent, p.parent)
	d.done(ctx)
}

func (d *transmissionDaemon) leech(ctx context.Context, magnet, dir string) {
	d.t.Helper()
	d.add(ctx, magnet, dir)
}

func (d *transmissionDaemon) done(ctx context.Context) {
	d.t.Helper()
	d.poll(ctx, "transmission to have all", func() bool {
		var r struct {
			Torrents []struct {
				MetadataPercentComplete float64
				HaveValid, SizeWhenDone int64
				Status, Error           int
				ErrorString             string
			}
		}
		fields := []string{"metadataPercentComplete", "haveValid", "sizeWhenDone", "status", "error", "errorString"}
		if err := d.call(ctx, "torrent-get", map[string]any{"fields": fields}, &r); err != nil || len(r.Torrents) != 1 {
			return false
		}
		s := r.Torrents[0]
		if s.Error == 3 {
			d.t.Fatalf("%v", s.ErrorString)
		}
		return s.MetadataPercentComplete == 1 && s.SizeWhenDone > 0 && s.HaveValid == s.SizeWhenDone && s.Status >= 5
	})
}

// ---- aria2

type aria2 struct{}

func (aria2) name() string { return "aria2" }

func (aria2) missing() string { return command("aria2c") }

type aria2Daemon struct {
	*process
	url, gid string
}

func (aria2) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	rpc := ownPort()
	argv := []string{"aria2c", "--no-conf=true", "--enable-rpc=true", "--rpc-listen-port=" + rpc, "--console-log-level=notice",
		"--show-console-readout=false", "--summary-interval=0", "--interface=" + ip, "--listen-port=6881", "--dht-listen-port=6881",
		"--bt-enable-lpd=false", "--enable-peer-exchange=true", "--bt-min-crypto-level=plain", "--bt-require-crypto=false",
		"--seed-ratio=0.0", "--bt-max-peers=0", "--file-allocation=none", "--check-integrity=true",
		"--bt-request-peer-speed-limit=0", "--max-overall-upload-limit=0", "--auto-save-interval=0",
		"--enable-dht=" + fmt.Sprint(len(dht) > 0), "--enable-dht6=false", "--dht-file-path=" + filepath.Join(tempDir(t), "dht.dat")}
	if len(dht) > 0 {
		argv = append(argv, "--dht-entry-point="+dht[0])
	}
	return &aria2Daemon{process: start(t, "aria2", nil, argv...), url: "http://127.0.0.1:" + rpc + "/jsonrpc"}
}

func (d *aria2Daemon) call(ctx context.Context, method string, result any, params ...any) error {
	body := encode(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "aria2." + method, "params": params})
	q, _ := http.NewRequestWithContext(ctx, "POST", d.url, strings.NewReader(body))
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer := struct {
		Error  *struct{ Message string }
		Result any
	}{Result: result}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(answer.Error.Message)
	}
	return nil
}

func (d *aria2Daemon) add(ctx context.Context, method string, params ...any) {
	d.t.Helper()
	var last error
	d.poll(ctx, "aria2's RPC", func() bool {
		last = d.call(ctx, method, &d.gid, params...)
		var refused *net.OpError
		return last == nil || !errors.As(last, &refused)
	})
	if last != nil {
		d.t.Fatalf("%s: %v", method, last)
	}
}

func (d *aria2Daemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	b, err := os.ReadFile(p.torrent)
	must(d.t, err)
	d.add(ctx, "addTorrent", base64.StdEncoding.EncodeToString(b), []string{}, map[string]string{"dir": p.parent})
	d.done(ctx)
}

func (d *aria2Daemon) leech(ctx context.Context, magnet, dir string) {
	d.t.Helper()
	d.add(ctx, "addUri", []string{magnet}, map[string]string{"dir": dir})
}

func (d *aria2Daemon) done(ctx context.Context) {
	d.t.Helper()
	d.poll(ctx, "aria2 to have all", func() bool {
		var s struct {
			Status, CompletedLength, TotalLength, Seeder, ErrorMessage string
			FollowedBy                                                 []string
		}
		if d.call(ctx, "tellStatus", &s, d.gid) != nil {
			return false
		}
		if s.Status == "error" {
			d.t.Fatalf("%v", s.ErrorMessage)
		}
		if len(s.FollowedBy) > 0 { // the magnet gave way to the real download
			d.gid = s.FollowedBy[0]
			return false
		}
		return s.Seeder == "true" && s.TotalLength != "0" && s.CompletedLength == s.TotalLength
	})
}

// ---- rtorrent

type rtorrent struct{}

func (rtorrent) name() string { return "rtorrent" }

func (rtorrent) missing() string { return command("rtorrent") }

// rtorrentDaemon finds nobody by itself: version 0.9.8 reads the peers that
// the DHT tells two bytes off and dials 54.58.x.y ("6:" is 54 58). It announces
// itself well, and peers that dial it are welcome; one that does not must be
// told to it.
type rtorrentDaemon struct {
	*process
	socket   string
	dht      bool
	infohash string
	peer     string // told every few seconds, for rtorrent forgets
}

func (rtorrent) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	home := tempDir(t)
	d := &rtorrentDaemon{socket: filepath.Join(home, "rpc"), dht: len(dht) > 0}
	rc := fmt.Sprintf(`
system.daemon.set = true
session.path.set = %[1]s
directory.default.set = %[1]s
network.scgi.open_local = %[2]s
network.bind_address.set = %[3]s
network.port_range.set = 6881-6881
network.port_random.set = no
protocol.encryption.set = none
protocol.pex.set = yes
trackers.enable = 1
trackers.use_udp.set = no
dht.port.set = 6881
dht.mode.set = %[4]s
pieces.hash.on_completion.set = no
log.open_file = "log", (cat, "/dev/stderr")
log.add_output = "info", "log"
`, home, d.socket, ip, map[bool]string{true: "on", false: "disable"}[len(dht) > 0])
	for i, n := range dht {
		rc += fmt.Sprintf("schedule2 = node%d, 1, 20, \"dht.add_node=%s\"\n", i, n)
	}
	path := filepath.Join(home, "rc")
	must(t, os.WriteFile(path, []byte(rc), 0o644))
	d.process = start(t, "rtorrent", nil, "rtorrent", "-n", "-o", "import="+path)
	return d
}

// call does one XML-RPC call with string arguments over SCGI.
func (d *rtorrentDaemon) call(method string, args ...string) (string, error) {
	var body bytes.Buffer
	body.WriteString("<?xml version=\"1.0\"?><methodCall><methodName>" + method + "</methodName><params>")
	for _, a := range args {
		body.WriteString("<param><value><string>" + strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(a) + "</string></value></param>")
	}
	body.WriteString("</params></methodCall>")
	conn, err := net.Dial("unix", d.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	head := fmt.Sprintf("CONTENT_LENGTH\x00%d\x00SCGI\x001\x00", body.Len())
	fmt.Fprintf(conn, "%d:%s,%s", len(head), head, body.Bytes())
	b, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	if strings.Contains(string(b), "<fault>") {
		return "", fmt.Errorf("%s: %s", method, b)
	}
	return string(b), nil
}

func (d *rtorrentDaemon) add(ctx context.Context, torrent, dir string) {
	d.t.Helper()
	// It asks the DHT when a torrent is added and then not for twenty minutes.
	for d.dht {
		r, err := d.call("dht.statistics", "")
		_, nodes, _ := strings.Cut(r, "<name>nodes</name>")
		if v := values(nodes); err == nil && len(v) > 0 && v[0] >= 10 {
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			d.t.Fatalf("rtorrent's DHT has too few nodes: %s %v", r, err)
		}
	}
	var last error
	d.poll(ctx, "rtorrent's RPC", func() bool {
		_, last = d.call("load.start", "", torrent, "d.directory.set=\""+dir+"\"")
		var refused *net.OpError
		return last == nil || !errors.As(last, &refused)
	})
	if last != nil {
		d.t.Fatalf("%v", last)
	}
}

func (d *rtorrentDaemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	d.add(ctx, p.torrent, p.parent)
	d.done(ctx)
}

func (d *rtorrentDaemon) leech(ctx context.Context, magnet, dir string) {
	d.t.Helper()
	d.infohash = strings.ToUpper(magnet[strings.LastIndex(magnet, ":")+1:])
	d.add(ctx, magnet, dir)
}

func (d *rtorrentDaemon) done(ctx context.Context) {
	d.t.Helper()
	var told time.Time
	d.poll(ctx, "rtorrent to have all", func() bool {
		if d.peer != "" && time.Since(told) > 2*time.Second {
			told = time.Now()
			d.call("add_peer", d.infohash, d.peer)
		}
		r, err := d.call("d.multicall2", "", "main", "d.is_meta=", "d.complete=")
		if err != nil {
			return false
		}
		v := values(r) // two for the one torrent: the magnet's stand-in is meta
		return len(v) == 2 && v[0] == 0 && v[1] == 1
	})
}

// values are the numbers of an XML-RPC answer.
func values(xml string) (all []int) {
	for _, v := range strings.Split(xml, "<i8>")[1:] {
		v, _, _ = strings.Cut(v, "<")
		n, _ := strconv.Atoi(v)
		all = append(all, n)
	}
	return all
}

// ---- all of them

var others = []client{transmission{}, aria2{}, libtorrent{}, rtorrent{}}

// endpoint is ip with the port that every role listens on.
func endpoint(ip string) string { return net.JoinHostPort(ip, "6881") }

var lastPort atomic.Int32

// ownPort is a TCP port for one client's remote control, below those that
// connections take.
func ownPort() string { return strconv.Itoa(6800 + int(lastPort.Add(1))) }

// tempDir goes with everything else when the run ends.
func tempDir(t scope) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "client")
	must(t, err)
	return dir
}
