package follow

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/publish"
)

// A publication of objects reaches followers as one of files does. When an object is replaced, the next version is published without
// reading the others again.
func TestObjectsArePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(21, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 5)
		put := func(name string, data []byte) {
			filetest.Write(t, filepath.Join(dir, name), data)
			store.Put("data/site/"+name, data)
		}
		put("large", filetest.RandomBytes("large", 300_000))
		for name, data := range filetest.Tree(t, dir) {
			store.Put("data/site/"+name, data)
		}
		a := start(t, n, 1, nodetest.Boot(100), nodetest.Store(t, store.Open("data")))
		p := a.publishAs(publish.Config{Key: testKey(0), KeyName: "k", Path: "s3://bucket/data/site/", Options: &node.ShareOptions{Format: metainfo.Hybrid}})
		if path := p.Describe().Path; path != "s3://bucket/data/site" {
			t.Error("on record:", path)
		}
		followed := t.TempDir()
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), followed)
		same := func(seq int64) {
			t.Helper()
			reaches(t, f, seq, 5*time.Minute)
			filetest.Same(t, dir, filepath.Join(followed, "current", "site"))
		}
		same(1)

		read := func(name string) (n int) {
			for _, r := range store.Requests() {
				if strings.Contains(r, "bytes=") && strings.Contains(r, "/"+name+" ") {
					n++
				}
			}
			return n
		}
		watched := make(chan error, 1)
		go func() { watched <- p.Watch(t.Context(), 30*time.Second) }()
		time.Sleep(5 * time.Minute)
		if newest(p).Seq != 1 {
			t.Error("a version was published of objects that have not changed:", newest(p).Seq)
		}
		reads := read("large")
		put("new", bytes.Repeat([]byte("new"), 1000))
		same(2)
		// Both are in the block that the follower asks for. Only the new one was hashed before.
		if read("new") != 2 || read("large")-reads != 1 {
			t.Errorf("the new object was read %d times, and one that has not changed %d times", read("new"), read("large")-reads)
		}
		a.Node.Close()
		if err := <-watched; err != nil {
			t.Error(err)
		}
	})
}
