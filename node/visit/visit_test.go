package visit

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"seedbed/dht"
	"seedbed/node"
)

// startNode runs a node on loopback that knows no other node, and returns its address.
func startNode(t *testing.T, state string) string {
	t.Helper()
	n, err := node.Open(node.Config{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		n.Close(ctx)
	})
	return n.Addrs()[0].String()
}

func TestAVisitLeavesNothingBehind(t *testing.T) {
	boot := startNode(t, filepath.Join(t.TempDir(), "a"))
	dir := t.TempDir()
	state := filepath.Join(dir, "none")
	v, err := Open(Config{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{boot}})
	if err != nil {
		t.Fatal(err)
	}
	v.Settle(t.Context())
	nodes := v.Nodes()
	if err := v.Close(); err != nil || len(nodes) == 0 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	if es, _ := os.ReadDir(dir); len(es) != 0 {
		t.Errorf("left %v", es)
	}
	// A visit can join through saved nodes without a bootstrap host, and does not change them.
	startNode(t, state) // another process holds the state directory
	saved := fmt.Sprintf(`{"nodes": [{"id": %q, "addr": %q}]}`, nodes[0].ID, nodes[0].Addr)
	if err := os.WriteFile(filepath.Join(state, "node.json"), []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(state, "node.json"))
	if v, err = Open(Config{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{}}); err != nil {
		t.Fatal(err) // even though another process holds the state directory
	}
	r, err := v.FindNode(t.Context(), RandomTarget())
	if err != nil || v.Saved != 1 || r.Answered == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	item, err := dht.SignItem(key, []byte("s"), 7, []byte("4:text"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Put(t.Context(), item, nil)
	if err != nil || p.Stored == 0 || p.Stored != p.Accepted {
		t.Errorf("%+v, %v", p, err)
	}
	g, err := v.Get(t.Context(), dht.ItemTarget([32]byte(key.Public().(ed25519.PublicKey)), []byte("s")), []byte("s"), nil, nil)
	if err != nil || g.Item == nil || g.Item.Seq != 7 {
		t.Errorf("%+v, %v", g, err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(filepath.Join(state, "node.json")); string(after) != string(before) {
		t.Error("node.json has changed")
	}
}
