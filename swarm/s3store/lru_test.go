package s3store

import (
	"runtime"
	"testing"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"pgregory.net/rapid"
)

// The list does what that of a library does.
func TestLRUIsThatOfTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLRU()
		twin, _ := simplelru.NewLRU[blockKey, cached](1000, nil)
		keys := rapid.Custom(func(t *rapid.T) blockKey {
			return blockKey{rapid.Uint32Range(0, 2).Draw(t, "torrent"), rapid.Uint32Range(0, 5).Draw(t, "block")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := keys.Draw(t, "key"), cached{size: uint32(rapid.IntRange(0, 9).Draw(t, "size"))}
				l.set(k, v)
				twin.Add(k, v)
			},
			"get": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				v, ok := l.get(k)
				if w, has := twin.Get(k); v != w || ok != has {
					t.Fatal(k, v, w, ok, has)
				}
			},
			"peek": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				v, ok := l.peek(k)
				if w, has := twin.Peek(k); v != w || ok != has {
					t.Fatal(k, v, w, ok, has)
				}
			},
			"remove": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				if _, ok := l.remove(k); ok != twin.Remove(k) {
					t.Fatal(k)
				}
			},
			"": func(t *rapid.T) {
				k, ok := l.oldest()
				if w, _, has := twin.GetOldest(); ok != has || ok && k != w || l.len() != twin.Len() {
					t.Fatal(k, w, ok, has)
				}
			},
		})
	})
}

// A cached block costs at most 100 bytes.
func TestMemoryOfABlock(t *testing.T) {
	const n = 1 << 17
	var before, after runtime.MemStats
	for range 3 { // also what pools keep
		runtime.GC()
	}
	runtime.ReadMemStats(&before)
	l := newLRU()
	for i := range uint32(n) {
		l.set(blockKey{1, i}, cached{})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := int64(after.HeapAlloc-before.HeapAlloc) / n; per > 100 {
		t.Errorf("%d bytes", per)
	} else if per < 28 {
		t.Errorf("%d bytes: the measurement is wrong", per)
	}
	runtime.KeepAlive(l)
}
