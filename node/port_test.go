package node_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"

	"seedbed/internal/filetest"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// sharedFile returns the torrent of a file, in the folder spec.Dir.
func sharedFile(t *testing.T) node.Spec {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f")
	filetest.Write(t, file, []byte("content"))
	spec, err := node.Share(t.Context(), file, node.ShareOptions{Format: metainfo.V1})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// openOnLoopback returns a node on loopback.
func openOnLoopback(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(node.Config{State: t.TempDir(), NoDHT: true, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

// A node that moves to another port is reached there, and no longer at the old one.
func TestPeersReachTheNewPort(t *testing.T) {
	spec := sharedFile(t)
	seeder := openOnLoopback(t)
	seed, err := seeder.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	<-seed.Done()
	old := seeder.Addrs()[0]
	events := seeder.Subscribe(node.Listening)
	<-events.Ready()
	events.Take()
	if err := seeder.SetPort(0); err != nil {
		t.Fatal(err)
	}
	now := seeder.Addrs()[0]
	<-events.Ready()
	if e := events.Take(); now.Port() == old.Port() || e[0].Addr != now.String() {
		t.Errorf("%v after %v: %v", now, old, e)
	}
	if c, err := net.Dial("tcp", old.String()); err == nil {
		c.Close()
		t.Error("the old port is open")
	}
	leecher := openOnLoopback(t)
	spec.Dir, spec.Seed, spec.Verified = t.TempDir(), false, false
	x, err := leecher.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	for !x.AddPeers([]netip.AddrPort{now}) { // it is starting
		runtime.Gosched()
	}
	<-x.Done()
	if m := x.Metainfo(); m == nil || m.Info.Hash != spec.Torrent.Info.Hash {
		t.Errorf("%+v", m)
	}
	var fault *node.Fault
	if err := seeder.SetPort(leecher.Addrs()[0].Port()); !errors.As(err, &fault) || fault.Hint() == "" || seeder.Addrs()[0] != now {
		t.Errorf("a port in use: %v, now %v", err, seeder.Addrs())
	}
}
