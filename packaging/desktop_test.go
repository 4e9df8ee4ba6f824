//go:build linux

package main

import (
	"strings"
	"testing"
)

// The command of the desktop entry starts the daemon of the user under the user's own systemd.
func TestDesktopEntryStartsTheDaemon(t *testing.T) {
	need(t, "nsenter", "unshare")
	s := bootSystem(t)
	s.install(built(t, testDeb))
	s.run("useradd", "--create-home", "ada")
	s.run("install", "-d", "-o", "ada", "-g", "ada", "-m", "0700", "/run/user/ada")
	// What a login does.
	s.run("systemd-run", "--unit=ada", "--uid=ada", "--property=Delegate=yes", "--property=Type=notify", "--setenv=XDG_RUNTIME_DIR=/run/user/ada", "--setenv=HOME=/home/ada", "/usr/lib/systemd/systemd", "--user")
	asAda := []string{"runuser", "-u", "ada", "--", "env", "XDG_RUNTIME_DIR=/run/user/ada", "HOME=/home/ada"}
	if out, err := s.try(nil, append(asAda, "seedbed", "open", "--no-browser")...); err == nil {
		t.Fatalf("a daemon runs already:\n%s", out)
	}
	_, entry, _ := strings.Cut(s.read("/usr/share/applications/seedbed.desktop"), "\nExec=")
	entry, _, _ = strings.Cut(entry, "\n")
	command := strings.Fields(strings.ReplaceAll(entry, "%u", testMagnet))
	out := s.run(append(append(asAda, command...), "--no-browser")...)
	if !strings.HasPrefix(lastLine(out), "http://127.0.0.1:8009/#/login/") {
		t.Errorf("the page: %s", out)
	}
	if got := s.run(append(asAda, "systemctl", "--user", "show", "-P", "ActiveState", "seedbed.service")...); got != "active\n" {
		t.Errorf("the service of the user is %s", got)
	}
}
