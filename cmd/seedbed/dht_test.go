package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"seedbed/cmd/seedbed/report"
	"seedbed/internal/bencode"
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
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k")
	if _, err := openKey(path, false); codeOf(err) != exitNotFound || !strings.Contains(report.Sentence(err), "--new-key") {
		t.Errorf("%v", err)
	}
	made, err := openKey(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if again, err := openKey(path, false); err != nil || !bytes.Equal(made, again) {
		t.Errorf("another key, or %v", err)
	}
	if _, err := openKey(path, true); codeOf(err) != exitExists {
		t.Errorf("%v", err)
	}
	if _, err := openKey(dir, false); err == nil {
		t.Error("a folder is a key")
	}
	for _, text := range []string{"", "xx", strings.Repeat("0", 63), strings.Repeat("0", 128), strings.Repeat("g", 64)} {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openKey(bad, false); codeOf(err) != exitUsage || text != "" && len(text) > 2 && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if runtime.GOOS != "windows" {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := openKey(path, false); codeOf(err) != exitOpen || !strings.Contains(report.Sentence(err), "chmod 600") {
				t.Errorf("mode %v: %v", mode, err)
			}
		}
	}
}

func TestRender(t *testing.T) {
	for in, want := range map[string]string{
		"5:hello":                 `"hello"`,
		"2:\xff\x1b":              "0xff1b",
		"4:\x1b[2m":               `"\x1b[2m"`,
		"i-7e":                    "-7",
		"d1:ali1e1:xe1:bd1:c0:ee": `{"a": [1, "x"], "b": {"c": ""}}`,
		"le":                      "[]",
	} {
		if got := render(bencode.Value(in)); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}
