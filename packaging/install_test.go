//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	testMagnet = "magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056"
	testHash   = "c9e15763f722f23e98a29decdfae341b98d53056"
)

var units = []string{"seedbed.service", "seedbed.socket", "seedbed-bootstrap.service"}

// A daemon that the unit's command starts as the unit's user answers. An upgrade keeps its session, its tokens
// and changed settings, removing the package keeps all that too, and a purge keeps downloads only.
func TestInstallUpgradeRemovePurge(t *testing.T) {
	s := newSystem(t)
	s.copy(built(t, testDeb))
	// A server gets no desktop with it: at most the certificates, which bring openssl.
	if plan := s.run("apt-get", "install", "--simulate", packageInside); strings.Count(plan, "\nInst ") > 3 {
		t.Errorf("apt installs more than the package and the certificates:\n%s", plan)
	}
	s.install(built(t, testDeb))
	if got := s.run("seedbed", "version"); !strings.HasPrefix(got, "seedbed 1.2.3 ") {
		t.Errorf("version: %s", got)
	}
	if links, _ := filepath.Glob(s.path("/etc/systemd/system/*/seedbed*")); len(links) > 0 {
		t.Errorf("the installation enables %q", links)
	}
	for dir, mode := range map[string]os.FileMode{"/var/lib/seedbed": 0o750, "/var/lib/seedbed/downloads": 0o750} {
		fi, err := os.Stat(s.path(dir))
		if err != nil || fi.Mode().Perm() != mode || fi.Sys().(*syscall.Stat_t).Uid != s.user("seedbed").Uid {
			t.Errorf("%s: %v, %v", dir, fi, err)
		}
	}

	stop := s.startDaemon()
	token := lastLine(s.asDaemon("token", "new", "admin", "--name", "laptop"))
	s.checkAccess(token)
	s.asDaemon("add", "--paused", testMagnet)
	stop()

	settings := s.read("/etc/seedbed/config.toml") + "# mine\n"
	if err := os.WriteFile(s.path("/etc/seedbed/config.toml"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	s.install(nextDeb(t))
	if got := s.run("seedbed", "version"); !strings.HasPrefix(got, "seedbed 1.2.4 ") {
		t.Errorf("version after the upgrade: %s", got)
	}
	if s.read("/etc/seedbed/config.toml") != settings {
		t.Error("the upgrade has changed the settings")
	}
	stop = s.startDaemon()
	s.checkAccess(token)
	if out := s.asDaemon("info", "1"); !strings.Contains(out, testHash) {
		t.Errorf("the torrent is gone after the upgrade:\n%s", out)
	}
	stop()

	s.run("dpkg", "--remove", "seedbed")
	if s.exists("/usr/bin/seedbed") || !s.exists("/var/lib/seedbed/tokens") || s.read("/etc/seedbed/config.toml") != settings {
		t.Error("removing the package must remove the program and keep state and settings")
	}
	film := "/var/lib/seedbed/downloads/film"
	if err := os.WriteFile(s.path(film), []byte("film"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := s.run("dpkg", "--purge", "seedbed"); !strings.Contains(out, "/var/lib/seedbed/downloads are kept") {
		t.Errorf("the purge does not say that it keeps downloads:\n%s", out)
	}
	if left, err := os.ReadDir(s.path("/var/lib/seedbed")); err != nil || len(left) != 1 || !s.exists(film) || s.exists("/etc/seedbed") {
		t.Errorf("the purge leaves %v, %v", left, err)
	}
	if err := os.Remove(s.path(film)); err != nil {
		t.Fatal(err)
	}
	s.install(nextDeb(t))
	s.run("dpkg", "--purge", "seedbed")
	if s.exists("/var/lib/seedbed") {
		t.Error("the purge leaves a folder without downloads")
	}
}

// startDaemon runs the command of seedbed.service as its user and waits until the daemon answers. stop ends it.
func (s *system) startDaemon() (stop func()) {
	s.t.Helper()
	unit := s.read("/usr/lib/systemd/system/seedbed.service")
	setting := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(unit)
		if m == nil {
			s.t.Fatalf("seedbed.service has no %s", name)
		}
		return m[1]
	}
	cmd := s.command(s.user(setting("User")), strings.Fields(strings.ReplaceAll(setting("ExecStart"), "%S", "/var/lib"))...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cmd.Process.Kill() })
	eventually(s.t, "the daemon answers", func() error {
		_, err := s.try(s.user("seedbed"), "seedbed", "list", "--state", "/var/lib/seedbed")
		return err
	})
	return func() {
		s.t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			s.t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the daemon: %v\n%s", err, said.String())
		}
	}
}

// asDaemon runs a command of seedbed as the daemon's user.
func (s *system) asDaemon(args ...string) string {
	s.t.Helper()
	out, err := s.try(s.user("seedbed"), append(append([]string{"seedbed"}, args...), "--state", "/var/lib/seedbed")...)
	if err != nil {
		s.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// maxExposure is the limit for the exposure of a service as systemd-analyze computes it, from 0 to 10.
// What remains is that a node uses the network.
const maxExposure = 1.5

// systemd finds no fault in the units, and the services are exposed to little.
func TestUnitsAreValidAndHardened(t *testing.T) {
	s := newSystem(t)
	s.install(built(t, testDeb))
	for _, unit := range units {
		if out, err := s.try(nil, "systemd-analyze", "verify", "--man=no", unit); err != nil || out != "" {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
	if out, err := s.try(nil, "env", "XDG_RUNTIME_DIR=/run", "systemd-analyze", "verify", "--user", "--man=no", "/usr/lib/systemd/user/seedbed.service"); err != nil || out != "" {
		t.Errorf("the unit of users: %v\n%s", err, out)
	}
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for _, unit := range []string{"seedbed.service", "seedbed-bootstrap.service"} {
		out := s.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
		m := level.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%s: no exposure level:\n%s", unit, out)
		}
		if exposure, err := strconv.ParseFloat(m[1], 64); err != nil || exposure > maxExposure {
			t.Errorf("%s: exposure level %s, at most %v is allowed:\n%s", unit, m[1], maxExposure, out)
		}
	}
	// systemd is required to find the pages that the units name.
	for _, page := range []string{"man1/seedbed-daemon.1.gz", "man1/seedbed-bootstrap.1.gz", "man5/seedbed-config.5.gz"} {
		if !s.exists("/usr/share/man/" + page) {
			t.Errorf("there is no %s", page)
		}
	}
}

// Every page that is named in a unit or in another page exists in the package, and the shells accept the completions.
func TestCompletionsAreValid(t *testing.T) {
	s := newSystem(t)
	s.install(built(t, testDeb))
	s.run("bash", "-n", "/usr/share/bash-completion/completions/seedbed")
	for shell, path := range map[string]string{"zsh": "/usr/share/zsh/vendor-completions/_seedbed", "fish": "/usr/share/fish/vendor_completions.d/seedbed.fish"} {
		if !strings.Contains(s.read(path), "__complete") {
			t.Errorf("%s does not ask seedbed for completions", path)
		}
		if _, err := exec.LookPath(shell); err == nil {
			output(t, shell, "-n", s.path(path))
		}
	}
}
