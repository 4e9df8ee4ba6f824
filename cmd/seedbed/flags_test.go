package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
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
	if err := applyEnv(cmd); err != nil {
		t.Fatal(err)
	}
	noDHT, _ := cmd.Flags().GetBool("no-dht")
	peers := cmd.Flags().Lookup("peer").Value.(pflag.SliceValue).GetSlice()
	timeout, _ := cmd.Flags().GetDuration("timeout")
	dir, _ := cmd.Flags().GetString("dir")
	if !noDHT || !cmp.Equal(peers, []string{"10.0.0.1:1", "10.0.0.2:2", "[::1]:3"}) || timeout != 90*time.Second || dir != "here" {
		t.Fatal(noDHT, peers, timeout, dir)
	}
	t.Setenv("SEEDBED_SEED", "perhaps")
	if err := applyEnv(cmd); err == nil || codeOf(err) != exitUsage {
		t.Fatalf("a bad value in the environment: %v", err)
	}
}
