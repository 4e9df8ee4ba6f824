package pins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/follow"
)

// block keeps the pin or list of a link from being started or removed, as another follower of it does.
// The caller calls the returned function to end that.
func (h *home) block(l *magnet.Link) (end func()) {
	h.t.Helper()
	f, err := follow.Start(h.Node.Node, follow.Config{Link: l, Dir: h.t.TempDir()})
	if err != nil {
		h.t.Fatal(err)
	}
	return f.Close
}

// Remove of a pin that has nothing to do, or that could not be started, deletes its data before it returns, and
// returns what it could not remove.
func TestAPinThatDoesNotRunIsRemovedAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a := start(t, n, 1)
		a.publishFile(0, 1000)
		s := a.add(keyLink(0), 0)
		if s.State != Elsewhere {
			t.Fatalf("%+v", s)
		}
		filetest.Write(t, filepath.Join(s.Dir, "left"), []byte("of the time before it was published here"))
		if _, err := a.Remove(t.Context(), s.ID, true); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) || len(a.endings) != 0 {
			t.Errorf("the data is still there: %v; %d endings", err, len(a.endings))
		}

		unblock := a.block(keyLink(1))
		if s = a.add(keyLink(1), 0); s.State != Failed {
			t.Fatalf("%+v", s)
		}
		if _, err := a.Remove(t.Context(), s.ID, true); err == nil || !strings.Contains(err.Error(), "not completely removed") {
			t.Error("Remove returns", err)
		}
		unblock()
		time.Sleep(2 * time.Minute)
		if len(a.endings) != 0 {
			t.Error("it was not removed later")
		}
	})
}
