package publish

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/sealedfs"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// publishPrivate publishes a folder as a private publication.
func publishPrivate(t *testing.T) (p *Publication, dir string) {
	t.Helper()
	n := simnet.New(4, simnet.Link{Delay: 10 * ms})
	nodetest.Ring(t, n, 4)
	dir = nodetest.Site(t, 3)
	p, err := start(t, n, 1, nodetest.Boot(100)).Publish(t.Context(), private(dir))
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// manifestPath returns the path at which the manifest of a version is kept.
func (p *Publication) manifestPath(t testing.TB, info *metainfo.Info) string {
	t.Helper()
	manifest, err := sealedfs.Manifest(p.secret.Keys(), info)
	if err != nil {
		t.Fatal(err)
	}
	return p.folder.earlierPath(info, manifest)
}

// If the manifest of a version was not kept when the version was made, because of a kill or a full disk, it is
// kept the next time that the version is published.
func TestAManifestThatWasNotKeptIsKeptNextTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dir := publishPrivate(t)
		kept := p.manifestPath(t, p.Torrent().Info())
		if err := os.RemoveAll(p.folder.earlierDir()); err != nil {
			t.Fatal(err)
		}
		if changed, err := p.Update(t.Context()); changed || err != nil {
			t.Fatal(changed, err)
		}
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		if changed, err := p.Update(t.Context()); !changed || err != nil {
			t.Fatal(changed, err)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Error("version 1 has no list of files:", err)
		}
	})
}

// The manifest of a version that is on record is kept even if the version cannot be seeded.
func TestAManifestIsKeptIfSeedingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dir := publishPrivate(t)
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		made, spec, err := p.makePrivate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		spec.MaxPeers = -1 // the node refuses it
		if err := p.publish(t.Context(), &content{spec: spec, fresh: true}); err == nil || newest(p).Seq != 2 {
			t.Fatalf("version %d is newest: %v", newest(p).Seq, err)
		}
		if _, err := os.Stat(p.manifestPath(t, made.Info)); err != nil {
			t.Error("version 2 has no list of files:", err)
		}
		if changed, err := p.Update(t.Context()); changed || err != nil { // seeds it
			t.Error(changed, err)
		}
	})
}

// A copy of which only a part could be read or written does not count as the file.
func TestAnIncompleteCopyLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to", "file")
	if err := os.Mkdir(from, 0o700); err != nil { // it can be neither linked nor read
		t.Fatal(err)
	}
	if err := linkOrCopy(from, to, dir); err == nil {
		t.Error("a folder was copied")
	}
	if left := append(filetest.Entries(t, dir), filetest.Entries(t, filepath.Dir(to))...); len(left) != 2 {
		t.Errorf("there are %v", left)
	}
	from = filepath.Join(dir, "file")
	filetest.Write(t, from, []byte("content"))
	if err := copyFile(from, to, dir); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(to); string(b) != "content" {
		t.Errorf("%q was copied, %v", b, err)
	}
	if err := linkOrCopy(from, to, dir); err != nil {
		t.Error("a copy that exists:", err)
	}
}
