package main

import (
	"strings"
	"syscall"
	"testing"

	"seedbed/cmd/seedbed/exit"
)

// A bootstrap node whose interface is missing listens nowhere, and does not say that it does.
func TestABootstrapNodeWithoutItsInterfaceDoesNotListen(t *testing.T) {
	cmd, lines := service(t, "bootstrap", "--bind-interface", "nosuch0", "--listen", ":0", "--metrics", "127.0.0.1:0", "--state", t.TempDir())
	hasWarned := false
	for line := range lines {
		if strings.Contains(line, "listening on") {
			t.Error(line)
		}
		hasWarned = hasWarned || strings.Contains(line, "nosuch0 does not exist")
		if strings.Contains(line, "metrics on") {
			break
		}
	}
	if !hasWarned {
		t.Error("there was no warning")
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)
}
