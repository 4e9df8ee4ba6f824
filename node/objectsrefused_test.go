package node

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// seedAndAsk seeds a torrent whose store goes wrong before a peer downloads it, and returns the first warning and how many there were
// within a minute.
func seedAndAsk(t *testing.T, b *bucket, spoil func(name string)) (warning Event, count int) {
	n := simnet.New(1, simnet.Link{Delay: 5 * ms})
	spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
	b.put(dir, "data/")
	a, end := b.start(n, 1, "data", noDHT)
	defer end()
	awaitPhase(t, a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true}), lifecycle.Seeding)
	spoil(spec.Torrent.Info.Name)
	peer := start(t, n, 2, noDHT)
	defer peer.close()
	x := peer.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
	warning = a.await(Warning, time.Minute)
	time.Sleep(time.Minute) // the peer goes on asking
	count = len(slices.DeleteFunc(a.allEvents(), func(e Event) bool { return e.Kind != Warning }))
	if s := x.Snapshot(); s.Wasted > 0 {
		t.Errorf("%d bytes were wrong", s.Wasted)
	}
	return warning, count
}

// The user gets a warning when the store begins to refuse requests, with the reason.
func TestAStoreThatRefusesIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t)
		e, count := seedAndAsk(t, b, func(string) {
			b.SetFault(func(*http.Request) s3test.Fault {
				return s3test.Fault{Status: http.StatusForbidden, Body: []byte("<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>")}
			})
		})
		if count != 1 {
			t.Errorf("%d warnings", count)
		}
		if objectstore.KindOf(e.Err) != objectstore.Denied || !strings.Contains(e.Err.Error(), "expired") {
			t.Errorf("warning: %v", e.Err)
		}
	})
}

// The advice about an object that has changed is not that it is downloaded again: a torrent that is only read from a store is never
// downloaded.
func TestAdviceAboutAChangedObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t)
		e, _ := seedAndAsk(t, b, func(name string) {
			for file, size := range small {
				b.Put("data/"+name+"/"+file, make([]byte, size))
			}
		})
		var f *Fault
		if !errors.As(e.Err, &f) || f.Kind != FaultVanished || strings.Contains(f.Hint(), "download") || !strings.Contains(f.Hint(), "object") {
			t.Errorf("warning: %v", e.Err)
		}
	})
}
