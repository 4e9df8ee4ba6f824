package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"seedbed/cmd/seedbed/exit"
)

// Without any route, get says what failed and what to do next, and a signal ends it.
func TestGetWithoutARouteSaysWhatFailed(t *testing.T) {
	if err := exec.Command("unshare", "--net", "true").Run(); err != nil {
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skip("a network namespace cannot be created: ", err)
	}
	for boot, want := range map[string]string{
		"192.0.2.1:6881":     "no network: no route to any bootstrap host",
		"[2001:db8::1]:6881": "no network: no route to any bootstrap host",
		"boot.example:6881":  "no bootstrap host name could be resolved",
	} {
		dir := t.TempDir()
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("unshare", "--net", "bash", "-c", `exec -a seedbed "$@"`, "bash", exe, "get", "--bootstrap", boot,
			"magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056", "-d", dir, "--state", dir+"/state")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		t.Cleanup(func() { _ = cmd.Process.Kill(); r.Close() })
		line := says(t, linesOf(r), "run seedbed doctor")
		if !strings.Contains(line, want) {
			t.Error(line)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		exits(t, cmd, exit.Unfinished)
	}
}
