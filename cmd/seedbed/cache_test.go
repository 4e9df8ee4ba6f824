package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
)

// The settings of a cache of an object store are refused if there is no store. A settings file for all commands may have them, because
// single commands take --store.
func TestACacheNeedsAStore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "settings.toml")
	if err := os.WriteFile(file, []byte("cache = \""+dir+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := "magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056"
	size := []string{"--cache-size", "1G"}
	for _, c := range []struct {
		args      []string
		isRefused bool
	}{
		{append([]string{"daemon"}, size...), true},
		{[]string{"daemon", "--cache", dir}, true},
		{[]string{"daemon", "--config", file}, true},
		{append([]string{"get", link}, size...), true},
		{append([]string{"get", link, "-d", dir, "--store-style", "path"}, size...), true},
		// These are refused for another reason, so that nothing begins.
		{[]string{"get", link, "-d", dir, "--config", file, "--select", "none"}, false},
		{[]string{"get", link, "--store", "s3://bucket/data", "--cache", dir, "--select", "1"}, false},
		{append([]string{"seed", dir}, size...), true},
		{append([]string{"publish", dir}, size...), true},
		{append([]string{"publish", dir, "--key", "site"}, size...), true},
	} {
		said, err := os.Create(filepath.Join(dir, "said"))
		if err != nil {
			t.Fatal(err)
		}
		code := run(t.Context(), append(c.args, "--state", filepath.Join(dir, "state"), "--no-dht"), said, said)
		b, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		said.Close()
		if code != exit.Usage {
			t.Errorf("%q: exit code %d", c.args, code)
		}
		if isRefused := code == exit.Usage && strings.Contains(string(b), "--store s3://BUCKET/PREFIX, or leave out --cache"); isRefused != c.isRefused {
			t.Errorf("%q: exit code %d, %s", c.args, code, b)
		}
	}
}
