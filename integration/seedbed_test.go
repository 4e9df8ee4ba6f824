//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// event is one line of --json.
type event struct {
	Event, Time, Infohash   string
	Addr, Magnet            string
	Nodes                   int
	Known, Connected        int
	Name                    string
	Size, PieceLength, Have int64
	Pieces                  int
	Files                   []struct {
		Path string
		Size int64
	}
	URL, Path             string
	Link, Dir             string
	Seq                   int64
	Kept                  int
	Fetched               int64
	UpRate                int64 `json:"up_rate"`
	Method, Router        string
	Family, Verdict, Text string
	Error, Hint           string
}

// fields are the keys of each event, from the manual. All of them are present whatever
// their value; infohash is present if the event is about a torrent.
var fields = map[string]string{
	"serving":         "addr",
	"metrics":         "addr",
	"listening":       "addr",
	"mapped":          "addr method router lease_s",
	"reachability":    "family verdict tcp udp seen_by dialed_back arrived failed text",
	"network_changed": "family",
	"added":           "infohash magnet",
	"dht":             "nodes",
	"peers":           "infohash known connected banned dropped",
	"announcing":      "torrents late interval_s",
	"metadata":        "infohash name size pieces piece_length files",
	"first_piece":     "infohash",
	"progress":        "infohash have size down_rate up_rate peers seeds",
	"complete":        "infohash",
	"seeding":         "infohash magnet addr",
	"ready":           "",
	"seeded":          "infohash uploaded ratio",
	"streaming":       "infohash file path size url",
	"published":       "infohash link seq kept nodes",
	"version":         "link seq",
	"current":         "infohash link seq dir reused fetched",
	"warning":         "error hint",
	"recovered":       "infohash",
	"failed":          "infohash error hint",
	"removed":         "infohash",
	"missed":          "",
	"error":           "error hint",
}

func parseEvent(line string) (e event, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &keys); err != nil {
		return e, fmt.Errorf("not a JSON object: %w", err)
	}
	// Keys in the manual have underscores, unlike Go names.
	if err := json.Unmarshal([]byte(strings.ReplaceAll(line, `"piece_length"`, `"piecelength"`)), &e); err != nil {
		return e, err
	}
	want, known := fields[e.Event]
	if !known {
		return e, fmt.Errorf("the manual has no event %q", e.Event)
	}
	for _, k := range append(strings.Fields(want), "event", "time") {
		if _, ok := keys[k]; !ok {
			return e, fmt.Errorf("%s lacks %q", e.Event, k)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
		return e, err
	}
	return e, nil
}

const interrupt = syscall.SIGINT // Ctrl-C

// ours is a running seedbed.
type ours struct {
	*process
	t      testing.TB
	events []event
}

// run starts seedbed with --json and its own state directory, unless the arguments name
// one.
func run(t testing.TB, ip string, args ...string) *ours {
	t.Helper()
	return runAs(t, []string{seedbed}, ip, args...)
}

// runAs is like run, with a command that starts the binary.
func runAs(t testing.TB, command []string, ip string, args ...string) *ours {
	t.Helper()
	argv := slices.Concat(command, args, []string{"--json", "-vv"})
	if ip != "" {
		argv = append(argv, "--listen", endpoint(ip))
	}
	if !slices.Contains(args, "--state") {
		argv = append(argv, "--state", t.TempDir())
	}
	o := &ours{t: t}
	o.process = start(t, "seedbed "+ip, func(p *process, line string) {
		e, err := parseEvent(line)
		if err != nil {
			t.Errorf("stdout has %q: %v", line, err)
		}
		if e.Event != "progress" && e.Event != "dht" {
			p.logf(line)
		}
		o.events = append(o.events, e)
	}, argv...)
	return o
}

// offline returns the arguments that turn the DHT off.
func offline(args ...string) []string { return append(args, "--no-dht") }

// entered returns the arguments that join the DHT at the given nodes.
func entered(dht []string, args ...string) []string {
	for _, n := range dht {
		args = append(args, "--bootstrap", n)
	}
	return args
}

// wait returns the first event with this name, and with ok true if given.
func (o *ours) wait(ctx context.Context, name string, ok ...func(event) bool) (found event) {
	o.t.Helper()
	next := 0
	o.until(ctx, "the event "+name, func() bool {
		for ; next < len(o.events); next++ {
			e := o.events[next]
			if e.Event == name && (len(ok) == 0 || ok[0](e)) {
				found = e
				return true
			}
			if e.Event == "error" {
				o.t.Errorf("%s instead of %s: %s (%s)", e.Event, name, e.Error, e.Hint)
			}
		}
		return false
	})
	return found
}

// ends waits for the exit code, and for the single error event that precedes any code but
// 0; it returns that event.
func (o *ours) ends(ctx context.Context, code int) (last event) {
	o.t.Helper()
	if got := o.exit(ctx); got != code {
		o.t.Errorf("%s ended with %d, want %d", o.name, got, code)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, e := range o.events {
		if e.Event == "error" {
			n++
		}
	}
	if len(o.events) > 0 {
		last = o.events[len(o.events)-1]
	}
	switch {
	case code == 0 && n > 0:
		o.t.Errorf("%s exited with 0 but has %d error events", o.name, n)
	case code != 0 && (n != 1 || last.Event != "error" || last.Error == ""):
		o.t.Errorf("%s has %d error events, want one as the last event, which is %+v", o.name, n, last)
	}
	return last
}

// sequence checks that the first events of these names came in this order, and
// that the metadata event describes p.
func (o *ours) sequence(t *testing.T, p *payload, names ...string) {
	t.Helper()
	last := -1
	for _, name := range names {
		i := slices.IndexFunc(o.events, func(e event) bool { return e.Event == name })
		if i <= last {
			t.Errorf("event %q came as number %d, after %d", name, i, last)
		}
		last = i
	}
	for _, e := range o.events {
		if e.Infohash != "" && e.Infohash != p.infohash {
			t.Errorf("%s is about infohash %s, want %s", e.Event, e.Infohash, p.infohash)
		}
		if e.Event != "metadata" {
			continue
		}
		pieces := int((p.size + p.piece - 1) / p.piece)
		if e.Name != p.name || e.Size != p.size || e.PieceLength != p.piece || e.Pieces != pieces || len(e.Files) != len(p.files) {
			t.Errorf("the metadata event is %+v", e)
			return
		}
		for i, f := range p.files {
			// Relative to the torrent's folder.
			if want := strings.TrimPrefix(f.path, p.name+"/"); e.Files[i].Path != want || e.Files[i].Size != int64(len(f.data)) {
				t.Errorf("file %d in the metadata event is %+v, want %s", i, e.Files[i], want)
			}
		}
	}
}

// last returns the latest event of that name.
func (o *ours) last(name string) (found event) {
	if all := o.every(name); len(all) > 0 {
		return all[len(all)-1]
	}
	return found
}

// every returns all events of that name.
func (o *ours) every(name string) (found []event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if e.Event == name {
			found = append(found, e)
		}
	}
	return found
}

// first returns the first event of that name.
func (o *ours) first(name string) event {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.events, func(e event) bool { return e.Event == name })
	if i < 0 {
		o.t.Fatalf("there was no event %s", name)
	}
	return o.events[i]
}

func (e event) at() time.Time {
	at, _ := time.Parse(time.RFC3339Nano, e.Time)
	return at
}

// has reports whether there has been an event of that name.
func (o *ours) has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.events, func(e event) bool { return e.Event == name })
}

// object runs a command that prints one object.
func object(t *testing.T, v any, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(timeLimit(t), seedbed, append(args, "--json")...).Output()
	if err != nil {
		t.Fatalf("seedbed %s: %v", strings.Join(args, " "), err)
	}
	must(t, json.Unmarshal(out, v))
}

// withoutOurs returns the environment without the variables of seedbed.
func withoutOurs() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "SEEDBED_") })
}
