package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/id"
)

func open(t interface{ Fatal(...any) }, path string) *Journal {
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func content(t interface{ Fatal(...any) }, j *Journal) map[id.ID]string {
	all := map[id.ID]string{}
	for _, k := range j.Keys() {
		v, err := j.Get(k)
		if err != nil {
			t.Fatal(err)
		}
		all[k] = string(v)
	}
	return all
}

// Random changes, with kills and with power cuts that leave anything of what was not synced. After a
// kill nothing is lost; after a power cut each key has a value that it had since the last sync.
func TestTheJournalAgreesWithAMap(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		path := filepath.Join(dir, fmt.Sprint(round))
		j := open(rt, path)
		now := map[id.ID]string{}
		synced := int64(0)
		since := map[id.ID][]string{} // the values of a key since the last sync, with that of the sync
		set := func(k id.ID, v string) {
			if len(since[k]) == 0 {
				since[k] = []string{now[k]}
			}
			since[k] = append(since[k], v)
			if now[k] = v; v == "" {
				delete(now, k)
			}
		}
		do := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			k := id.ID{byte(rapid.IntRange(0, 7).Draw(rt, "key"))}
			switch op := rapid.SampledFrom([]string{"put", "put", "put", "delete", "sync", "rewrite", "kill", "torn", "cut"}).Draw(rt, "op"); op {
			case "put":
				v := fmt.Sprintf(`{"n":%d,"s":%q}`, rapid.Int().Draw(rt, "n"), rapid.StringN(0, 40, -1).Draw(rt, "s"))
				do(j.Put(k, []byte(v)))
				set(k, v)
			case "delete":
				do(j.Delete(k))
				set(k, "")
			case "rewrite":
				if j.file != nil {
					j.isSuspect = true
				}
				fallthrough
			case "sync":
				do(j.Sync())
				clear(since)
				synced = j.size
			case "kill", "torn":
				do(j.Close())
				if op == "torn" { // in the middle of a write
					f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
					do(err)
					line := appendLine(nil, k.String(), []byte(`{"n":1}`))
					_, err = f.Write(line[:rapid.IntRange(0, len(line)-1).Draw(rt, "part")])
					do(err)
					do(f.Close())
				}
				j = open(rt, path)
			case "cut":
				do(j.Close())
				b, err := os.ReadFile(path)
				if errors.Is(err, fs.ErrNotExist) {
					j = open(rt, path)
					break
				}
				do(err)
				wasSynced := synced > 0
				tail := b[synced:]
				for range rapid.IntRange(0, 3).Draw(rt, "holes") {
					if len(tail) > 0 {
						from := rapid.IntRange(0, len(tail)-1).Draw(rt, "from")
						clear(tail[from:rapid.IntRange(from, len(tail)).Draw(rt, "to")])
					}
				}
				do(os.WriteFile(path, b[:len(b)-rapid.IntRange(0, len(tail)).Draw(rt, "lost")], 0o600))
				j = open(rt, path)
				for k, v := range content(rt, j) {
					if v != now[k] && !slices.Contains(since[k], v) {
						rt.Fatalf("after a power cut %v has %q, which it had not since the last sync: %q", k, v, since[k])
					}
				}
				for k, v := range now {
					if !j.Has(k) && !slices.Contains(since[k], "") {
						rt.Fatalf("after a power cut %v has nothing, instead of %q", k, v)
					}
				}
				now = content(rt, j)
				if !wasSynced { // a first line that a power cut has damaged is reported
					j.damage = nil
				}
				do(j.Damage())
				do(j.Sync())
				clear(since)
				synced = j.size
			}
			if got := content(rt, j); len(got) != len(now) {
				rt.Fatalf("%d keys instead of %d", len(got), len(now))
			} else {
				for k, v := range now {
					if got[k] != v {
						rt.Fatalf("%v has %q instead of %q", k, got[k], v)
					}
				}
			}
			if st, err := os.Stat(path); err == nil && !j.isTorn && st.Size() != j.size {
				rt.Fatalf("the file has %d bytes instead of %d", st.Size(), j.size)
			}
			if err := j.Damage(); err != nil {
				rt.Fatal(err)
			}
		}
		do(j.Close())
	})
}

// A damaged line in the part that was synced is reported and costs its key the last value alone. The
// damaged file is kept.
func TestDamageIsReported(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	j := open(t, path)
	for i := range 5 {
		for _, k := range []byte{1, 2} {
			if err := errors.Join(j.Put(id.ID{k}, fmt.Appendf(nil, "v%d", i)), j.Sync()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(good, []byte(id.ID{2}.String()))
	for at := 0; at < last+len(id.ID{}.String()); at += 3 {
		p := filepath.Join(dir, fmt.Sprint(at))
		bad := bytes.Clone(good)
		bad[at] ^= 4
		if err := os.WriteFile(p, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, p)
		var damage *DamageError
		if !errors.As(j.Damage(), &damage) || damage.First > int64(at) || damage.Lines < 1 || damage.Lines > 2 {
			t.Fatalf("byte %d: %v", at, j.Damage())
		}
		if err := j.Sync(); err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(p + ".damaged"); err != nil || !bytes.Equal(kept, bad) {
			t.Fatal("the damaged file was not kept", err)
		}
		for k := range byte(2) {
			if v, err := j.Get(id.ID{k + 1}); err != nil || !slices.Contains([]string{"v4", "v3"}, string(v)) {
				t.Fatalf("byte %d: %q, %v", at, v, err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if j = open(t, p); j.Damage() != nil || len(j.Keys()) != 2 {
			t.Fatalf("byte %d: after the repair %v", at, j.Damage())
		}
		j.Close()
	}
}

// While the file is written again, changes go on and are kept.
func TestChangesDuringARewriteAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	const n = 2000
	key := func(i int) id.ID { return id.ID{byte(i), byte(i >> 8)} }
	value := bytes.Repeat([]byte{'x'}, 500)
	for i := range n {
		if err := j.Put(key(i), value); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20 {
			j.mu.Lock()
			j.isSuspect = true
			j.mu.Unlock()
			if err := j.Sync(); err != nil {
				t.Error(err)
			}
		}
	})
	want := map[id.ID]string{}
	for i := range 4 * n {
		k := key(i % n)
		if i%5 == 0 {
			delete(want, k)
			if err := j.Delete(k); err != nil {
				t.Error(err)
			}
			continue
		}
		v := fmt.Sprint("v", i)
		want[k] = v
		if err := j.Put(k, []byte(v)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	for range 2 {
		got := content(t, j)
		if len(got) != len(want) {
			t.Fatalf("%d keys instead of %d", len(got), len(want))
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%v has %q instead of %q", k, got[k], v)
			}
		}
		if err := errors.Join(j.Sync(), j.Close()); err != nil {
			t.Fatal(err)
		}
		j = open(t, path)
	}
	j.Close()
}

// What is out of date does not make the file grow without bound, and a read by another process sees
// the same keys.
func TestTheFileStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path)
	value := bytes.Repeat([]byte{'x'}, 10_000)
	for i := range 1000 {
		if err := errors.Join(j.Put(id.ID{1}, value), j.Put(id.ID{2}, value), j.Delete(id.ID{2})); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 2*minGarbage {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	for k, want := range map[byte]bool{1: true, 2: false} {
		if has, err := Has(path, id.ID{k}); err != nil || has != want {
			t.Errorf("%d: %v, %v", k, has, err)
		}
	}
	if has, err := Has(path+"none", id.ID{1}); err != nil || has {
		t.Errorf("a missing journal: %v, %v", has, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "j"))
	for _, v := range [][]byte{nil, []byte("a\nb"), make([]byte, MaxValue+1)} {
		if err := j.Put(id.ID{1}, v); err == nil {
			t.Errorf("a value of %d bytes was accepted", len(v))
		}
	}
	if _, err := j.Get(id.ID{1}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.Mkdir(j.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.Put(id.ID{1}, []byte("x")); err == nil {
		t.Error("a folder was written")
	}
	if _, err := Open(j.path); err == nil {
		t.Error("a folder was opened")
	}
}

// Any file opens, and takes changes that are there after a restart.
func FuzzOpen(f *testing.F) {
	line := appendLine(nil, id.ID{1}.String(), []byte("value"))
	f.Add(line)
	f.Add(slices.Concat(line, appendLine(nil, markName, []byte("0")), line[:20]))
	f.Add(appendLine(nil, id.ID{1}.String(), nil))
	f.Add([]byte("\n\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, path)
		want := content(t, j)
		if err := errors.Join(j.Put(id.ID{9}, []byte("new")), j.Sync(), j.Close()); err != nil {
			t.Fatal(err)
		}
		want[id.ID{9}] = "new"
		j = open(t, path)
		defer j.Close()
		got := content(t, j)
		if len(got) != len(want) || j.Damage() != nil && len(b) == 0 {
			t.Errorf("%d keys instead of %d, %v", len(got), len(want), j.Damage())
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%v has %q instead of %q", k, got[k], v)
			}
		}
	})
}
