package netx

import (
	"os/exec"
	"sync"
	"testing"
)

// A process that is forked during Open has copies of all sockets until it runs its program. Open
// does not take them for another program.
func TestOpenWhileProcessesStart(t *testing.T) {
	h, err := Open(Config{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	addr := h.Addrs()[0].String()
	h.Close()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	for i := range 300 {
		h, err := Open(Config{Listen: []string{addr}})
		if err != nil {
			t.Errorf("%d: %v", i, err)
			break
		}
		h.Close()
	}
	close(done)
	wg.Wait()
}
