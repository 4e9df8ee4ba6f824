package node

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A caller that waits for a milestone gets a channel that is closed when the milestone is
// reached, or at once if it was. It is reached once, and no channel is made unless somebody waits.
func TestMilestones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m milestones
		if !m.reach(isNamed) || m.reach(isNamed) || !m.has(isNamed) || m.has(isDone) {
			t.Error("a milestone is not reached once")
		}
		<-m.wait(isNamed)
		if m.waits != nil {
			t.Error("there are channels, and nobody has waited")
		}
		early := m.wait(isDone)
		if m.wait(isDone) != early || m.wait(hasEnded) == early {
			t.Error("not one channel for each milestone")
		}
		var woken atomic.Int32
		for range 3 {
			go func() {
				<-m.wait(isDone)
				woken.Add(1)
			}()
			synctest.Wait()
		}
		if woken.Load() != 0 {
			t.Errorf("%d waited for nothing", woken.Load())
		}
		m.reach(isDone)
		synctest.Wait()
		<-early
		if woken.Load() != 3 || m.has(hasEnded) {
			t.Errorf("%d of 3 woke", woken.Load())
		}
		m.reach(hasEnded)
		synctest.Wait()
	})
}
