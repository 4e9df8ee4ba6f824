package bootnode

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"seedbed/internal/netx"
	"seedbed/internal/statefile"
)

func openNode(t *testing.T, state string) *Node {
	t.Helper()
	b, err := Open(NodeConfig{State: state, Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestABootstrapNodeKeepsItsIDAndSavesAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	b := openNode(t, dir)
	own := b.Stats().V4.ID
	if _, err := Open(NodeConfig{State: dir, Listen: []string{"127.0.0.1:0"}}); !errors.Is(err, statefile.ErrLocked) {
		t.Fatal("a second node with the same state directory:", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := openNode(t, dir).Stats().V4.ID; got != own {
		t.Fatal("another id after the restart")
	}
}

func TestADamagedRingFileIsIgnored(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bootstrap.ring"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b := openNode(t, dir); b.Stats().V4.Nodes != 0 {
		t.Fatal("a damaged file yields nodes")
	}
}

func TestBootstrapErrorsAreSentences(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var f *netx.Error
	_, err = Open(NodeConfig{State: t.TempDir(), Listen: []string{taken.LocalAddr().String()}})
	if !errors.As(err, &f) || f.Hint == "" {
		t.Error(err)
	}
	if _, err := Open(NodeConfig{Listen: []string{"127.0.0.1:0"}}); err == nil {
		t.Error("no state directory")
	}
	if _, err := Open(NodeConfig{State: t.TempDir(), VerifyAfter: -1}); err == nil {
		t.Error("a negative delay")
	}
}
