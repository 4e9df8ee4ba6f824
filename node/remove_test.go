package node

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// Remove leaves nothing of a torrent in the state directory and does not change its files.
func TestRemoveLeavesNothingInTheStateDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(41, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		before := filetest.Names(filetest.Tree(t, dir))
		a := start(t, n, 1, noDHT)
		x := a.add(spec)
		whole(t, x)
		if got := a.Torrent(spec.InfoHash()); got != x {
			t.Fatalf("found %v by its infohash", got)
		}
		if err := a.Remove(t.Context(), spec.InfoHash(), true); err != nil {
			t.Fatal(err)
		}
		select {
		case <-x.Ended():
		default:
			t.Error("it was removed and has not ended")
		}
		left, err := os.ReadDir(a.state + "/torrents")
		if err != nil || len(left) != 0 {
			t.Errorf("left in the state directory: %v, %v", left, err)
		}
		if after := filetest.Names(filetest.Tree(t, dir)); len(after) != len(before) {
			t.Errorf("of %v there is %v", before, after)
		}
		if err := a.Remove(t.Context(), spec.InfoHash(), true); !errors.Is(err, ErrUnknown) {
			t.Errorf("removed twice: %v", err)
		}
		a.add(spec)
	})
}
