package names

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/netx"
	"seedbed/magnet"
	"seedbed/node"
)

const (
	keyA = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e"
	keyB = "1e267e045c1abcb9af26df782a048a1cfd2d26e6db23ff5026b213ce037301bf"
)

// zone is a querier with TXT records by name.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
	fails   map[string]error
	asked   []string
}

func (z *zone) txt(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
	return z.records[name], z.fails[name]
}

func (z *zone) set(name string, err error, texts ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.records == nil {
		z.records, z.fails = map[string][]string{}, map[string]error{}
	}
	z.records[name], z.fails[name] = texts, err
}

func over(z *zone, state string) *Names {
	n := New(Config{State: state})
	n.ask = z
	return n
}

func mustResolve(t *testing.T, n *Names, domain string) *magnet.Link {
	t.Helper()
	n.cached.Purge()
	l, err := n.Resolve(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The key and salt of the first answer are pinned: another answer is refused, in another process
// too, until it is accepted.
func TestTheFirstKeyIsPinned(t *testing.T) {
	const at = "_btpk.example.org"
	var z zone
	z.set(at, nil, "btpk="+keyA)
	state := t.TempDir()
	l := mustResolve(t, over(&z, state), "Example.org.")
	if l.PublicKey.String() != keyA || l.Salt != nil || l.Name != "example.org" || len(l.Warnings) > 0 {
		t.Errorf("%+v", l)
	}
	for _, other := range []string{"btpk=" + keyB, "btpk=" + keyA + " salt=01"} {
		z.set(at, nil, other)
		_, err := over(&z, state).Resolve(t.Context(), "example.org")
		var changed *ChangedError
		if !errors.As(err, &changed) || node.KindOf(err) != node.FaultConflict {
			t.Fatalf("%s: %v", other, err)
		}
		if changed.Pinned.String() != "btpk="+keyA || changed.Found.String() != other || !strings.Contains(err.Error(), keyA) || !strings.Contains(err.Error(), other) {
			t.Errorf("%s: %v", other, err)
		}
	}
	l, before, err := over(&z, state).Accept(t.Context(), "example.org")
	if err != nil || before == nil || before.Key.String() != keyA || string(l.Salt) != "\x01" {
		t.Errorf("%+v, %+v, %v", l, before, err)
	}
	if l := mustResolve(t, over(&z, state), "example.org"); string(l.Salt) != "\x01" {
		t.Errorf("%+v", l)
	}
	if _, before, err := over(&z, state).Accept(t.Context(), "example.org"); before != nil || err != nil {
		t.Errorf("nothing has changed: %+v, %v", before, err)
	}
}

// A name that does not resolve any more keeps its key, with a warning; one that never did is an error.
func TestAPinnedNameOutlivesItsRecord(t *testing.T) {
	const at = "_btpk.example.org"
	down := errors.New("SERVFAIL")
	var z zone
	z.set(at, nil, "btpk="+keyA)
	n := over(&z, t.TempDir())
	mustResolve(t, n, "example.org")
	var none *NoRecordError
	var lookup *LookupError
	var record *RecordError
	for _, c := range []struct {
		texts []string
		err   error
		want  any
	}{{nil, nil, &none}, {nil, down, &lookup}, {[]string{"btpk=1"}, nil, &record}, {[]string{"btpk=" + keyA, "btpk=" + keyB}, nil, &record}} {
		z.set(at, c.err, c.texts...)
		if l := mustResolve(t, n, "example.org"); l.PublicKey.String() != keyA || len(l.Warnings) != 1 || !errors.As(l.Warnings[0], c.want) {
			t.Errorf("%v, %v: %+v", c.texts, c.err, l)
		}
		z.set("_btpk.other.example", c.err, c.texts...)
		if _, err := n.Resolve(t.Context(), "other.example"); err == nil || !errors.As(err, c.want) {
			t.Errorf("%v, %v: %v", c.texts, c.err, err)
		}
		n.cached.Purge()
	}
}

// A damaged pin is an error, not a first use.
func TestADamagedPinIsNotReplaced(t *testing.T) {
	var z zone
	z.set("_btpk.example.org", nil, "btpk="+keyA)
	state := t.TempDir()
	n := over(&z, state)
	mustResolve(t, n, "example.org")
	path := filepath.Join(state, "names", "_btpk.example.org")
	for _, bad := range []string{"", "{", `{"key":"12"}`, `{"key":"` + keyA + `","salt":"z"}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *node.DamagedError
		if _, err := n.Resolve(t.Context(), "example.org"); !errors.As(err, &damaged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The number of pinned names has a limit, in memory and on disk.
func TestPinsAreLimited(t *testing.T) {
	state := t.TempDir()
	for _, p := range []pins{openPins(""), openPins(state)} {
		if p.dir == "" {
			for i := range maxPins {
				p.memory[strings.Repeat("x", i+1)] = new(Pin)
			}
		} else {
			if err := os.Mkdir(p.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for i := range maxPins {
				if err := os.Symlink("x", filepath.Join(p.dir, "x"+string(rune(0x4e00+i)))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := p.write(&Pin{Domain: "one.more.example"}); !errors.Is(err, errTooMany) {
			t.Error(err)
		}
	}
}

// A record at _btpk comes first; a failure is not a reason to believe the next one.
func TestTheOrderOfTheRecords(t *testing.T) {
	down := errors.New("timeout")
	for _, c := range []struct {
		name  string
		set   func(*zone)
		want  string // "" means an error
		asked int
	}{
		{"all", func(z *zone) {
			z.set("_btpk.a.example", nil, "v=spf1 -all", "btpk="+keyA)
			z.set("_dnslink.a.example", nil, "dnslink=/bt/"+keyB)
		}, keyA, 1},
		{"dnslink", func(z *zone) {
			z.set("_dnslink.a.example", nil, "dnslink=/ipfs/x", "dnslink=bittorrent://"+keyB)
			z.set("a.example", nil, "dnslink=/bt/"+keyA)
		}, keyB, 2},
		{"old dnslink", func(z *zone) { z.set("a.example", nil, "v=spf1", "dnslink=/bt/"+keyA) }, keyA, 3},
		{"failure", func(z *zone) {
			z.set("_btpk.a.example", down)
			z.set("_dnslink.a.example", nil, "dnslink=/bt/"+keyB)
		}, "", 1},
		{"damaged", func(z *zone) {
			z.set("_btpk.a.example", nil, "btpk=x")
			z.set("_dnslink.a.example", nil, "dnslink=/bt/"+keyB)
		}, "", 1},
		{"nothing", func(*zone) {}, "", 3},
	} {
		var z zone
		c.set(&z)
		l, err := over(&z, "").Resolve(t.Context(), "a.example")
		if (err == nil) != (c.want != "") || err == nil && l.PublicKey.String() != c.want || len(z.asked) != c.asked {
			t.Errorf("%s: %+v, %v; asked for %v", c.name, l, err, z.asked)
		}
	}
}

// Answers are kept for a while, failures for a shorter one.
func TestAnswersAreCached(t *testing.T) {
	var z zone
	n := over(&z, "")
	now := time.Unix(1e9, 0)
	n.now = func() time.Time { return now }
	count := func() int {
		z.asked = nil
		_, _ = n.Resolve(t.Context(), "a.example")
		return len(z.asked)
	}
	if a, b := count(), count(); a != 3 || b != 0 {
		t.Errorf("failures: %d, %d queries", a, b)
	}
	now = now.Add(cacheFailures)
	z.set("_btpk.a.example", nil, "btpk="+keyA)
	if a, b := count(), count(); a != 1 || b != 0 {
		t.Errorf("%d, %d queries", a, b)
	}
	now = now.Add(cacheFor)
	if a := count(); a != 1 {
		t.Errorf("%d queries", a)
	}
}

// Watch warns once of each change, and not of a resolver that has no answer.
func TestWatchWarnsOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at = "_btpk.example.org"
		var z zone
		z.set(at, nil, "btpk="+keyA)
		n := over(&z, "")
		mustResolve(t, n, "example.org")
		ctx, cancel := context.WithCancel(t.Context())
		var warnings []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.Watch(ctx, func() []string { return []string{"example.org"} }, func(err error) { warnings = append(warnings, err) })
		}()
		expect := func(what string, count int) {
			t.Helper()
			time.Sleep(2 * watchEvery)
			synctest.Wait()
			if len(warnings) != count {
				t.Errorf("%s: %v", what, warnings)
			}
			warnings = nil
		}
		expect("unchanged", 0)
		z.set(at, errors.New("timeout"))
		expect("no answer", 0)
		z.set(at, nil, "btpk="+keyB)
		expect("changed", 1)
		z.set(at, errors.New("timeout"))
		expect("no answer", 0)
		z.set(at, nil, "btpk="+keyB)
		expect("still changed", 0)
		z.set(at, nil)
		expect("gone", 1)
		z.set(at, nil, "btpk="+keyA)
		expect("back", 0)
		z.set(at, nil)
		expect("gone again", 1)
		cancel()
		<-done
	})
}

func TestDomains(t *testing.T) {
	for in, want := range map[string]string{
		"example.org": "example.org", "Example.ORG.": "example.org", "www.example.org": "www.example.org",
		"bücher.example": "xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"a.b-c.d1": "a.b-c.d1", "film.mkv": "film.mkv",
		"": "", "example": "", "localhost": "", "a.localhost": "", "a.onion": "", "1.2.3.4": "", "1.5": "", "::1": "", "a..b": "", ".a.b": "",
		"a_b.example": "", "-a.example": "", "a-.example": "", "a b.example": "", "a/b.example": "", "../a.example": "", "a.example/": "", "a.example:80": "",
		"http://a.example": "", "a\x00.example": "", strings.Repeat("a", 64) + ".example": "", strings.Repeat("a.", 200) + "example": "",
	} {
		got, err := Parse(in)
		if got != want || (err == nil) != (want != "") || err != nil && node.KindOf(err) != node.FaultUsage {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		if IsName(in) != (want != "") {
			t.Errorf("IsName(%q)", in)
		}
	}
	if IsName("film.Torrent") {
		t.Error("film.Torrent is meant as a file")
	}
	longest := "aa." + strings.Repeat("a.", (maxDomain-6)/2) + "org"
	if d, err := Parse(longest); err != nil || len(linkLabel+d) != 253 {
		t.Errorf("%d bytes: %v", len(longest), err)
	}
	if IsName("a" + longest) {
		t.Error("the domain is too long")
	}
}

func TestRecords(t *testing.T) {
	salt := strings.Repeat("ab", maxSalt)
	type test struct {
		text string
		want string // as String returns it; "": ignored; "!": an error
	}
	for _, c := range []test{
		{"btpk=" + keyA, "btpk=" + keyA},
		{" BTPK=" + strings.ToUpper(keyA) + "  Salt=6A ", "btpk=" + keyA + " salt=6a"},
		{"btpk=" + keyA + " salt=" + salt + " later=x", "btpk=" + keyA + " salt=" + salt},
		{"v=spf1 -all", ""}, {"", ""}, {"btp=k", ""}, {"x btpk=" + keyA, ""}, {"dnslink=/bt/" + keyA, ""},
		{"btpk=", "!"}, {"btpk=" + keyA[1:], "!"}, {"btpk=" + keyA + "00", "!"}, {"btpk=zz" + keyA[2:], "!"},
		{"btpk=" + keyA + " salt=", "!"}, {"btpk=" + keyA + " salt=abc", "!"}, {"btpk=" + keyA + " salt=xy", "!"}, {"btpk=" + keyA + " salt=" + salt + "00", "!"},
		{"btpk=" + keyA + " salt=01 salt=02", "!"}, {"btpk=" + keyA + " btpk=" + keyB, "!"}, {"btpk=" + keyA + " site", "!"},
		{"btpk=" + keyA + strings.Repeat(" x=y", maxText), "!"},
	} {
		checkRead(t, readKey, c.text, c.want)
	}
	for _, c := range []test{
		{"dnslink=/bt/" + keyA, "btpk=" + keyA}, {"dnslink=/bt/" + keyA + "/", "btpk=" + keyA}, {"dnslink=/bittorrent/" + keyA, "btpk=" + keyA},
		{"DNSLink=bittorrent://" + keyA + "/", "btpk=" + keyA}, {"dnslink=bt://" + keyA, "btpk=" + keyA},
		{"dnslink=magnet:?xs=urn:btpk:" + keyA + "&s=6a6b", "btpk=" + keyA + " salt=6a6b"},
		{"", ""}, {"dnslink=", ""}, {"dnslink=/ipfs/x", ""}, {"dnslink=/hyper/" + keyA, ""}, {"btpk=" + keyA, ""}, {"link=/bt/" + keyA, ""},
		{"dnslink=/bt/" + keyA + "/docs", "!"}, {"dnslink=/bt/" + keyA[:40], "!"}, {"dnslink=magnet:?xt=urn:btih:" + keyA[:40], "!"}, {"dnslink=magnet:", "!"},
		{"dnslink=magnet:?xs=urn:btpk:" + keyA + "&dn=" + strings.Repeat("x", maxText), "!"},
	} {
		checkRead(t, readLink, c.text, c.want)
	}
}

func checkRead(t *testing.T, read func(string) (*Publication, error), text, want string) {
	t.Helper()
	p, err := read(text)
	got := ""
	switch {
	case err != nil:
		got = "!"
	case p != nil:
		got = p.String()
	}
	if got != want {
		t.Errorf("%q: %q, %v", text, got, err)
	}
}

func TestResolvers(t *testing.T) {
	for v, ok := range map[string]bool{"192.0.2.1:53": true, "[2001:db8::1]:53": true, "dns.example:53": true, "https://dns.example/dns-query": true, "https://192.0.2.1": true,
		"": false, "192.0.2.1": false, "http://dns.example/": false, "https://": false, "https://user@dns.example/": false, "https://dns.example/#a": false, "tls://dns.example": false} {
		if err := CheckResolver(v); (err == nil) != ok {
			t.Errorf("%q: %v", v, err)
		}
	}
	_, err := New(Config{Outbound: netx.Outbound{Proxy: "127.0.0.1:9"}}).Resolve(t.Context(), "example.org")
	if !errors.Is(err, errProxy) {
		t.Errorf("the resolver of the system, around the proxy: %v", err)
	}
}

// What a record is read as is written and read as the same again, and fits one string of a TXT record.
func FuzzRecords(f *testing.F) {
	for _, s := range []string{"btpk=" + keyA + " salt=" + strings.Repeat("ab", maxSalt), "btpk=" + keyA + " salt=01 x=y", "dnslink=/bt/" + keyA, "dnslink=bittorrent://" + keyA + "/",
		"dnslink=magnet:?xs=urn:btpk:" + keyA + "&s=6a6b", "btpk=\xff salt", "dnslink=magnet:?", "v=spf1 -all"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(string) (*Publication, error){readKey, readLink} {
			p, err := readTexts([]string{text, text}, read)
			if err != nil || p == nil {
				continue
			}
			again, err := readKey(p.String())
			if err != nil || !again.Equal(*p) || len(p.String()) > 255 {
				t.Errorf("%q: %q, %v, %v", text, p, again, err)
			}
		}
	})
}
