//go:build linux

package integration

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// libtorrent is libtorrent-rasterbar, the engine of qBittorrent and Deluge, controlled by
// a Python script.
type libtorrent struct{ secrecy }

//go:embed peers/libtorrent_peer.py
var libtorrentScript string

// libtorrentPath is where the script was written to.
var libtorrentPath = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), "libtorrent_peer.py")
	return path, os.WriteFile(path, []byte(libtorrentScript), 0o644)
})

const systemPython = "/usr/bin/python3" // the interpreter for which Debian packages are installed

func (libtorrent) name() string { return "libtorrent" }

func (libtorrent) missing() string {
	if exec.Command(systemPython, "-c", "import libtorrent").Run() != nil {
		return "there is no libtorrent for " + systemPython + " (`make peers` installs it)"
	}
	return ""
}

func (c libtorrent) start(t scope, ip string, dht []string) daemon {
	return &libtorrentDaemon{t: t, settings: map[string]any{"listen": []string{endpoint(ip)}, "dht": dht, "encryption": c.secrecy}}
}

// with starts libtorrent with further settings of the script.
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
	within   []string // the beginning of the command line
	*process
	items *scripted // receives commands about items of the DHT
	seen  map[string]int
	peers map[string]bool // address -> known through PEX
}

func (d *libtorrentDaemon) run() {
	d.t.Helper()
	d.seen, d.items = map[string]int{}, &scripted{answers: map[int]answer{}}
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
		d.items.take(line)
		if e.Event == "peers" {
			d.peers = map[string]bool{}
			for _, p := range e.Peers {
				d.peers[p[0].(string)] = p[1].(bool)
			}
		}
	}, append(d.within, systemPython, script, encode(d.settings))...)
	d.items.process = d.process
}

func (d *libtorrentDaemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	d.settings["torrent"], d.settings["dir"] = p.torrent, p.parent
	d.run()
	d.event(ctx, "ready")
}

func (d *libtorrentDaemon) leech(ctx context.Context, torrent, dir string) {
	kind := "torrent"
	if isLink(torrent) {
		kind = "magnet"
	}
	d.settings[kind], d.settings["dir"] = torrent, dir
	d.run()
}

func (d *libtorrentDaemon) done(ctx context.Context) {
	d.t.Helper()
	if d.settings["torrent"] != nil {
		d.event(ctx, "ready")
		return
	}
	d.event(ctx, "finished")
}

func (d *libtorrentDaemon) event(ctx context.Context, name string) {
	d.t.Helper()
	d.until(ctx, name, func() bool { return d.seen[name] > 0 })
}

// limit sets the torrent's rates in bytes a second; 0 means no limit.
func (d *libtorrentDaemon) limit(ctx context.Context, up, down int) {
	d.t.Helper()
	d.mu.Lock()
	n := d.seen["limited"]
	d.mu.Unlock()
	fmt.Fprintln(d.in, encode(map[string]int{"up": up, "down": down}))
	d.until(ctx, "the new limits", func() bool { return d.seen["limited"] > n })
}
