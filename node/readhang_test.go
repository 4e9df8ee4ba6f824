package node

import (
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// While the disk of some torrents hangs, files of others are read. When the disk is back, so are those.
func TestADiskThatHangsDoesNotStopReadersOfOthers(t *testing.T) {
	const hanging = 3
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(78, simnet.Link{Delay: 20 * ms})
		specs := many(t, hanging+1)
		source := start(t, n, 9, noDHT)
		d := newDisks()
		a := start(t, n, 1, noDHT, d.on)
		var torrents []*Torrent
		for i, s := range specs {
			dir := "/bad"
			if i == hanging {
				dir = "/good"
			}
			source.add(s)
			x := a.add(Spec{Link: withPeers(s, at(9).String()), Dir: dir})
			wait(t, x.Done(), time.Minute, "the download")
			torrents = append(torrents, x)
		}
		time.Sleep(time.Minute) // everything is synced, so nothing waits for a lock
		read := func(x *Torrent) <-chan struct{} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				f, err := x.OpenFile(t.Context(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				if _, err := f.Read(make([]byte, 1000)); err != nil {
					t.Error(err)
				}
			}()
			return done
		}
		release := d.hang("/bad")
		var stuck []<-chan struct{}
		for _, x := range torrents[:hanging] {
			for range 4 {
				stuck = append(stuck, read(x))
			}
		}
		time.Sleep(time.Second)
		for range 5 {
			wait(t, read(torrents[hanging]), hanging*hungReads, "a file on the other disk")
		}
		time.Sleep(time.Minute)
		for _, c := range stuck {
			select {
			case <-c:
				t.Fatal("the disk does not hang")
			default:
			}
		}
		release()
		for _, c := range stuck {
			wait(t, c, time.Second, "a file on the disk that is back")
		}
	})
}

// hungReads is how long the reads of one torrent on a disk that hangs delay others at most.
const hungReads = time.Second
