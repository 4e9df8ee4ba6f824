package node

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// Files in the state directory are damaged by one bit or truncated. Nothing crashes, the
// other torrents load, the affected torrent finds its existing data, and no file of the
// user is changed.
func TestBatteryRecords(t *testing.T) {
	flips, cuts := 40, 10
	if os.Getenv("SEEDBED_SOAK") != "" {
		flips, cuts = 1000, 200
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		var specs []Spec
		var dirs []string
		for i := range 3 {
			_, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
			dirs = append(dirs, dir)
			// The same names and sizes, but different content.
			filetest.Write(t, filepath.Join(dir, "c.txt"), filetest.RandomBytes(strconv.Itoa(i), 10))
			spec, err := Share(t.Context(), dir, ShareOptions{PieceLength: 32 << 10})
			if err != nil {
				t.Fatal(err)
			}
			spec.Seed = false
			specs = append(specs, spec)
		}
		ring(t, n, 4)
		first := start(t, n, 1, boot(100))
		time.Sleep(10 * time.Second)
		for _, s := range specs {
			awaitComplete(t, first.add(s))
		}
		first.close()
		for _, s := range specs { // as if the metadata came from peers
			filetest.Write(t, filepath.Join(first.state, "torrents", s.InfoHash().String(), "torrent"), s.Torrent.Append(nil))
		}
		pristine := filetest.Tree(t, first.state)
		files := slices.DeleteFunc(filetest.Names(pristine), func(f string) bool { return len(pristine[f]) == 0 })
		if len(files) < 7 {
			t.Fatal("the state directory has only", files)
		}
		var before []map[string][]byte
		for _, d := range dirs {
			before = append(before, filetest.Tree(t, d))
		}
		random := rand.New(rand.NewPCG(1, 1))
		hit := map[string]int{}
		for k := range flips + cuts {
			victim := files[random.IntN(len(files))]
			hit[filepath.Base(victim)]++
			state1 := t.TempDir()
			for f, b := range pristine {
				if f == victim {
					b = bytes.Clone(b)
					if k < flips {
						b[random.IntN(len(b))] ^= 1 << random.IntN(8)
					} else {
						b = b[:random.IntN(len(b))]
					}
				}
				filetest.Write(t, filepath.Join(state1, filepath.FromSlash(f)), b)
			}
			r := start(t, n, 1, boot(100), state(state1))
			for i, s := range specs {
				lost := filepath.Base(victim) == "torrent" && strings.Contains(victim, s.InfoHash().String())
				tt := r.add(Spec{Link: bare(s), Dir: filepath.Dir(dirs[i])})
				if !lost {
					awaitComplete(t, tt)
				}
			}
			r.close()
			if t.Failed() {
				t.Fatalf("%s was damaged in round %d", victim, k)
			}
		}
		for i, d := range dirs {
			if !maps.EqualFunc(before[i], filetest.Tree(t, d), bytes.Equal) {
				t.Errorf("the files in %s were changed", d)
			}
		}
		t.Logf("battery: %d bytes flipped and %d files cut in the state of three torrents %v: all others loaded, and so did the damaged one if its metadata was intact", flips, cuts, hit)
	})
}

// awaitComplete waits until a torrent has all its wanted data.
func awaitComplete(t *testing.T, tt *Torrent) {
	t.Helper()
	for range 6000 {
		if tt.Snapshot().Complete {
			return
		}
		time.Sleep(10 * ms)
	}
	t.Errorf("%s is not complete: %+v", tt.Name(), tt.Snapshot())
}
