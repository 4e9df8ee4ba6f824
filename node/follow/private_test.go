package follow

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/sealed"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/publish"
)

func parse(t testing.TB, link string) *magnet.Link {
	t.Helper()
	l, err := magnet.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func withLink(l *magnet.Link) func(*Config) { return func(c *Config) { c.Link = l } }

// finds reports whether anything below a folder has one of these texts: a name or content.
func finds(t testing.TB, dir string, texts ...string) (where []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var b []byte
		if d.Type().IsRegular() {
			if b, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		for _, text := range texts {
			if strings.Contains(d.Name(), text) || bytes.Contains(b, []byte(text)) {
				where = append(where, text+" in "+path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// A private publication is read with the link to read. Whoever has only the link to keep has
// nothing but ciphertext, and serves it and the item when the publisher is gone.
func TestPrivatePublications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 20)
		const secret = "walked the dog and told nobody"
		filetest.Write(t, filepath.Join(dir, "diary.txt"), []byte(strings.Repeat(secret+". ", 2000)))
		filetest.Write(t, filepath.Join(dir, "empty"), nil)
		a := start(t, n, 1, nodetest.Boot(100))
		cfg := publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Secret: true}
		p := a.publishAs(cfg)
		what := p.Describe()
		if !what.Private || strings.Contains(what.KeepLink, parse(t, what.Link).Secret.Text()) || what.Versions[0].Name != "site" {
			t.Errorf("%+v", what)
		}
		keepDir, readDir := t.TempDir(), t.TempDir()
		k := start(t, n, 2, nodetest.Boot(101))
		keeper := k.follow(testKey(0), keepDir, withLink(parse(t, what.KeepLink)), func(c *Config) { c.KeepAlive = true })
		b := start(t, n, 3, nodetest.Boot(101))
		reader := b.follow(testKey(0), readDir, withLink(parse(t, what.Link)))
		for _, f := range []*Follower{keeper, reader} {
			reaches(t, f, 1, 2*time.Minute)
		}
		filetest.Same(t, dir, filepath.Join(readDir, "current", "site"))
		if v := reader.Versions(); len(v) != 1 || v[0].Name != "site" || v[0].Files != 22 {
			t.Errorf("%+v", v)
		}
		hidden := []string{secret, "diary", "page 1", "site", what.Link, parse(t, what.Link).Secret.Text()}
		for _, where := range [][]string{finds(t, keepDir, hidden...), finds(t, k.State, hidden...)} {
			if len(where) > 0 {
				t.Errorf("the keeper's disk shows %v", where)
			}
		}
		for _, text := range hidden[:4] {
			if len(finds(t, readDir, text)) == 0 {
				t.Errorf("the search does not find %q where it is", text)
			}
		}

		// Of the next version only what changed is downloaded, and unchanged files are shared.
		filetest.Write(t, filepath.Join(dir, "d1", "page 1"), filetest.RandomBytes("changed", 21_000))
		a.update(p)
		for _, f := range []*Follower{keeper, reader} {
			reaches(t, f, 2, time.Minute)
			// Two blocks of the file, and the manifest.
			if got := f.Torrent().Snapshot().Downloaded; got > 2*2*sealed.BlockSize {
				t.Errorf("%d bytes were downloaded for a change of 21,000", got)
			}
		}
		filetest.Same(t, dir, filepath.Join(readDir, "current", "site"))
		same, _ := filepath.Glob(filepath.Join(readDir, "versions", "*", "site", "d0", "page 0"))
		if len(same) != 2 {
			t.Fatal(same)
		}
		one, _ := os.Stat(same[0])
		two, _ := os.Stat(same[1])
		if !os.SameFile(one, two) || one.Mode().Perm()&0o222 != 0 {
			t.Error("an unchanged file was not linked, or may be written to:", one.Mode())
		}

		// The keeper alone serves a new reader, hours after the publisher has ended.
		a.Close()
		b.Close()
		time.Sleep(4 * time.Hour)
		lateDir := t.TempDir()
		late := start(t, n, 4, nodetest.Boot(102)).follow(testKey(0), lateDir, withLink(parse(t, what.Link)))
		reaches(t, late, 2, 2*time.Minute)
		filetest.Same(t, dir, filepath.Join(lateDir, "current", "site"))
		if s := late.Stats(); s.Useless != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A link with another secret leads nowhere, because the salt follows from the secret. If the
// publisher signs something that is not sealed with the secret, it is refused with the reason.
func TestItemsThatDoNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		a := start(t, n, 1, nodetest.Boot(100))
		secret := sealed.NewSecret([sealed.SecretLen]byte{1})
		// What a public publication under the derived salt would be.
		a.publishAs(publish.Config{Key: testKey(0), KeyName: "k", Salt: secret.Salt(), Path: nodetest.Site(t, 2)})
		b := start(t, n, 2, nodetest.Boot(101))
		f := b.follow(testKey(0), t.TempDir(), withLink(keyLink(testKey(0)).WithSecret(secret)))
		nodetest.Until(t, 2*time.Minute, "the item is refused", func() bool { return f.Stats().Useless > 0 })
		if w := b.Warnings(); !strings.Contains(w, "the value of the item is not sealed") {
			t.Error(w)
		}
		if f.Seq() != 0 {
			t.Error("it was adopted")
		}
		// And a private one opened by a link without the secret.
		p := a.publishAs(publish.Config{Key: testKey(1), KeyName: "k2", Path: nodetest.Site(t, 3), Secret: true})
		l := parse(t, p.Link())
		g := b.follow(testKey(1), t.TempDir(), withLink(&magnet.Link{PublicKey: l.PublicKey, HasPublicKey: true, Salt: l.Salt}))
		nodetest.Until(t, 2*time.Minute, "the item is refused", func() bool { return g.Stats().Useless > 0 })
		if w := b.Warnings(); !strings.Contains(w, "this link has no secret") {
			t.Error(w)
		}
	})
}

// After a restart, a reader seeds the encrypted copy and reads the next version. A follower
// cannot change between reading and keeping.
func TestReadersResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		dir, to := nodetest.Site(t, 5), t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publishAs(publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Secret: true})
		link := parse(t, p.Link())
		b := start(t, n, 2, nodetest.Boot(101))
		reaches(t, b.follow(testKey(0), to, withLink(link)), 1, 2*time.Minute)
		before := filetest.Tree(t, dir)
		b.Close()
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		a.update(p)
		c := start(t, n, 2, nodetest.Boot(101), nodetest.State(b.State))
		if _, err := Start(c.Node.Node, Config{Link: link.ToKeep(), Dir: to}); err == nil || !strings.Contains(err.Error(), "another link") {
			t.Errorf("following with the other link: %v", err)
		}
		restored, failed := Restore(c.Node.Node)
		if len(restored) != 1 || len(failed) > 0 {
			t.Fatal(restored, failed)
		}
		reaches(t, restored[0], 2, 2*time.Minute)
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
		if err := restored[0].Stay(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if got := filetest.Tree(t, filepath.Join(to, "current", "site")); len(got) != 5 {
			t.Errorf("%v of %v", filetest.Names(got), filetest.Names(before))
		}
		if w := c.Warnings(); w != "" {
			t.Error(w)
		}
	})
}
