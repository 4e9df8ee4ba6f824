//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/dnstest"
)

// A name leads to a publication and, after its record has changed and the user has accepted that, to
// another one in the same folder. A daemon with the state directory follows only the new one.
func TestANameThatChanges(t *testing.T) {
	ctx := timeLimit(t)
	const name, record = "site.example", "_btpk.site.example"
	zone := dnstest.Start(t)
	boot := run(t, "127.0.0.51", "publish", folderOf(t, "first"), "--key", "a", "--bootstrap", "none")
	entry := boot.wait(ctx, "listening").Addr
	publish := func(ip, content string) (key, at string) {
		p := run(t, ip, "publish", folderOf(t, content), "--key", "a", "--bootstrap", entry)
		at = p.wait(ctx, "listening").Addr
		link := p.wait(ctx, "published").Link
		_, key, _ = strings.Cut(link, "urn:btpk:")
		key, _, _ = strings.Cut(key, "&")
		return key, at
	}
	key1, at1 := publish("127.0.0.52", "first")
	key2, at2 := publish("127.0.0.53", "second")
	dir := t.TempDir()
	state := t.TempDir()
	follow := func(more ...string) *ours {
		args := []string{"follow", name, "-d", dir, "--state", state, "--bootstrap", entry, "--resolver", zone.Addr, "--peer", at1, "--peer", at2, "--poll", "1s"}
		return run(t, "127.0.0.54", append(args, more...)...)
	}
	content := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "current", "site", "page"))
		must(t, err)
		return string(b)
	}
	zone.Set(record, "btpk="+key1)
	f := follow()
	f.wait(ctx, "current")
	f.stop()
	zone.Set(record, "btpk="+key2)
	if e := follow().ends(ctx, 1); !strings.Contains(e.Error, key1) || !strings.Contains(e.Error, key2) {
		t.Errorf("the error does not show both keys: %+v", e)
	}
	if c := content(); c != "first" {
		t.Errorf("before the change is accepted: %q", c)
	}
	f = follow("--accept-change")
	f.wait(ctx, "current")
	if c := content(); c != "second" {
		t.Errorf("after the change is accepted: %q", c)
	}
	f.stop()
	records, err := filepath.Glob(filepath.Join(state, "follows", "*", "record"))
	must(t, err)
	if len(records) != 1 {
		t.Errorf("follows on record: %v", records)
	}
}

// folderOf returns a folder site with one file.
func folderOf(t *testing.T, content string) string {
	dir := filepath.Join(t.TempDir(), "site")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "page"), []byte(content), 0o644))
	return dir
}
