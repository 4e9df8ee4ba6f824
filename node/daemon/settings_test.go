package daemon_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seedbed/internal/blocklist"
	"seedbed/node"
	"seedbed/node/daemon"
)

// openGiven opens a daemon with the given settings.
func openGiven(t *testing.T, dir string, given daemon.Settings) *daemon.Daemon {
	t.Helper()
	given.Dir = filepath.Join(dir, "data")
	d, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

func given(upLimit int64) daemon.Settings {
	s := daemon.DefaultSettings()
	s.UpRate = upLimit
	return s
}

// value returns the text of a setting, and where it comes from.
func value(t *testing.T, d *daemon.Daemon, name string) (text, source string) {
	t.Helper()
	for _, s := range d.SettingStates() {
		if s.Name == name {
			return s.Values[0], s.Source()
		}
	}
	t.Fatalf("there is no setting %s", name)
	return
}

// A change by a client holds, after a restart too, until the given value becomes another one.
func TestAChangeHoldsUntilTheGivenValueChanges(t *testing.T) {
	dir := t.TempDir()
	d := openGiven(t, dir, given(1<<20))
	check := func(what string, rate int64, source string) {
		t.Helper()
		if got := d.Settings().UpRate; got != rate || d.Node().Settings().UpRate != rate {
			t.Errorf("%s: the limit is %d, that of the node %d", what, got, d.Node().Settings().UpRate)
		}
		if _, got := value(t, d, "up-limit"); got != source {
			t.Errorf("%s: it comes from %q", what, got)
		}
	}
	reopen := func(s daemon.Settings) {
		t.Helper()
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		d = openGiven(t, dir, s)
	}
	set := func(values map[string][]string) {
		t.Helper()
		if err := d.SetSettings(t.Context(), values); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(upLimit int64) {
		t.Helper()
		s := given(upLimit)
		s.Dir = d.Settings().Dir
		if err := d.Reload(s); err != nil {
			t.Fatal(err)
		}
	}
	check("at the start", 1<<20, "given")
	set(map[string][]string{"up-limit": {"5K"}})
	check("after the change", 5<<10, "changed while running")
	reopen(given(1 << 20))
	check("after a restart", 5<<10, "changed while running")
	reload(1 << 20)
	check("after a reload", 5<<10, "changed while running")
	reload(2 << 20)
	check("after another value was given", 2<<20, "given")
	reload(1 << 20)
	check("after the first value was given again", 1<<20, "given")
	set(map[string][]string{"up-limit": {"7K"}})
	reopen(given(0))
	check("after a restart with another value", 0, "default")
	set(map[string][]string{"up-limit": {"7K"}})
	set(map[string][]string{"up-limit": nil})
	check("after the change was undone", 0, "default")
}

// What was changed while no daemon ran holds over what the next one is given.
func TestSettingsChangeWhileNoDaemonRuns(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := daemon.SaveSettings(state, map[string][]string{"up-limit": {"3K"}, "allow-host": {}}); err != nil {
		t.Fatal(err)
	}
	s := given(9)
	s.Dir = dir
	all, err := daemon.SavedSettings(state, s)
	if i := slices.IndexFunc(all, func(s daemon.SettingState) bool { return s.Name == "up-limit" }); err != nil || all[i].Values[0] != "3K" || !all[i].Changed {
		t.Errorf("%v, %v", all, err)
	}
	d := openGiven(t, dir, given(9))
	if got := d.Settings().UpRate; got != 3<<10 {
		t.Errorf("the limit is %d", got)
	}
	if err := daemon.SaveSettings(state, map[string][]string{"up-limit": {"4K"}}); err == nil {
		t.Error("the file of a running daemon was changed")
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := openGiven(t, dir, given(10)).Settings().UpRate; got != 3<<10 {
		t.Errorf("before anybody changed the given value, the limit is %d", got)
	}
}

// A setting that another version of the program has saved, and this one cannot use, is a warning
// that names it. The others hold, and so does what is saved afterwards.
func TestSettingsOfAnotherVersionAreIgnored(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, "settings.json")
	if err := os.WriteFile(path, []byte(`{
		"connections": {"value": ["77"], "over": null},
		"old-limit": {"value": ["1"], "over": null},
		"down-limit": "500000",
		"up-limit": {"value": ["fast"], "over": null},
		"seed-time": null,
		"on-added": {"value": ["sh"], "over": null}
	}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := daemon.SavedSettings(state, withDir(given(9), dir)); err != nil || len(all) == 0 {
		t.Errorf("%v, %v", all, err)
	}
	d := openGiven(t, dir, given(9))
	var warnings []string
	for _, e := range d.Node().Subscribe(node.Warning).Take() {
		warnings = append(warnings, e.Err.Error())
	}
	for _, want := range []string{`there is no setting "old-limit"`, "down-limit is saved in a form that this version does not read", `up-limit: "fast"`, "seed-time: ", "on-added cannot be changed by a client"} {
		if !slices.ContainsFunc(warnings, func(w string) bool {
			return strings.HasPrefix(w, "a setting in "+path+" is ignored: ") && strings.Contains(w, want)
		}) {
			t.Errorf("no warning %q in %q", want, warnings)
		}
	}
	if s := d.Settings(); s.MaxConns != 77 || s.UpRate != 9 || s.DownRate != 0 || len(warnings) != 5 {
		t.Errorf("%d, %d, %d; %q", s.MaxConns, s.UpRate, s.DownRate, warnings)
	}
	if err := d.SetSettings(t.Context(), map[string][]string{"down-limit": {"5K"}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = openGiven(t, dir, given(9))
	if s := d.Settings(); s.MaxConns != 77 || s.DownRate != 5<<10 {
		t.Errorf("after a restart: %d, %d", s.MaxConns, s.DownRate)
	}
	if again := d.Node().Subscribe(node.Warning).Take(); len(again) != 0 {
		t.Errorf("it warns again: %v", again)
	}
}

// A file with changes that is not JSON is an error that names it.
func TestADamagedFileOfChangesIsAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "settings.json")
	if err := os.WriteFile(path, []byte(`{"up-limit":`), 0o600); err != nil {
		t.Fatal(err)
	}
	var f *node.Fault
	if _, err := daemon.SavedSettings(dir, withDir(given(0), dir)); !errors.As(err, &f) || !strings.Contains(err.Error(), path+" is damaged") || f.Hint() == "" {
		t.Error(err)
	}
}

func withDir(s daemon.Settings, dir string) daemon.Settings {
	s.Dir = dir
	return s
}

// Clients cannot change what only the settings file may, and a request that is wrong in one part
// changes nothing.
func TestClientsChangeAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	d := openGiven(t, dir, given(0))
	before := d.Settings()
	for name, values := range map[string]map[string][]string{
		"given only":    {"allow-path": {"/"}},
		"unknown":       {"up-limt": {"1"}},
		"not live":      {"listen": {":1"}},
		"invalid":       {"up-limit": {"fast"}},
		"outside":       {"dir": {"/etc"}},
		"relative":      {"dir": {"etc"}},
		"empty":         {"dir": {""}},
		"several":       {"up-limit": {"1", "2"}},
		"empty setting": {"connections": {}},
	} {
		values["down-limit"] = []string{"1M"}
		var f *node.Fault
		if err := d.SetSettings(t.Context(), values); !errors.As(err, &f) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*daemon.Settings){
		"blocklist": func(s *daemon.Settings) { s.Blocklist = new(blocklist.List) },
		"negative":  func(s *daemon.Settings) { s.UpRate = -1 },
		"alt":       func(s *daemon.Settings) { s.AltUpRate = -1 },
	} {
		if err := d.ChangeSettings(t.Context(), func(s *daemon.Settings) error { edit(s); return nil }); err == nil {
			t.Errorf("%s was changed", name)
		}
	}
	if diff := cmp.Diff(before, d.Settings(), cmp.AllowUnexported(blocklist.List{})); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "settings.json")); err == nil {
		t.Error("a change was saved")
	}
}

// A reload moves the allowed folders, and a wrong one changes nothing.
func TestAReloadMovesTheAllowedFolders(t *testing.T) {
	dir := t.TempDir()
	d := openGiven(t, dir, given(0))
	s := given(0)
	s.Dir, s.AllowPaths = filepath.Join(dir, "other"), []string{filepath.Join(dir, "more")}
	if err := d.Reload(s); err != nil {
		t.Fatal(err)
	}
	if err := d.SetSettings(t.Context(), map[string][]string{"dir": {filepath.Join(dir, "data")}}); err == nil {
		t.Error("the former download folder is allowed")
	}
	if err := d.SetSettings(t.Context(), map[string][]string{"dir": {filepath.Join(dir, "more", "x")}}); err != nil || d.Dir() != filepath.Join(dir, "more", "x") {
		t.Errorf("%s, %v", d.Dir(), err)
	}
	s.UpRate = -1
	if err := d.Reload(s); err == nil || d.Dir() != filepath.Join(dir, "more", "x") {
		t.Errorf("%s, %v", d.Dir(), err)
	}
}

// With the alternative limits, they apply to the node; the usual ones stay settings.
func TestAlternativeLimitsReplaceTheUsualOnes(t *testing.T) {
	d := openGiven(t, t.TempDir(), given(1000))
	err := d.ChangeSettings(t.Context(), func(s *daemon.Settings) error {
		s.AltLimits, s.AltUpRate, s.AltDownRate, s.SeedTime = true, 10, 20, time.Hour
		return nil
	})
	if n := d.Node().Settings(); err != nil || n.UpRate != 10 || n.DownRate != 20 || n.SeedTime != time.Hour || d.Settings().UpRate != 1000 {
		t.Errorf("%v, %+v", err, n)
	}
	if err := d.SetSettings(t.Context(), map[string][]string{"alt-limits": {"false"}}); err != nil {
		t.Fatal(err)
	}
	if n := d.Node().Settings(); n.UpRate != 1000 || n.DownRate != 0 {
		t.Errorf("%+v", n)
	}
}

// A port that a client sets holds after a restart. Another program's port changes nothing, and at a
// restart it is a warning.
func TestThePortOfPeersChanges(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := taken.Addr().(*net.TCPAddr).Port
	d := openGiven(t, dir, given(0))
	at := func(d *daemon.Daemon) int { return int(d.Node().Addrs()[0].Port()) }
	first := at(d)
	set := func(port int) error {
		return d.ChangeSettings(t.Context(), func(s *daemon.Settings) error {
			s.Port = port
			return nil
		})
	}
	if err := set(port); err == nil || at(d) != first || d.Settings().Port != 0 {
		t.Errorf("a port in use: %v, %d", err, at(d))
	}
	taken.Close()
	if err := set(port); err != nil || at(d) != port {
		t.Errorf("%v, listening on %d", err, at(d))
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d = openGiven(t, dir, given(0)); at(d) != port {
		t.Errorf("after a restart: %d", at(d))
	}
	d.Close(t.Context())
	if taken, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if d = openGiven(t, dir, given(0)); at(d) == port {
		t.Error("it listens on a port in use")
	}
	if err := set(0); err != nil || d.Settings().Port != 0 {
		t.Error(err)
	}
	for _, bad := range []int{-1, 65536} {
		if err := set(bad); err == nil {
			t.Errorf("port %d", bad)
		}
	}
}
