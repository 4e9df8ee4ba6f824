//go:build linux

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// rtorrent is controlled by XML-RPC over SCGI.
type rtorrent struct{}

func (rtorrent) name() string { return "rtorrent" }

func (rtorrent) missing() string { return command("rtorrent") }

// rtorrentDaemon finds no peers by itself: version 0.9.8 parses the peers in DHT answers
// at an offset that is wrong by two bytes, and dials 54.58.x.y ("6:" is 54 58). It
// announces itself correctly and accepts connections; a peer that does not dial it must
// be added explicitly. Occasionally an internal error of its DHT ends it; it is then
// restarted, as its user would do.
type rtorrentDaemon struct {
	*process
	ip     string
	dht    []string
	crash  int
	socket string

	torrent, dir  string // torrent is a path or a magnet link
	loaded        bool
	infohash      string // of the magnet link
	peer          string // added every few seconds, because rtorrent forgets it
	lastPeerAdded time.Time
}

func (rtorrent) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	d := &rtorrentDaemon{ip: ip, dht: dht}
	d.launch(t)
	return d
}

func (d *rtorrentDaemon) launch(t scope) {
	t.Helper()
	mode := "on"
	if len(d.dht) == 0 {
		mode = "off" // with "disable" it refuses torrents that have no tracker
	}
	home := tempDir(t)
	d.socket, d.loaded = filepath.Join(home, "rpc"), false
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
`, home, d.socket, d.ip, mode)
	for i, n := range d.dht {
		rc += fmt.Sprintf("schedule2 = node%d, 1, 20, \"dht.add_node=%s\"\n", i, n)
	}
	path := filepath.Join(home, "rc")
	must(t, os.WriteFile(path, []byte(rc), 0o644))
	d.process = start(t, "rtorrent", nil, "rtorrent", "-n", "-o", "import="+path)
}

// call makes one XML-RPC call with string arguments over SCGI.
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

// load adds the torrent as soon as rtorrent accepts it, and reports whether rtorrent has
// it.
func (d *rtorrentDaemon) load() bool {
	d.t.Helper()
	if d.hasEnded() {
		itsFault := strings.Contains(d.tail(), "internal_error") || strings.Contains(d.tail(), "Segmentation fault")
		if d.crash++; d.crash > 5 || !itsFault {
			d.t.Fatalf("rtorrent ended: %v", d.err)
		}
		d.launch(d.t)
	}
	if d.loaded {
		return true
	}
	if len(d.dht) > 0 {
		// rtorrent starts a lookup when a torrent is added, and the next one after twenty minutes.
		r, err := d.call("dht.statistics", "")
		_, nodes, _ := strings.Cut(r, "<name>nodes</name>")
		if v := values(nodes); err != nil || len(v) == 0 || v[0] < 10 {
			return false
		}
	}
	_, err := d.call("load.start", "", d.torrent, "d.directory.set=\""+d.dir+"\"")
	if down := (*net.OpError)(nil); err != nil && !errors.As(err, &down) {
		d.t.Fatalf("%v", err)
	}
	d.loaded = err == nil
	return d.loaded
}

func (d *rtorrentDaemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	d.torrent, d.dir = p.torrent, p.parent
	d.done(ctx)
}

func (d *rtorrentDaemon) leech(ctx context.Context, torrent, dir string) {
	d.t.Helper()
	d.torrent, d.dir = torrent, dir
	d.infohash = strings.ToUpper(torrent[strings.LastIndex(torrent, ":")+1:])
	poll(ctx, d.t, "rtorrent to take the torrent", d.load)
}

func (d *rtorrentDaemon) done(ctx context.Context) {
	d.t.Helper()
	poll(ctx, d.t, "rtorrent to complete the download", func() bool {
		if !d.load() {
			return false
		}
		if d.peer != "" && time.Since(d.lastPeerAdded) > 2*time.Second {
			d.lastPeerAdded = time.Now()
			d.call("add_peer", d.infohash, d.peer)
		}
		r, err := d.call("d.multicall2", "", "main", "d.is_meta=", "d.complete=")
		if err != nil {
			return false
		}
		v := values(r) // two values for one torrent: the placeholder of the magnet link is meta
		return len(v) == 2 && v[0] == 0 && v[1] == 1
	})
}

// values returns the numbers in an XML-RPC answer.
func values(xml string) (all []int) {
	for _, v := range strings.Split(xml, "<i8>")[1:] {
		v, _, _ = strings.Cut(v, "<")
		n, _ := strconv.Atoi(v)
		all = append(all, n)
	}
	return all
}
