package shaper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// a user moves pieces of some size through a flow as long as the test runs.
type user struct {
	f     *Flow
	size  int
	moved atomic.Int64
}

// wait returns when n bytes may pass, or false when done is closed before that.
func wait(f *Flow, done <-chan struct{}, n int) bool {
	granted := make(chan struct{})
	w := &Waiter{Granted: func() { close(granted) }}
	if f.Admit(w, n) {
		return true
	}
	select {
	case <-granted:
		return true
	case <-done:
	}
	return !f.Cancel(w) // it may have been granted meanwhile
}

func (u *user) run(done <-chan struct{}) {
	for wait(u.f, done, u.size) {
		u.moved.Add(int64(u.size))
		select {
		case <-done:
			return
		default:
			time.Sleep(time.Microsecond) // otherwise an unlimited one would never let time pass
		}
	}
}

// within checks that got equals want within a percentage.
func within(t *testing.T, what string, got, want, percent float64) {
	t.Helper()
	if got < want*(1-percent/100) || got > want*(1+percent/100) {
		t.Errorf("%s: %.0f, not %.0f ± %v %%", what, got, want, percent)
	}
}

type stage struct {
	users []*user
	done  chan struct{}
	wg    sync.WaitGroup
}

func (s *stage) add(f *Flow, sizes ...int) (total func() float64) {
	var mine []*user
	for _, size := range sizes {
		u := &user{f: f, size: size}
		mine = append(mine, u)
		s.wg.Go(func() { u.run(s.done) })
	}
	s.users = append(s.users, mine...)
	return func() (n float64) {
		for _, u := range mine {
			n += float64(u.moved.Load())
		}
		return n
	}
}

func play(t *testing.T, f func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{done: make(chan struct{})}
		f(t, s)
		close(s.done)
		s.wg.Wait()
	})
}

// tenSeconds returns what each of these moved in the next ten seconds.
func tenSeconds(totals ...func() float64) []float64 {
	before := make([]float64, len(totals))
	for i, f := range totals {
		before[i] = f()
	}
	time.Sleep(10 * time.Second)
	for i, f := range totals {
		before[i] = f() - before[i]
	}
	return before
}

// The amount that passes in ten seconds equals the limit within 5 %, for any limit and
// size of the pieces.
func TestLimitIsExact(t *testing.T) {
	for _, rate := range []int64{20 << 10, 100 << 10, 1 << 20, 50 << 20} {
		for _, sizes := range [][]int{{16 << 10}, {1 << 10, 16 << 10, 300}, {16397, 16397, 16397, 16397, 16397, 16397, 16397, 16397}} {
			t.Run(fmt.Sprint(rate, sizes), func(t *testing.T) {
				play(t, func(t *testing.T, s *stage) {
					var sh Shaper
					sh.SetRate(rate)
					total := s.add(sh.NewFlow(), sizes...)
					// One piece may pass in advance.
					percent := 5.0
					if piece := float64(16397) / float64(10*rate) * 100; piece > 4 {
						percent = piece + 1
					}
					for range 3 {
						within(t, "ten seconds", tenSeconds(total)[0], float64(10*rate), percent)
					}
				})
			})
		}
	}
}

// Torrents share evenly, however many connections each has and however large their pieces
// are. What one does not use goes to the others.
func TestTorrentsShareEvenly(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		var sh Shaper
		sh.SetRate(1 << 20)
		one := s.add(sh.NewFlow(), 16<<10)
		many := s.add(sh.NewFlow(), 16<<10, 16<<10, 16<<10, 16<<10, 16<<10, 16<<10, 16<<10, 16<<10)
		small := s.add(sh.NewFlow(), 1400, 1400)
		for _, n := range tenSeconds(one, many, small) {
			within(t, "a third", n, 10<<20/3, 5)
		}
		slow := sh.NewFlow()
		slow.SetRate(100 << 10)
		bound := s.add(slow, 16<<10, 16<<10)
		got := tenSeconds(one, many, small, bound)
		within(t, "the slow one", got[3], 1000<<10, 5)
		for _, n := range got[:3] {
			within(t, "a third of the rest", n, (10<<20-1000<<10)/3, 5)
		}
	})
}

// A flow whose own limit is removed does not get the bandwidth that it did not use before.
func TestUnusedBandwidthIsNotSaved(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		var sh Shaper
		sh.SetRate(1 << 20)
		slow := sh.NewFlow()
		slow.SetRate(100 << 10)
		bound := s.add(slow, slices.Repeat([]int{1 << 10}, 256)...)
		time.Sleep(time.Minute)
		slow.SetRate(0)
		other := s.add(sh.NewFlow(), 16<<10)
		for _, n := range tenSeconds(bound, other) {
			within(t, "a half", n, 10<<20/2, 5)
		}
	})
}

// Limits change while users wait for them.
func TestLimitsChange(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		var sh Shaper
		f := sh.NewFlow()
		if f.Limited() {
			t.Error("limited without a limit")
		}
		sh.SetRate(1 << 10)
		total := s.add(f, 16<<10, 16<<10, 16<<10)
		time.Sleep(time.Second)
		sh.SetRate(1 << 20)
		within(t, "raised", tenSeconds(total)[0], 10<<20, 5)
		sh.SetRate(100 << 10)
		within(t, "lowered", tenSeconds(total)[0], 1000<<10, 5)
		f.SetRate(50 << 10)
		within(t, "the torrent's", tenSeconds(total)[0], 500<<10, 5)
		sh.SetRate(0)
		within(t, "the torrent's alone", tenSeconds(total)[0], 500<<10, 5)
		f.Spend(100 << 10)
		within(t, "after what could not wait", tenSeconds(total)[0], 400<<10, 5)
		f.SetRate(0)
		if f.Limited() {
			t.Error("still limited")
		}
	})
}

// A waiter that is canceled takes nothing and does not delay others.
func TestCancel(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		var sh Shaper
		sh.SetRate(100 << 10)
		f := sh.NewFlow()
		total := s.add(f, 16<<10, 16<<10)
		for i := range 50 {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			s.wg.Go(func() {
				for range 40 {
					gone := make(chan struct{})
					time.AfterFunc(time.Millisecond, func() { close(gone) })
					if wait(f, gone, 1) {
						continue
					}
					time.Sleep(time.Duration(1+rng.IntN(100)) * time.Millisecond)
				}
			})
		}
		within(t, "those who stayed", tenSeconds(total)[0], 1000<<10, 5)
	})
}

// Others can use refunded bytes immediately.
func TestRefunds(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		var sh Shaper
		sh.SetRate(100 << 10)
		f := sh.NewFlow()
		var passed atomic.Int64
		s.wg.Go(func() { // it uses a tenth of what it is admitted
			for wait(f, s.done, 10<<10) {
				f.Refund(9 << 10)
				passed.Add(1 << 10)
				time.Sleep(100 * time.Millisecond)
			}
		})
		total := s.add(sh.NewFlow(), 16<<10)
		other := tenSeconds(total)[0]
		within(t, "both", other+float64(passed.Load()), 1000<<10, 5)
		within(t, "the one that gives back", float64(passed.Load()), 60<<10, 50)
	})
}

// A Waiter is granted once, and never after Cancel has returned true.
func TestAWaiterIsGrantedOnceOrCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sh Shaper
		sh.SetRate(1000)
		f := sh.NewFlow()
		var counts [4]atomic.Int32
		granted := func() (n [4]int32) {
			for i := range n {
				n[i] = counts[i].Load()
			}
			return n
		}
		var ws [4]Waiter
		for i := range ws {
			ws[i].Granted = func() { counts[i].Add(1) }
		}
		time.Sleep(time.Second) // 100 bytes are saved
		if !f.Admit(&ws[0], 1100) || f.Admit(&ws[1], 1000) || f.Admit(&ws[2], 1000) || f.Admit(&ws[3], 1000) {
			t.Fatal("one of four is admitted at once")
		}
		if f.Cancel(&ws[0]) || !f.Cancel(&ws[2]) || f.Cancel(&ws[2]) {
			t.Error("a waiter can be canceled once")
		}
		time.Sleep(1500 * time.Millisecond)
		if granted() != [4]int32{0, 1, 0, 0} {
			t.Error(granted())
		}
		time.Sleep(time.Second)
		if granted() != [4]int32{0, 1, 0, 1} || f.Cancel(&ws[1]) {
			t.Error(granted())
		}
	})
}

// Without a limit Admit costs only a check.
func BenchmarkUnlimited(b *testing.B) {
	var sh Shaper
	f := sh.NewFlow()
	var w Waiter
	b.ReportAllocs()
	for b.Loop() {
		f.Admit(&w, 16<<10)
	}
}
