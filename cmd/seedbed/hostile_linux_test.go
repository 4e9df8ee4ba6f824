package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"seedbed/cmd/seedbed/exit"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// hostile is a name that sets the title, clears the screen, changes colours, reorders text,
// is not valid UTF-8, and starts a new line.
const hostile = "x\x1b]0;owned\a\x1b[2J\u009b31m\u202e\u2066\x85\xff\r\nfake line\t\x7f"

// fake is the part of hostile that remains after sanitising.
const fake = "fake line"

// rawControl returns the first character of s that controls a terminal, or "".
func rawControl(s string) string {
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return fmt.Sprintf("byte %#x in %q", s[i], s[max(i-40, 0):min(i+40, len(s))])
		case r != '\n' && r != '\u200c' && r != '\u200d' && !unicode.IsPrint(r):
			return fmt.Sprintf("%U in %q", r, s[max(i-40, 0):min(i+40, len(s))])
		}
	}
	return ""
}

// A shell runs commands with output to a file or a terminal, until they print an expected
// text.
type shell struct {
	t    *testing.T
	dir  string
	mode string // plain, terminal or json
}

var modes = []string{"plain", "terminal", "json"}

// run runs a command until it ends or has printed want. It fails if want is not printed.
func (sh *shell) run(want string, args ...string) {
	sh.t.Helper()
	sh.t.Setenv("SEEDBED_STATE", filepath.Join(sh.dir, "state-"+args[0]))
	ctx, stop := context.WithTimeout(sh.t.Context(), patience)
	defer stop()
	var out *os.File
	var printed func() string
	var y *tty
	if sh.mode == "json" {
		args = append(args, "--json")
	}
	if sh.mode == "terminal" {
		y = openTTY(sh.t, 80, 24)
		out = y.File
		printed = func() string { h, s := y.text(); return h + "\n" + s }
	} else {
		f, err := os.CreateTemp(sh.dir, "printed")
		if err != nil {
			sh.t.Fatal(err)
		}
		defer f.Close()
		out = f
		printed = func() string { b, _ := os.ReadFile(f.Name()); return string(b) }
	}
	ended := make(chan exit.Code, 1)
	go func() {
		ended <- run(ctx, args, out, out)
	}()
	found := false
	for over := false; !over; {
		select {
		case <-ended:
			over = true
		case <-time.After(20 * time.Millisecond):
			if found = strings.Contains(printed(), want); found {
				stop()
				<-ended
				over = true
			}
		}
	}
	if y != nil {
		if faults := y.hangUp(); len(faults) > 0 {
			sh.t.Errorf("%q reaches the terminal with %q", args, faults)
		}
	}
	whole := strings.ReplaceAll(printed(), "\n", "") // a terminal wraps long words
	words := strings.ReplaceAll(printed(), "\n", " ")
	if !found && !strings.Contains(whole, want) && !strings.Contains(words, want) {
		sh.t.Errorf("%q: %q is not in its output:\n%q", args, want, printed())
	}
	if raw := rawControl(printed()); raw != "" {
		sh.t.Errorf("%q prints %s", args, raw)
	}
	for _, line := range strings.Split(printed(), "\n") {
		if strings.HasPrefix(line, "fake line") {
			sh.t.Errorf("%q: a name begins a line: %q", args, printed())
		}
	}
}

// either returns the text to expect in output for people or for programs.
func (sh *shell) either(person, program string) string {
	if sh.mode == "json" {
		return program
	}
	return person
}

// hostileTorrent creates a folder with hostile names and a .torrent file with hostile texts.
func hostileTorrent(t *testing.T, dir string) (folder, file string) {
	t.Helper()
	folder = filepath.Join(dir, "data", "folder")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d %s", i, strings.ToValidUTF8(hostile, ""))), bytes.Repeat([]byte("data"), 20_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// We do not create torrents with names that are not valid UTF-8, but others do.
	torrent := fmt.Sprintf("d8:announce%s7:comment%s4:infod5:filesld6:lengthi5e4:pathl%seee4:name%s12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae8:url-list%se",
		bstr("http://tracker/"+hostile), bstr(hostile), bstr("file "+hostile), bstr("name "+hostile), bstr("http://example.org/"+hostile))
	file = filepath.Join(dir, "hostile.torrent")
	if err := os.WriteFile(file, []byte(torrent), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder, file
}

func bstr(s string) string { return fmt.Sprintf("%d:%s", len(s), s) }

// No command writes text from outside to a terminal or a log without sanitising it.
func TestNoOutputHoldsRawControls(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			sh := &shell{t, dir, mode}
			folder, file := hostileTorrent(t, dir)
			link := "magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056&dn=" + url.QueryEscape(hostile) +
				"&tr=" + url.QueryEscape("http://x/"+hostile) + "&ws=" + url.QueryEscape("http://x/"+hostile)
			offline := []string{"--no-dht", "--listen", "127.0.0.1:0"}
			sh.run(fake, "show", file)
			sh.run(fake, "show", link)
			sh.run(fake, "show", filepath.Join(dir, "none "+hostile))
			sh.run(fake, "check", file, "-d", dir)
			sh.run(fake, "create", folder, "-o", filepath.Join(dir, "out "+hostile))
			sh.run(fake, "create", filepath.Join(dir, "none "+hostile))
			sh.run(fake, append([]string{"seed", file, "-d", dir, "-vv"}, offline...)...)
			sh.run(sh.either("the DHT is off", `"added"`), append([]string{"get", link, "-d", dir, "-vv"}, offline...)...)
			sh.run(sh.either("the DHT is off", fake), append([]string{"get", file, "-d", dir}, offline...)...)
			sh.run(sh.either("play it at", `"streaming"`), append([]string{"stream", file, "-d", dir}, offline...)...)
			sh.run(fake, "nosuch "+hostile)
			sh.run(fake, "get", "--nosuch"+hostile)
			sh.run(fake, "follow", hostile)
			sh.run(fake, "doctor", hostile)
			sh.run(fake, "key", "new", hostile)
			sh.run(fake, "publish", "--history", hostile)
			sh.transfer(folder, offline)
		})
	}
}

// transfer seeds a folder and downloads it from there.
func (sh *shell) transfer(folder string, offline []string) {
	n, err := node.Open(node.Config{State: filepath.Join(sh.dir, "seeder"), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		sh.t.Fatal(err)
	}
	defer n.Close(context.Background())
	spec, err := node.Share(sh.t.Context(), folder, node.ShareOptions{Format: metainfo.V1})
	if err != nil {
		sh.t.Fatal(err)
	}
	seeded, err := n.Add(spec)
	if err != nil {
		sh.t.Fatal(err)
	}
	sh.run(sh.either("complete and verified", `"complete"`), append([]string{"get", seeded.Link(), "-d", filepath.Join(sh.dir, "got"), "--peer", n.Addrs()[0].String()}, offline...)...)
	sh.run(sh.either("Press Ctrl-C", `"ready"`), append([]string{"seed", folder}, offline...)...)
}

// Text from the DHT is sanitised too: errors, client names, items.
func TestNoDHTOutputHoldsRawControls(t *testing.T) {
	boot := hostileNode(t)
	for _, mode := range modes {
		sh := &shell{t, t.TempDir(), mode}
		net := []string{"--bootstrap", boot, "--listen", "127.0.0.1:0", "--timeout", "10s"}
		sh.run(fake, append([]string{"dht", "ping", boot}, net...)...)
		sh.run("answer", append([]string{"dht", "get", "00000000000000000000000000000000000000aa"}, net...)...)
		sh.run(sh.either("seedbed: ", `"error"`), append([]string{"dht", "put", hostile, "--salt", hostile, "--key", filepath.Join(sh.dir, hostile)}, net...)...)
		sh.run("answer", append([]string{"dht", "announce", "00000000000000000000000000000000000000aa"}, net...)...)
		sh.run("bootstrap", append([]string{"doctor"}, net...)...)
	}
}

// hostileNode answers each query with an error that contains a hostile text and client name.
func hostileNode(t *testing.T) string {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			i := bytes.Index(buf[:n], []byte("1:t"))
			if i < 0 {
				continue
			}
			var size int
			if _, err := fmt.Sscanf(string(buf[i+3:n]), "%d:", &size); err != nil {
				continue
			}
			at := i + 3 + bytes.IndexByte(buf[i+3:n], ':') + 1
			reply := fmt.Sprintf("d1:eli203e%se1:t%s1:v%s1:y1:ee", bstr(hostile), bstr(string(buf[at:at+size])), bstr(hostile))
			_, _ = c.WriteTo([]byte(reply), from)
		}
	}()
	return c.LocalAddr().String()
}
