package main

import (
	"context"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"seedbed/node"
)

// network starts a DHT of this many nodes on loopback for a script, and sets BOOT to the
// address of the first. The second shares a file with the infohash INFOHASH.
func network(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: network N")
	}
	size, err := strconv.Atoi(args[0])
	ts.Check(err)
	var nodes []*node.Node
	ts.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, n := range nodes {
			_ = n.Close(ctx)
		}
	})
	boot := []string{}
	for i := range size {
		n, err := node.Open(node.Config{State: ts.MkAbs("network/" + strconv.Itoa(i)), Listen: "127.0.0.1:0", Bootstrap: boot})
		ts.Check(err)
		nodes = append(nodes, n)
		boot = []string{nodes[0].Addrs()[0].String()}
	}
	file := ts.MkAbs("network/shared.txt")
	ts.Check(os.WriteFile(file, []byte("what is shared\n"), 0o644))
	spec, err := node.Share(context.Background(), file, node.ShareOptions{})
	ts.Check(err)
	t, err := nodes[1].Add(spec)
	ts.Check(err)
	<-t.Announced()
	ts.Setenv("BOOT", boot[0])
	ts.Setenv("INFOHASH", t.InfoHash().String())
}
