//go:build linux

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// bindLab is a machine with two routers, in network namespaces; see testdata/bindlab/up. Its names are global,
// so tests with it must not be parallel.
type bindLab struct {
	t      testing.TB
	dir    string
	*leaks     // of the interface that must not be used
	subnet int // of wg0
	// names counts the queries to the name server of the VPN, and requests those to the web server
	// there.
	names, requests *atomic.Int64
}

func newBindLab(t testing.TB) *bindLab {
	t.Helper()
	needCommands(t, "ip")
	l := &bindLab{t: t, dir: t.TempDir(), names: new(atomic.Int64), requests: new(atomic.Int64)}
	t.Cleanup(func() {
		for _, n := range []string{"home", "vpn", "isp"} {
			_ = exec.Command("ip", "netns", "del", n).Run() // absent if the build has failed
		}
	})
	if out, err := exec.Command(filepath.Join("testdata", "bindlab", "up"), l.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.resolve("vpn", "45.5.0.1:53", l.names)
	l.resolve("isp", "192.168.1.1:53", new(atomic.Int64))
	l.leaks = watchLeaks(t, "home", "eth0", netip.Addr{})
	return l
}

// sh runs a script on the machine.
func (l *bindLab) sh(script string) {
	l.t.Helper()
	if out, err := exec.Command("ip", "netns", "exec", "home", "sh", "-ec", script).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// plug adds the interface wg0, with another index and another address each time.
func (l *bindLab) plug() {
	l.t.Helper()
	l.subnet++
	l.sh(fmt.Sprintf(`ip link add wg0 type veth peer name wg netns vpn
		ip -n vpn addr add 10.8.%[1]d.1/24 dev wg; ip -n vpn link set wg up
		ip addr add 10.8.%[1]d.2/24 dev wg0; ip link set wg0 up
		`+l.routes(), l.subnet))
}

// routes returns the script that makes wg0 lead to the internet.
func (l *bindLab) routes() string {
	return fmt.Sprintf("for table in main 8; do ip route replace default via 10.8.%d.1 dev wg0 metric 500 table $table; done", l.subnet)
}

// move gives wg0 another address.
func (l *bindLab) move() {
	l.t.Helper()
	old := l.subnet
	l.subnet++
	l.sh(fmt.Sprintf(`ip -n vpn addr add 10.8.%[2]d.1/24 dev wg; ip addr add 10.8.%[2]d.2/24 dev wg0
		ip addr del 10.8.%[1]d.2/24 dev wg0
		`+l.routes(), old, l.subnet))
}

// down and up switch wg0 off and on. The kernel drops its routes when it goes down.
func (l *bindLab) down() { l.t.Helper(); l.sh("ip link set wg0 down") }

func (l *bindLab) up() {
	l.t.Helper()
	l.sh("ip link set wg0 up; " + l.routes())
}

func (l *bindLab) unplug() { l.t.Helper(); l.sh("ip link del wg0") }

// resolve answers queries for names under example at an address, until the test ends. All have the address
// of the seed.
func (l *bindLab) resolve(namespace, at string, queries *atomic.Int64) {
	l.t.Helper()
	var c net.PacketConn
	inNamespace(l.t, namespace, func() {
		var err error
		c, err = net.ListenPacket("udp4", at)
		must(l.t, err)
	})
	l.t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			queries.Add(1)
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: &dnsmessage.AResource{A: [4]byte{45, 1, 0, 1}}}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
}

// on returns the command that runs argv on the machine, with its name servers.
func (l *bindLab) on(argv ...string) []string {
	script := `mount --bind "$0/resolv.conf" "$(readlink -f /etc/resolv.conf)"; exec "$@"`
	return append([]string{"ip", "netns", "exec", "home", "sh", "-ec", script, l.dir}, argv...)
}

// seed starts a node at 45.1.0.1 behind the VPN, which seeds the payloads and is the only node of the DHT.
func (l *bindLab) seed(ctx context.Context, ps ...*payload) {
	l.t.Helper()
	folder, data := l.t.TempDir(), l.t.TempDir()
	for _, p := range ps {
		b, err := os.ReadFile(p.torrent)
		must(l.t, err)
		must(l.t, os.WriteFile(filepath.Join(folder, p.name+".torrent"), b, 0o600))
		p.write(l.t, data)
	}
	runAs(l.t, []string{"ip", "netns", "exec", "vpn", seedbed}, "45.1.0.1", "seed", "--torrents", folder, "-d", data,
		"--bootstrap", "45.1.0.1:6881", "--port-map", "off").wait(ctx, "ready")
}

// bound is a daemon on the machine that is bound to wg0.
type bound struct {
	*ours
	lab   *bindLab
	state string
	mark  int // events that were waited for
}

func (l *bindLab) daemon(state, dir string) *bound {
	l.t.Helper()
	args := []string{"daemon", "-d", dir, "--state", state, "--http", "off", "--bind-interface", "wg0", "--download-queue", "0", "--bootstrap", "boot.example:6881"}
	return &bound{ours: runAs(l.t, l.on(seedbed), "", args...), lab: l, state: state}
}

// next waits for an event after those that were waited for before.
func (b *bound) next(ctx context.Context, name, text string) {
	b.t.Helper()
	b.until(ctx, "the event "+name+" "+text, func() bool {
		for ; b.mark < len(b.events); b.mark++ {
			if e := b.events[b.mark]; e.Event == name && strings.Contains(e.Error, text) {
				b.mark++
				return true
			}
		}
		return false
	})
}

// add adds a torrent to the daemon.
func (b *bound) add(ctx context.Context, what string, args ...string) {
	b.t.Helper()
	argv := b.lab.on(append([]string{seedbed, "add", what, "--state", b.state}, args...)...)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		b.t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

// roundEvents is how many things happen in one round.
const roundEvents = 8

// round makes the interface go down and up, disappear, come back with another index and address, and get another
// address, while the daemon is given work for each kind of socket.
func (b *bound) round(ctx context.Context, number int) {
	b.t.Helper()
	b.lab.down()
	b.next(ctx, "warning", "is down")
	b.lab.up()
	b.next(ctx, "listening", "")
	b.lab.unplug()
	b.next(ctx, "warning", "does not exist")
	b.open(ctx, "missing", number)
	b.lab.plug()
	b.next(ctx, "listening", "")
	b.open(ctx, "present", number)
	b.lab.move()
	queries := b.lab.names.Load()
	b.open(ctx, "moved", number)
	poll(ctx, b.t, "a query for the name of a peer", func() bool { return b.lab.names.Load() > queries })
	if number%4 == 0 {
		requests := b.lab.requests.Load()
		b.add(ctx, b.lab.webTorrent(fmt.Sprintf("web seed %d", number), "http://web.example/f"))
		poll(ctx, b.t, "the redirects of a web seed", func() bool { return b.lab.requests.Load() >= requests+2 })
	}
}

// open adds a magnet link with a peer that is given by name.
func (b *bound) open(ctx context.Context, when string, number int) {
	b.t.Helper()
	b.add(ctx, fmt.Sprintf("magnet:?xt=urn:btih:%016x%024x&x.pe=%s%d.example:6881", rand.Uint64(), number, when, number))
}

// webTorrent returns the path of a torrent with a web seed. Nobody else has its data.
func (l *bindLab) webTorrent(name, url string) string {
	l.t.Helper()
	p := single(l.t, name, 20<<10)
	b, err := os.ReadFile(p.torrent)
	must(l.t, err)
	path := filepath.Join(l.dir, name+".torrent")
	must(l.t, os.WriteFile(path, fmt.Appendf(b[:len(b)-1], "8:url-list%d:%se", len(url), url), 0o600))
	return path
}

// serveRedirects serves HTTP behind the VPN. It redirects to IPv6, for which only the other interface has a
// route, and to itself by another name.
func (l *bindLab) serveRedirects() {
	l.t.Helper()
	targets := []string{"http://[2a00:1::1]/", "http://again.example/", "http://45.2.0.1/"}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := l.requests.Add(1)
		http.Redirect(w, r, targets[n%int64(len(targets))], http.StatusFound)
	})}
	srv.SetKeepAlivesEnabled(false) // so that no request waits for a connection that a change of address has broken
	inNamespace(l.t, "vpn", func() {
		at, err := net.Listen("tcp4", "45.1.0.1:80")
		must(l.t, err)
		go srv.Serve(at)
	})
	l.t.Cleanup(func() { srv.Close() })
}

// staysOnInterface runs rounds, and restarts the daemon in between. It fails if a packet takes the other interface.
func (l *bindLab) staysOnInterface(ctx context.Context, rounds int) {
	t := l.t
	t.Helper()
	first, last := single(t, "before all rounds", 300<<10), single(t, "after all rounds", 300<<10)
	l.seed(ctx, first, last)
	l.serveRedirects()
	state, dir := filepath.Join(shortDir(t), "s"), t.TempDir()
	d := l.daemon(state, dir)
	d.next(ctx, "warning", "wg0 does not exist")
	d.next(ctx, "serving", "")
	d.add(ctx, first.magnet()) // waits for the interface
	l.plug()
	d.next(ctx, "listening", "")
	d.next(ctx, "complete", "")
	first.same(t, dir, false)
	for i := range rounds {
		d.round(ctx, i)
		if i%5 == 4 {
			must(t, d.cmd.Process.Signal(interrupt))
			d.exit(ctx)
			d = l.daemon(state, dir)
			d.next(ctx, "serving", "")
		}
	}
	d.add(ctx, last.magnet())
	d.next(ctx, "complete", "")
	last.same(t, dir, false)
	l.none()
}

// A daemon that is bound to an interface waits for it and sends nothing over the other one, whatever happens.
func TestNothingTakesTheWrongInterface(t *testing.T) {
	ctx, l := timeLimit(t), newBindLab(t)
	l.staysOnInterface(ctx, 10)
	// The watch works: without --bind-interface, the same is seen.
	runAs(t, l.on(seedbed), "", "get", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20), "-d", t.TempDir(), "--bootstrap", "boot.example:6881", "--timeout", "1s").exit(ctx)
	if n, _ := l.seen(); n == 0 {
		t.Error("the watch has not seen a node that is not bound")
	}
}

// A bootstrap node starts without its interface, says so, and answers when the interface appears, also a second
// time.
func TestABootstrapNodeWaitsForItsInterface(t *testing.T) {
	ctx, l := timeLimit(t), newBindLab(t)
	b := start(t, "bootstrap", nil, l.on(seedbed, "bootstrap", "--bind-interface", "wg0", "--state", t.TempDir())...)
	b.until(ctx, "a warning", func() bool { return strings.Contains(b.log.String(), "wg0 does not exist") })
	for range 2 {
		l.plug()
		poll(ctx, t, "an answer of the bootstrap node", func() bool {
			ping := exec.CommandContext(ctx, "ip", "netns", "exec", "vpn", seedbed, "dht", "ping", fmt.Sprintf("10.8.%d.2:6881", l.subnet),
				"--bootstrap", "none", "--state", t.TempDir(), "--timeout", "2s")
			return ping.Run() == nil
		})
		l.unplug()
	}
	l.none()
}

// BenchmarkBarWrongInterface counts the packets on the other interface over 1,000 events.
func BenchmarkBarWrongInterface(b *testing.B) {
	for range b.N { // -benchtime 1x
		const rounds = (1000 + roundEvents - 1) / roundEvents
		l := newBindLab(b)
		l.staysOnInterface(barTime(b), rounds)
		n, _ := l.seen()
		b.ReportMetric(rounds*roundEvents, "events")
		b.ReportMetric(float64(n), "packets")
		b.ReportMetric(0, "ns/op")
	}
}
