//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// proxyLab is an internet and a machine behind a SOCKS5 proxy, in network namespaces; see
// testdata/proxylab/up. Its names are global, so tests with it must not be parallel.
type proxyLab struct {
	t   testing.TB
	dir string
	*leaks
}

const (
	proxyAddr = "10.77.0.1:1080"
	bootAddr  = "45.1.0.1:6881"
	bootName  = "boot.example:6881" // only the proxy can resolve it
)

func newProxyLab(t testing.TB) *proxyLab {
	t.Helper()
	needCommands(t, "ip", "nft", "danted", "microsocks")
	l := &proxyLab{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		for _, n := range []string{"behind", "proxy", "internet"} {
			_ = exec.Command("ip", "netns", "del", n).Run() // absent if the build has failed
		}
	})
	if out, err := exec.Command(filepath.Join("testdata", "proxylab", "up"), l.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, os.WriteFile(filepath.Join(l.dir, "auth"), []byte("seedbed:secret\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(l.dir, "wrong"), []byte("seedbed:guess\n"), 0o600))
	l.leaks = watchLeaks(t, "behind", "eth0", netip.MustParseAddrPort(proxyAddr).Addr())
	return l
}

// on returns the command that runs argv on a host of the lab.
func (l *proxyLab) on(host string, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", host}, argv...)
}

// start starts a proxy, with the files that only it sees. argv is a name for Dante's configuration, or a command.
func (l *proxyLab) startProxy(argv ...string) *process {
	l.t.Helper()
	script := `for f in hosts passwd shadow; do mount --bind "$0/$f" /etc/$f; done; exec "$@"`
	if len(argv) == 1 {
		argv = []string{"danted", "-f", filepath.Join(l.dir, argv[0]+".conf")}
	}
	return start(l.t, argv[0], nil, l.on("proxy", append([]string{"sh", "-ec", script, l.dir}, argv...)...)...)
}

// kill ends a proxy at once, with its children, and so all connections through it.
func kill(ctx context.Context, p *process) {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-p.ended:
	case <-ctx.Done():
	}
}

// seeds starts nodes on the internet, each of which seeds one of the payloads at its own address.
func (l *proxyLab) seeds(ctx context.Context, ps ...*payload) {
	l.t.Helper()
	var all []*ours
	for i, p := range ps {
		args := []string{"seed", p.torrent, "-d", p.parent, "--bootstrap", bootAddr, "--port-map", "off"}
		all = append(all, runAs(l.t, l.on("internet", seedbed), fmt.Sprintf("45.%d.0.1", i+1), args...))
	}
	for _, o := range all {
		o.wait(ctx, "ready")
	}
}

// behind returns the arguments of a command on the machine behind the proxy.
func (l *proxyLab) behind(auth string, args ...string) []string {
	return append(args, "--proxy", "socks5://"+proxyAddr, "--proxy-auth-file", filepath.Join(l.dir, auth), "--bootstrap", bootName)
}

// result has the fields that the tests need of what a command prints with --json.
type result struct {
	Kept                        int
	Step, Verdict, Text, Advice string
}

// output runs a command on the machine behind the proxy and returns what it prints.
func (l *proxyLab) output(ctx context.Context, code int, args ...string) (results []result) {
	l.t.Helper()
	argv := l.on("behind", append(append([]string{seedbed}, args...), "--json", "--state", l.t.TempDir())...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = withoutOurs()
	out, _ := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		l.t.Errorf("%q exited with %d, want %d: %s", argv, got, code, out)
	}
	for line := range strings.Lines(string(out)) {
		var r result
		must(l.t, json.Unmarshal([]byte(line), &r))
		results = append(results, r)
	}
	return results
}

// findingOf returns what the doctor says of a step.
func findingOf(rs []result, step string) result {
	i := slices.IndexFunc(rs, func(r result) bool { return r.Step == step })
	if i < 0 {
		return result{}
	}
	return rs[i]
}

// Through Dante, a node that only has the name of a bootstrap host finds peers in the DHT and downloads from
// them over TCP and over uTP, and stores items in the DHT. When the proxy ends and comes back, everything goes
// on. Nothing ever goes around the proxy.
func TestEverythingGoesThroughTheProxy(t *testing.T) {
	ctx, l := timeLimit(t), newProxyLab(t)
	tcp, slow, later, utp := single(t, "over TCP", 600<<10), single(t, "during a restart of the proxy", 900<<10), single(t, "after it", 600<<10), single(t, "over uTP", 600<<10)
	l.seeds(ctx, tcp, slow, later, utp)
	dante := l.startProxy("danted")
	get := func(p *payload, args ...string) (*ours, string) {
		dir := t.TempDir()
		return runAs(t, l.on("behind", seedbed), "", l.behind("auth", append([]string{"get", p.magnet(), "-d", dir}, args...)...)...), dir
	}
	for _, p := range []*payload{tcp, utp} {
		o, dir := get(p)
		o.ends(ctx, 0)
		p.same(t, dir, true)
	}
	if out, err := exec.Command("ip", l.on("internet", "nft", "list", "table", "ip", "utp")[1:]...).CombinedOutput(); err != nil || strings.Contains(string(out), "packets 0") {
		t.Errorf("the peer of the download over uTP was not dialled over TCP: %v %s", err, out)
	}

	put := l.output(ctx, 0, l.behind("auth", "dht", "put", "--key", filepath.Join(l.dir, "key"), "--new-key", "hello")...)
	if len(put) != 1 || put[0].Kept == 0 {
		t.Errorf("the item is stored at %+v", put)
	}
	findings := l.output(ctx, 0, l.behind("auth", "doctor", tcp.magnet())...)
	if f := findingOf(findings, "proxy"); f.Verdict != "fine" {
		t.Errorf("the doctor says %+v of the proxy", f)
	}

	o, dir := get(slow, "--down-limit", "150K")
	o.wait(ctx, "progress", func(e event) bool { return e.Have > 0 })
	kill(ctx, dante)
	o.wait(ctx, "warning", func(e event) bool { return strings.Contains(e.Error, proxyAddr) && e.Hint != "" })
	waiting, dir2 := get(later) // starts without a proxy
	waiting.wait(ctx, "warning", func(e event) bool { return strings.Contains(e.Error, "cannot be reached") })
	l.startProxy("danted")
	o.ends(ctx, 0)
	slow.same(t, dir, true)
	waiting.ends(ctx, 0)
	later.same(t, dir2, true)
	l.none()

	// The watch works: without the proxy, the same is seen.
	direct := runAs(t, l.on("behind", seedbed), "", "get", tcp.magnet(), "-d", t.TempDir(), "--bootstrap", bootAddr)
	direct.ends(ctx, 0)
	if n, _ := l.seen(); n == 0 {
		t.Error("the watch has not seen a download that went around the proxy")
	}
}

// A proxy that refuses the password is not gone around, and the messages say what to correct.
func TestAWrongProxyPasswordLeaksNothing(t *testing.T) {
	ctx, l := timeLimit(t), newProxyLab(t)
	p := single(t, "never downloaded", 100<<10)
	l.seeds(ctx, p)
	l.startProxy("danted")
	const reason = "refused the user name or the password"
	o := runAs(t, l.on("behind", seedbed), "", l.behind("wrong", "get", p.from("45.1.0.1"), "-d", t.TempDir())...)
	if w := o.wait(ctx, "warning", func(e event) bool { return strings.Contains(e.Error, reason) }); !strings.Contains(w.Hint, "--proxy-auth-file") {
		t.Errorf("the warning is %+v", w)
	}
	// Meanwhile the download tries the peer that the link names.
	if f := findingOf(l.output(ctx, 6, l.behind("wrong", "doctor", p.from("45.1.0.1"))...), "proxy"); f.Verdict != "bad" || f.Text != reason || !strings.Contains(f.Advice, "--proxy-auth-file") {
		t.Errorf("the doctor says %+v of the proxy", f)
	}
	must(t, o.cmd.Process.Signal(interrupt))
	o.exit(ctx)
	if o.has("metadata") {
		t.Error("the peer was reached")
	}
	l.none()
}

// Proxies that relay no datagrams silence the DHT, which a warning and the doctor say. A peer whose name only
// the proxy can resolve is reached over TCP.
func TestAProxyWithoutUDP(t *testing.T) {
	for _, proxy := range [][]string{{"danted-noudp"}, {"microsocks", "-i", "10.77.0.1", "-p", "1080"}} {
		t.Run(proxy[0], func(t *testing.T) {
			ctx, l := timeLimit(t), newProxyLab(t)
			p := single(t, "over TCP only", 600<<10)
			l.seeds(ctx, p)
			l.startProxy(proxy...)
			dir := t.TempDir()
			o := runAs(t, l.on("behind", seedbed), "", l.behind("auth", "get", p.magnet()+"&x.pe=seed.example:6881", "-d", dir, "--seed")...)
			w := o.wait(ctx, "warning", func(e event) bool { return strings.Contains(e.Error, "relays no datagrams") })
			if !strings.Contains(w.Hint, "UDP ASSOCIATE") {
				t.Errorf("the warning is %+v", w)
			}
			o.wait(ctx, "complete")
			p.same(t, dir, false)
			f := findingOf(l.output(ctx, 6, l.behind("auth", "doctor")...), "proxy")
			if f.Verdict != "notice" || !strings.Contains(f.Text, "the DHT is silent") || !strings.Contains(f.Advice, "UDP ASSOCIATE") {
				t.Errorf("the doctor says %+v of the proxy", f)
			}
			l.none()
		})
	}
}

// A web seed that is given by name redirects to other names and other address families. All of these are
// resolved and connected to by the proxy, and the HTTP proxy of the environment is not used.
func TestWebSeedsGoThroughTheProxy(t *testing.T) {
	ctx, l := timeLimit(t), newProxyLab(t)
	p := single(t, "from a web seed", 600<<10)
	var mu sync.Mutex
	var asked []string
	next := map[string]string{
		"seed.example": "http://[2a00:1::2]/6",
		"[2a00:1::2]":  "http://45.2.0.1/4",
		"45.2.0.1":     "http://boot.example/name",
	}
	l.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Host)
		mu.Unlock()
		if to := next[r.Host]; to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.files[0].data))
	}), "45.1.0.1:80", "45.2.0.1:80", "[2a00:1::2]:80")
	l.startProxy("danted")
	b, err := os.ReadFile(p.torrent)
	must(t, err)
	const url = "http://seed.example/f"
	torrent := filepath.Join(l.dir, "web.torrent")
	must(t, os.WriteFile(torrent, fmt.Appendf(b[:len(b)-1], "8:url-list%d:%se", len(url), url), 0o600))
	dir := t.TempDir()
	argv := l.on("behind", "env", "HTTP_PROXY=http://45.6.0.1:3128", "http_proxy=http://45.6.0.1:3128", "ALL_PROXY=socks5://45.6.0.1:1080", seedbed)
	runAs(t, argv, "", l.behind("auth", "get", torrent, "-d", dir)...).ends(ctx, 0)
	p.same(t, dir, true)
	mu.Lock()
	defer mu.Unlock()
	for _, host := range []string{"seed.example", "[2a00:1::2]", "45.2.0.1", "boot.example"} {
		if !slices.Contains(asked, host) {
			t.Errorf("%s was not asked; asked were %v", host, asked)
		}
	}
	l.none()
}

// serve serves HTTP on the internet until the test ends.
func (l *proxyLab) serve(h http.Handler, addrs ...string) {
	l.t.Helper()
	srv := &http.Server{Handler: h}
	for _, a := range addrs {
		inNamespace(l.t, "internet", func() {
			at, err := net.Listen("tcp", a)
			must(l.t, err)
			go srv.Serve(at)
		})
	}
	l.t.Cleanup(func() { srv.Close() })
}
