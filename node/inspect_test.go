package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// An inspection finds peers through the DHT and takes the metadata of one, while the node has no
// torrent. Without a seed it goes on until its context or the node ends.
func TestInspectFetchesMetadataThroughTheDHT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		ring(t, n, 8)
		spec, _ := folder(t, ShareOptions{}, small)
		b := start(t, n, 2, boot(101))
		var last Snapshot
		report := func(s Snapshot) { last = s }

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if info, err := b.Inspect(ctx, bare(spec), nil, report); info != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, %v", info, err)
		}
		if last.Reason.Kind != ReasonNoPeers || last.Reason.Lookup.Kind != LookupWaiting {
			t.Errorf("%+v", last.Reason)
		}

		a := start(t, n, 1, boot(100))
		wait(t, a.add(spec).Announced(), time.Minute, "the seed is announced")
		info, err := b.Inspect(t.Context(), bare(spec), nil, report)
		if err != nil || info.Hash != spec.InfoHash() || last.MetaHave != last.MetaSize {
			t.Fatalf("%v, %v, %+v", info, err, last)
		}
		if len(b.all()) != 0 || len(b.allEvents()) != 1 { // Listening
			t.Errorf("the node has %v, %v", b.all(), b.allEvents())
		}

		ended := make(chan error)
		go func() {
			_, err := b.Inspect(t.Context(), withPeers(Spec{Torrent: &metainfo.Torrent{Info: &metainfo.Info{Hash: [20]byte{1}}}}), nil, report)
			ended <- err
		}()
		time.Sleep(time.Second)
		b.close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}
