package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"seedbed/cmd/seedbed/exit"
	"seedbed/node"
)

// siteFiles is the number of files of the site that the battery publishes.
const siteFiles = 6

// writeSite replaces a site with one version of it at once, so that no folder ever holds files of two
// versions: a publisher takes a folder that does not change for a moment as it is.
func writeSite(t *testing.T, dir string, version int) {
	t.Helper()
	next := dir + ".next"
	if err := os.Mkdir(next, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range siteFiles {
		if err := os.WriteFile(filepath.Join(next, strconv.Itoa(i)), sitePage(version, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(next); err != nil {
		t.Fatal(err)
	}
}

func sitePage(version, i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "version %d page %d\n", version, i), 4000+i)
}

// siteVersion returns the version of a site, or an error if it is not whole. It follows the
// link current once, as that may point to the next version while the files are read.
func siteVersion(dir string) (version int, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return 0, err
	}
	for i := range siteFiles {
		b, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return 0, err
		}
		if i == 0 {
			if _, err := fmt.Sscanf(string(b), "version %d ", &version); err != nil {
				return 0, err
			}
		}
		if !bytes.Equal(b, sitePage(version, i)) {
			return 0, fmt.Errorf("page %d is not of version %d", i, version)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != siteFiles {
		return 0, fmt.Errorf("%v, %v", list, err)
	}
	return version, nil
}

// loopbackDHT starts a DHT of n nodes on loopback and returns the address of one.
func loopbackDHT(t *testing.T, n int) string {
	t.Helper()
	boot := []string{}
	for range n {
		x, err := node.Open(node.Config{State: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: boot})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.Close(t.Context()) })
		if len(boot) == 0 {
			boot = []string{x.Addrs()[0].String()}
		}
	}
	return boot[0]
}

// A survivor is a command that is killed and started again with the same arguments.
type survivor struct {
	t     *testing.T
	args  []string
	cmd   *exec.Cmd
	lines <-chan string
}

func (s *survivor) start() { s.cmd, s.lines = service(s.t, s.args...) }

func (s *survivor) kill() {
	_ = s.cmd.Process.Kill()
	for range s.lines { // everything that it said
	}
	_ = s.cmd.Wait()
}

// publicationEvent is an event with a version.
type publicationEvent struct {
	Event, Link, Error string
	Seq                int64
}

// await returns the first event of a kind with a sequence number of at least seq.
func (s *survivor) await(kind string, seq int64) publicationEvent {
	s.t.Helper()
	var all []string
	for end := time.After(patience); ; {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("it ended without %s of version %d:\n%s", kind, seq, strings.Join(all, "\n"))
			}
			all = append(all, line)
			var e publicationEvent
			if json.Unmarshal([]byte(line), &e) == nil && e.Event == kind && e.Seq >= seq {
				return e
			}
		case <-end:
			s.t.Fatalf("no %s of version %d:\n%s", kind, seq, strings.Join(all, "\n"))
		}
	}
}

// leftovers lists files in a state directory that only an interrupted write leaves behind,
// and the number of torrents.
func leftovers(t *testing.T, state string) (left []string, torrents int) {
	t.Helper()
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		switch rel, _ := filepath.Rel(state, path); {
		case err != nil:
		case d.IsDir() && filepath.Dir(rel) == "torrents":
			torrents++
		case !d.IsDir() && (strings.HasSuffix(rel, ".new") || strings.HasSuffix(rel, ".part") || strings.HasSuffix(rel, ".parts")):
			left = append(left, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left, torrents
}

// A publisher and a follower are killed at random instants while versions change. After each
// restart the sequence number has not gone back, what is published is the folder, and what
// is followed is one whole version, at every moment.
func TestBatteryKillsOfPublicationsAndFollows(t *testing.T) {
	kills := 4
	if os.Getenv("SEEDBED_SOAK") != "" {
		kills = 100
	}
	boot := loopbackDHT(t, 4)
	dir := t.TempDir()
	site, to := filepath.Join(dir, "site"), filepath.Join(dir, "to")
	if err := os.Mkdir(site, 0o755); err != nil {
		t.Fatal(err)
	}
	network := []string{"--json", "--bootstrap", boot, "--listen", "127.0.0.1:0"}
	writeSite(t, site, 1)
	p := &survivor{t: t, args: append([]string{"publish", site, "--key", "k", "--watch", "--watch-every", "100ms", "--state", filepath.Join(dir, "publisher")}, network...)}
	p.start()
	first := p.await("published", 1)
	f := &survivor{t: t, args: append([]string{"follow", first.Link, "-d", to, "--poll", "1s", "--state", filepath.Join(dir, "follower")}, network...)}
	f.start()
	f.await("current", 1)
	current := filepath.Join(to, "current", "site")
	dice := rand.New(rand.NewPCG(uint64(kills), 1))
	seq, have := int64(1), 1
	for k := range kills {
		writeSite(t, site, k+2)
		time.Sleep(time.Duration(dice.Int64N(int64(1500 * time.Millisecond))))
		for _, s := range []*survivor{p, f} {
			if s == f {
				time.Sleep(time.Duration(dice.Int64N(int64(700 * time.Millisecond))))
			}
			s.kill()
		}
		v, err := siteVersion(current)
		if err != nil || v < have {
			t.Fatalf("kill %d: the follower has version %d after %d, %v", k, v, have, err)
		}
		have = v
		p.start()
		e := p.await("published", seq+1)
		seq = e.Seq
		f.start()
		f.await("listening", 0)
		eventually(t, fmt.Sprintf("the follower has number %d after kill %d", seq, k), func() bool {
			if have, err = siteVersion(current); err != nil {
				t.Fatalf("after kill %d: %v", k, err)
			}
			return have == k+2
		})
	}
	if seq > int64(2*kills+1) {
		t.Errorf("the last sequence number is %d after %d changes", seq, kills)
	}
	// The publisher shares what its earlier versions consisted of, the follower those that it keeps.
	most := map[string]int{"publisher": min(int(seq), 22), "follower": 3}
	for name, s := range map[string]*survivor{"publisher": p, "follower": f} {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		for range s.lines {
		}
		exits(t, s.cmd, exit.OK)
		left, torrents := leftovers(t, filepath.Join(dir, name))
		t.Logf("battery: %s: %d kill -9, last sequence number %d, %d torrents on record", name, kills, seq, torrents)
		if len(left) > 0 || torrents > most[name] {
			t.Errorf("%s leaves %q and %d torrents", name, left, torrents)
		}
	}
	kept, err := os.ReadDir(filepath.Join(to, "versions"))
	if err != nil || len(kept) == 0 {
		t.Fatal(kept, err)
	}
	for _, e := range kept {
		if _, err := siteVersion(filepath.Join(to, "versions", e.Name(), "site")); err != nil {
			t.Errorf("the kept version %s: %v", e.Name(), err)
		}
	}
	t.Logf("battery: the follower keeps %d versions", len(kept))
}
