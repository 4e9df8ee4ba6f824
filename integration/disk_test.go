//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mountSmall mounts a file system of the given size, visible only to these tests.
func mountSmall(t *testing.T, size string) (dir string, resize func(string)) {
	t.Helper()
	dir = t.TempDir()
	return dir, mountSmallAt(t, dir, size)
}

// mountSmallAt is mountSmall for a folder that exists.
func mountSmallAt(t *testing.T, dir, size string) (resize func(string)) {
	t.Helper()
	mount := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
	}
	mount("-t", "tmpfs", "-o", "size="+size, "none", dir)
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return func(size string) { mount("-o", "remount,size="+size, dir) }
}

// A full disk pauses the torrent with a message. After space has been freed, the torrent
// continues, and nothing written is lost.
func TestFullDisk(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "too much", 12<<20)
	_, online := seeded(t, "10.2.61.1", p, 0)
	dir, resize := mountSmall(t, "6M")
	o := run(t, "10.4.21.1", with([]string{"get", p.magnet(), "-d", dir}, online...)...)
	if w := o.wait(ctx, "warning"); w.Hint == "" || !strings.Contains(w.Error, "space") {
		t.Errorf("the warning is %q with the hint %q", w.Error, w.Hint)
	}
	if o.has("complete") {
		t.Fatal("complete on a full disk")
	}
	resize("64M")
	o.ends(ctx, 0)
	p.same(t, dir, true)
}

// With --timeout the command ends with exit code 9, and the next run continues.
func TestFullDiskTimeout(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "too much for now", 12<<20)
	_, online := seeded(t, "10.2.62.1", p, 0)
	dir, resize := mountSmall(t, "6M")
	get := with([]string{"get", p.magnet(), "-d", dir, "--state", t.TempDir()}, online...)
	o := run(t, "10.4.22.1", with(get, "--timeout", "12s")...)
	o.ends(ctx, 9)
	resize("64M")
	o = run(t, "10.4.22.1", get...)
	o.ends(ctx, 0)
	p.same(t, dir, true)
}

// A file that disappears while it is shared is noticed when a peer requests it. No wrong
// data is sent; the peer gets the other pieces.
func TestTruncatedWhileSeeding(t *testing.T) {
	need(t, libtorrent{})
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "cut short", 8<<20)
	o := run(t, "10.2.63.1", offline("seed", p.torrent, "-d", p.parent)...)
	o.wait(ctx, "ready")
	must(t, os.Truncate(filepath.Join(p.parent, p.name, "folder", "deep", "rest.bin"), 1<<20))
	l := libtorrent{}.with(t, "10.3.63.1", nil, map[string]any{"peers": []string{"10.2.63.1:6881"}})
	l.leech(ctx, p.magnet(), t.TempDir())
	l.event(ctx, "metadata")
	if w := o.wait(ctx, "warning"); !strings.Contains(w.Error, "rest.bin") || w.Hint == "" {
		t.Errorf("the warning is %q with the hint %q", w.Error, w.Hint)
	}
	o.cmd.Process.Signal(interrupt)
	o.exit(ctx)
}

// A torrent with more files than the process may open at once works, both downloading and
// seeding.
func TestFewFileDescriptors(t *testing.T) {
	need(t)
	t.Parallel()
	ctx := timeLimit(t)
	sizes := map[string]int{}
	for i := range 300 {
		sizes[fmt.Sprintf("%d/%d", i%7, i)] = 10_000 + i
	}
	p := newPayload(t, "many files", 32<<10, false, sizes)
	_, online := seeded(t, "10.2.64.1", p, 0)
	limited := func(ip string, args ...string) *ours {
		t.Helper()
		return runAs(t, []string{"sh", "-c", "ulimit -n 40 && exec \"$@\"", "sh", seedbed}, ip, args...)
	}
	dir := t.TempDir()
	limited("10.4.23.1", with([]string{"get", p.magnet(), "-d", dir}, online...)...).ends(ctx, 0)
	p.same(t, dir, true)
	limited("10.2.65.1", offline("seed", p.torrent, "-d", dir)...).wait(ctx, "ready")
	again := t.TempDir()
	run(t, "10.4.24.1", offline("get", p.magnet(), "-d", again, "--peer", "10.2.65.1:6881")...).ends(ctx, 0)
	p.same(t, again, true)
}
