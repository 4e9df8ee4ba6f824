package engine

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

// giving returns a choker whose interested peers have sent us data at these rates for two
// minutes.
func giving(rates []int) (c choker, peers []*chokePeer, now mono.Time) {
	c = newChoker(4, rand.New(rand.NewPCG(1, 2)))
	sink := newSlotHolders(nil, 5)
	for i := range rates {
		p := new(chokePeer)
		c.join(1, Conn(i+1), p)
		c.setInterested(1, p, sink)
		peers = append(peers, p)
	}
	for now = 1; now < mono.Time(2*time.Minute); now = now.Add(time.Second) {
		for i, p := range peers {
			c.noteReceived(now, p, rates[i])
		}
	}
	c.measureCredit(now)
	return c, peers, now
}

// Merit is an equal share plus a part proportional to what a peer sent; its average is 1.
func TestMeritIsInProportionToWhatWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := rapid.SliceOfN(rapid.IntRange(0, 10<<20), 1, 30).Draw(t, "rates")
		c, peers, now := giving(rates)
		total, sum := 0.0, 0
		for _, r := range rates {
			sum += r
		}
		for i, p := range peers {
			got, want := c.merit(now, p), 1.0
			if sum > 0 {
				want = equalShare + (1-equalShare)*float64(rates[i])*float64(len(rates))/float64(sum)
			}
			if math.Abs(got-want) > 1e-6*want {
				t.Fatalf("a peer that sends %d bytes/s, of %d by %d peers, has a merit of %v, not %v", rates[i], sum, len(rates), got, want)
			}
			total += got
		}
		if n := float64(len(peers)); math.Abs(total-n) > 1e-6*n {
			t.Fatalf("the merits of %v peers add up to %v", n, total)
		}
	})
}

// A peer that splits what it sends over many identities gains only their equal shares.
func TestMeritOfManyIdentitiesIsThatOfOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.SliceOfN(rapid.IntRange(1, 1<<20), 1, 10).Draw(t, "others")
		k, each := rapid.IntRange(2, 20).Draw(t, "identities"), rapid.IntRange(0, 100_000).Draw(t, "rate")
		share := func(n int) (paid float64) { // fraction of the uplink beyond the equal shares
			rates := append([]int{}, others...)
			for range n {
				rates = append(rates, k*each/n)
			}
			c, peers, now := giving(rates)
			total := 0.0
			for _, p := range peers {
				total += c.merit(now, p)
			}
			for _, p := range peers[len(others):] {
				paid += (c.merit(now, p) - equalShare) / total
			}
			return paid
		}
		if one, many := share(1), share(k); math.Abs(one-many) > 1e-6 {
			t.Fatalf("%d bytes a second earn %v of the uplink, and as %d identities %v", k*each, one, k, many)
		}
	})
}

// What a peer sends counts within seconds and is remembered for minutes.
func TestMeritIsEarnedSoonAndForgottenSlowly(t *testing.T) {
	c, peers, now := giving([]int{100_000, 0})
	fresh := peers[1]
	for range 10 {
		now = now.Add(time.Second)
		c.noteReceived(now, peers[0], 100_000)
		c.noteReceived(now, fresh, 100_000)
	}
	c.measureCredit(now)
	if m := c.merit(now, fresh); m < 0.6 {
		t.Errorf("after ten seconds of sending as much as the other a peer has a merit of %v", m)
	}
	for range 60 {
		now = now.Add(time.Second)
		c.noteReceived(now, peers[0], 100_000)
	}
	c.measureCredit(now)
	if m, old := c.merit(now, fresh), c.merit(now, peers[0]); m < equalShare+0.02 || m > old/2 {
		t.Errorf("a minute after it last sent data, a peer has a merit of %v, the other %v", m, old)
	}
}
