package torrentcmd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/report"
	"seedbed/node"
)

// The link that seed prints contains the given web seeds and trackers.
func TestTheLinkOfASeedHasItsMirrors(t *testing.T) {
	dir := t.TempDir()
	film := filepath.Join(dir, "film")
	if err := os.WriteFile(film, []byte("film"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := app.New(nil, &report.Stdio{File: os.Stdout}, &report.Stdio{File: os.Stderr})
	var c app.Flags
	var m making.Flags
	c.AddState(pflag.NewFlagSet("seed", pflag.ContinueOnError))
	m.WebSeeds, m.Trackers = []string{"https://example.org/m/"}, []string{"udp://t.example:1"}
	spec, err := (&Seeding{App: a, Flags: &c, Making: &m}).spec(t.Context(), film)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(node.Config{State: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	added, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"xt=urn:btih:", "dn=film", "ws=https%3A%2F%2Fexample.org%2Fm%2F", "tr=udp%3A%2F%2Ft.example%3A1"} {
		if !strings.Contains(added.Link(), part) {
			t.Errorf("%s lacks %s", added.Link(), part)
		}
	}
}
