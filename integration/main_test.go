//go:build linux

package integration

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Environment variables of the re-executed test binary.
const (
	envBinary = "SEEDBED_TEST_BINARY" // the seedbed under test; set inside the namespace
	envWhyNot = "SEEDBED_TEST_WHYNOT" // why there is no namespace
	envMust   = "SEEDBED_REQUIRE_PEERS"
)

// enter brings up the loopback device of the namespace and executes its arguments. A
// local route does not suffice to bind IPv6 addresses, so it adds each one that a test
// uses.
const enter = `set -e
mkdir -p /run/netns
mount -t tmpfs none /run/netns
ip link set lo up
ip addr add 10.0.0.1/32 dev lo
ip route add local 10.0.0.0/8 dev lo src 10.0.0.1
if [ -e /proc/sys/net/ipv6 ]; then
	ip -6 route add local fd00::/8 dev lo
	for role in 1 2 3 4; do for i in 1 2 3 4 5 6 7 8; do
		ip -6 addr add fd00:$role:$i::1/128 dev lo nodad
	done; done
fi
exec "$@"`

var seedbed string // the binary under test

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(envBinary) == "" && os.Getenv(envWhyNot) == "" {
		os.Exit(outside())
	}
	seedbed = os.Getenv(envBinary)
	if !given("test.parallel") {
		// These tests wait for other processes much more than they compute.
		flag.Set("test.parallel", "16")
	}
	if !given("rapid.checks") {
		flag.Set("rapid.checks", "200") // they are cheap here
	}
	dependOnSource()
	if seedbed != "" {
		if err := silenceNames(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	private4.close()
	private6.close()
	os.Exit(code)
}

func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

var silent net.PacketConn // kept open, because a closed port would answer

// silenceNames configures name servers that never answer, the worst case for a resolver.
func silenceNames() error {
	const server = "10.53.0.1"
	var err error
	if silent, err = net.ListenPacket("udp4", server+":53"); err != nil {
		return err
	}
	conf := filepath.Join(os.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+server+"\n"), 0o644); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return nil // no name servers at all
	}
	return syscall.Mount(conf, target, "", syscall.MS_BIND, "")
}

// dependOnSource makes go test drop a cached result if any source of seedbed has changed:
// this package does not import the binary, but runs it.
func dependOnSource() {
	filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, ".go") || d.Name() == "go.mod") {
			os.Stat(path)
		}
		return nil
	})
}

// outside builds the binary and runs this test binary again in new network, mount and
// process namespaces: nothing reaches the outside, others do not see the mounts, and no
// client outlives the tests.
func outside() int {
	dir, err := os.MkdirTemp("", "seedbed-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	whynot := namespaces()
	argv := append([]string{os.Args[0]}, os.Args[1:]...)
	env := append(os.Environ(), envWhyNot+"="+whynot)
	if whynot == "" {
		binary := filepath.Join(dir, "seedbed")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../cmd/seedbed")
		if raceEnabled {
			build.Args = append(build.Args[:2:2], append([]string{"-race"}, build.Args[2:]...)...)
		}
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
			return 1
		}
		argv = append([]string{"unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
			"sh", "-c", enter, "sh"}, argv...)
		env = append(env, envBinary+"="+binary, "TMPDIR="+dir)
	}
	// The child is killed when the thread that started it ends, so this thread must stay.
	runtime.LockOSThread()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for range signals {
			cmd.Process.Signal(syscall.SIGKILL) // --kill-child ends the other processes
		}
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "in the network namespace:", err)
		return 1
	}
	return 0
}

// namespaces returns why a network namespace cannot be created, or "" if it can.
func namespaces() string {
	if os.Geteuid() != 0 {
		return "a network namespace needs root"
	}
	for _, tool := range []string{"unshare", "ip", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("the command %s is missing (`make peers` installs it)", tool)
		}
	}
	if out, err := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Sprintf("a network namespace cannot be created: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return ""
}

// need skips a test whose requirements are missing, or fails it if they must be installed.
// Clients are named by their command or Python module.
func need(t testing.TB, clients ...client) {
	t.Helper()
	var lacking []string
	for _, c := range clients {
		lacking = append(lacking, c.missing())
	}
	skipIfMissing(t, lacking)
}

// needCommands is like need for other programs than clients.
func needCommands(t testing.TB, names ...string) {
	t.Helper()
	var lacking []string
	for _, n := range names {
		lacking = append(lacking, command(n))
	}
	skipIfMissing(t, lacking)
}

// skipIfMissing skips or fails a test if one of the reasons is not empty.
func skipIfMissing(t testing.TB, reasons []string) {
	t.Helper()
	why := cmp.Or(append([]string{os.Getenv(envWhyNot)}, reasons...)...)
	if why == "" {
		return
	}
	if os.Getenv(envMust) != "" {
		t.Fatalf("could not run: %s (and %s is set)", why, envMust)
	}
	t.Skipf("did not run: %s", why)
}

// timeLimit returns a context that bounds the wait for events, so that a failure is reported
// with its logs and not by the timeout of go test.
func timeLimit(t testing.TB) context.Context {
	d := 8 * time.Minute // transmission takes up to three minutes to join the DHT
	if raceEnabled {
		d = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
