package node

import (
	"testing"
	"time"

	"seedbed/dht/bootnode"
)

// Nodes that know only the bootstrap node find each other through it.
func TestNodesFindEachOtherThroughTheBootstrapNode(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	b, err := bootnode.Open(bootnode.NodeConfig{State: t.TempDir(), Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
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
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
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
