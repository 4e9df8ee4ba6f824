package node

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/swarm/engine"
)

// Two processes with the same state directory both run; one owns the node
// file, and only one of them runs a torrent.
func TestTwoProcessesShareAStateDirectory(t *testing.T) {
	path := t.TempDir()
	a, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openState(path)
	if err != nil {
		t.Fatal(err)
	}
	if !a.owned() || b.owned() {
		t.Fatalf("owned: %v and %v", a.owned(), b.owned())
	}
	ih := id.ID{1}
	ta, err := a.openTorrent(ih)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.openTorrent(ih); !errors.Is(err, ErrLocked) {
		t.Fatalf("a torrent opened twice: %v", err)
	}
	if _, err := b.openTorrent(id.ID{2}); err != nil {
		t.Fatal(err)
	}
	if err := ta.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.openTorrent(ih); err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	if err := errors.Join(a.close(), b.close()); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedNodeFileIsIgnored(t *testing.T) {
	s, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := nodeFile{ID4: id.ID{7}.String(), Nodes: []savedNode{{id.ID{9}.String(), netip.MustParseAddrPort("[fd00::1]:6881")}}}
	if err := s.saveNode(want); err != nil {
		t.Fatal(err)
	}
	if got := s.loadNode(); got.ID4 != want.ID4 || len(got.Nodes) != 1 || got.Nodes[0] != want.Nodes[0] {
		t.Fatalf("%+v", got)
	}
	p := filepath.Join(s.path, "node.json")
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := os.WriteFile(p, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.loadNode(); got.ID4 != "" || got.Nodes != nil {
			t.Fatalf("%d of %d bytes gave %+v", n, len(b), got)
		}
	}
}

func TestKnownPeersAreBoundedOrderedAndExpire(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	k := newKnownPeers()
	addr := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 6881)
	}
	for i := range 3 * maxKnownPeers {
		k.add(addr(i), i%3 == 0, now)
	}
	k.ban(addr(3*maxKnownPeers - 1))
	back := newKnownPeers()
	saved, changed := k.encode()
	if _, again := k.encode(); !changed || again {
		t.Fatal("encode reports changes wrongly")
	}
	back.decode(saved, now.Add(time.Hour))
	got := back.candidates()
	if len(got) != maxKnownPeers-1 || got[0].Addr != addr(3*maxKnownPeers-2) {
		t.Fatalf("%d addresses, first %v", len(got), got[0])
	}
	for i, c := range got {
		if i := 3*maxKnownPeers - 2 - i; c.Addr != addr(i) || c.Encrypted != (i%3 == 0) || c.Source != engine.FromLastRun {
			t.Fatalf("%+v", c)
		}
	}
	back = newKnownPeers()
	back.decode(saved, now.Add(knownPeerAge+time.Hour))
	if n := len(back.candidates()); n != 0 {
		t.Fatalf("%d addresses did not expire", n)
	}
	back.decode([]byte("nonsense\n10.0.0.1:0 5\n10.0.0.1:1 x\n\x00\xff \n[fd00::1]:9 1000000000"), now)
	if got := back.candidates(); len(got) != 1 || got[0].Addr != netip.MustParseAddrPort("[fd00::1]:9") {
		t.Fatalf("%v", got)
	}
}

// The removal of a torrent that had no folder leaves the folder alone that another process has created
// meanwhile.
func TestRemovalLeavesTheFolderOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	mine, theirs := newStateDir(dir), newStateDir(dir)
	held := mine.torrent(id.ID{1})
	if err := held.openExisting(); err != nil {
		t.Fatal(err)
	}
	other, err := theirs.openTorrent(id.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := held.remove(); !errors.Is(err, ErrLocked) {
		t.Errorf("the folder of another process was removed: %v", err)
	}
	if _, err := os.Stat(other.path()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(other.close(), held.remove(), held.remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(other.path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}
