//go:build linux

package integration

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// webtorrent is the npm package bittorrent-dht, the DHT of WebTorrent: a node without
// torrents, controlled by a script.
type webtorrent struct{}

//go:embed peers/bittorrent-dht/peer.mjs
var webtorrentScript string

var webtorrentPath = sync.OnceValues(func() (string, error) { return npmScript("bittorrent-dht", webtorrentScript) })

// npmScript writes a script of a folder of peers to where it runs: next to the packages that it imports, which
// peers/setup installs in the user's cache.
func npmScript(folder, script string) (string, error) {
	dir, err := os.MkdirTemp("", folder)
	if err != nil {
		return "", err
	}
	if err := os.Symlink(filepath.Join(npmPath(folder), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "peer.mjs")
	return path, os.WriteFile(path, []byte(script), 0o644)
}

func (webtorrent) name() string { return "bittorrent-dht" }

func (webtorrent) missing() string { return missingNPM("bittorrent-dht", "bittorrent-dht") }

func (webtorrent) start(scope, string, []string) daemon { panic("bittorrent-dht has no torrents") }

// join runs a node of the DHT and returns when it has joined.
func (webtorrent) join(ctx context.Context, t scope, ip string, dht []string) *scripted {
	t.Helper()
	script, err := webtorrentPath()
	must(t, err)
	d := &scripted{answers: map[int]answer{}}
	ready := false
	d.process = start(t, "bittorrent-dht", func(p *process, line string) {
		p.logf(line)
		d.take(line)
		ready = ready || line == `{"event":"ready"}`
	}, "node", script, encode(map[string]any{"host": ip, "port": 6881, "dht": dht}))
	d.until(ctx, "ready", func() bool { return ready })
	return d
}

// scripted is a client that takes commands and answers each with an event of
// the same id.
type scripted struct {
	*process
	last    int
	answers map[int]answer
}

type answer struct {
	ID     int
	Target string
	Nodes  int
	Value  *string // hex
	Seq    int64
	Peers  []string
	Error  string
}

func (s *scripted) take(line string) {
	var a answer
	if json.Unmarshal([]byte(line), &a) == nil && a.ID > 0 {
		s.answers[a.ID] = a
	}
}

// ask sends a command and waits for the answer.
func (s *scripted) ask(ctx context.Context, what map[string]any) (a answer) {
	s.t.Helper()
	s.mu.Lock()
	s.last++
	id := s.last
	s.mu.Unlock()
	what["id"] = id
	fmt.Fprintln(s.in, encode(what))
	s.until(ctx, fmt.Sprint("the answer to ", what), func() (ok bool) {
		a, ok = s.answers[id]
		return ok
	})
	return a
}

// retry repeats ask until the answer is good: an announce or item may not have reached all
// nodes yet.
func (s *scripted) retry(ctx context.Context, what map[string]any, good func(answer) bool) (a answer) {
	s.t.Helper()
	poll(ctx, s.t, fmt.Sprint("a good answer to ", what), func() bool {
		a = s.ask(ctx, what)
		return good(a)
	})
	return a
}
