package swarm

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// makeFolder returns a torrent of several files that share pieces, and its content.
func makeFolder(t testing.TB, pieceLength int64, lengths ...int64) (*metainfo.Info, *memStorage) {
	t.Helper()
	plan := metainfo.Plan{Name: "folder", PieceLength: pieceLength}
	var size int64
	for i, n := range lengths {
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: []string{fmt.Sprintf("d%d", i%2), fmt.Sprintf("f%d", i)}, Length: n})
		size += n
	}
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(data)
	var hashes []byte
	for off := int64(0); off < size; off += pieceLength {
		h := sha1.Sum(data[off:min(size, off+pieceLength)])
		hashes = append(hashes, h[:]...)
	}
	info, err := metainfo.Build(plan, hashes)
	if err != nil {
		t.Fatal(err)
	}
	m := newMem(info)
	m.data = data
	m.verified.Fill()
	return info, m
}

// checkFolder returns what is wrong with the download in dir: a file that is missing,
// differs, or does not belong there.
func checkFolder(dir string, info *metainfo.Info, full *memStorage) error {
	left := map[string]bool{}
	for i := range info.Files {
		f := &info.Files[i]
		path := filepath.Join(append([]string{dir, info.Name}, f.Path...)...)
		left[path] = true
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, full.data[f.Offset:f.Offset+f.Length]) {
			return fmt.Errorf("%s differs", path)
		}
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !left[path] {
			err = fmt.Errorf("%s is left over", path)
		}
		return err
	})
}

// foreignChange changes a file in a way that no client expects. undo, if not nil, is what
// the user does later. The only consequence may be extra work.
type foreignChange struct {
	name string
	do   func(path string, rng *rand.Rand) (undo func() error, err error)
}

func overwrite(path string, off int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, off)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func sizeOf(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

var foreignChanges = []foreignChange{
	{"overwritten", func(path string, rng *rand.Rand) (func() error, error) {
		return nil, overwrite(path, rng.Int64N(sizeOf(path)), []byte{0x55})
	}},
	{"overwritten over a long stretch", func(path string, rng *rand.Rand) (func() error, error) {
		n := sizeOf(path)
		off := rng.Int64N(n)
		return nil, overwrite(path, off, make([]byte, n-off))
	}},
	{"truncated", func(path string, rng *rand.Rand) (func() error, error) {
		return nil, os.Truncate(path, rng.Int64N(sizeOf(path)))
	}},
	{"truncated and extended", func(path string, rng *rand.Rand) (func() error, error) {
		n := sizeOf(path)
		if err := os.Truncate(path, rng.Int64N(n)); err != nil {
			return nil, err
		}
		return nil, os.Truncate(path, n)
	}},
	{"extended", func(path string, rng *rand.Rand) (func() error, error) {
		return nil, os.Truncate(path, sizeOf(path)+1+rng.Int64N(100_000))
	}},
	{"replaced", func(path string, rng *rand.Rand) (func() error, error) {
		n := sizeOf(path)
		if rng.IntN(2) == 0 {
			n = rng.Int64N(n)
		}
		if err := os.WriteFile(path+".x", make([]byte, n), 0o644); err != nil {
			return nil, err
		}
		return nil, os.Rename(path+".x", path)
	}},
	{"replaced by an identical file", func(path string, rng *rand.Rand) (func() error, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path+".x", b, 0o644); err != nil {
			return nil, err
		}
		return nil, os.Rename(path+".x", path)
	}},
	{"deleted and recreated", func(path string, rng *rand.Rand) (func() error, error) {
		n := sizeOf(path)
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		return nil, os.WriteFile(path, make([]byte, n), 0o644)
	}},
	{"deleted and recreated later", func(path string, rng *rand.Rand) (func() error, error) {
		n := sizeOf(path)
		return func() error { return os.WriteFile(path, make([]byte, n), 0o644) }, os.Remove(path)
	}},
	{"moved away and back", func(path string, rng *rand.Rand) (func() error, error) {
		return func() error { return os.Rename(path+".away", path) }, os.Rename(path, path+".away")
	}},
	{"its folder moved away and back", func(path string, rng *rand.Rand) (func() error, error) {
		dir := filepath.Dir(path)
		return func() error {
			list, err := os.ReadDir(dir + ".away")
			for _, e := range list { // files that were recreated meanwhile stay
				if _, e2 := os.Lstat(filepath.Join(dir, e.Name())); e2 != nil {
					if err := os.MkdirAll(dir, 0o755); err != nil {
						return err
					}
					err = os.Rename(filepath.Join(dir+".away", e.Name()), filepath.Join(dir, e.Name()))
				}
			}
			if e := os.RemoveAll(dir + ".away"); err == nil {
				err = e
			}
			return err
		}, os.Rename(dir, dir+".away")
	}},
	{"touched", func(path string, rng *rand.Rand) (func() error, error) {
		return nil, os.Chtimes(path, time.Time{}, time.Unix(1, 0))
	}},
}

// Files of a download, complete or not, are changed by others at any moment. Completion
// is reported only when every file has its final name and the right bytes, and eventually
// it is.
func TestBatteryForeignChangesWhileDownloading(t *testing.T) {
	rounds := 3 * len(foreignChanges)
	switch {
	case soak():
		rounds *= 30
	case raceEnabled:
		rounds /= 3
	}
	info, full := makeFolder(t, 64<<10, 300_000, 1, 700_000, 65_536, 900_000)
	changes, finals, occurred := 0, 0, 0
	for k := range rounds {
		rng := rand.New(rand.NewPCG(uint64(k), 12))
		dir := t.TempDir()
		rate := []float64{60e3, 150e3, 5e6}[k/len(foreignChanges)%3] // some end before the first flush
		c := foreignChanges[k%len(foreignChanges)]
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(uint64(k), simnet.Link{Delay: 5 * time.Millisecond, Rate: rate})
			seed := startNode(t, n, 1, info, full.copy())
			defer seed.close()
			watch := func(c *Config, _ *SharedConfig) {
				next := c.OnEvent
				c.OnEvent = func(ev Event) {
					if ev.Kind == Complete {
						if err := checkFolder(dir, info, full); err != nil {
							t.Errorf("round %d, %s: reported complete, but %v", k, foreignChanges[k%len(foreignChanges)].name, err)
						}
					}
					next(ev)
				}
			}
			leech := startNode(t, n, 2, info, nil, watch,
				onDisk(t, storage.Options{Dir: dir, Record: filepath.Join(t.TempDir(), "resume")}))
			leech.mayFail = true
			defer leech.close()
			leech.addPeers(seed)
			took := time.Duration(float64(info.Length) / rate * float64(time.Second))
			time.Sleep(time.Duration(rng.Int64N(int64(took))))
			var paths []string
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					paths = append(paths, path)
				}
				return err
			})
			if _, done := leech.eventTime(Complete); done || len(paths) == 0 {
				leech.await(Complete, time.Minute)
				return
			}
			slices.Sort(paths)
			path := paths[rng.IntN(len(paths))]
			undo, err := c.do(path, rng)
			if err != nil {
				t.Fatal(err)
			}
			changes++
			if !strings.HasSuffix(path, ".part") {
				finals++
			}
			if undo != nil {
				time.Sleep(time.Duration(rng.Int64N(int64(2 * took))))
				if _, done := leech.eventTime(Complete); done {
					return // it was recreated and checked above; restoring it would damage it
				}
				if err := undo(); err != nil {
					t.Fatal(err)
				}
			}
			leech.await(Complete, took+5*time.Minute)
			if leech.pausedBy() != nil {
				occurred++
			}
		})
	}
	t.Logf("battery: %d files changed by others while they were downloaded, %d of them complete: each download ended correctly, %d reported a failure",
		changes, finals, occurred)
}
