//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

var (
	commandForm = regexp.MustCompile(`^(make|apt|mkdir|seedbed|echo|cat) `)
	// What differs at each run: hashes and keys in hex, the code of a login, and a token.
	differs = regexp.MustCompile(`[0-9a-f]{8,}|sbt_[\w-]+|login/\w+`)
	// A link that the tour shortens, of a torrent or of a publication.
	shortLink = regexp.MustCompile(`magnet:\?x[ts]=urn:(btih|btpk):[0-9a-f]+…[^']*`)
)

// A transcript is the output of a command that may still run.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// hasLines reports whether text has these lines in this order, apart from what differs at each run.
func hasLines(text string, lines []string) bool {
	for line := range strings.Lines(text) {
		if len(lines) > 0 && differs.ReplaceAllString(strings.TrimSpace(line), "?") == differs.ReplaceAllString(lines[0], "?") {
			lines = lines[1:]
		}
	}
	return len(lines) == 0
}

// blocks returns the indented blocks of a document, without their indentation.
func blocks(text string) (all [][]string) {
	within := false
	for line := range strings.Lines(text) {
		line, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if indented && !within {
			all = append(all, nil)
		}
		if within = indented; within {
			all[len(all)-1] = append(all[len(all)-1], line)
		}
	}
	return all
}

// A user who types the commands of docs/tour.md, after apt has installed the package, sees what it says.
func TestTour(t *testing.T) {
	s := newSystem(t)
	s.run("useradd", "--create-home", "ada")
	if err := os.MkdirAll(s.path("/root/dist"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("/root/dist/"+testDeb), readFile(t, built(t, testDeb)), 0o644); err != nil {
		t.Fatal(err)
	}
	// There is no network to download what the package recommends.
	if err := os.RemoveAll(s.path("/var/lib/apt/lists")); err != nil {
		t.Fatal(err)
	}
	// The browser.
	if err := os.WriteFile(s.path("/usr/bin/xdg-open"), []byte("#!/bin/sh\necho \"$1\" >>/tmp/opened\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	var last []*transcript       // of the commands in the last block
	var running []*transcript    // of those that do not end
	links := map[string]string{} // the last link printed, by its kind
	start := func(line string) (*transcript, *exec.Cmd) {
		line = shortLink.ReplaceAllStringFunc(line, func(short string) string { return links[shortLink.FindStringSubmatch(short)[1]] })
		user, dir := s.user("ada"), "cd ~/tour 2>/dev/null || cd; "
		if strings.HasPrefix(line, "apt ") {
			user, dir = nil, "cd /root; "
		}
		cmd := s.command(user, "HOME=/home/ada", "sh", "-c", dir+line)
		w := &transcript{}
		cmd.Stdout, cmd.Stderr = w, w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return w, cmd
	}
	outputs := 0
	for _, block := range blocks(string(readFile(t, "../docs/tour.md"))) {
		if !commandForm.MatchString(block[0]) {
			var said string
			eventually(t, fmt.Sprintf("%q appears", block), func() error {
				said = ""
				for _, w := range append(last, running...) {
					if hasLines(w.String(), block) {
						return nil
					}
					said += w.String() + "\n"
				}
				return fmt.Errorf("it is not in\n%s", said)
			})
			for _, w := range append(last, running...) {
				for _, link := range regexp.MustCompile(`magnet:\?x[ts]=urn:(btih|btpk):\S+`).FindAllStringSubmatch(w.String(), -1) {
					links[link[1]] = link[0]
				}
			}
			outputs++
			continue
		}
		last = nil
		for _, line := range block {
			if strings.HasPrefix(line, "make ") {
				continue // the package is there
			}
			t.Log(line)
			endless := strings.HasPrefix(line, "seedbed daemon ") || strings.HasPrefix(line, "seedbed follow ")
			if endless {
				line = "exec " + line
			}
			w, cmd := start(line)
			if endless {
				running = append(running, w)
				t.Cleanup(func() {
					cmd.Process.Signal(syscall.SIGKILL)
					cmd.Wait()
				})
				continue
			}
			last = append(last, w)
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, w)
			}
		}
	}
	if outputs < 10 {
		t.Errorf("the tour shows %d outputs", outputs)
	}
	if opened := strings.Count(s.read("/tmp/opened"), "/#/login/"); opened != 2 {
		t.Errorf("the browser was opened %d times:\n%s", opened, s.read("/tmp/opened"))
	}
	if !s.exists("/home/ada/tour/friend-downloads/holiday/current/holiday/summit.jpg") {
		t.Error("the friend lacks the photograph")
	}
}
