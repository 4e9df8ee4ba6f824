package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/node"
)

// If one of several downloads fails, the error is reported, the others complete, and the
// exit code is that of the failed one.
func TestOneOfSeveralDownloadsFails(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{State: filepath.Join(dir, "seed"), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	var links []string
	for _, name := range []string{"good", "blocked"} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(strings.Repeat(name, 20_000)), 0o644); err != nil {
			t.Fatal(err)
		}
		spec, err := node.Share(t.Context(), p, node.ShareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tor, err := n.Add(spec)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, tor.Link()+"&x.pe="+n.Addrs()[0].String())
	}
	out := filepath.Join(dir, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "blocked"), []byte("somebody else's"), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append([]string{"get", "--json", "--no-dht", "--listen", "127.0.0.1:0", "-d", out, "--state", filepath.Join(dir, "get")}, links...)
	if code := run(ctx, args, stdout, stderr); code != exit.Exists {
		t.Errorf("exit code %d", code)
	}
	if b, err := os.ReadFile(filepath.Join(out, "good")); err != nil || string(b) != strings.Repeat("good", 20_000) {
		t.Errorf("the good one: %d bytes, %v", len(b), err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "blocked")); err != nil || string(b) != "somebody else's" {
		t.Errorf("a foreign file was touched: %q, %v", b, err)
	}
	said, err := os.ReadFile(stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	for event, times := range map[string]int{"complete": 1, "failed": 1, "error": 1} {
		if got := strings.Count(string(said), `"event":"`+event+`"`); got != times {
			t.Errorf("%d %s events, want %d:\n%s", got, event, times, said)
		}
	}
}
