package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
)

// torrentFile is a .torrent file for one file of 5 bytes.
const torrentFile = "d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"

func TestCheckThatIsInterruptedIsUnfinished(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("x.torrent", []byte(torrentFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("x", []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	code := run(ctx, []string{"check", "x.torrent", "-q", "--state", "state"}, stderr, stderr)
	said, err := os.ReadFile(stderr.Name())
	if err != nil {
		t.Fatal(err)
	}
	if code != exit.Unfinished || !strings.Contains(string(said), "stopped before x.torrent was checked") {
		t.Errorf("exit %d: %s", code, said)
	}
}
