//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// boot starts systemd as PID 1 of the system in its folder $1 with the cgroup $2. The devices are those that
// every container has.
const boot = `set -e
echo $$ >"$2/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup sh -c '
set -e
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do cp -a /dev/$d dev/; done
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs run
mkdir run/old
pivot_root . run/old
cd /
umount -l run/old
exec env -i container=seedbed PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/lib/systemd/systemd --log-target=console' sh "$1"`

// bootSystem returns a system that systemd has booted. It skips the test where control groups of the second
// version, which systemd needs, are not to be had.
func bootSystem(t *testing.T) *system {
	t.Helper()
	s := newSystem(t)
	groups := filepath.Join(t.TempDir(), "cgroup")
	if err := os.Mkdir(groups, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("cgroup2", groups, "cgroup2", 0, ""); err != nil {
		t.Skip("no control groups:", err)
	}
	t.Cleanup(func() { syscall.Unmount(groups, syscall.MNT_DETACH) })
	group := filepath.Join(groups, fmt.Sprintf("seedbed-test-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skip("no control groups:", err)
	}
	cmd := exec.Command("sh", "-c", boot, "sh", s.root, group)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // and with it PID 1, and with that everything
		cmd.Wait()
		eventually(s.t, "the processes of the system are gone", func() error { return removeGroup(group) })
	})
	eventually(s.t, "systemd has booted", func() error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if err != nil {
			return err
		}
		s.enter = []string{"nsenter", "-t", strings.TrimSpace(string(b)), "-m", "-u", "-i", "-p", "-C", "-r", "-w", "--"}
		out, err := s.try(nil, "systemctl", "is-system-running")
		if state := strings.TrimSpace(out); state == "running" || state == "degraded" {
			return nil
		}
		return fmt.Errorf("%s, %v\n%s", out, err, said.String())
	})
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := s.try(nil, "journalctl", "--no-pager", "-u", "seedbed*")
			t.Logf("%s\n%s", said.String(), log)
		}
	})
	return s
}

// removeGroup removes a control group and those below it, which must have no processes.
func removeGroup(group string) error {
	entries, err := os.ReadDir(group)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(group, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(group)
}

// show returns a property of a unit.
func (s *system) show(unit, property string) string {
	s.t.Helper()
	return strings.TrimSpace(s.run("systemctl", "show", "-P", property, unit))
}

// start enables and starts a service, which must tell systemd that it is ready.
func (s *system) start(unit string) {
	s.t.Helper()
	s.run("systemctl", "enable", "--now", unit)
	if got := s.show(unit, "ActiveState") + " " + s.show(unit, "UnitFileState"); got != "active enabled" {
		s.t.Errorf("%s: %s", unit, got)
	}
}

// The services start under systemd, in their sandboxes. A reload keeps the daemon, an upgrade starts the new
// version, members of the group control it over the socket, and a purge stops everything.
func TestServicesUnderSystemd(t *testing.T) {
	need(t, "nsenter", "unshare")
	s := bootSystem(t)
	s.install(built(t, testDeb))
	for _, unit := range units {
		if got := s.show(unit, "ActiveState") + " " + s.show(unit, "UnitFileState"); got != "inactive disabled" {
			t.Errorf("%s after the installation: %s", unit, got)
		}
	}

	s.start("seedbed-bootstrap.service")
	s.start("seedbed.service")
	if log := s.run("journalctl", "--no-pager", "-u", "seedbed-bootstrap.service", "-u", "seedbed.service"); !strings.Contains(log, "listening on 0.0.0.0:6880 (UDP)") || !strings.Contains(log, "listening on 0.0.0.0:6881") {
		t.Errorf("the services do not listen on their ports:\n%s", log)
	}
	asDaemon := []string{"runuser", "-u", "seedbed", "--", "seedbed"}
	token := lastLine(s.run(append(asDaemon, "token", "new", "admin", "--name", "laptop", "--state", "/var/lib/seedbed")...))
	s.checkAccess(token)
	pid := s.show("seedbed.service", "MainPID")
	if got := strings.TrimSpace(s.run("stat", "-c", "%U", "/proc/"+pid)); got != "seedbed" {
		t.Errorf("the daemon runs as %s", got)
	}

	// The sandbox hides nothing that the metrics of the process need.
	for url, token := range map[string]string{"http://127.0.0.1:8009/metrics": token, "http://127.0.0.1:9881/metrics": ""} {
		status, body, err := get(url, token)
		for _, name := range []string{"process_start_time_seconds", "process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_network_receive_bytes_total"} {
			if !strings.Contains(body, "\n"+name+" ") {
				t.Errorf("%s has no %s: status %d, %v", url, name, status, err)
			}
		}
	}
	s.run("systemctl", "stop", "seedbed-bootstrap.service")

	s.run("systemctl", "reload", "seedbed")
	s.checkAccess(token)
	if got := s.show("seedbed.service", "MainPID"); got != pid {
		t.Error("a reload restarts the daemon")
	}

	s.install(nextDeb(t))
	eventually(s.t, "the new version answers", func() error {
		_, _, err := node(token)
		return err
	})
	s.checkAccess(token)
	if got := s.show("seedbed.service", "MainPID"); got == pid || s.show("seedbed.service", "ActiveState") != "active" {
		t.Error("the upgrade does not restart the daemon")
	}

	s.run("systemctl", "stop", "seedbed.service")
	s.run("systemctl", "enable", "--now", "seedbed.socket")
	s.run("systemctl", "start", "seedbed.service")
	asMember := []string{"runuser", "-u", "nobody", "-G", "seedbed", "--", "seedbed", "add", "--paused", testMagnet, "--state", "/var/lib/seedbed"}
	s.run(asMember...)
	if out, err := s.try(nil, "runuser", "-u", "nobody", "--", "seedbed", "list", "--state", "/var/lib/seedbed"); err == nil {
		t.Errorf("a user outside of the group controls the daemon:\n%s", out)
	}
	s.checkAccess(token)

	s.run("dpkg", "--purge", "seedbed")
	for _, unit := range units {
		if got := s.show(unit, "ActiveState") + " " + s.show(unit, "LoadState"); got != "inactive not-found" {
			t.Errorf("%s after the purge: %s", unit, got)
		}
	}
	if _, _, err := node(token); err == nil {
		t.Error("the daemon runs after the purge")
	}
	for _, path := range []string{"/var/lib/seedbed", "/var/lib/seedbed-bootstrap", "/var/lib/private/seedbed-bootstrap", "/etc/seedbed"} {
		if _, err := s.try(nil, "test", "-e", path); err == nil {
			t.Errorf("the purge leaves %s", path)
		}
	}
}
