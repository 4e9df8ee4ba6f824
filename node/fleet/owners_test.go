package fleet

import (
	"testing"
	"testing/synctest"
	"time"
)

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
