//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Podman runs the image as docs/packaging.md says, with its health check: read-only, without capabilities.
func TestPodmanRunsTheImage(t *testing.T) {
	need(t, "podman", "crun")
	if os.Getuid() != 0 {
		skip(t, errors.New("only root can run an image here"))
	}
	// crun refuses a mixture of both versions of control groups. The mount is in the namespace of the tests.
	if err := syscall.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		t.Skip("no control groups:", err)
	}
	t.Cleanup(func() { syscall.Unmount("/sys/fs/cgroup", syscall.MNT_DETACH) })
	text := string(readFile(t, "../docs/packaging.md"))
	health := regexp.MustCompile(`--health-cmd '(.*?)'`).FindStringSubmatch(text)
	if health == nil || !strings.Contains(text, "--read-only --cap-drop all ") {
		t.Fatal("docs/packaging.md runs the image in another way")
	}
	dir, err := os.MkdirTemp("/tmp", "podman-") // Podman wants a path of at most 50 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	podman := func(args ...string) (string, error) {
		args = append([]string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs",
			"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "crun"}, args...)
		out, err := exec.Command("podman", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := podman(args...)
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("podman %q: %v\n%s%s", args, err, out, failed.Stderr)
		} else if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := must("load", "--quiet", "-i", built(t, "seedbed-1.2.3-oci.tar")); !strings.HasSuffix(out, "seedbed:1.2.3") {
		t.Errorf("loaded: %s", out)
	}
	run := []string{"run", "-d", "--name", "seedbed", "--network", "none", "--cgroups", "disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000",
		"--read-only", "--cap-drop", "all", "--health-cmd", health[1]}
	for volume, at := range map[string]string{"state": "/var/lib/seedbed", "downloads": "/downloads"} {
		if err := os.Mkdir(filepath.Join(dir, volume), 0o755); err != nil {
			t.Fatal(err)
		}
		run = append(run, "-v", filepath.Join(dir, volume)+":"+at+":U")
	}
	must(append(run, "seedbed:1.2.3")...)
	t.Cleanup(func() { podman("rm", "--force", "--time", "0", "seedbed") })
	eventually(t, "the health check passes", func() error {
		out, err := podman("healthcheck", "run", "seedbed")
		if err != nil {
			log, _ := podman("logs", "seedbed")
			err = fmt.Errorf("%w: %s\n%s", err, out, log)
		}
		return err
	})
	if out := must("exec", "seedbed", "/usr/bin/seedbed", "token", "new", "admin", "--name", "laptop"); !strings.Contains(out, "sbt_") {
		t.Errorf("token new: %s", out)
	}
	must("stop", "--time", "30", "seedbed")
	if got := must("inspect", "--format", "{{.State.ExitCode}}", "seedbed"); got != "0" {
		t.Errorf("the daemon ended with %s", got)
	}
}
