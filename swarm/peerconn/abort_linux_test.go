package peerconn

import (
	"errors"
	"io"
	"syscall"
	"testing"
)

// A connection that is aborted sends nothing more, also not what has been written: the peer gets a
// reset.
func TestAbortResetsTheConnection(t *testing.T) {
	raw, peer := rawPairs(t)["socket"]()
	defer peer.Close()
	for { // until the buffers of both sides are full
		if n, err := raw.TryWritev([][]byte{make([]byte, 64<<10)}); err != nil {
			t.Fatal(err)
		} else if n == 0 {
			break
		}
	}
	raw.(*socket).Abort()
	raw.Shutdown()
	raw.Release()
	n, err := io.Copy(io.Discard, peer)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, then %v", n, err)
	}
}
