package swarm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/bitset"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// partStorage is a Storage that has lost its first piece until it is back.
type partStorage struct {
	scriptedStorage
	isBack bool
}

func (s *partStorage) Recheck(context.Context) (have bitset.Set, err error) {
	s.do(func() {
		s.rechecks++
		have = bitset.New(2)
		have.Fill()
		if !s.isBack {
			have.Remove(0)
		}
	})
	return have, nil
}

// What storage that cannot be written to has lost is looked for, less and less often, while the rest is used. Only when all is back,
// the failure is reported as over.
func TestLostPiecesOfFixedStorageAreLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &partStorage{}
		l := &sessionLog{t: t}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(t.Context())
		l.session = newStorageSession(ctx, l, func(context.Context, func(done, total int64)) (Content, error) {
			return Content{Storage: st, Fixed: true}, nil
		})
		l.session.start()
		l.want("opened")
		l.session.failed(errors.New("replaced"))
		l.want("paused: replaced")
		time.Sleep(time.Hour)
		l.want()
		if n := st.rechecked(); n < 100 || n > int(time.Hour/retryLongest)+10 {
			t.Errorf("looked for %d times in an hour", n)
		}
		if _, err := l.session.state(); err == nil {
			t.Error("the state does not say what is lost")
		}
		l.session.failed(errors.New("another one"))
		l.want("paused: another one")
		st.do(func() { st.isBack = true })
		time.Sleep(retryLongest + time.Second)
		l.want("resumed")
		n := st.rechecked()
		time.Sleep(time.Hour)
		if st.rechecked() != n {
			t.Error("it is looked for what is there")
		}
		l.cancel()
		l.wg.Wait()
	})
}

// lookingStorage has lost its last piece, and takes long to find out what it has.
type lookingStorage struct{ *memStorage }

func (s lookingStorage) ReadAt(b []byte, off int64) error {
	if off >= s.info.Length-s.info.PieceLength {
		return errors.New("replaced")
	}
	return s.memStorage.ReadAt(b, off)
}

func (s lookingStorage) Recheck(ctx context.Context) (bitset.Set, error) {
	return bitset.Set{}, await.Sleep(ctx, time.Hour)
}

// While it is looked for what storage that cannot be written to has lost, the rest is uploaded.
func TestTheRestOfFixedStorageIsUploaded(t *testing.T) {
	info, full := makeContent(t, 8<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		s := full.copy()
		seed := startNode(t, n, 1, info, s, func(c *Config, _ *SharedConfig) {
			c.Open = func(context.Context, *metainfo.Info, func(done, total int64)) (Content, error) {
				return Content{Storage: lookingStorage{s}, Have: s.verified.Clone(), Fixed: true}, nil
			}
		})
		defer seed.close()
		if err := seed.ReadAt(t.Context(), make([]byte, 100), info.NumPieces()-1, 0); err == nil {
			t.Error("a lost piece was read")
		}
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.addPeers(seed)
		time.Sleep(time.Minute)
		if have := leech.Snapshot().Have; have != info.Length-info.PieceLength {
			t.Errorf("%d of %d bytes came", have, info.Length)
		}
	})
}
