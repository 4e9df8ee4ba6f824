package node

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func openBootstrap(t *testing.T, state string) *Bootstrap {
	t.Helper()
	b, err := OpenBootstrap(BootstrapConfig{State: state, Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestABootstrapNodeKeepsItsIDAndSavesAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	b := openBootstrap(t, dir)
	own := b.Stats().V4.ID
	if _, err := OpenBootstrap(BootstrapConfig{State: dir, Listen: []string{"127.0.0.1:0"}}); !errors.Is(err, ErrLocked) {
		t.Fatal("two with one state directory:", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := openBootstrap(t, dir).Stats().V4.ID; got != own {
		t.Fatal("another id after the restart")
	}
}

func TestADamagedRingIsAFreshOne(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bootstrap.ring"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b := openBootstrap(t, dir); b.Stats().V4.Nodes != 0 {
		t.Fatal("nodes of rubbish")
	}
}

// Nodes that know nothing but the bootstrap node find each other through it.
func TestNodesJoinByTheBootstrapNodeAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	b := openBootstrap(t, t.TempDir())
	entry := b.Addrs()[0].String()
	var nodes []*Node
	for range 5 {
		n, err := Open(Config{State: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: []string{entry}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(t.Context())
		nodes = append(nodes, n)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		joined := 0
		for _, n := range nodes {
			if n.DHTNodes() >= len(nodes)-1 {
				joined++
			}
		}
		if joined == len(nodes) && b.Stats().V4.Nodes == len(nodes) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d nodes have joined; %+v", joined, len(nodes), b.Stats())
		}
	}
}

func TestBootstrapErrorsAreSentences(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var f *Fault
	_, err = OpenBootstrap(BootstrapConfig{State: t.TempDir(), Listen: []string{taken.LocalAddr().String()}})
	if !errors.As(err, &f) || f.Kind != FaultNetwork || f.Hint() == "" {
		t.Error(err)
	}
	if _, err := OpenBootstrap(BootstrapConfig{Listen: []string{"127.0.0.1:0"}}); err == nil {
		t.Error("no state directory")
	}
	if _, err := OpenBootstrap(BootstrapConfig{State: t.TempDir(), VerifyAfter: -1}); err == nil {
		t.Error("a negative delay")
	}
}
