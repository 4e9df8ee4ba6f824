package daemon_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

// open opens a daemon without a DHT on the in-memory network.
func open(t *testing.T, dir string) *daemon.Daemon {
	t.Helper()
	d, err := daemon.Open(t.Context(), daemon.Config{
		Node:     node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"},
		Settings: daemon.Settings{Dir: filepath.Join(dir, "data")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

// shared returns the .torrent file of a new file in dir.
func shared(t *testing.T, dir, name string) []byte {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(strings.Repeat(name, 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := node.Make(t.Context(), path, node.ShareOptions{Format: metainfo.V1})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := node.MadeSpec(path, made)
	if err != nil {
		t.Fatal(err)
	}
	return spec.Torrent.Append(nil)
}

// A daemon does not start with an empty session if that cannot be read, and leaves it as it is.
func TestASessionThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if _, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Paused: true}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state", "session")
	if err := errors.Join(os.Rename(path, path+".good"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: daemon.Settings{Dir: dir}})
	var f *node.Fault
	if !errors.Is(err, node.ErrUnreadable) || !strings.Contains(err.Error(), path) || !errors.As(err, &f) || f.Hint() == "" {
		t.Fatalf("the daemon started, or does not say why not: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".good", path)); err != nil {
		t.Fatal(err)
	}
	if n := len(open(t, dir).Node().Torrents()); n != 1 {
		t.Errorf("%d torrents", n)
	}
}

// Torrents survive a restart unchanged.
func TestADaemonRestoresItsSession(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	film, added, err := first.Add(t.Context(), daemon.AddRequest{Torrent: shared(t, filepath.Join(dir, "data"), "film"), Labels: []string{" tv ", "", "tv", "new"}})
	if err != nil || !added {
		t.Fatalf("%v, %v", added, err)
	}
	link, _, err := first.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Paused: true})
	if err != nil {
		t.Fatal(err)
	}
	<-film.Done()
	if same, added, err := first.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("AB", 20)}); err != nil || added || same != link {
		t.Errorf("adding it again: %v, %v", added, err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	second := open(t, dir)
	all := second.Node().Torrents()
	if len(all) != 2 || all[0].InfoHash() != film.InfoHash() || second.Number(all[0]) != 1 || second.Number(all[1]) != 2 {
		t.Fatalf("%d torrents", len(all))
	}
	if d := all[0].Details(); len(d.Labels) != 2 || d.Labels[0] != "tv" || d.Added.IsZero() || d.Dir != second.Dir() {
		t.Errorf("%+v", d)
	}
	if p := all[1].Phase(); p != lifecycle.Paused {
		t.Errorf("the paused torrent is %v", p)
	}
	if _, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: daemon.Settings{Dir: dir}}); !errors.Is(err, node.ErrNoSession) {
		t.Errorf("a second daemon: %v", err)
	}
}

func TestFindTakesNumbersInfohashesAndTheirBeginnings(t *testing.T) {
	d := open(t, t.TempDir())
	var torrents []*node.Torrent
	for _, hash := range []string{"1234" + strings.Repeat("0", 36), "1235" + strings.Repeat("1", 36), "0002" + strings.Repeat("f", 36)} {
		x, _, err := d.Add(t.Context(), daemon.AddRequest{Link: hash, Paused: true})
		if err != nil {
			t.Fatal(err)
		}
		torrents = append(torrents, x)
	}
	for name, want := range map[string]int{"1": 0, "2": 1, "12340": 0, "1235": 1, "1235" + strings.Repeat("1", 36): 1, "3": 2, "0002": 1, "0002F": 2, "0002" + strings.Repeat("F", 36): 2} {
		if got, err := d.Find(name); err != nil || got != torrents[want] {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "0", "-1", "4", "123", "abcd", strings.Repeat("0", 40), strings.Repeat("1", 65), "..", "zzzz"} {
		if got, err := d.Find(name); !errors.Is(err, node.ErrUnknown) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, _, err := d.Add(t.Context(), daemon.AddRequest{Link: "12349" + strings.Repeat("0", 35), Paused: true}); err != nil {
		t.Fatal(err)
	}
	var several *daemon.AmbiguousError
	if _, err := d.Find("1234"); !errors.As(err, &several) || several.Count != 2 {
		t.Errorf("1234: %v", err)
	}
}

// A client cannot place data outside of the allowed folders, by any spelling.
func TestDataStaysInTheAllowedFolders(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	d := open(t, dir)
	data := d.Dir()
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(data, "link")); err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("cd", 20)
	for _, bad := range []string{outside, "relative", "/", data + "/..", data + "/../other", data + "x", filepath.Join(data, "link"), filepath.Join(data, "link", "deeper")} {
		_, _, err := d.Add(t.Context(), daemon.AddRequest{Link: hash, Dir: bad, Paused: true})
		var f *node.Fault
		if !errors.As(err, &f) || f.Kind != node.FaultUsage {
			t.Errorf("%s: %v", bad, err)
		}
	}
	x, _, err := d.Add(t.Context(), daemon.AddRequest{Link: hash, Dir: filepath.Join(data, "new", "folder"), Paused: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Move(t.Context(), x, outside); err == nil {
		t.Error("it was moved outside")
	}
	if err := d.Move(t.Context(), x, filepath.Join(data, "elsewhere")); err != nil {
		t.Error(err)
	}
}

func TestAddRejectsWhatIsNotATorrent(t *testing.T) {
	d := open(t, t.TempDir())
	for name, r := range map[string]daemon.AddRequest{
		"nothing":     {},
		"both":        {Link: strings.Repeat("ab", 20), Torrent: []byte("de")},
		"no torrent":  {Torrent: []byte("de")},
		"no link":     {Link: "hello"},
		"publication": {Link: "magnet:?xs=urn:btpk:" + strings.Repeat("ab", 32)},
		"long label":  {Link: strings.Repeat("ab", 20), Labels: []string{strings.Repeat("a", 200)}},
	} {
		var f *node.Fault
		if _, _, err := d.Add(t.Context(), r); !errors.As(err, &f) || f.Kind != node.FaultUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all := d.Node().Torrents(); len(all) != 0 {
		t.Errorf("%d torrents", len(all))
	}
}

// The record of a torrent keeps the peers that a client names.
func TestFewPeersCanBeNamed(t *testing.T) {
	d := open(t, t.TempDir())
	for name, peers := range map[string][]string{"many": make([]string, 257), "a long one": {strings.Repeat("x", 261)}} {
		_, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Peers: peers, Paused: true})
		if node.KindOf(err) != node.FaultUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("ab", 20), Peers: make([]string, 256), Paused: true}); err != nil {
		t.Error(err)
	}
}
