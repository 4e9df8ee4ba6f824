package node

import (
	"errors"
	"testing"
	"testing/synctest"

	"seedbed/internal/simnet"
)

// The node stops its clients when it closes, unless they have ended before. Each can
// still use the torrents then, and Close waits for it.
func TestClosingEndsClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, simnet.New(1, simnet.Link{}), 1, noDHT)
		var ended []string
		end := make(chan string, 2)
		register := func(name string) func() {
			remove, err := n.OnClose(func() {
				if n.Context().Err() == nil {
					t.Error("Context has not ended yet")
				}
				end <- name
			})
			if err != nil {
				t.Fatal(err)
			}
			return remove
		}
		register("stays")
		register("ended before")()
		n.close()
		close(end)
		for name := range end {
			ended = append(ended, name)
		}
		if len(ended) != 1 || ended[0] != "stays" {
			t.Error(ended)
		}
		if _, err := n.OnClose(func() {}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := n.Items(); !errors.Is(err, ErrNoDHT) {
			t.Error(err)
		}
	})
}
