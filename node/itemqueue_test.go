package node

import (
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
)

// The newest item of each key is taken, after a burst every two seconds, and ready says when.
func TestItemsAreTakenAtARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{}, 1)
		q := NewItemQueue(func() {
			select {
			case ready <- struct{}{}:
			default:
			}
		})
		a, b := id.ID32{1}, id.ID32{2}
		seq, taken := int64(0), 0
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(100 * time.Millisecond) {
			seq++
			if !q.Put(dht.Item{Key: a, Seq: seq}) || q.Put(dht.Item{Key: a, Seq: seq}) {
				t.Fatal("an item was not added, or one of the same number was")
			}
			q.Put(dht.Item{Key: b, Seq: 1})
			select {
			case <-ready:
			default:
				continue
			}
			if items := q.Take(); items != nil {
				taken++
				if items[a].Seq != seq || items[b].Seq != 1 || q.IsReady() {
					t.Fatalf("taken: %+v, not number %d", items, seq)
				}
			}
		}
		if most := ItemBurst + 20*ItemRate; float64(taken) < most-1 || float64(taken) > most {
			t.Errorf("taken %d times in 20 s", taken)
		}
		if q.Put(dht.Item{Key: a, Seq: seq}); q.Take() != nil {
			t.Error("taken before its time")
		}
		if <-ready; q.Take() == nil {
			t.Error("nothing to take although it is ready")
		}
	})
}
