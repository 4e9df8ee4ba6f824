package swarm

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
	"seedbed/swarm/wire"
)

// soak reports whether the long versions of the batteries run, as with make soak.
func soak() bool { return os.Getenv("SEEDBED_SOAK") != "" }

// simDisk adapts a disk of simnet to storage.
type simDisk struct{ *simnet.Disk }

func (d simDisk) Open(name string, flag int, perm fs.FileMode) (storage.File, error) {
	f, err := d.Disk.Open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// onDisk gives a torrent a storage on disk with the given options.
func onDisk(t testing.TB, o storage.Options) option {
	return func(c *Config, _ *SharedConfig) {
		h := storage.NewHandles(8)
		t.Cleanup(h.Close)
		c.Open = func(ctx context.Context, info *metainfo.Info, _ func(done, total int64)) (Content, error) {
			o.Info, o.Handles = info, h
			s, err := storage.Open(o)
			if err != nil {
				return Content{}, err
			}
			have, err := s.CheckDoubtful(ctx, nil)
			return Content{Storage: s, Have: have}, err
		}
	}
}

func onSimDisk(t testing.TB, d *simnet.Disk) option {
	return onDisk(t, storage.Options{Dir: "dl", Record: "st/resume", OpenDisk: func(dir string, _ bool) (storage.Disk, error) {
		if strings.HasSuffix(dir, "dl") {
			return simDisk{d.Sub("dl")}, nil
		}
		return simDisk{d.Sub("st")}, nil
	}})
}

// checkDisk compares the contents of the disk with the original.
func checkDisk(t *testing.T, d *simnet.Disk, info *metainfo.Info, want *memStorage) {
	t.Helper()
	f, err := d.Sub("dl").Open(info.Name, 0, 0)
	if err != nil {
		t.Error(err)
		return
	}
	got := make([]byte, info.Length)
	if n, _ := f.ReadAt(got, 0); n < len(got) || !bytes.Equal(got, want.data) {
		t.Error("the download differs from the original")
	}
}

// resumed returns how long after since the torrent reported that it resumed or completed.
func (nd *node) resumed(since time.Time, limit time.Duration) (time.Duration, bool) {
	for end := since.Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		nd.mu.Lock()
		for i, ev := range nd.events {
			if (ev.Kind == Resumed || ev.Kind == Complete) && nd.at[i].After(since) {
				nd.mu.Unlock()
				return nd.at[i].Sub(since), true
			}
		}
		nd.mu.Unlock()
	}
	return 0, false
}

// pausedBy returns the reason of the last pause.
func (nd *node) pausedBy() (err error) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	for _, ev := range nd.events {
		if ev.Kind == Paused {
			err = ev.Err
		}
	}
	return err
}

// The disk becomes full at any offset, and is freed later. The torrent reports the pause,
// resumes by itself and completes.
func TestBatteryFullDisk(t *testing.T) {
	offsets := 12
	if soak() {
		offsets = 50
	}
	info, full := makeContent(t, 3<<20, 512<<10)
	var longest time.Duration
	for k := range offsets {
		room := int64(k) * info.Length / int64(offsets)
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(uint64(k), simnet.Link{Delay: 10 * time.Millisecond, Rate: 4e6})
			disk := simnet.NewDisk()
			disk.SetFree(room)
			seed := startNode(t, n, 1, info, full.copy())
			defer seed.close()
			leech := startNode(t, n, 2, info, nil, onSimDisk(t, disk))
			defer leech.close()
			leech.addPeers(seed)
			leech.await(Paused, time.Minute)
			var e *storage.Error
			if !errors.As(leech.pausedBy(), &e) || e.Kind != storage.Full || e.Hint() == "" {
				t.Errorf("with space for %d bytes it is paused by: %v", room, leech.pausedBy())
			}
			time.Sleep(time.Duration(k) * 7 * time.Second)
			freed := time.Now()
			disk.SetFree(-1)
			d, ok := leech.resumed(freed, time.Minute)
			if !ok || d > 30*time.Second {
				t.Errorf("space for %d bytes, then enough: it resumed after %v", room, d)
			}
			longest = max(longest, d)
			leech.await(Complete, time.Minute)
			checkDisk(t, disk, info, full)
		})
	}
	t.Logf("battery: the disk full at %d offsets, then freed: each resumed by itself, the slowest after %v of fake time", offsets, longest)
}

// Any disk operation may fail for a while: a folder becomes read-only or inaccessible, or
// a disk breaks.
func TestBatteryDiskFaults(t *testing.T) {
	rounds := 24
	if soak() {
		rounds = 300
	}
	info, full := makeContent(t, 3<<20, 512<<10)
	occurred := 0
	for k := range rounds {
		rng := rand.New(rand.NewPCG(uint64(k), 8))
		op := []string{"write", "read", "sync", "open", "rename", "syncdir", "truncate"}[k%7]
		errno := []syscall.Errno{syscall.EROFS, syscall.EIO, syscall.EACCES}[k%3]
		after := rng.IntN(2)
		if op == "write" {
			after = rng.IntN(40)
		}
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(uint64(k), simnet.Link{Delay: 10 * time.Millisecond, Rate: 4e6})
			disk := simnet.NewDisk()
			seed := startNode(t, n, 1, info, full.copy())
			defer seed.close()
			leech := startNode(t, n, 2, info, nil, onSimDisk(t, disk))
			defer leech.close()
			var hit atomic.Bool
			disk.SetFail(func(o, name string) error {
				if o != op || strings.Contains(name, "resume.journal") { // ignored by design
					return nil
				}
				if after--; after < 0 {
					hit.Store(true)
					return errno
				}
				return nil
			})
			leech.addPeers(seed)
			time.Sleep(time.Duration(1+rng.IntN(60)) * time.Second)
			if hit.Load() {
				occurred++
				if err := leech.pausedBy(); err == nil {
					t.Errorf("%s failed with %v and was not reported", op, errno)
				}
			}
			mended := time.Now()
			disk.SetFail(nil)
			if _, stands := leech.eventTime(Complete); !stands && hit.Load() {
				if d, ok := leech.resumed(mended, time.Minute); !ok || d > 30*time.Second {
					t.Errorf("%s failed with %v: it resumed after %v", op, errno, d)
				}
			}
			leech.await(Complete, time.Minute)
			time.Sleep(30 * time.Second) // the last flush
			checkDisk(t, disk, info, full)
		})
	}
	t.Logf("battery: %d faults of the disk, %d of which occurred: each was reported and recovered from, and the downloads were correct", rounds, occurred)
}

// Files are truncated, replaced or deleted while they are shared. No wrong block is sent,
// and the change is reported.
func TestBatteryFilesChangedWhileSeeding(t *testing.T) {
	rounds := 15
	if soak() {
		rounds = 200
	}
	info, full := makeContent(t, 2<<20, 64<<10)
	blocks := 0
	for k := range rounds {
		rng := rand.New(rand.NewPCG(uint64(k), 2))
		dir := t.TempDir()
		path := filepath.Join(dir, info.Name)
		if err := os.WriteFile(path, full.data, 0o644); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(uint64(k), simnet.Link{Delay: 5 * time.Millisecond, Rate: 2e6})
			seed := startNode(t, n, 1, info, newMem(info), onDisk(t, storage.Options{Dir: dir, ReadOnly: true, Record: filepath.Join(t.TempDir(), "resume")}))
			seed.mayFail = true
			defer seed.close()
			seed.await(Opened, time.Minute)
			s := dialScript(t, n, 1, seed, info.Hash, true)
			done := make(chan int)
			go func() { done <- s.compare(full, 1<<20) }()
			time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
			var err error
			switch k % 5 {
			case 0:
				err = os.Truncate(path, rng.Int64N(info.Length))
			case 1:
				err = os.Remove(path)
			case 2:
				other := append([]byte(nil), full.data...)
				for i := range other {
					other[i] ^= 0x55
				}
				if err = os.WriteFile(path+".other", other, 0o644); err == nil {
					err = os.Rename(path+".other", path)
				}
			case 3:
				err = overwrite(path, 0, bytes.Repeat([]byte{0x55}, int(info.Length)))
			case 4:
				err = overwrite(path, rng.Int64N(info.Length), []byte{0x55})
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			s.nc.Close()
			blocks += <-done
			if seed.pausedBy() == nil {
				t.Errorf("round %d: not reported", k)
			}
		})
	}
	t.Logf("battery: a file changed %d times while it was shared: %d blocks sent, all correct, and each change was reported", rounds, blocks)
}

// compare requests random blocks until the connection ends, compares each that arrives
// and returns their number.
func (s *script) compare(want *memStorage, n int) (got int) {
	s.send(wire.Msg{Type: wire.HaveNone}, wire.Msg{Type: wire.Interested})
	ask := func(i int) wire.Msg {
		off := int64(i) * 7919 * metainfo.BlockSize % want.info.Length
		p := off / want.info.PieceLength
		return wire.Msg{Type: wire.Request, Index: uint32(p), Begin: uint32(off - p*want.info.PieceLength), Length: metainfo.BlockSize}
	}
	asked := 0
	for {
		m, err := s.next()
		if err != nil {
			return got
		}
		switch m.Type {
		case wire.Unchoke:
			for ; asked < 8; asked++ {
				s.send(ask(asked))
			}
		case wire.Piece:
			off := int64(m.Index)*want.info.PieceLength + int64(m.Begin)
			if !bytes.Equal(m.Payload, want.data[off:off+int64(len(m.Payload))]) {
				s.t.Errorf("a wrong block of piece %d was sent", m.Index)
			}
			got++
			if asked++; asked < n {
				if _, err := s.nc.Write(wire.Append(nil, ask(asked))); err != nil {
					return got
				}
			}
		}
	}
}
