package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// Torrents that are not in the catalogue are announced by the node that has them, also if their files are in the store.
func TestOthersTorrentsAreNotDivided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		all := r.torrents
		r.torrents = all[:4]
		for num := 1; num <= 4; num++ {
			r.start(num, 1)
		}
		for _, torrent := range all[4:] {
			if _, err := r.nodes[1].Add(node.Spec{Torrent: torrent, Objects: true}); err != nil {
				t.Fatal(err)
			}
		}
		r.until(30*time.Second, "four nodes divide the torrents", func() bool { return r.divided(1, 2, 3, 4) })
		r.until(time.Minute, "node 1 announces its own torrents", func() bool {
			for _, torrent := range all[4:] {
				if nums := r.announcing(torrent); len(nums) != 1 || nums[0] != 1 {
					return false
				}
			}
			return true
		})
	})
}

// Members that do not announce, or lack torrents, own nothing as long as there are others.
func TestOnlyMembersThatAnnounceOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		isLoaded := make(chan struct{})
		r.startWith(1, func(c *Config) {
			c.IsLoaded = func() bool {
				select {
				case <-isLoaded:
					return true
				default:
					return false
				}
			}
		})
		r.until(30*time.Second, "the only node owns what it has", func() bool { return r.divided(1) })
		r.start(2, 1)
		r.start(3, 1)
		r.until(time.Minute, "the others own all torrents, and node 1 none", func() bool {
			for _, torrent := range r.torrents {
				if r.nodes[1].IsAnnounced(torrent.Info.Hash) {
					return false
				}
			}
			return r.divided(2, 3)
		})
		close(isLoaded)
		r.until(time.Minute, "all three own torrents", func() bool { return r.divided(1, 2, 3) })
	})
}

// A node downloads from another one of the fleet what only that one has.
func TestNodesDownloadFromEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.start(1)
		r.start(2, 1)
		r.until(30*time.Second, "two nodes divide the torrents", func() bool { return r.divided(1, 2) })
		dir := t.TempDir()
		filetest.Write(t, dir+"/local", filetest.RandomBytes("local", 50_000))
		made, err := create.Make(t.Context(), dir+"/local", create.Options{})
		if err != nil {
			t.Fatal(err)
		}
		torrent := &metainfo.Torrent{Info: made.Info}
		if _, err := r.nodes[1].Add(node.Spec{Torrent: torrent, Dir: dir, Seed: true}); err != nil {
			t.Fatal(err)
		}
		got, err := r.nodes[2].Add(node.Spec{Torrent: torrent, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		r.until(5*time.Minute, "node 2 has it", func() bool { return got.IsComplete() })
	})
}
