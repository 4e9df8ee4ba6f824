//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long tests wait for what takes a moment on an idle machine.
const patience = 2 * time.Minute

// A system is a Debian system in a folder, in which packages are installed. What is written there is gone
// after the test.
type system struct {
	t    *testing.T
	root string
	// enter is the command that runs others in the system; without it, they run in a chroot.
	enter []string
}

// newSystem returns a copy of the system that integration/peers/setup makes.
func newSystem(t *testing.T) *system {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, errors.New("only root can install packages"))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(cache, "seedbed-peers", "debian-system")
	if _, err := os.Stat(base); err != nil {
		skip(t, err)
	}
	top := t.TempDir()
	s := &system{t: t, root: filepath.Join(top, "root")}
	// The folder may be on an overlay, which cannot take the changes of another one.
	s.mount("tmpfs", top, "")
	upper, work := filepath.Join(top, "upper"), filepath.Join(top, "work")
	for _, dir := range []string{s.root, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.mount("overlay", s.root, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, upper, work))
	s.mount("proc", s.path("/proc"), "")
	return s
}

func (s *system) mount(kind, at, options string) {
	s.t.Helper()
	if err := syscall.Mount(kind, at, kind, 0, options); err != nil {
		s.t.Fatalf("mount %s: %v", at, err)
	}
	s.t.Cleanup(func() { syscall.Unmount(at, syscall.MNT_DETACH) })
}

// path returns the path of a file of the system as the tests see it.
func (s *system) path(inside string) string { return filepath.Join(s.root, inside) }

func (s *system) exists(inside string) bool {
	_, err := os.Lstat(s.path(inside))
	return err == nil
}

func (s *system) read(inside string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.path(inside))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// command returns a command that runs in the system as a user; nil is root.
func (s *system) command(user *syscall.Credential, args ...string) *exec.Cmd {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	if s.enter != nil {
		args = append(append(append(s.enter, "/usr/bin/env", "-i"), env...), args...)
		return exec.Command(args[0], args[1:]...)
	}
	cmd := exec.Command("/usr/bin/env", args...)
	cmd.Dir, cmd.Env = "/", env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.root, Credential: user, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// try runs a command as a user and returns its output.
func (s *system) try(user *syscall.Credential, args ...string) (string, error) {
	out, err := s.command(user, args...).CombinedOutput()
	return string(out), err
}

// run runs a command as root, which must succeed.
func (s *system) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(nil, args...)
	if err != nil {
		s.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// packageInside is where copy puts a package.
const packageInside = "/root/seedbed.deb"

// install installs a Debian package.
func (s *system) install(deb string) string {
	s.t.Helper()
	s.copy(deb)
	return s.run("dpkg", "-i", packageInside)
}

// copy copies a Debian package into the system.
func (s *system) copy(deb string) {
	s.t.Helper()
	b, err := os.ReadFile(deb)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(packageInside), b, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// user returns a user of the system.
func (s *system) user(name string) *syscall.Credential {
	s.t.Helper()
	for line := range strings.Lines(s.read("/etc/passwd")) {
		if f := strings.Split(line, ":"); f[0] == name {
			uid, _ := strconv.ParseUint(f[2], 10, 32)
			gid, _ := strconv.ParseUint(f[3], 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	s.t.Fatalf("there is no user %s", name)
	return nil
}

// eventually waits until try succeeds.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

// node asks the daemon for the state of the node over HTTP, with a token or without.
func node(token string) (status int, body string, err error) {
	return get("http://127.0.0.1:8009/v1/node", token)
}

// get fetches a URL with a token; "" is none.
func get(url, token string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// checkAccess fails the test unless the token gives access over HTTP, and nothing else does.
func (s *system) checkAccess(token string) {
	s.t.Helper()
	if status, body, err := node(token); err != nil || status != http.StatusOK {
		s.t.Errorf("with a token: status %d, %v\n%s", status, err, body)
	}
	if status, _, err := node(""); err != nil || status != http.StatusUnauthorized {
		s.t.Errorf("without a token: status %d, %v", status, err)
	}
}

// lastLine returns the last line of an output.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
