//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The remote controls of Transmission do the same job with a seedbed daemon and with
// transmission-daemon 3.00: add, list, start, pause, set, label, move, remove. The answers that they
// get are compared field by field.

// A remoteJob is what a remote control does, and where.
type remoteJob struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Password string `json:"password"`
	Torrent  string `json:"torrent"` // a file
	From     string `json:"from"`    // the folder with the data
	To       string `json:"to"`      // the folder to which it moves
	base     string // the folder that contains both
}

// remoteControls are the programs, by their names. Each prints or returns its steps.
var remoteControls = map[string]struct {
	missing func() string
	run     func(ctx context.Context, t *testing.T, j *remoteJob) map[string]any
}{
	"transmission-remote": {func() string { return command("transmission-remote") }, runTransmissionRemote},
	"transmissionrpc":     {missingTransmissionRPC, runScripted(systemPython, "peers/transmissionrpc_client.py")},
	"ctrl":                {func() string { return missingNPM("transmission-clients", "@ctrl/transmission") }, runScripted("node", "peers/transmission-clients/ctrl.mjs")},
	"hekmon": {func() string { return "" }, func(ctx context.Context, t *testing.T, j *remoteJob) map[string]any {
		return stepsOf(t, runRemote(ctx, t, buildClient(t, "testdata/transmissionrpc"), encode(j)), j.base)
	}},
	"transmission-promise": {func() string { return missingNPM("transmission-clients", "transmission-promise") }, runScripted("node", "peers/transmission-clients/promise.mjs")},
}

func missingTransmissionRPC() string {
	if exec.Command(systemPython, "-c", "import transmissionrpc").Run() != nil {
		return "there is no transmissionrpc for " + systemPython + " (`make peers` installs it)"
	}
	return ""
}

// npmPath returns the folder in which peers/setup installs the packages of a folder of peers.
func npmPath(folder string) string {
	cache, _ := os.UserCacheDir()
	return filepath.Join(cache, "seedbed-peers", folder)
}

// missingNPM returns what is missing for a package of a folder of peers, or "".
func missingNPM(folder, name string) string {
	if why := command("node"); why != "" {
		return why
	}
	if _, err := os.Stat(filepath.Join(npmPath(folder), "node_modules", name)); err != nil {
		return "there is no npm package " + name + " (`make peers` installs it)"
	}
	return ""
}

// runScripted runs a script that prints an object for each step.
func runScripted(interpreter, script string) func(context.Context, *testing.T, *remoteJob) map[string]any {
	return func(ctx context.Context, t *testing.T, j *remoteJob) map[string]any {
		t.Helper()
		dir := t.TempDir()
		copied := filepath.Join(dir, filepath.Base(script))
		b, err := os.ReadFile(script)
		must(t, err)
		must(t, os.WriteFile(copied, b, 0o644))
		must(t, os.Symlink(filepath.Join(npmPath("transmission-clients"), "node_modules"), filepath.Join(dir, "node_modules")))
		return stepsOf(t, runRemote(ctx, t, interpreter, copied, encode(j)), j.base)
	}
}

// stepsOf returns the answers that a program printed, by its steps. base is written as BASE.
func stepsOf(t *testing.T, out []byte, base string) map[string]any {
	t.Helper()
	steps := map[string]any{}
	for line := range bytes.Lines(out) {
		var s struct {
			Step   string
			Answer any
		}
		if err := json.Unmarshal(bytes.ReplaceAll(line, []byte(base), []byte("BASE")), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		steps[s.Step] = s.Answer
	}
	return steps
}

func runRemote(ctx context.Context, t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	var fault bytes.Buffer
	cmd.Stderr = &fault
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, fault.Bytes())
	}
	return out
}

// runTransmissionRemote does the job with transmission-remote and parses its output: "Name: value" of
// the details, and the columns of the list.
func runTransmissionRemote(ctx context.Context, t *testing.T, j *remoteJob) map[string]any {
	t.Helper()
	remote := func(args ...string) string {
		return string(runRemote(ctx, t, "transmission-remote", append([]string{fmt.Sprintf("%s:%d", j.Host, j.Port), "-n", j.User + ":" + j.Password}, args...)...))
	}
	details := func() map[string]any {
		return map[string]any{"details": detailsOf(strings.ReplaceAll(remote("-t", "1", "-i"), j.base, "BASE")), "list": listOf(remote("-l")), "files": listOf(remote("-t", "1", "-f"))}
	}
	until := func(what, text string) {
		poll(ctx, t, what, func() bool { return strings.Contains(remote("-t", "1", "-i"), text) })
	}
	steps := map[string]any{}
	remote("-w", j.From, "--start-paused", "-a", j.Torrent) // the first two are settings
	remote("-t", "1", "-v")
	until("the data to be verified", "Percent Done: 100%")
	until("it to stop", "State: Stopped")
	steps["add"] = details()
	remote("-t", "1", "-s")
	until("it to seed", "State: Idle")
	steps["start"] = details()
	remote("-t", "1", "-S")
	until("it to stop", "State: Stopped")
	remote("-t", "1", "-sr", "1.5")
	remote("-t", "1", "-d", "100")
	remote("-t", "1", "-L", "one,two")
	remote("-t", "1", "-G", "0")
	remote("-t", "1", "-pl", "0")
	remote("-t", "1", "-ph", "1")
	remote("-t", "1", "-pr", "33")
	steps["set"] = details()
	steps["limits"] = []any{steps["set"].(map[string]any)["details"].(map[string]any)["Peer limit"]}
	remote("-t", "1", "-g", "all")
	remote("-t", "1", "--move", j.To)
	until("it to move", j.To)
	until("it to stop again", "State: Stopped")
	steps["move"] = details()
	remote("-t", "1", "--remove-and-delete")
	poll(ctx, t, "it to be removed", func() bool { return !strings.Contains(remote("-l"), "%") })
	steps["remove"] = listOf(remote("-l"))
	return steps
}

// detailsOf returns the values in the lines "Name: value".
func detailsOf(text string) map[string]any {
	values := map[string]any{}
	for line := range strings.Lines(text) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			values[name] = strings.TrimSpace(v)
		}
	}
	return values
}

// listOf returns the lines with their spaces normalized.
func listOf(text string) (lines []any) {
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// flatten returns the values in an answer by their paths.
func flatten(to map[string]any, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			flatten(to, path+"/"+name, x)
		}
	case []any:
		to[path+"/length"] = len(v)
		for i, x := range v {
			flatten(to, path+"/"+strconv.Itoa(i), x)
		}
	default:
		to[path] = v
	}
}

// remoteDifferences are the fields in which the answers may differ, by the end of their paths, and
// why. Everything else must be equal.
var remoteDifferences = []struct{ fields, why string }{
	{"addedDate activityDate editDate doneDate startDate dateAdded dateCompleted Date_added Date_started Date_finished Latest_activity", "the two daemons run one after the other, and only seedbed counts data that was there as completed now"},
	{"secondsDownloading secondsSeeding Downloading_Time Seeding_Time", "the same"},
	{"magnetLink Magnet", "ours has the size of the data (xl), which tells a client early how much it is"},
	{"maxConnectedPeers peer-limit peer_limit Peer_limit", "without a limit of its own, a torrent has that of all torrents together, by default 500; limits that are set are compared in the step limits"},
	{"begin_piece end_piece", "Transmission has these since 4.0"},
	{"peersKnown", "a field that no specification has; seedbed leaves it out"},
	{"torrentFile", "no client needs the path of the file in which a daemon keeps the metadata"},
}

// TestRemoteControlsOfTransmission runs each program against both daemons.
func TestRemoteControlsOfTransmission(t *testing.T) {
	for i, name := range slices.Sorted(maps.Keys(remoteControls)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			control := remoteControls[name]
			need(t, transmission{})
			skipIfMissing(t, []string{control.missing()})
			ctx := timeLimit(t)
			want := control.run(ctx, t, transmissionJob(ctx, t, fmt.Sprintf("10.4.201.%d", 2*i+1)))
			got := control.run(ctx, t, seedbedJob(ctx, t, fmt.Sprintf("10.4.201.%d", 2*i+2)))
			compareAnswers(t, want, got)
		})
	}
}

// compareAnswers compares the answers that a program got from Transmission and from seedbed.
func compareAnswers(t *testing.T, want, got map[string]any) {
	t.Helper()
	a, b := map[string]any{}, map[string]any{}
	flatten(a, "", any(want))
	flatten(b, "", any(got))
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, at := range slices.Sorted(maps.Keys(all)) {
		if a[at] != b[at] && !mayDiffer(at) {
			t.Errorf("%s: seedbed has %v, Transmission %v", at, b[at], a[at])
		}
	}
}

func mayDiffer(at string) bool {
	field := strings.ReplaceAll(path.Base(at), " ", "_")
	return slices.ContainsFunc(remoteDifferences, func(d struct{ fields, why string }) bool {
		return slices.Contains(strings.Fields(d.fields), field)
	})
}

// newRemoteJob writes the data and returns the job.
func newRemoteJob(t *testing.T, ip, user, password string) *remoteJob {
	t.Helper()
	base := t.TempDir()
	p := newPayload(t, "some files", 32<<10, false, map[string]int{"a.bin": 100_000, "folder/b.txt": 10_000})
	j := &remoteJob{Host: ip, Port: 9091, User: user, Password: password, Torrent: filepath.Join(base, "a.torrent"), From: filepath.Join(base, "from"), To: filepath.Join(base, "to"), base: base}
	p.write(t, j.From)
	b, err := os.ReadFile(p.torrent)
	must(t, err)
	must(t, os.WriteFile(j.Torrent, b, 0o644)) // a path that clients name must be in an allowed folder
	must(t, os.Mkdir(j.To, 0o755))
	return j
}

func transmissionJob(ctx context.Context, t *testing.T, ip string) *remoteJob {
	t.Helper()
	d := transmission{}.start(t, ip, nil).(*transmissionDaemon)
	d.request(ctx, "session-get", map[string]any{})
	return newRemoteJob(t, ip, "user", "password")
}

func seedbedJob(ctx context.Context, t *testing.T, ip string) *remoteJob {
	t.Helper()
	state, err := os.MkdirTemp("", "s") // the path of a unix socket is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(state) })
	token := strings.TrimSpace(string(runRemote(ctx, t, seedbed, "token", "new", "admin", "-q", "--state", state)))
	j := newRemoteJob(t, ip, "user", token)
	o := run(t, ip, offline("daemon", "-d", j.base, "--state", state, "--http", ip+":9091", "--socket", "off")...)
	o.wait(ctx, "serving")
	return j
}
