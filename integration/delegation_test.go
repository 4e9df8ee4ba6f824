//go:build linux

package integration

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
)

// delegated is a publication whose owner is offline, and one follower of its link.
type delegated struct {
	t       *testing.T
	ctx     context.Context
	entries []string
	owner   string // state directory of the owner, whose key is called site
	link    string

	follower *ours
	args     []string // of the follower
	dir      string   // of the follower
}

// newKey makes a key on a machine with a new state directory.
func (d *delegated) newKey(name string) (state, public string) {
	d.t.Helper()
	state = d.t.TempDir()
	var key struct {
		PublicKey string `json:"public_key"`
	}
	object(d.t, &key, "key", "new", name, "--state", state)
	return state, key.PublicKey
}

// statement is what key delegate prints.
type statement struct {
	Number, Seq int64
	Infohash    string
	path        string
}

// delegate signs the next statement of the owner.
func (d *delegated) delegate(keys string, more ...string) (s statement) {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "site.delegation")
	object(d.t, &s, append([]string{"key", "delegate", "site", "--to", keys, "-o", path, "--state", d.owner}, more...)...)
	s.path = path
	return s
}

func (d *delegated) publish(ip, state, content, key string, more ...string) (p *ours, dir string) {
	d.t.Helper()
	dir = folderOf(d.t, content)
	args := entered(d.entries, "publish", dir, "--key", key, "--state", state, "--watch", "--watch-every", "300ms")
	return run(d.t, ip, append(args, more...)...), dir
}

// follow starts the follower, again after its end.
func (d *delegated) follow(ip string) {
	d.t.Helper()
	if d.args == nil {
		d.dir = d.t.TempDir()
		d.args = entered(d.entries, "follow", d.link, "-d", d.dir, "--state", d.t.TempDir(), "--poll", "1s", "--keep-alive")
	}
	d.follower = run(d.t, ip, d.args...)
}

// current waits until the follower has the version that is the torrent.
func (d *delegated) current(seq int64, infohash, content string) {
	d.t.Helper()
	d.follower.wait(d.ctx, "current", func(e event) bool { return e.Seq == seq && e.Infohash == infohash })
	b, err := os.ReadFile(filepath.Join(resolved(d.t, d.dir), "site", "page"))
	if must(d.t, err); string(b) != content {
		d.t.Errorf("version %d has %q, want %q", seq, b, content)
	}
}

// statementIs reports whether the follower has recorded the owner's statement with a number.
func (d *delegated) statementIs(seq int) bool {
	d.t.Helper()
	records, err := filepath.Glob(filepath.Join(stateOf(d.follower), "follows", "*", "record"))
	if must(d.t, err); len(records) != 1 {
		d.t.Fatalf("records: %v", records)
	}
	b, err := os.ReadFile(records[0])
	must(d.t, err)
	return regexp.MustCompile(fmt.Sprintf(`"statement":\s*{\s*"seq":\s*%d,`, seq)).Match(b)
}

// warned waits until a process has warned with a text.
func (d *delegated) warned(o *ours, text string) {
	d.t.Helper()
	o.wait(d.ctx, "warning", func(e event) bool { return strings.Contains(e.Error, text) })
}

// secretOf returns the seed of a key on a machine.
func secretOf(t *testing.T, state, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(state, "keys", name))
	must(t, err)
	return strings.TrimSpace(string(b))
}

// A publishing key is stolen, and the thief publishes under it with seedbed and with other software. After the
// owner has revoked it, a follower goes back to the version of the other publisher, and adopts none of
// the thief's again, whatever their number is. A client that knows only BEP 46 has the version that the owner has
// named last. After the expiry, nothing of the named keys is accepted.
func TestAPublishingKeyIsStolen(t *testing.T) {
	need(t, libtorrent{}, webtorrent{})
	if raceEnabled {
		t.Skip("the tests of node/follow and node/publish do the same in one process")
	}
	t.Parallel()
	private4.join(t)
	d := &delegated{t: t, ctx: timeLimit(t), entries: private4.entries(t), owner: t.TempDir()}
	ctx := d.ctx

	// The link is older than the delegation.
	o, _ := d.publish("10.8.70.1", d.owner, "of the owner", "site")
	first := o.wait(ctx, "published", version(1))
	d.link = first.Link
	d.follow("10.8.70.5")
	d.current(1, first.Infohash, "of the owner")
	o.stop()

	// The owner names two keys, offline. Nothing but the file passes to their machines.
	work, workKey := d.newKey("work")
	home, homeKey := d.newKey("home")
	s := d.delegate(workKey+","+homeKey, "--no-dht")
	if s.Number != 2 || s.Seq != 1 {
		t.Errorf("%+v", s)
	}
	w, _ := d.publish("10.8.70.2", work, "of work", "work", "--delegation", s.path)
	of := w.wait(ctx, "published", version(2))
	if of.Link != d.link {
		t.Errorf("the link has become %s, was %s", of.Link, d.link)
	}
	d.current(2, of.Infohash, "of work")

	// Until the key is revoked, the thief is a publisher like others.
	stolen, thief := filepath.Join(t.TempDir(), "key"), t.TempDir()
	must(t, os.WriteFile(stolen, []byte(secretOf(t, work, "work")+"\n"), 0o600))
	var imported struct{}
	object(t, &imported, "key", "import", "work", stolen, "--state", thief)
	x, _ := d.publish("10.8.70.4", thief, "of the thief", "work", "--delegation", s.path, "--overrule")
	evil := x.wait(ctx, "published", version(3))
	d.current(3, evil.Infohash, "of the thief")
	raw, err := id.ParseHex(evil.Infohash)
	must(t, err)
	value := bencode(nil, map[string]any{"ih": string(raw[:])})
	js := webtorrent{}.join(ctx, t, "10.8.70.7", d.entries)
	js.retry(ctx, map[string]any{"do": "put", "value": hex.EncodeToString(value), "seed": secretOf(t, work, "work"), "seq": 1_000_000}, isStored)
	d.current(1_000_000, evil.Infohash, "of the thief")

	// The owner is online for a moment: the DHT has the number of the statement, and a version of the
	// thief, which the new statement does not name.
	s = d.delegate(homeKey, entered(d.entries, "--listen", "10.8.70.1:0")...)
	if s.Number != 3 || s.Seq != 1 {
		t.Errorf("%+v", s)
	}
	h, dir := d.publish("10.8.70.3", home, "of home", "home", "--delegation", s.path)
	of = h.wait(ctx, "published", version(2))
	d.current(2, of.Infohash, "of home")
	d.warned(d.follower, "has revoked the key "+workKey[:8])

	// The thief goes on, and the follower restarts.
	var put struct{ Kept int }
	highest := string(bencode(nil, map[string]any{"ih": strings.Repeat("x", 20)}))
	if code := asked(t, d.entries, &put, "put", highest, "--bencoded", "--key", stolen, "--seq", strconv.Itoa(math.MaxInt64)); code != 0 || put.Kept == 0 {
		t.Errorf("the thief's item: exit code %d, %+v", code, put)
	}
	must(t, d.follower.cmd.Process.Signal(syscall.SIGKILL))
	<-d.follower.ended
	d.follow("10.8.70.5")
	must(t, os.WriteFile(filepath.Join(dir, "page"), []byte("of home, changed"), 0o644))
	of = h.wait(ctx, "published", version(3))
	d.current(3, of.Infohash, "of home, changed")
	d.follower.mu.Lock()
	for _, e := range d.follower.events {
		if e.Infohash == evil.Infohash || e.Seq > 3 {
			t.Errorf("after the restart: %+v", e)
		}
	}
	d.follower.mu.Unlock()
	got := t.TempDir()
	run(t, "10.8.70.6", entered(d.entries, "get", d.link, "-d", got)...).ends(ctx, 0)
	if b, err := os.ReadFile(filepath.Join(got, "site", "page")); string(b) != "of home, changed" {
		t.Errorf("a new reader has %q, %v", b, err)
	}
	x.stop()
	w.stop()

	// A renewal names version 3. A client without delegation opens it.
	h.stop()
	s = d.delegate(homeKey, entered(d.entries, "--listen", "10.8.70.1:0")...)
	if s.Number != 4 || s.Seq != 3 || s.Infohash != of.Infohash {
		t.Errorf("%+v", s)
	}
	h = run(t, "10.8.70.3", entered(d.entries, "publish", dir, "--key", "home", "--delegation", s.path, "--state", home, "--watch", "--watch-every", "300ms")...)
	h.wait(ctx, "published", version(3))
	_, public, _ := strings.Cut(d.link, "urn:btpk:")
	master, err := id.ParseHex32(public[:64])
	must(t, err)
	raw, err = id.ParseHex(of.Infohash)
	must(t, err)
	a := js.retry(ctx, map[string]any{"do": "get", "target": dht.ItemTarget(master, nil).String()}, func(a answer) bool { return a.Seq == 4 })
	if a.Value == nil || !strings.Contains(*a.Value, inHex("2:ih20:")+hex.EncodeToString(raw[:])) {
		t.Errorf("the owner's item: %+v", a)
	}
	got = t.TempDir()
	l := libtorrent{}.with(t, "10.8.70.8", nil, map[string]any{"peers": []string{endpoint("10.8.70.3")}})
	l.leech(ctx, "magnet:?xt=urn:btih:"+of.Infohash, got)
	l.done(ctx)
	if b, err := os.ReadFile(filepath.Join(got, "site", "page")); string(b) != "of home, changed" {
		t.Errorf("libtorrent has %q, %v", b, err)
	}

	// The delegation has expired, and the tolerance of clocks has passed, too.
	key, err := id.ParseHex32(homeKey)
	must(t, err)
	value = bencode(nil, map[string]any{"ih": string(raw[:]), "d": map[string]any{
		"e": int(time.Now().Add(-25 * time.Hour).Unix()), "k": []any{string(key[:])}, "n": 3}})
	js.retry(ctx, map[string]any{"do": "put", "value": hex.EncodeToString(value), "seed": secretOf(t, d.owner, "site"), "seq": 5}, isStored)
	d.follower.poll(ctx, "statement 5", func() bool { return d.statementIs(5) })
	js.retry(ctx, map[string]any{"do": "put", "value": inHex(highest), "seed": secretOf(t, home, "home"), "seq": 10}, isStored)
	d.warned(d.follower, fmt.Sprintf("version 10 is ignored: the key %s", homeKey[:8]))
	must(t, os.WriteFile(filepath.Join(dir, "page"), []byte("too late"), 0o644))
	d.warned(h, "the delegation expired at")
	if b, err := os.ReadFile(filepath.Join(resolved(t, d.dir), "site", "page")); string(b) != "of home, changed" {
		t.Errorf("after the expiry, the follower has %q, %v", b, err)
	}
}
