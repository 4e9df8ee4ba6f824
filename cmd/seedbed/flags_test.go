package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
)

func TestSelectionCountsFromOne(t *testing.T) {
	for in, want := range map[string][]int{"1": {1}, "1,3-5": {1, 3, 4, 5}, "5-5, 2": {2, 5}, "1-3,2": {1, 2, 3}} {
		got, err := parseSelection(in)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("parseSelection(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "3-1", "a", "1-", "-2", "1,,2", "1-99999999999", "1-9000000"} {
		if got, err := parseSelection(in); err == nil {
			t.Errorf("parseSelection(%q) = %d files", in, len(got))
		}
	}
}

func TestEveryFlagHasAnEnvironmentTwin(t *testing.T) {
	t.Setenv("SEEDBED_NO_DHT", "true")
	t.Setenv("SEEDBED_PEER", "10.0.0.1:1,10.0.0.2:2 [::1]:3")
	t.Setenv("SEEDBED_TIMEOUT", "90s")
	t.Setenv("SEEDBED_DIR", "ignored: the flag is given")
	a := &app{}
	cmd, _, err := a.rootCommand().Find([]string{"get"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags([]string{"-d", "here"}); err != nil {
		t.Fatal(err)
	}
	if err := settings.SetEnv(cmd.Flags()); err != nil {
		t.Fatal(err)
	}
	noDHT := cmd.Flags().Lookup("no-dht").Value.String() == "true"
	peers := cmd.Flags().Lookup("peer").Value.(pflag.SliceValue).GetSlice()
	timeout := cmd.Flags().Lookup("timeout").Value.String()
	dir, _ := cmd.Flags().GetString("dir")
	if !noDHT || !cmp.Equal(peers, []string{"10.0.0.1:1", "10.0.0.2:2", "[::1]:3"}) || timeout != "1m30s" || dir != "here" {
		t.Fatal(noDHT, peers, timeout, dir)
	}
	t.Setenv("SEEDBED_SEED", "perhaps")
	if err := settings.SetEnv(cmd.Flags()); err == nil || !strings.Contains(err.Error(), "SEEDBED_SEED") {
		t.Fatalf("a bad value in the environment: %v", err)
	}
}
