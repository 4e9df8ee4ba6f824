//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Programs for qBittorrent do the same job with a seedbed daemon and with qbittorrent-nox: add,
// list, start, pause, set, label, move, remove. The answers that they get are compared field by
// field.

// A webAPIJob is what a program does, and where.
type webAPIJob struct {
	URL      string `json:"url"`
	Password string `json:"password"`
	Torrent  string `json:"torrent"` // a file
	Hash     string `json:"hash"`
	From     string `json:"from"` // the folder with the data
	To       string `json:"to"`   // the folder to which it moves
	base     string // the folder that contains both
}

// webAPIPrograms are the programs by their names, as commands that take a job.
var webAPIPrograms = map[string]struct {
	missing func() string
	command func(t *testing.T) []string
}{
	"ctrl": {func() string { return missingNPM("qbittorrent-clients", "@ctrl/qbittorrent") }, func(t *testing.T) []string {
		t.Helper()
		dir := t.TempDir()
		script := filepath.Join(dir, "ctrl.mjs")
		b, err := os.ReadFile("peers/qbittorrent-clients/ctrl.mjs")
		must(t, err)
		must(t, os.WriteFile(script, b, 0o644))
		must(t, os.Symlink(filepath.Join(npmPath("qbittorrent-clients"), "node_modules"), filepath.Join(dir, "node_modules")))
		return []string{"node", script}
	}},
	"go-qbittorrent": {func() string { return "" }, func(t *testing.T) []string { return []string{buildClient(t, "testdata/go-qbittorrent")} }},
}

// webAPIServers are the servers that the programs control.
var webAPIServers = map[string]func(ctx context.Context, t *testing.T, j *webAPIJob){
	"seedbed":         serveWebAPI,
	"qbittorrent-nox": func(ctx context.Context, t *testing.T, j *webAPIJob) { serveQBittorrent(ctx, t, j) },
}

// buildClient builds the client in Go in a folder and returns its path. It is a module of its own, which is
// built with what the module cache has.
func buildClient(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		skipIfMissing(t, []string{fmt.Sprintf("the client does not build (`make peers` downloads its modules): %v: %s", err, out)})
	}
	return path
}

func serveWebAPI(ctx context.Context, t *testing.T, j *webAPIJob) {
	state := filepath.Join(j.base, "state")
	out, err := exec.CommandContext(ctx, seedbed, "token", "new", "admin", "--state", state).Output()
	must(t, err)
	words := strings.Fields(string(out))
	j.Password = words[len(words)-1]
	addr := "127.0.0.1:" + ownPort()
	j.URL = "http://" + addr
	o := run(t, "127.0.0.1", offline("daemon", "-d", j.From, "--allow-path", j.base, "--state", state, "--socket", "off", "--http", addr, "--lsd", "off")...)
	o.until(ctx, "HTTP", func() bool { return slices.ContainsFunc(o.events, func(e event) bool { return e.Event == "serving" }) })
}

func serveQBittorrent(ctx context.Context, t *testing.T, j *webAPIJob) *process {
	profile, port := filepath.Join(j.base, "profile"), ownPort()
	j.URL, j.Password = "http://127.0.0.1:"+port, "any"
	must(t, os.MkdirAll(filepath.Join(profile, "qBittorrent", "config"), 0o755))
	must(t, os.WriteFile(filepath.Join(profile, "qBittorrent", "config", "qBittorrent.conf"), fmt.Appendf(nil, `[LegalNotice]
Accepted=true
[Preferences]
WebUI\Port=%s
WebUI\Address=127.0.0.1
WebUI\LocalHostAuth=false
Connection\ResolvePeerCountries=false
[BitTorrent]
Session\DefaultSavePath=%s
Session\DHTEnabled=false
Session\LSDEnabled=false
`, port, j.From), 0o644))
	p := start(t, "qbittorrent-nox", nil, "qbittorrent-nox", "--profile="+profile)
	p.poll(ctx, "HTTP", func() bool {
		r, err := http.Get(j.URL + "/api/v2/app/version")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
	return p
}

func TestProgramsForQBittorrentGetTheSameAnswers(t *testing.T) {
	needCommands(t, "qbittorrent-nox")
	for name, p := range webAPIPrograms {
		t.Run(name, func(t *testing.T) {
			skipIfMissing(t, []string{p.missing()})
			command := p.command(t)
			answers := map[string]map[string]any{}
			for server, serve := range webAPIServers {
				answers[server] = runWebAPIJob(t, serve, command)
			}
			compareWebAPI(t, answers["seedbed"], answers["qbittorrent-nox"])
		})
	}
}

// runWebAPIJob does a job with a new server and returns the answers to each step.
func runWebAPIJob(t *testing.T, serve func(context.Context, *testing.T, *webAPIJob), command []string) map[string]any {
	t.Helper()
	ctx := timeLimit(t)
	base := shortDir(t)
	j := &webAPIJob{base: base, From: filepath.Join(base, "from"), To: filepath.Join(base, "to"), Torrent: filepath.Join(base, "film.torrent")}
	top := filepath.Join(j.From, "film")
	must(t, os.MkdirAll(filepath.Join(top, "extra"), 0o755))
	must(t, os.MkdirAll(j.To, 0o755))
	must(t, os.WriteFile(filepath.Join(top, "film.mkv"), bytes.Repeat([]byte("film"), 40_000), 0o644))
	must(t, os.WriteFile(filepath.Join(top, "extra", "film.srt"), []byte("text"), 0o644))
	out, err := exec.CommandContext(ctx, seedbed, "create", top, "-o", j.Torrent, "--json").Output()
	must(t, err)
	var made struct{ Infohash string }
	must(t, json.Unmarshal(out, &made))
	j.Hash = made.Infohash
	serve(ctx, t, j)
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], encode(j))...)
	var fault bytes.Buffer
	cmd.Stderr = &fault
	out, err = cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, fault.Bytes())
	}
	return stepsOf(t, out, base)
}

// webAPIDifferences are the values in which the answers may differ, and why.
var webAPIDifferences = map[string]string{
	"magnet_uri":      "seedbed's links have the size (xl), so that whoever opens one sees it before the metadata is there",
	"added_on":        "a time of the run",
	"addition_date":   "a time of the run",
	"last_activity":   "a time of the run",
	"completion_on":   "a time of the run; without one, 5.0 says -1 and 4.5 says 0",
	"completion_date": "a time of the run",
	"seeding_time":    "seconds of the run",
	"time_active":     "seconds of the run",
	"time_elapsed":    "seconds of the run",
	"dl_speed_avg":    "until there was time to download, 5.0 says -1 and 4.5 says 0",
	"up_speed_avg":    "until there was time to upload, 5.0 says -1 and 4.5 says 0",
	"eta":             "qBittorrent counts down to the seeding time of a complete torrent; seedbed has an eta for downloads only",
}

// newerKeys are in WebAPI 2.11 and not in that of qbittorrent-nox 4.5.
var newerKeys = strings.Fields(`root_path popularity comment private has_metadata inactive_seeding_time_limit max_inactive_seeding_time
	reannounce total_wasted pieces_num pieces_have availability progress`)

// compareWebAPI reports the differences that are not in the tables.
func compareWebAPI(t *testing.T, ours, theirs map[string]any) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Errorf("steps %v and %v", slices.Sorted(maps.Keys(ours)), slices.Sorted(maps.Keys(theirs)))
	}
	for _, step := range slices.Sorted(maps.Keys(theirs)) {
		compareValue(t, step, "", ours[step], theirs[step])
	}
}

func compareValue(t *testing.T, step, key string, ours, theirs any) {
	t.Helper()
	if webAPIDifferences[key] != "" {
		return
	}
	switch want := theirs.(type) {
	case map[string]any:
		got, ok := ours.(map[string]any)
		if !ok {
			t.Errorf("%s: %s is %v, not an object", step, key, ours)
			return
		}
		for k, v := range want {
			if _, has := got[k]; !has {
				t.Errorf("%s: %s is missing", step, k)
				continue
			}
			compareValue(t, step, k, got[k], v)
		}
		for k := range got {
			if _, has := want[k]; !has && !slices.Contains(newerKeys, k) {
				t.Errorf("%s: %s is new", step, k)
			}
		}
	case []any:
		got, ok := ours.([]any)
		if !ok || len(got) != len(want) {
			t.Errorf("%s: %s is %v, not %v", step, key, ours, theirs)
			return
		}
		for i := range want {
			compareValue(t, step, key, got[i], want[i])
		}
	default:
		if text, ok := theirs.(string); ok && key == "state" {
			theirs = strings.Replace(text, "paused", "stopped", 1) // WebAPI 2.11 has renamed them
		}
		if ours != theirs {
			t.Errorf("%s: %s is %v, not %v", step, key, ours, theirs)
		}
	}
}
