//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Flood is a web interface for several torrent clients. It does the same job in front of seedbed and
// in front of transmission-daemon or qbittorrent-nox. The answers of its own API are compared.

// A floodJob is what Flood does, and where.
type floodJob struct {
	daemon  []string // arguments of Flood: the daemon and its password
	torrent string   // a file
	from    string   // the folder with the data
	to      string   // the folder to which it moves
	base    string   // the folder that contains both
}

// floodServers are pairs of daemons with the same interface.
var floodServers = map[string]struct {
	command      string // of the other daemon
	ours, theirs func(ctx context.Context, t *testing.T) *floodJob
}{
	"transmission": {"transmission-daemon",
		func(ctx context.Context, t *testing.T) *floodJob {
			return floodOverRPC(seedbedJob(ctx, t, "10.4.202.2"))
		},
		func(ctx context.Context, t *testing.T) *floodJob {
			return floodOverRPC(transmissionJob(ctx, t, "10.4.202.1"))
		}},
	"qbittorrent": {"qbittorrent-nox",
		func(ctx context.Context, t *testing.T) *floodJob { return floodOverWebAPI(ctx, t, "seedbed") },
		func(ctx context.Context, t *testing.T) *floodJob { return floodOverWebAPI(ctx, t, "qbittorrent-nox") }},
}

func floodOverRPC(j *remoteJob) *floodJob {
	url := fmt.Sprintf("http://%s:%d/transmission/rpc", j.Host, j.Port)
	return &floodJob{[]string{"--trurl", url, "--truser", j.User, "--trpass", j.Password}, j.Torrent, j.From, j.To, j.base}
}

func floodOverWebAPI(ctx context.Context, t *testing.T, server string) *floodJob {
	t.Helper()
	data := newRemoteJob(t, "", "", "")
	j := &webAPIJob{base: data.base, Torrent: data.Torrent, From: data.From, To: data.To}
	webAPIServers[server](ctx, t, j)
	return &floodJob{[]string{"--qburl", j.URL, "--qbuser", "any", "--qbpass", j.Password}, j.Torrent, j.From, j.To, j.base}
}

// flood is a running Flood.
type flood struct {
	t    *testing.T
	url  string
	http http.Client
	base string // is written as BASE in answers
}

func startFlood(ctx context.Context, t *testing.T, j *floodJob) *flood {
	t.Helper()
	port := ownPort()
	f := &flood{t: t, url: "http://127.0.0.1:" + port + "/api/", base: j.base}
	f.http.Jar, _ = cookiejar.New(nil)
	args := []string{"node", filepath.Join(npmPath("flood"), "node_modules/flood/dist/index.js"),
		"--rundir", t.TempDir(), "--port", port, "--auth", "none", "--allowedpath", j.base}
	p := start(t, "flood", nil, append(args, j.daemon...)...)
	p.poll(ctx, "HTTP", func() bool {
		r, err := f.http.Get(f.url + "auth/verify") // sets the cookie too
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
	poll(ctx, t, "the daemon", func() bool {
		v, _ := f.call(ctx, "GET", "client/connection-test", nil).(map[string]any)
		return v["isConnected"] == true
	})
	return f
}

// call sends a request with an object, if it is not nil, and returns the answer.
func (f *flood) call(ctx context.Context, method, path string, object map[string]any) any {
	f.t.Helper()
	var body io.Reader
	if object != nil {
		body = strings.NewReader(encode(object))
	}
	q, err := http.NewRequestWithContext(ctx, method, f.url+path, body)
	must(f.t, err)
	q.Header.Set("Content-Type", "application/json")
	r, err := f.http.Do(q)
	must(f.t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(f.t, err)
	if r.StatusCode/100 != 2 {
		f.t.Fatalf("%s %s: %s: %s", method, path, r.Status, b)
	}
	var v any
	_ = json.Unmarshal(bytes.ReplaceAll(b, []byte(f.base), []byte("BASE")), &v) // some answers are empty
	return v
}

// torrents returns the list by infohash.
func (f *flood) torrents(ctx context.Context) map[string]any {
	list, _ := f.call(ctx, "GET", "torrents", nil).(map[string]any)
	torrents, _ := list["torrents"].(map[string]any)
	return torrents
}

// until waits until a field of a torrent has a value. A list has it if it contains it.
func (f *flood) until(ctx context.Context, hash, field string, want any) map[string]any {
	f.t.Helper()
	var torrent map[string]any
	poll(ctx, f.t, fmt.Sprintf("%s to be %v", field, want), func() bool {
		torrent, _ = f.torrents(ctx)[hash].(map[string]any)
		list, isList := torrent[field].([]any)
		return torrent != nil && (torrent[field] == want || isList && slices.Contains(list, want))
	})
	return torrent
}

// run does the job and returns the answers to its steps.
func (j *floodJob) run(ctx context.Context, t *testing.T) map[string]any {
	t.Helper()
	f := startFlood(ctx, t, j)
	steps := map[string]any{}
	torrent, err := os.ReadFile(j.torrent)
	must(t, err)
	f.call(ctx, "POST", "torrents/add-files", map[string]any{"files": []string{base64.StdEncoding.EncodeToString(torrent)},
		"destination": j.from, "tags": []string{"one"}, "start": false})
	var hash string
	poll(ctx, t, "the torrent", func() bool {
		for hash = range f.torrents(ctx) {
			return true
		}
		return false
	})
	one := func(more map[string]any) map[string]any {
		args := map[string]any{"hashes": []string{hash}}
		maps.Copy(args, more)
		return args
	}
	details := func(torrent map[string]any) map[string]any {
		return map[string]any{"torrent": torrent, "contents": f.call(ctx, "GET", "torrents/"+hash+"/contents", nil)}
	}
	f.until(ctx, hash, "status", "stopped")
	f.call(ctx, "POST", "torrents/check-hash", one(nil))
	f.until(ctx, hash, "percentComplete", 100.)
	steps["add"] = details(f.until(ctx, hash, "status", "stopped"))
	steps["peers"] = f.call(ctx, "GET", "torrents/"+hash+"/peers", nil)
	f.call(ctx, "POST", "torrents/start", one(nil))
	steps["start"] = details(f.until(ctx, hash, "status", "seeding"))
	f.call(ctx, "POST", "torrents/reannounce", one(nil))
	f.call(ctx, "POST", "torrents/stop", one(nil))
	f.until(ctx, hash, "status", "stopped")
	f.call(ctx, "PATCH", "torrents/tags", one(map[string]any{"tags": []string{"two"}}))
	steps["tags"] = details(f.until(ctx, hash, "tags", "two"))
	f.call(ctx, "POST", "torrents/move", one(map[string]any{"destination": j.to, "moveFiles": true, "isBasePath": false, "isCheckHash": false}))
	f.until(ctx, hash, "directory", "BASE/to")
	poll(ctx, t, "the data to move", func() bool {
		left, err := os.ReadDir(j.from)
		return err == nil && len(left) == 0
	})
	steps["move"] = details(f.until(ctx, hash, "status", "stopped"))
	f.call(ctx, "PATCH", "client/settings", map[string]any{"throttleGlobalDownSpeed": 200 << 10})
	steps["settings"] = f.call(ctx, "GET", "client/settings", nil)
	f.call(ctx, "POST", "torrents/add-urls", map[string]any{"urls": []string{magnetOf(1)}, "destination": j.from, "tags": []string{}, "start": true})
	magnet := strings.Repeat("0", 39) + "1"
	poll(ctx, t, "the magnet", func() bool { return f.torrents(ctx)[magnet] != nil })
	f.call(ctx, "POST", "torrents/delete", map[string]any{"hashes": []string{hash, magnet}, "deleteData": true})
	poll(ctx, t, "both to be removed", func() bool { return len(f.torrents(ctx)) == 0 })
	poll(ctx, t, "the data to be removed", func() bool {
		left, err := os.ReadDir(j.to)
		return err == nil && len(left) == 0
	})
	return steps
}

// floodDifferences are the fields in which the answers may differ, and why.
var floodDifferences = map[string]string{
	"dateActive":   "a time of the run",
	"dateAdded":    "a time of the run",
	"dateFinished": "a time of the run",

	"directoryDefault":         "of the set-up",
	"dhtPort":                  "qBittorrent chooses one at its first start",
	"networkPortRange":         "the same",
	"throttleMaxUploads":       "the defaults are 8 and 4",
	"throttleMaxUploadsGlobal": "seedbed limits the uploads of each torrent only, qBittorrent all together to 20",
}

func TestFlood(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(floodServers)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := floodServers[name]
			skipIfMissing(t, []string{missingNPM("flood", "flood")})
			needCommands(t, s.command)
			ctx := timeLimit(t)
			want, got := map[string]any{}, map[string]any{}
			flatten(want, "", any(s.theirs(ctx, t).run(ctx, t)))
			flatten(got, "", any(s.ours(ctx, t).run(ctx, t)))
			all := maps.Clone(want)
			maps.Copy(all, got)
			for _, at := range slices.Sorted(maps.Keys(all)) {
				if want[at] != got[at] && floodDifferences[path.Base(at)] == "" {
					t.Errorf("%s: %v with seedbed, %v with %s", at, got[at], want[at], s.command)
				}
			}
		})
	}
}
