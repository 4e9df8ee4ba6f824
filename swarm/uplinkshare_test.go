package swarm

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// startRequesters connects count peers that request continuously.
func startRequesters(t *testing.T, n *simnet.Net, seed *node, info *metainfo.Info, first, count, depth int) (all []*requester) {
	for i := range count {
		k := &requester{script: dialScript(t, n, byte(first+i), seed, info.Hash, false), info: info, depth: depth}
		go k.run()
		all = append(all, k)
	}
	return all
}

// rateOf returns how many bytes per second the requesters receive during span.
func rateOf(all []*requester, span time.Duration) float64 {
	var n int64
	for _, k := range all {
		n -= k.got.Load()
	}
	time.Sleep(span)
	for _, k := range all {
		n += k.got.Load()
	}
	return float64(n) / span.Seconds()
}

// A peer that requests but reads nothing, and one that reads slowly, leave the uplink of
// a limited seed to faster readers.
func TestSlowReadersLeaveTheUplinkToOthers(t *testing.T) {
	for _, limit := range []int64{256 << 10, 2 << 20} {
		t.Run(fmt.Sprintf("%d KiB a second", limit>>10), func(t *testing.T) {
			info, full := makeContent(t, 4<<20, 256<<10)
			sim(t, func(t *testing.T, n *simnet.Net) {
				n.SetLink(netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, 9, 0, 1}), simnet.Link{Delay: 10 * time.Millisecond, Rate: float64(limit) / 100})
				seed := startNode(t, n, 1, info, full, rates(limit, 0), func(c *Config, _ *SharedConfig) { c.Uploads = 8 })
				defer seed.close()
				seed.await(Opened, time.Second)
				all := startRequesters(t, n, seed, info, 1, 4, 200) // the first has a slow link
				mute := &requester{script: dialScript(t, n, 100, seed, info.Hash, false), info: info}
				mute.send(wire.Msg{Type: wire.Interested})
				for time.Sleep(time.Second); mute.asked < 500; {
					mute.ask(100)
				}
				time.Sleep(10 * time.Second)
				used := rateOf(all, 60*time.Second) / float64(limit)
				t.Logf("%.3f of the limit", used)
				if used < 0.97 {
					t.Errorf("used %.3f of the limit with peers that do not read", used)
				}
				for _, k := range all {
					k.nc.Close()
				}
				mute.nc.Close()
			})
		})
	}
}

// A change of the limit takes effect at once: to none, to little and to much.
func TestUploadLimitMayChange(t *testing.T) {
	if raceEnabled {
		t.Skip("a measurement; the detector is slow")
	}
	info, full := makeContent(t, 4<<20, 256<<10)
	sim(t, func(t *testing.T, _ *simnet.Net) {
		n := simnet.New(1, simnet.Link{Delay: 5 * time.Millisecond, Rate: 4 << 20})
		seed := startNode(t, n, 1, info, full, rates(1<<20, 0), func(c *Config, _ *SharedConfig) { c.Uploads = 4 })
		defer seed.close()
		seed.await(Opened, time.Second)
		all := startRequesters(t, n, seed, info, 1, 4, 400)
		time.Sleep(5 * time.Second)
		for _, limit := range []int64{1 << 20, 0, 64 << 10, 2 << 20, 0, 1 << 20} {
			seed.shared.SetRates(limit, 0)
			time.Sleep(3 * time.Second)
			want := float64(limit)
			if limit == 0 { // the seed's link limits it
				want = 4 << 20
			}
			got := rateOf(all, 10*time.Second)
			t.Logf("limit %d KiB/s: %.0f KiB/s", limit>>10, got/1024)
			if got < 0.95*want || got > 1.02*want {
				t.Errorf("%.0f KiB/s at a limit of %d", got/1024, limit>>10)
			}
		}
		for _, k := range all {
			k.nc.Close()
		}
	})
}

// Three torrents that seed to four leechers each use the full limit of their node, in
// about equal parts.
func TestTorrentsShareTheUploadLimit(t *testing.T) {
	const limit = 600 << 10
	type content struct {
		info *metainfo.Info
		full *memStorage
	}
	var contents []content
	for i := range 3 {
		info, full := makeContent(t, 16<<20+int64(i)<<18, 256<<10)
		contents = append(contents, content{info, full})
	}
	sim(t, func(t *testing.T, n *simnet.Net) {
		shared := NewShared(SharedConfig{Memory: 8 << 20, ChunkSize: 256 << 10, Workers: 2, UpRate: limit})
		defer shared.Close()
		var seeds []*Torrent
		for i, c := range contents {
			have := bitset.New(c.info.NumPieces())
			have.Fill()
			seed := New(Config{
				Shared: shared, InfoHash: c.info.Hash, PeerID: id.ID{77, byte(i)}, Info: c.info, Seed: uint64(i),
				Dialer: n.Host(netip.AddrFrom4([4]byte{10, 0, 9, 1})), Version: "test", Budget: 8, HalfOpen: 8, MaxConns: 50, Uploads: 4,
				Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
					return Content{Storage: c.full, Have: have}, nil
				},
			})
			defer func() {
				if err := seed.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			for k := range 4 {
				leech := startNode(t, n, 10+10*i+k, c.info, nil)
				defer leech.close()
				seed.AddCandidates([]engine.Candidate{{Addr: leech.addr, Source: engine.FromHint}})
			}
			seeds = append(seeds, seed)
		}
		time.Sleep(10 * time.Second)
		var before, sent [3]int64
		for i, s := range seeds {
			before[i] = s.Snapshot().Uploaded
		}
		time.Sleep(30 * time.Second)
		sum := 0.0
		for i, s := range seeds {
			sent[i] = s.Snapshot().Uploaded - before[i]
			sum += float64(sent[i]) / (30 * limit)
		}
		t.Logf("%.3f of the limit: %d bytes", sum, sent)
		if sum < 0.97 || sum > 1.02 {
			t.Errorf("used %.3f of the limit", sum)
		}
		for i, b := range sent {
			if share := float64(b) / (30 * limit) / sum; share < 0.3 || share > 0.37 {
				t.Errorf("torrent %d sent %.2f of the total", i, share)
			}
		}
	})
}
