//go:build linux

package integration

import (
	"bytes"
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seedbed/node"
)

// entry is the only address that the clients in this network know initially: that of
// `seedbed bootstrap`, which stores neither peers nor items.
const entry = "10.6.1.1"

// Clients of five kinds know one bootstrap node. They find each other's announces through
// seedbed's nodes, and each reads what the others have stored.
func TestOneBootstrapNodeJoinsAll(t *testing.T) {
	need(t, transmission{}, aria2{}, libtorrent{}, webtorrent{})
	t.Parallel()
	state := t.TempDir()
	start(t, "seedbed bootstrap", nil, seedbed, "bootstrap", "--json", "--listen", endpoint(entry), "--state", state, "--verify-after", "10s")
	boot := []string{endpoint(entry)}
	ctx := timeLimit(t)
	var dht []string
	var nodes []*node.Node
	for i := range 26 {
		addr := endpoint(fmt.Sprintf("10.6.%d.1", i+2))
		dht = append(dht, addr)
		n, err := node.Open(node.Config{State: t.TempDir(), Listen: addr, Bootstrap: boot})
		must(t, err)
		t.Cleanup(func() { n.Close(context.Background()) })
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		poll(ctx, t, "the network to form", func() bool { return n.DHTNodes() >= 10 })
	}
	// This runs before any client leaves: transmission sends no queries while most of the
	// nodes that it knows are gone.
	t.Run("torrents", func(t *testing.T) {
		for i, c := range []client{transmission{}, aria2{}, libtorrent{}} {
			t.Run("seed/"+c.name(), func(t *testing.T) {
				t.Parallel()
				ctx := timeLimit(t)
				p := single(t, c.name()+" in one network", 3<<20)
				d := c.start(t, fmt.Sprintf("10.6.%d.1", 40+i), boot)
				d.seed(ctx, p)
				dir := t.TempDir()
				run(t, fmt.Sprintf("10.6.%d.1", 50+i), entered(boot, "get", p.magnet(), "-d", dir)...).ends(ctx, 0)
				p.same(t, dir, true)
			})
			t.Run("leech/"+c.name(), func(t *testing.T) {
				t.Parallel()
				ctx := timeLimit(t)
				p := single(t, "for "+c.name()+" in one network", 3<<20)
				ip := fmt.Sprintf("10.6.%d.1", 60+i)
				run(t, ip, entered(boot, "seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
				announced(ctx, t, dht, p.infohash, ip)
				d := c.start(t, fmt.Sprintf("10.6.%d.1", 70+i), boot)
				dir := t.TempDir()
				d.leech(ctx, p.magnet(), dir)
				d.done(ctx)
				p.as(c).same(t, dir, false)
			})
		}
	})
	t.Run("announce", func(t *testing.T) {
		t.Parallel()
		ctx := timeLimit(t)
		js := webtorrent{}.join(ctx, t, "10.6.30.1", boot)
		theirs, ours := randomHex(t, 20), randomHex(t, 20)
		poll(ctx, t, "the announce of bittorrent-dht", func() bool {
			js.ask(ctx, map[string]any{"do": "announce", "infohash": theirs, "port": 7001}) // again, as it does not repeat what was lost
			out, _ := askDHT(t, boot, "get-peers", theirs)
			return bytes.Contains(out, []byte(`"10.6.30.1:7001"`))
		})
		poll(ctx, t, "an announce to five nodes or more", func() bool {
			var announced struct{ Accepted int }
			return asked(t, boot, &announced, "announce", ours, "--port", "7002", "--listen", "10.6.80.1:0") == 0 && announced.Accepted >= 5
		})
		js.retry(ctx, map[string]any{"do": "lookup", "infohash": ours}, func(a answer) bool { return slices.Contains(a.Peers, "10.6.80.1:7002") })
		var scraped struct{ Scrape struct{ Seeds, Peers int } }
		poll(ctx, t, "an answer to the scrape", func() bool {
			return asked(t, boot, &scraped, "get-peers", ours, "--scrape") == 0 && scraped.Scrape.Peers+scraped.Scrape.Seeds > 0
		})
		if scraped.Scrape.Peers != 1 || scraped.Scrape.Seeds != 0 {
			t.Errorf("scraped %+v", scraped)
		}
		var sampled struct{ Infohashes []string }
		poll(ctx, t, "a sample with what was announced", func() bool {
			return asked(t, boot, &sampled, "sample", ours) == 0 && slices.Contains(sampled.Infohashes, ours)
		})
	})
	for i, c := range []struct {
		name string
		do   func(*readers)
	}{
		{"items/immutable", (*readers).immutable},
		{"items/mutable", func(r *readers) { r.mutable("") }},
		{"items/salted", func(r *readers) { r.mutable("a salt") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.do(join(t, boot, 32+2*i))
		})
	}
}

// readers is three clients of different kinds. Each reads the items that one of them has put.
type readers struct {
	t      *testing.T
	ctx    context.Context
	boot   []string
	js, lt *scripted
}

func join(t *testing.T, boot []string, host int) *readers {
	r := &readers{t: t, ctx: timeLimit(t), boot: boot}
	r.js = webtorrent{}.join(r.ctx, t, fmt.Sprintf("10.6.%d.1", host), boot)
	l := libtorrent{}.start(t, fmt.Sprintf("10.6.%d.1", host+1), boot).(*libtorrentDaemon)
	l.run()
	l.event(r.ctx, "ready")
	r.lt = l.items
	return r
}

// stored is an item that one client has put.
type stored struct {
	by, target, key, salt string
	value                 string // encoded
	seq                   int64
}

func (r *readers) bySeedbed(i stored) {
	r.t.Helper()
	args := []string{"get", i.target}
	if i.key != "" {
		args = []string{"get", i.key, "--salt", i.salt}
	}
	var got struct {
		Item struct {
			Seq      int64
			Bencoded []byte
		}
	}
	poll(r.ctx, r.t, "seedbed to get "+i.value, func() bool {
		return asked(r.t, r.boot, &got, args...) == 0 && string(got.Item.Bencoded) == i.value && got.Item.Seq == i.seq
	})
}

func (r *readers) byWebtorrent(i stored) {
	r.t.Helper()
	r.js.retry(r.ctx, map[string]any{"do": "get", "target": i.target, "salt": inHex(i.salt)}, func(a answer) bool {
		return a.Value != nil && *a.Value == inHex(i.value) && a.Seq == i.seq
	})
}

func (r *readers) byLibtorrent(i stored) {
	r.t.Helper()
	_, text, _ := strings.Cut(i.value, ":")
	r.lt.retry(r.ctx, map[string]any{"do": "get", "target": i.target, "key": i.key, "salt": inHex(i.salt)}, func(a answer) bool {
		return a.Value != nil && *a.Value == inHex(text) && a.Seq == i.seq
	})
}

// read makes every client except the one that put the item read it. libtorrent, whose
// binding reports only strings, waits 15 seconds for clients that have gone.
func (r *readers) read(i stored, libtorrentToo bool) {
	r.t.Helper()
	if i.by != "seedbed" {
		r.bySeedbed(i)
	}
	if i.by != "bittorrent-dht" {
		r.byWebtorrent(i)
	}
	if i.by != "libtorrent" && libtorrentToo {
		r.byLibtorrent(i)
	}
}

type putReport struct {
	Target   string
	Accepted int
	Item     struct{ Seq int64 }
}

// put makes seedbed put an item, and again if no node stored it: while other tests use
// the processors, a timeout of three seconds may be too short.
func (r *readers) put(args ...string) (p putReport) {
	r.t.Helper()
	poll(r.ctx, r.t, "a node to take what seedbed puts", func() bool {
		out, code := askDHT(r.t, r.boot, append([]string{"put"}, args...)...)
		p = putReport{}
		report, _, _ := bytes.Cut(out, []byte("\n")) // an error may follow it
		if err := json.Unmarshal(report, &p); err != nil {
			r.t.Fatalf("put %v: exit %d, %v: %s", args, code, err, out)
		}
		if p.Accepted < 5 {
			r.t.Logf("put %v: %d nodes, exit %d: %s", args, p.Accepted, code, out)
		}
		return p.Accepted > 0
	})
	return p
}

// isStored reports whether a node has stored what a client put. The client does not put it again by itself.
func isStored(a answer) bool { return a.Error == "" && a.Nodes > 0 }

func (r *readers) immutable() {
	p := r.put("by seedbed")
	r.read(stored{by: "seedbed", target: p.Target, value: bencoded("by seedbed")}, true)
	const dict = "d1:ai7e1:bl3:onei2eee"
	a := r.js.retry(r.ctx, map[string]any{"do": "put", "value": inHex(dict)}, isStored)
	r.read(stored{by: "bittorrent-dht", target: a.Target, value: dict}, false)
	a = r.lt.retry(r.ctx, map[string]any{"do": "put", "value": inHex("by libtorrent")}, isStored)
	r.read(stored{by: "libtorrent", target: a.Target, value: bencoded("by libtorrent")}, true)
}

// mutable makes each client put two versions, the second with cas if the client supports
// it.
func (r *readers) mutable(salt string) {
	for _, by := range []string{"seedbed", "bittorrent-dht", "libtorrent"} {
		seed := randomHex(r.t, 32)
		raw, _ := hex.DecodeString(seed)
		public := ed25519.NewKeyFromSeed(raw).Public().(ed25519.PublicKey)
		file := filepath.Join(r.t.TempDir(), "key")
		must(r.t, os.WriteFile(file, []byte(seed+"\n"), 0o600))
		i := stored{by: by, key: hex.EncodeToString(public), salt: salt, target: fmt.Sprintf("%x", sha1.Sum(append(public, salt...)))}
		for version := range 2 {
			text := fmt.Sprintf("version %d of %s", version, by)
			i.value = bencoded(text)
			switch by {
			case "seedbed":
				args := []string{text, "--key", file, "--salt", salt}
				if version > 0 {
					args = append(args, "--cas", fmt.Sprint(i.seq))
				}
				i.seq = r.put(args...).Item.Seq
			case "bittorrent-dht":
				what := map[string]any{"do": "put", "value": inHex(i.value), "seed": seed, "salt": inHex(salt), "seq": i.seq + 1}
				if version > 0 {
					what["cas"] = i.seq
				}
				if !isStored(r.js.ask(r.ctx, what)) {
					delete(what, "cas") // nodes whose answers were too late have the new version by now
					r.js.retry(r.ctx, what, isStored)
				}
				i.seq++
			case "libtorrent":
				// It increments the sequence number itself.
				r.lt.retry(r.ctx, map[string]any{"do": "put", "value": inHex(text), "seed": seed, "key": i.key, "salt": inHex(salt)}, isStored)
				var got struct{ Item struct{ Seq int64 } }
				poll(r.ctx, r.t, "seedbed to get what libtorrent put", func() bool {
					return asked(r.t, r.boot, &got, "get", i.key, "--salt", salt, "--seq", fmt.Sprint(i.seq)) == 0
				})
				i.seq = got.Item.Seq
			}
			r.read(i, version > 0)
		}
		var p putReport
		if code := asked(r.t, r.boot, &p, "put", "too late", "--key", file, "--salt", salt, "--cas", fmt.Sprint(i.seq-1)); code != 1 {
			r.t.Errorf("an old cas replaced an item of %s: exit %d, %+v", by, code, p)
		}
	}
}

func bencoded(s string) string { return fmt.Sprintf("%d:%s", len(s), s) }
func inHex(s string) string    { return hex.EncodeToString([]byte(s)) }

// asked runs a command of `seedbed dht`, decodes the last object that it prints and
// returns its exit code.
func asked(t *testing.T, boot []string, v any, args ...string) int {
	t.Helper()
	out, code := askDHT(t, boot, args...)
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(out) > 0 {
		if err := json.Unmarshal(lines[len(lines)-1], v); err != nil {
			t.Fatalf("seedbed dht %v printed %q: %v", args, out, err)
		}
	}
	return code
}

// askDHT runs a command of `seedbed dht` from a new address.
func askDHT(t *testing.T, boot []string, args ...string) (out []byte, code int) {
	t.Helper()
	argv := entered(boot, append([]string{"dht"}, args...)...)
	argv = append(argv, "--json", "--state", t.TempDir())
	if !slices.Contains(args, "--listen") {
		argv = append(argv, "--listen", fmt.Sprintf("10.7.%d.%d:0", rand.IntN(250), 1+rand.IntN(250)))
	}
	cmd := exec.CommandContext(timeLimit(t), seedbed, argv...)
	cmd.Env = withoutOurs()
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("seedbed %v: %v", argv, err)
	}
	return out, cmd.ProcessState.ExitCode()
}

func randomHex(t *testing.T, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := crand.Read(b)
	must(t, err)
	return hex.EncodeToString(b)
}
