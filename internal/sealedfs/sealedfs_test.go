package sealedfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/sealed"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

func secretOf(seed byte) sealed.Secret { return sealed.NewSecret([sealed.SecretLen]byte{seed, 1}) }

func randomBytes(seed uint64, n int) []byte {
	key := [32]byte{byte(seed), byte(seed >> 8)}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// published is a folder with its encrypted copy, as a publisher has them.
type published struct {
	t      *testing.T
	source string
	copy   Copy
	sealed *metainfo.Info // the torrent of the copy
}

func publish(t *testing.T, files map[string][]byte) *published {
	t.Helper()
	dir := t.TempDir()
	p := &published{t: t, source: filepath.Join(dir, "diary")}
	p.copy = Copy{Keys: secretOf(1).Keys(), Source: p.source, Dir: filepath.Join(dir, "sealed")}
	for name, b := range files {
		p.write(name, b)
	}
	p.update()
	return p
}

func (p *published) write(name string, b []byte) {
	p.t.Helper()
	at := filepath.Join(p.source, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, b, 0o644)); err != nil {
		p.t.Fatal(err)
	}
}

// update makes the next version, and returns the names of the blobs that were written.
func (p *published) update() (written []string) {
	p.t.Helper()
	made, err := create.Make(p.t.Context(), p.source, create.Options{Format: metainfo.V2, Rules: create.Rules{Hidden: create.Keep}})
	if err != nil {
		p.t.Fatal(err)
	}
	before := p.blobs()
	p.copy.Info = made.Info
	folder, err := p.copy.Update(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	p.copy.Before = made.Info
	for name, fi := range p.blobs() {
		if was, ok := before[name]; !ok || !os.SameFile(was, fi) {
			written = append(written, name)
		}
	}
	enc, err := create.Make(p.t.Context(), folder, create.Options{Format: metainfo.V2, NoAttributes: true})
	if err != nil {
		p.t.Fatal(err)
	}
	p.sealed = enc.Info
	slices.Sort(written)
	return written
}

func (p *published) blobs() map[string]fs.FileInfo {
	all := map[string]fs.FileInfo{}
	entries, _ := os.ReadDir(filepath.Join(p.copy.Dir, p.copy.Keys.TorrentName()))
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			all[e.Name()] = fi
		}
	}
	return all
}

func (p *published) open(keys *sealed.Keys) (*Tree, Opener, error) {
	dir, err := os.OpenRoot(p.copy.Dir)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { dir.Close() })
	open := InFolder(p.sealed, dir)
	tree, err := Open(keys, BlobsOf(p.sealed), open)
	return tree, open, err
}

// extract writes the files into a new folder and compares them with the source.
func (p *published) extract() {
	p.t.Helper()
	tree, open, err := p.open(p.copy.Keys)
	if err != nil {
		p.t.Fatal(err)
	}
	to := p.t.TempDir()
	root, err := os.OpenRoot(to)
	if err != nil {
		p.t.Fatal(err)
	}
	defer root.Close()
	x := Extraction{Tree: tree, Open: open, To: root}
	if err := x.Run(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	want, got := contents(p.t, p.source), contents(p.t, filepath.Join(to, "diary"))
	if fmt.Sprint(want) != fmt.Sprint(got) {
		p.t.Errorf("%d files are read as %d others", len(want), len(got))
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fi, _ := d.Info()
		all[strings.TrimPrefix(path, dir)] = fmt.Sprint(fi.Mode(), string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func diary() map[string][]byte {
	return map[string][]byte{
		"monday.txt": []byte("walked the dog"), "empty": nil, "films/summer.bin": randomBytes(1, 300_000),
		"films/winter.bin": randomBytes(2, 5*sealed.Payload), "same.txt": []byte("walked the dog"),
	}
}

// What is encrypted is read again as it was, and the copy shows no name, no content and no size.
func TestFoldersAreReadAsTheyWere(t *testing.T) {
	p := publish(t, diary())
	if err := os.Chmod(filepath.Join(p.source, "monday.txt"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.update()
	p.extract()
	for name, fi := range p.blobs() {
		if len(name) != 32 || fi.Size()%16 != 0 || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s, %d bytes, %v", name, fi.Size(), fi.Mode())
		}
	}
	if n := len(p.blobs()); n != 5 { // the empty file has none, the manifest has one
		t.Errorf("%d blobs", n)
	}
	for i := range p.sealed.Files {
		if p.sealed.Files[i].Executable {
			t.Error("the torrent shows which file is executable")
		}
	}
}

// Files and folders whose names are like those of files that are being written are files like others.
func TestNamesOfFilesThatAreWritten(t *testing.T) {
	p := publish(t, map[string][]byte{
		".seedbed-decrypting": []byte("a"), "b": []byte("b"), "c/.seedbed-decrypting_/d": []byte("d"), "c/e": []byte("e"), "manifest.part": []byte("f"),
	})
	p.extract()
}

func TestSingleFiles(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "film.mkv")
	if err := os.WriteFile(source, randomBytes(1, 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &published{t: t, source: source, copy: Copy{Keys: secretOf(1).Keys(), Source: source, Dir: filepath.Join(dir, "sealed")}}
	p.update()
	tree, open, err := p.open(p.copy.Keys)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	// The file is there with the same content: nothing is to do.
	if err := (&Extraction{Tree: tree, Open: open, To: root}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(source, randomBytes(2, 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	var exists *ExistsError
	if err := (&Extraction{Tree: tree, Open: open, To: root}).Run(t.Context()); !errors.As(err, &exists) {
		t.Errorf("a file with other content: %v", err)
	}
	if err := (&Extraction{Tree: tree, Open: open, To: root, Overwrite: true}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(source); !bytes.Equal(b, randomBytes(1, 100_000)) {
		t.Error("the file was not replaced")
	}
}

// Only the blobs of changed files are written, and those of deleted files go.
func TestUpdatesWriteOnlyWhatChanged(t *testing.T) {
	p := publish(t, diary())
	blob := p.copy.Keys.BlobName([]string{"monday.txt"})
	p.write("monday.txt", []byte("walked the cat"))
	manifest := p.copy.Keys.ManifestName()
	want := []string{blob, manifest}
	slices.Sort(want)
	if got := p.update(); !slices.Equal(got, want) {
		t.Errorf("%v were written, instead of %v", got, want)
	}
	if err := os.Remove(filepath.Join(p.source, "monday.txt")); err != nil {
		t.Fatal(err)
	}
	if got := p.update(); !slices.Equal(got, []string{manifest}) {
		t.Errorf("%v were written after a file was deleted", got)
	}
	if _, there := p.blobs()[blob]; there {
		t.Error("the blob of a deleted file is still there")
	}
	p.extract()
}

// After an update that did not finish, the next one makes the whole copy again.
func TestUpdatesAfterAnInterruptedOne(t *testing.T) {
	p := publish(t, diary())
	folder := filepath.Join(p.copy.Dir, p.copy.Keys.TorrentName())
	want := p.sealed.Hash
	for name := range p.blobs() {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "x"+partSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.copy.Before = nil
	p.update()
	if p.sealed.Hash != want {
		t.Error("the same files have another torrent")
	}
	p.extract()
}

// A file that changes between its hashing and its encryption is an error, and so is one that
// gets shorter.
func TestFilesThatChangeMeanwhile(t *testing.T) {
	p := publish(t, diary())
	p.copy.Before = nil
	for _, b := range [][]byte{[]byte("walked the cow"), []byte("walked")} {
		p.write("monday.txt", b)
		if _, err := p.copy.Update(t.Context()); !errors.Is(err, ErrChanged) {
			t.Errorf("%q: %v", b, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.copy.Update(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOtherSecretsAndDamagedCopies(t *testing.T) {
	p := publish(t, diary())
	if _, _, err := p.open(secretOf(2).Keys()); err != ErrOtherSecret {
		t.Errorf("another secret: %v", err)
	}
	// A torrent that lacks a blob or has one of a wrong size.
	missing, wrong := *p.sealed, *p.sealed
	at := slices.IndexFunc(p.sealed.Files, func(f metainfo.File) bool { return f.Path[0] == p.copy.Keys.BlobName([]string{"monday.txt"}) })
	missing.Files = slices.Delete(slices.Clone(p.sealed.Files), at, at+1)
	wrong.Files = slices.Clone(p.sealed.Files)
	wrong.Files[at].Length++
	dir, err := os.OpenRoot(p.copy.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, torrent := range []*metainfo.Info{&missing, &wrong} {
		var be *BlobError
		if _, err := Open(p.copy.Keys, BlobsOf(torrent), InFolder(torrent, dir)); !errors.As(err, &be) || !strings.Contains(err.Error(), "monday.txt") {
			t.Error(err)
		}
	}
	// A flipped byte of a blob, and of the manifest.
	flip := func(name string) {
		t.Helper()
		at := filepath.Join(p.copy.Dir, p.copy.Keys.TorrentName(), name)
		b, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		b[100] ^= 1
		if err := os.WriteFile(at, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var be *sealed.BlockError
	flip(p.copy.Keys.BlobName([]string{"monday.txt"}))
	tree, open, err := p.open(p.copy.Keys)
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := (&Extraction{Tree: tree, Open: open, To: to}).Run(t.Context()); !errors.As(err, &be) || !strings.Contains(err.Error(), "monday.txt") {
		t.Error(err)
	}
	if _, err := to.Lstat("diary/monday.txt"); err == nil {
		t.Error("a damaged file was written")
	}
	flip(p.copy.Keys.ManifestName())
	if _, _, err := p.open(p.copy.Keys); !errors.As(err, &be) {
		t.Error(err)
	}
}

// hostile seals a manifest with the right keys, as a publisher can, and opens it.
func hostile(t *testing.T, keys *sealed.Keys, info []byte) error {
	t.Helper()
	var b bytes.Buffer
	if err := keys.SealManifest(&b, info); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	folder := filepath.Join(dir, keys.TorrentName())
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, keys.ManifestName()), b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	made, err := create.Make(t.Context(), folder, create.Options{Format: metainfo.V2})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, err = Open(keys, BlobsOf(made.Info), InFolder(made.Info, root))
	return err
}

func TestHostileManifests(t *testing.T) {
	keys := secretOf(1).Keys()
	v2 := func(tree string) []byte {
		return []byte("d9:file treed" + tree + "e12:meta versioni2e4:name1:d12:piece lengthi16384ee")
	}
	leaf := func(length int) string {
		return fmt.Sprintf("d0:d6:lengthi%de11:pieces root32:%see", length, strings.Repeat("r", 32))
	}
	if err := hostile(t, keys, v2("1:a"+leaf(5))); err == nil || !strings.Contains(err.Error(), "d/a is missing") && !strings.Contains(err.Error(), "copy of d/a is missing") {
		t.Errorf("a file without a blob: %v", err)
	}
	v1 := []byte("d6:lengthi5e4:name1:d12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae")
	for _, info := range [][]byte{[]byte("de"), []byte("x"), v1, v2("1:a" + leaf(-1)), v2("0:" + leaf(5)), v2("1:a" + leaf(1<<62))} {
		if err := hostile(t, keys, info); err == nil {
			t.Errorf("%q is accepted", info)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte("d9:file treed1:ad0:d6:lengthi5e11:pieces root32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrreee12:meta versioni2e4:name1:d12:piece lengthi16384ee"))
	f.Add([]byte("d6:lengthi5e4:name2:..12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae"))
	keys := secretOf(1).Keys()
	f.Fuzz(func(t *testing.T, info []byte) {
		var b bytes.Buffer
		if len(info) == 0 || keys.SealManifest(&b, info) != nil {
			return
		}
		_, _ = Open(keys, Blobs{keys.ManifestName(): {Size: int64(b.Len())}}, func(int) (io.ReadSeekCloser, error) {
			return struct {
				io.ReadSeeker
				io.Closer
			}{bytes.NewReader(b.Bytes()), io.NopCloser(nil)}, nil
		})
	})
}
