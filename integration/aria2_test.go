//go:build linux

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// aria2 is controlled over JSON-RPC. Its first DHT lookup starts after 11 seconds.
type aria2 struct{ secrecy }

func (aria2) name() string { return "aria2" }

func (aria2) missing() string { return command("aria2c") }

type aria2Daemon struct {
	*process
	t        scope
	argv     []string
	url, gid string

	magnet, dir string // of a download whose metadata is not known yet
}

func (c aria2) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	rpc := ownPort()
	argv := []string{"aria2c", "--no-conf=true", "--enable-rpc=true", "--rpc-listen-port=" + rpc, "--console-log-level=notice",
		"--show-console-readout=false", "--summary-interval=0", "--interface=" + ip, "--listen-port=6881", "--dht-listen-port=6881",
		"--bt-enable-lpd=false", "--enable-peer-exchange=true", "--bt-min-crypto-level=" + map[bool]string{true: "arc4", false: "plain"}[c.secrecy == required],
		"--bt-require-crypto=" + fmt.Sprint(c.secrecy == required),
		"--seed-ratio=0.0", "--bt-max-peers=0", "--file-allocation=none", "--check-integrity=true",
		"--bt-request-peer-speed-limit=0", "--max-overall-upload-limit=0", "--auto-save-interval=0",
		"--enable-dht=" + fmt.Sprint(len(dht) > 0), "--enable-dht6=false", "--dht-file-path=" + filepath.Join(tempDir(t), "dht.dat")}
	if len(dht) > 0 {
		argv = append(argv, "--dht-entry-point="+dht[0])
	}
	return &aria2Daemon{process: start(t, "aria2", nil, argv...), t: t, argv: argv, url: "http://127.0.0.1:" + rpc + "/jsonrpc"}
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
	d.leech(ctx, p.torrent, p.parent)
	d.done(ctx)
}

func (d *aria2Daemon) leech(ctx context.Context, torrent, dir string) {
	d.t.Helper()
	options := map[string]string{"dir": dir}
	if isLink(torrent) {
		d.magnet, d.dir = torrent, dir
		d.add(ctx, "addUri", []string{torrent}, options)
		return
	}
	b, err := os.ReadFile(torrent)
	must(d.t, err)
	d.add(ctx, "addTorrent", base64.StdEncoding.EncodeToString(b), []string{}, options)
}

// rejoinAfter is how long a client that looks for peers too rarely may go without any.
// aria2 asks its DHT entry point only once, when it starts. If the answer is late because the
// machine is busy, it never finds a peer.
const rejoinAfter = time.Minute

func (d *aria2Daemon) done(ctx context.Context) {
	d.t.Helper()
	for {
		late := time.Now().Add(rejoinAfter)
		rejoin := false
		d.poll(ctx, "aria2 to complete the download", func() bool {
			complete := d.complete(ctx)
			rejoin = !complete && d.magnet != "" && time.Now().After(late)
			return complete || rejoin
		})
		if !rejoin {
			return
		}
		d.process.stop()
		d.process = start(d.t, "aria2", nil, d.argv...)
		d.leech(ctx, d.magnet, d.dir)
	}
}

// complete reports whether aria2 has everything.
func (d *aria2Daemon) complete(ctx context.Context) bool {
	d.t.Helper()
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
	if len(s.FollowedBy) > 0 { // the metadata is complete, and the real download has begun
		d.magnet, d.gid = "", s.FollowedBy[0]
		return false
	}
	return s.Seeder == "true" && s.TotalLength != "0" && s.CompletedLength == s.TotalLength
}
