package swarm

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// awayStorage is a Remote that had the data when it was first asked. It is gone then, and cannot be fetched.
type awayStorage struct {
	*memStorage
	asked, rechecked atomic.Int32
}

var errAway = errors.New("the store is away")

func (s *awayStorage) Fetch(_, _ int64, ready func(error), _ func() bool) bool {
	if s.asked.Add(1) == 1 {
		return true
	}
	go ready(errAway)
	return false
}

func (s *awayStorage) ReadAt([]byte, int64) error { return storage.ErrNotLocal }

func (s *awayStorage) Recheck(ctx context.Context) (bitset.Set, error) {
	s.rechecked.Add(1)
	return s.memStorage.Recheck(ctx)
}

// Data that cannot be fetched now is an error for the reader, and no failure of the storage, which would pause the torrent.
func TestReadsWhileTheStoreIsAway(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		s := &awayStorage{memStorage: full.copy()}
		n := startNode(t, simnet.New(1, simnet.Link{}), 1, info, s.memStorage, func(c *Config, _ *SharedConfig) {
			c.Open = func(context.Context, *metainfo.Info, func(done, total int64)) (Content, error) {
				return Content{Storage: s, Have: s.verified.Clone()}, nil
			}
		})
		defer n.close()
		synctest.Wait()
		if err := n.ReadAt(t.Context(), make([]byte, 100), 0, 0); err != errAway {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if k := s.rechecked.Load(); k > 0 {
			t.Errorf("the storage was checked %d times", k)
		}
	})
}
