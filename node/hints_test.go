package node

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// Each invalid hint causes one Warning, and the others are used.
func TestAnInvalidHintIsReportedOnceAndIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(15, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		seedOf(t, n, 1, spec)
		b := start(t, n, 2, noDHT, resolver(map[string]netip.Addr{"seed.example": addr(1)}))
		wrong := []string{"nonsense", "10.0.0.1:0", "10.0.0.1:66000", "nowhere.example:6881"}
		to := t.TempDir()
		got := b.add(Spec{Link: withPeers(spec, "seed.example:6881"), Peers: wrong, Dir: to})
		wait(t, got.Done(), time.Minute, "the download")
		filetest.Same(t, dir, to+"/things")
		time.Sleep(time.Hour)
		allEvents := map[string]int{}
		for _, e := range b.allEvents() {
			if e.Kind == Warning {
				for _, w := range wrong {
					if strings.Contains(e.Err.Error(), `"`+w+`"`) {
						allEvents[w]++
					}
				}
			}
		}
		for _, w := range wrong {
			if allEvents[w] != 1 {
				t.Errorf("%d warnings about %q", allEvents[w], w)
			}
		}
	})
}

// A name that cannot be resolved yet is resolved when DNS works again.
func TestAHintIsResolvedWhenDNSWorksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(16, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		seedOf(t, n, 1, spec)
		b := start(t, n, 2, noDHT, resolver(map[string]netip.Addr{"flaky.example": addr(1)}))
		began := time.Now()
		got := b.add(Spec{Link: withPeers(spec, "flaky.example:6881"), Dir: t.TempDir()})
		wait(t, got.Done(), time.Minute, "the download")
		if took := time.Since(began); took < resolveFirst || took > resolveFirst+time.Second {
			t.Errorf("after %v", took)
		}
		if e := b.await(Warning, 0); !strings.Contains(e.Err.Error(), "yet") {
			t.Error(e.Err)
		}
	})
}
