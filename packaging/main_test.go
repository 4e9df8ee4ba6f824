//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scratch is the folder of what all tests share.
var scratch string

// inside is set in the environment of the test binary when it runs in namespaces of its own.
const inside = "SEEDBED_PACKAGING_INSIDE"

func TestMain(m *testing.M) {
	if os.Getuid() == 0 && os.Getenv(inside) == "" {
		os.Exit(enterNamespaces())
	}
	var err error
	if scratch, err = os.MkdirTemp("", "seedbed-packaging-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// enterNamespaces runs the tests with mounts and a network of their own: nothing that they mount stays, and
// what they start does not reach the public network.
func enterNamespaces() int {
	runtime.LockOSThread() // the death of this thread would end the tests
	cmd := exec.Command("/bin/sh", append([]string{"-c", `ip link set lo up; exec "$0" "$@"`, "/proc/self/exe"}, os.Args[1:]...)...)
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd.Args[3] = self
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		return failed.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "packaging: no namespaces:", err)
		return 1
	}
	return 0
}

// testDate is the time of the releases.
var testDate = time.Unix(1_796_083_200, 0).UTC()

// newRelease returns a release whose files are in the folder work.
func newRelease(version, work string) (*release, error) {
	r := &release{version: version, date: testDate, maintainer: "Ada Lovelace <ada@example.org>", work: work, out: filepath.Join(work, "dist"), targets: allTargets}
	return r, os.MkdirAll(r.out, 0o755)
}

// testRelease makes the release that the tests look at.
var testRelease = sync.OnceValues(func() (*release, error) { return wholeRelease(filepath.Join(scratch, "release")) })

const (
	testDeb = "seedbed_1.2.3-1_amd64.deb"
	testRPM = "seedbed-1.2.3-1.x86_64.rpm"
)

// built returns the path of a package.
func built(t *testing.T, name string) string {
	t.Helper()
	r, err := testRelease()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(r.out, name)
}

// nextRelease makes the Debian package of the next version.
var nextRelease = sync.OnceValues(func() (*release, error) {
	first, err := testRelease()
	if err != nil {
		return nil, err
	}
	r, err := newRelease("1.2.4", filepath.Join(scratch, "next"))
	if err != nil {
		return nil, err
	}
	r.texts, r.parts = first.texts, first.parts
	return r, r.linuxPackage("deb", "amd64")
})

// nextDeb returns the path of the Debian package of the next version.
func nextDeb(t *testing.T) string {
	t.Helper()
	r, err := nextRelease()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(r.out, "seedbed_1.2.4-1_amd64.deb")
}

// need skips a test if a command is missing.
func need(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			skip(t, err)
		}
	}
}

// skip ends a test that cannot run here.
func skip(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("SEEDBED_REQUIRE_PEERS") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// output runs a command and returns what it prints on stdout.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
