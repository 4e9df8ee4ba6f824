package utpconn

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// After a change of the network nothing is known of the paths, and a connection over the path
// before can be ended at once.
func TestPathsAreForgottenAndConnectionsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		x, y := connect(t, a, b)
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, y)
			ended <- err
		}()
		if _, err := x.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.ForgetPaths()
		a.mu.Lock()
		if got := a.pathMTU(a.now(), public(2)); got != 0 {
			t.Errorf("a packet length of %d is remembered", got)
		}
		a.mu.Unlock()
		x.Abort()
		x.Shutdown()
		time.Sleep(time.Second)
		select {
		case err := <-ended:
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the peer got %v", err)
			}
		default:
			t.Error("the peer was not told")
		}
		if got := sizesOf(a); got.streams != 0 {
			t.Errorf("left over: %+v", got)
		}
	})
}
