//go:build linux

package integration

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

//go:embed peers/infohash.py
var infohashScript []byte

// oracle is a libtorrent process that computes infohashes for comparison.
type oracle struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func startOracle(t *testing.T) *oracle {
	script := filepath.Join(t.TempDir(), "infohash.py")
	must(t, os.WriteFile(script, infohashScript, 0o644))
	cmd := exec.Command(systemPython, script)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return &oracle{t, in, bufio.NewScanner(out)}
}

// ask returns the v1 and v2 infohashes in hex; zeros mean that there is none.
func (o *oracle) ask(parent, name, kind string, piece int64, files [][4]any, out string) []string {
	q, err := json.Marshal(map[string]any{"parent": parent, "name": name, "kind": kind, "piece": piece, "files": files, "out": out})
	must(o.t, err)
	_, err = o.in.Write(append(q, '\n'))
	must(o.t, err)
	if !o.out.Scan() {
		o.t.Fatal("libtorrent ended: ", string(q))
	}
	return strings.Fields(o.out.Text())
}

// oddNames contains names of one character, names of equal length, and names that are
// prefixes of others, to test the order of files.
var oddNames = rapid.SampledFrom([]string{"a", "b", "a b", "a.b", "ab", "A", "aa", "ü", "日本", ".h", "z~", "a-", "a0", "_", "%41", "x y.tar.gz", "🎈"})

// TestCreatedLikeLibtorrent checks that seedbed computes the same infohash as libtorrent
// from the same file list and options, for folders of all shapes, in all three formats.
// The torrent files agree in everything that other clients read.
func TestCreatedLikeLibtorrent(t *testing.T) {
	need(t, libtorrent{})
	o := startOracle(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		parent := filepath.Join(t.TempDir(), fmt.Sprint(n))
		name := oddNames.Draw(rt, "name")
		if name == ".h" {
			name = "h"
		}
		dir := filepath.Join(parent, name)
		must(t, os.MkdirAll(dir, 0o755))
		defer os.RemoveAll(parent)
		sizes := rapid.OneOf(rapid.SampledFrom([]int{0, 1, 16384, 32768, 65536, 16383, 65537}), rapid.IntRange(0, 200_000))
		r := rand.NewChaCha8([32]byte{byte(n)})
		var paths []string
		for range rapid.IntRange(1, 12).Draw(rt, "files") {
			p := strings.Join(rapid.SliceOfN(oddNames, 1, 3).Draw(rt, "path"), "/")
			full := filepath.Join(dir, p)
			if os.MkdirAll(filepath.Dir(full), 0o755) != nil {
				continue // a file with this name exists
			}
			if _, err := os.Lstat(full); err == nil {
				continue
			}
			data := make([]byte, sizes.Draw(rt, "size"))
			r.Read(data)
			mode := os.FileMode(0o644)
			if rapid.Bool().Draw(rt, "executable") {
				mode = 0o755
			}
			must(t, os.WriteFile(full, data, mode))
			paths = append(paths, p)
		}
		if i := slices.IndexFunc(paths, func(p string) bool { return !strings.Contains(p, "/") }); i >= 0 && rapid.Bool().Draw(rt, "link") {
			_ = os.Symlink(paths[i], filepath.Join(dir, "link"))
		}
		piece := int64(16384) << rapid.IntRange(0, 3).Draw(rt, "piece")
		for _, f := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
			o.compare(rt, dir, create.Options{Format: f, PieceLength: piece, Rules: create.Rules{Hidden: create.Keep, Links: create.Keep}})
			if len(paths) > 0 {
				o.compare(rt, filepath.Join(dir, paths[0]), create.Options{Format: f, PieceLength: piece})
			}
		}
	})
}

// compare makes the torrent of a path with both programs.
func (o *oracle) compare(t *rapid.T, path string, options create.Options) {
	made, err := create.Make(o.t.Context(), path, options)
	if err != nil {
		var empty *create.EmptyError
		var bad *metainfo.Error
		if errors.As(err, &empty) || options.Format == metainfo.V2 && errors.As(err, &bad) && bad.Field == "name" {
			return
		}
		t.Fatal(err)
	}
	var files [][4]any
	if fi, _ := os.Lstat(path); !fi.IsDir() {
		files = append(files, [4]any{"", fi.Size(), fi.Mode()&0o100 != 0, ""})
	} else {
		for _, f := range made.Info.Files {
			if f.Pad {
				continue
			}
			// The name as it is on the disk.
			p := f.Path
			if f.Spelled != nil {
				p = f.Spelled
			}
			files = append(files, [4]any{strings.Join(p, "/"), f.Length, f.Executable, strings.Join(f.Symlink, "/")})
		}
	}
	out := filepath.Join(filepath.Dir(path), "theirs.torrent")
	want := o.ask(filepath.Dir(path), filepath.Base(path), options.Format.String(), options.PieceLength, files, out)
	none1, none2 := strings.Repeat("0", 40), strings.Repeat("0", 64)
	got := []string{none1, none2}
	if made.Info.HasV1() {
		got[0] = made.Info.Hash.String()
	}
	if made.Info.HasV2() {
		got[1] = made.Info.HashV2.String()
	}
	if !slices.Equal(got, want) {
		b, _ := os.ReadFile(out)
		t.Fatalf("%s of %q: %v, libtorrent has %v\nours   %q\ntheirs %q", options.Format, files, got, want, made.Info.Raw, b)
	}
	b, err := os.ReadFile(out)
	must(o.t, err)
	theirs, err := metainfo.ParseTorrent(b)
	must(o.t, err)
	for p := range theirs.Info.NumPieces() {
		if theirs.Info.Digest(p) != made.Info.Digest(p) {
			t.Fatalf("piece %d of %s has another digest", p, options.Format)
		}
	}
	again, err := metainfo.ParseTorrent((&metainfo.Torrent{Info: made.Info}).Append(nil))
	if err != nil || again.Info.Hash != made.Info.Hash || again.Info.HasLayers() != made.Info.HasLayers() {
		t.Fatal("our own torrent file is not read back: ", err)
	}
}
