package nodetest

import (
	"testing"

	"seedbed/internal/objectstore"
	"seedbed/node"
	"seedbed/swarm/s3store"
	"seedbed/swarm/storage"
)

// Objects gives a node an object store, and a cache of the minimum size in a folder. They close with the test, after nodes that
// are opened later.
func Objects(t testing.TB, store *objectstore.Store, dir string) *node.Objects {
	t.Helper()
	handles := storage.NewHandles(8)
	t.Cleanup(handles.Close)
	cache, err := s3store.OpenCache(dir, s3store.MinCache, handles)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	return &node.Objects{Store: store, Shared: s3store.NewShared(cache)}
}

// Store is an option of Start that gives the node an object store.
func Store(t testing.TB, store *objectstore.Store) func(*node.Config) {
	return func(c *node.Config) { c.Objects = Objects(t, store, t.TempDir()) }
}
