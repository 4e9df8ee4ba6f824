package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/settings"
)

func TestEveryFlagHasAnEnvironmentTwin(t *testing.T) {
	t.Setenv("SEEDBED_NO_DHT", "true")
	t.Setenv("SEEDBED_PEER", "10.0.0.1:1,10.0.0.2:2 [::1]:3")
	t.Setenv("SEEDBED_TIMEOUT", "90s")
	t.Setenv("SEEDBED_DIR", "ignored: the flag is given")
	a := &app.App{}
	cmd, _, err := rootCommand(a, nil).Find([]string{"get"})
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

// What is suggested in place of flags of other clients exists, with these values.
func TestFlagsOfOthersAreFlagsHere(t *testing.T) {
	cmd, _, err := rootCommand(&app.App{}, nil).Find([]string{"get"})
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.NewReplacer("HOST:PORT", "192.0.2.1:6881", ":PORT", ":6881", "NAME", "wg0", "FILE", "f", " N", " 8")
	for name, meant := range flagsOfOthers {
		flag, value, _ := strings.Cut(examples.Replace(meant), " ")
		if cmd.Flags().Lookup(name) != nil {
			t.Errorf("--%s is a flag", name)
		}
		if err := cmd.Flags().Set(flag, value); err != nil {
			t.Errorf("for --%s: %v", name, err)
		}
	}
}
