//go:build linux

package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seeded returns a libtorrent seed of p at ip:6881 that uploads at most up bytes a second
// (0: no limit), and the arguments that name it and turn the DHT off.
func seeded(t *testing.T, ip string, p *payload, up int) (*libtorrentDaemon, []string) {
	t.Helper()
	need(t, libtorrent{})
	d := libtorrent{}.with(t, ip, nil, map[string]any{"up": up})
	d.seed(timeLimit(t), p)
	return d, []string{"--no-dht", "--peer", endpoint(ip)}
}

func with(args []string, more ...string) []string { return slices.Concat(args, more) }

// After Ctrl-C in the middle of a download, the data is kept; the same command continues.
func TestInterruptAndResume(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "interrupted", 12<<20)
	peer, online := seeded(t, "10.2.51.1", p, 2<<20)
	dir, state := t.TempDir(), t.TempDir()
	get := []string{"get", p.magnet(), "-d", dir, "--state", state}

	o := run(t, "10.4.1.1", with(get, online...)...)
	o.wait(ctx, "progress", func(e event) bool { return e.Have > 2<<20 })
	o.cmd.Process.Signal(interrupt)
	if e := o.ends(ctx, 7); !strings.Contains(e.Hint, "again") {
		t.Errorf("the hint %q does not say how to resume", e.Hint)
	}
	kept := o.last("progress").Have
	if o.has("complete") {
		t.Fatal("it was complete before it could be interrupted")
	}

	// Without peers (seedbed remembers those of the last run), the result shows only what
	// the record says.
	peer.stop()
	o = run(t, "10.4.1.1", with(get, "--no-dht", "--timeout", "3s")...)
	o.ends(ctx, 2)
	if have := o.last("progress").Have; have < kept || have >= p.size {
		t.Errorf("%d bytes are left after the interruption, %d before", have, kept)
	}

	_, online = seeded(t, "10.2.51.1", p, 0)
	o = run(t, "10.4.1.1", with(get, online...)...)
	o.ends(ctx, 0)
	p.same(t, dir, true)

	// The torrent is complete: no peer is needed.
	o = run(t, "10.4.1.1", with(get, "--no-dht")...)
	o.ends(ctx, 0)
}

// After kill -9 in the middle, the record never claims missing data.
func TestKillAndResume(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "killed", 12<<20)
	peer, online := seeded(t, "10.2.52.1", p, 4<<20)
	dir, state := t.TempDir(), t.TempDir()
	get := with([]string{"get", p.magnet(), "-d", dir, "--state", state}, online...)
	o := run(t, "10.4.2.1", get...)
	o.wait(ctx, "progress", func(e event) bool { return e.Have > 3<<20 })
	o.cmd.Process.Kill()
	<-o.ended
	peer.limit(ctx, 0, 0)
	o = run(t, "10.4.2.1", get...)
	o.ends(ctx, 0)
	p.same(t, dir, true)
}

func TestTimeout(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	o := run(t, "10.4.3.1", "get", "magnet:?xt=urn:btih:"+strings.Repeat("0123456789", 4), "-d", t.TempDir(),
		"--bootstrap", "none", "--timeout", "2s")
	if e := o.ends(ctx, 2); e.Hint == "" {
		t.Error("the error has no hint")
	}
}

// A peer in the link (x.pe) works like one on the command line.
func TestPeerInLink(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := single(t, "peer hint", 4<<20)
	seeded(t, "10.2.53.1", p, 0)
	dir := t.TempDir()
	o := run(t, "10.4.12.1", offline("get", p.magnet()+"&x.pe=10.2.53.1:6881", "-d", dir)...)
	o.ends(ctx, 0)
	p.same(t, dir, true)
	o.sequence(t, p, "listening", "added", "metadata", "first_piece", "complete")
}

// An existing file that is not part of the torrent is never modified.
func TestForeignFilesAreNotTouched(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "in the way", 4<<20)
	_, online := seeded(t, "10.2.54.1", p, 0)
	dir := t.TempDir()
	mine, text := filepath.Join(dir, p.name, "folder", "tiny.txt"), bytes.Repeat([]byte("mine, not theirs. "), 100)
	must(t, os.MkdirAll(filepath.Dir(mine), 0o755))
	must(t, os.WriteFile(mine, text, 0o644))
	get := with([]string{"get", p.magnet(), "-d", dir}, online...)
	o := run(t, "10.4.4.1", get...)
	if e := o.ends(ctx, 13); !strings.Contains(e.Error, "tiny.txt") {
		t.Errorf("the error %q does not name the file", e.Error)
	}
	if got, err := os.ReadFile(mine); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the file was touched: %v", err)
	}
	o = run(t, "10.4.4.1", with(get, "--overwrite")...)
	o.ends(ctx, 0)
	p.same(t, dir, true)
}

func TestSelect(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "some of them", 4<<20)
	_, online := seeded(t, "10.2.55.1", p, 0)
	for i, c := range []struct {
		name  string
		link  string
		args  []string
		files []int // the first is 0
	}{
		{"flag", p.magnet(), []string{"--select", "1,3-4"}, []int{0, 2, 3}},
		{"link", p.magnet() + "&so=1,4-5", nil, []int{1, 4, 5}},
		{"flag over link", p.magnet() + "&so=0", []string{"--select", "5"}, []int{4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ip := "10.4.5." + string(rune('1'+i))
			dir, state := t.TempDir(), t.TempDir()
			get := func(link string) []string { return with([]string{"get", link, "-d", dir, "--state", state}, online...) }
			o := run(t, ip, with(get(c.link), c.args...)...)
			o.ends(ctx, 0)
			n := -1
			wanted := p.only(func(file) bool { n++; return slices.Contains(c.files, n) })
			wanted.same(t, dir, false)
			for _, path := range listing(t, dir) {
				hidden := slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s[0] == '.' })
				if !hidden && !slices.ContainsFunc(wanted.files, func(f file) bool { return f.path == path }) {
					t.Errorf("%s exists although it was not selected", path)
				}
			}
			// Later, the rest.
			o = run(t, ip, get(p.magnet())...)
			o.ends(ctx, 0)
			p.same(t, dir, true)
		})
	}
}

func TestMetadataOnly(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "only its name", 4<<20)
	_, online := seeded(t, "10.2.56.1", p, 0)
	dir := t.TempDir()
	o := run(t, "10.4.6.1", with([]string{"get", "--metadata-only", p.magnet(), "-d", dir}, online...)...)
	o.ends(ctx, 0)
	if got := listing(t, dir); !slices.Equal(got, []string{p.name + ".torrent"}) {
		t.Fatalf("the folder has %q", got)
	}
	var shown struct {
		Infohash, Name string
		Size           int64
		Pieces         int
		Private        bool
		Files          []struct {
			Path string
			Size int64
		}
	}
	object(t, &shown, "show", filepath.Join(dir, p.name+".torrent"))
	if shown.Infohash != p.infohash || shown.Name != p.name || shown.Size != p.size || len(shown.Files) != len(p.files) {
		t.Errorf("show prints %+v", shown)
	}
	// Another client downloads it from us.
	d := libtorrent{}.start(t, "10.2.57.1", nil)
	q := *p
	q.torrent = filepath.Join(dir, p.name+".torrent")
	d.seed(ctx, &q)
}

// Seeding incomplete data is an error; seedbed does not wait.
func TestSeedIncomplete(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "a byte is wrong", 4<<20)
	path := filepath.Join(p.parent, p.name, "zuletzt-ü.bin")
	b, err := os.ReadFile(path)
	must(t, err)
	for name, change := range map[string]func() error{
		"wrong":     func() error { b[99] ^= 1; return os.WriteFile(path, b, 0o644) },
		"truncated": func() error { return os.Truncate(path, 1000) },
		"missing":   func() error { return os.Remove(path) },
	} {
		must(t, change())
		o := run(t, "10.4.7.1", offline("seed", p.torrent, "-d", p.parent)...)
		o.ends(ctx, 32)
		if o.has("ready") || o.has("seeding") {
			t.Errorf("%s data was shared", name)
		}
		must(t, os.RemoveAll(filepath.Join(p.parent, p.name)))
		p.write(t, p.parent)
	}
}

// check hashes all data, whatever the record says, and corrects the record.
func TestCheck(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "checked", 4<<20)
	_, online := seeded(t, "10.2.58.1", p, 0)
	dir, state := t.TempDir(), t.TempDir()
	get := with([]string{"get", p.magnet(), "-d", dir, "--state", state}, online...)
	run(t, "10.4.8.1", get...).ends(ctx, 0)
	check := func() int {
		c := start(t, "check", nil, seedbed, "check", p.torrent, "-d", dir, "--state", state)
		return c.exit(ctx)
	}
	if code := check(); code != 0 {
		t.Errorf("check of good data ended with %d", code)
	}
	path := filepath.Join(dir, p.name, "folder", "deep", "rest.bin")
	st, err := os.Stat(path)
	must(t, err)
	b, err := os.ReadFile(path)
	must(t, err)
	b[700_000] ^= 1
	must(t, os.WriteFile(path, b, 0o644))
	must(t, os.Chtimes(path, st.ModTime(), st.ModTime())) // so that only hashing detects the change
	if code := check(); code != 32 {
		t.Errorf("check of damaged data ended with %d, want 32", code)
	}
	run(t, "10.4.8.1", get...).ends(ctx, 0)
	p.same(t, dir, true)
}

// Two processes may use the same state directory. A torrent belongs to one of them.
func TestSharedStateDirectory(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	state := t.TempDir()
	p, q := tree(t, "first process", 4<<20), tree(t, "second process", 4<<20)
	_, online := seeded(t, "10.2.59.1", q, 0)
	first := run(t, "10.4.9.1", offline("seed", p.torrent, "-d", p.parent, "--state", state)...)
	first.wait(ctx, "ready")
	dir := t.TempDir()
	run(t, "10.4.9.2", with([]string{"get", q.magnet(), "-d", dir, "--state", state}, online...)...).ends(ctx, 0)
	q.same(t, dir, true)
	if e := run(t, "10.4.9.3", offline("get", p.magnet(), "-d", t.TempDir(), "--state", state)...).ends(ctx, 12); e.Hint == "" {
		t.Error("the error has no hint")
	}
	first.cmd.Process.Signal(interrupt)
	first.ends(ctx, 0)
}

func TestListenAddresses(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := single(t, "listened for", 1<<20)
	seed := offline("seed", p.torrent, "-d", p.parent)
	first := run(t, "10.4.10.1", seed...)
	if e := first.wait(ctx, "listening"); e.Addr != "10.4.10.1:6881" {
		t.Errorf("it listens at %s", e.Addr)
	}
	first.wait(ctx, "ready")
	// A requested port that is in use is an error. A second reuseport bind would succeed.
	if e := run(t, "10.4.10.1", seed...).ends(ctx, 6); !strings.Contains(e.Error, "6881") {
		t.Errorf("the error %q does not name the port", e.Error)
	}
	// If no port was requested and the default is in use, another port is used.
	other := run(t, "", seed...)
	if e := other.wait(ctx, "listening"); strings.HasSuffix(e.Addr, ":6881") {
		t.Errorf("it listens at %s, which is in use", e.Addr)
	}
	other.wait(ctx, "ready")
}

// Each flag has an environment variable, and the flag takes precedence.
func TestEnvironment(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	o := start(t, "seedbed", nil, "env", "SEEDBED_TIMEOUT=1s", "SEEDBED_NO_DHT=true", "SEEDBED_DIR="+t.TempDir(), "SEEDBED_STATE="+t.TempDir(),
		"SEEDBED_LISTEN=10.4.11.1:6881", seedbed, "get", "magnet:?xt=urn:btih:"+strings.Repeat("abcdef0123", 4))
	if code := o.exit(ctx); code != 2 {
		t.Errorf("it ended with %d, want 2", code)
	}
	if strings.ContainsAny(o.tail(), "\x1b\r") {
		t.Errorf("control codes without a terminal: %q", o.tail())
	}
}

func TestDemo(t *testing.T) {
	need(t)
	t.Parallel()
	d := start(t, "demo", nil, seedbed, "demo")
	if code := d.exit(timeLimit(t)); code != 0 {
		t.Errorf("demo ended with %d", code)
	}
}
