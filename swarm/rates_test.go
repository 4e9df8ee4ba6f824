package swarm

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

func rates(up, down int64) option {
	return func(_ *Config, sc *SharedConfig) { sc.UpRate, sc.DownRate = up, down }
}

// tenSeconds returns how much a statistic grew in ten seconds.
func (nd *node) tenSeconds(stat func(Snapshot) int64) float64 {
	before := stat(nd.Snapshot())
	time.Sleep(10 * time.Second)
	return float64(stat(nd.Snapshot()) - before)
}

func downloaded(s Snapshot) int64 { return s.Downloaded }
func uploaded(s Snapshot) int64   { return s.Uploaded }

func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	if got < 0.95*want || got > 1.05*want {
		t.Errorf("%s: %.0f bytes in ten seconds, not %.0f ± 5 %%", what, got, want)
	}
}

// A limit is kept within 5 % over ten seconds, with one peer and with many. Peers that
// wait because of it are not dropped, and no block is received twice.
func TestRateLimits(t *testing.T) {
	const limit = 200 << 10
	t.Run("down", func(t *testing.T) {
		info, full := makeContent(t, 16<<20, 256<<10)
		sim(t, func(t *testing.T, n *simnet.Net) {
			leech := startNode(t, n, 1, info, nil, rates(0, limit))
			defer leech.close()
			for i := range 6 {
				seed := startNode(t, n, 10+i, info, full.copy())
				defer seed.close()
				leech.addPeers(seed)
			}
			leech.await(FirstPiece, time.Minute)
			time.Sleep(5 * time.Second)
			within(t, "down", leech.tenSeconds(downloaded), limit*10)
			leech.shared.SetRates(0, 2*limit)
			time.Sleep(time.Second)
			within(t, "twice", leech.tenSeconds(downloaded), 2*limit*10)
			leech.SetRates(0, limit/2)
			time.Sleep(time.Second)
			within(t, "half, for the torrent", leech.tenSeconds(downloaded), limit/2*10)
			if s := leech.Snapshot(); s.Wasted != 0 || s.Connected != 6 {
				t.Errorf("%d bytes were wasted, %d of 6 peers remain", s.Wasted, s.Connected)
			}
			leech.shared.SetRates(0, 0)
			leech.SetRates(0, 0)
			leech.await(Complete, time.Minute)
		})
	})
	t.Run("up", func(t *testing.T) {
		info, full := makeContent(t, 16<<20, 256<<10)
		sim(t, func(t *testing.T, n *simnet.Net) {
			seed := startNode(t, n, 1, info, full, rates(limit, 0))
			defer seed.close()
			for i := range 4 {
				leech := startNode(t, n, 10+i, info, nil)
				defer leech.close()
				leech.addPeers(seed)
			}
			time.Sleep(10 * time.Second)
			within(t, "up", seed.tenSeconds(uploaded), limit*10)
			seed.SetRates(limit/4, 0)
			time.Sleep(time.Second)
			within(t, "a quarter, for the torrent", seed.tenSeconds(uploaded), limit/4*10)
		})
	})
}

// An upload limit shared by eight peers does not slow the download: requests do not wait
// until blocks for other peers have been sent.
func TestUploadLimitDoesNotSlowDownloads(t *testing.T) {
	if raceEnabled {
		t.Skip("a measurement; the detector is slow")
	}
	const pieceLength = 64 << 10
	info, full := makeContent(t, 24<<20, pieceLength)
	info.Private = true // otherwise the others find the seed by PEX, and pass on pieces that we measure
	known := func(nd *node) []engine.Candidate {
		return []engine.Candidate{{Addr: nd.addr, Source: engine.FromLastRun}}
	}
	measure := func(up int64) (took time.Duration) {
		sim(t, func(t *testing.T, n *simnet.Net) {
			n.SetLink(netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, 0, 0, 2}), simnet.Link{Delay: 10 * time.Millisecond, Rate: 1 << 20})
			seed := startNode(t, n, 1, info, full.copy())
			defer seed.close()
			// It already has the first half, which the others want.
			half := newMem(info)
			for p := range info.NumPieces() / 2 {
				copy(half.data[p*pieceLength:], full.data[p*pieceLength:][:pieceLength])
				half.verified.Add(p)
			}
			nd := startNode(t, n, 2, info, half, rates(up, 0), func(c *Config, _ *SharedConfig) { c.Uploads = 8 })
			defer nd.close()
			for i := range 8 {
				leech := startNode(t, n, 10+i, info, nil)
				defer leech.close()
				leech.AddCandidates(known(nd))
			}
			time.Sleep(15 * time.Second)
			start := time.Now()
			nd.AddCandidates(known(seed))
			took = nd.await(Complete, 10*time.Minute).Sub(start)
			nd.checkContent(full)
		})
		return took
	}
	free, limited := measure(0), measure(20<<10)
	if ratio := limited.Seconds() / free.Seconds(); ratio > 1.05 {
		t.Errorf("the download took %v with an upload limit and %v without: %.2f times as long", limited, free, ratio)
	}
}

// The engine knows the effective upload limit: from the start, and after a change of the
// node's limit or the torrent's. A stopped torrent is not kept.
func TestEngineKnowsTheUploadLimit(t *testing.T) {
	sim(t, func(t *testing.T, n *simnet.Net) {
		shared := NewShared(SharedConfig{UpRate: 100})
		defer shared.Close()
		var torrents []*Torrent
		for i, own := range []int64{0, 30, 300} {
			torrents = append(torrents, New(Config{
				Shared: shared, InfoHash: id.ID{byte(i)}, Dialer: n.Host(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})),
				Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
					panic("unexpected call of Open")
				},
				UpRate: own,
			}))
		}
		expect := func(what string, want ...int64) {
			t.Helper()
			synctest.Wait()
			for i, tor := range torrents {
				if got := tor.Snapshot().UpLimit; got != want[i] {
					t.Errorf("%s: torrent %d has a limit of %d, not %d", what, i, got, want[i])
				}
			}
		}
		expect("at the start", 100, 30, 100)
		shared.SetRates(200, 0)
		expect("the node's limit is raised", 200, 30, 200)
		torrents[1].SetRates(0, 0)
		torrents[2].SetRates(40, 0)
		expect("the torrents' limits change", 200, 200, 40)
		shared.SetRates(0, 0)
		expect("the node's limit is lifted", 0, 0, 40)
		for i, left := range []int{2, 1, 0} {
			if err := torrents[i].Stop(context.Background()); err != nil {
				t.Error(err)
			}
			if k := len(shared.running()); k != left {
				t.Errorf("%d torrents are kept while %d run", k, left)
			}
		}
		shared.SetRates(50, 0)
	})
}
