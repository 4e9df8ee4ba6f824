package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seedbed/node"
	"seedbed/node/daemon"
)

// Categories and those of torrents survive a restart. A category decides the folder of a new
// torrent only.
func TestCategoriesDecideTheFolderOfNewTorrents(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	films := filepath.Join(d.Dir(), "films")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(d.CreateCategory(t.Context(), daemon.Category{Name: "film", Dir: films}))
	do(d.CreateCategory(t.Context(), daemon.Category{Name: "film", Dir: films}))
	if err := d.CreateCategory(t.Context(), daemon.Category{Name: "film"}); err == nil {
		t.Error("a category was made twice")
	}
	if err := d.EditCategory(t.Context(), daemon.Category{Name: "tv"}); !errors.Is(err, daemon.ErrNoCategory) {
		t.Error(err)
	}
	add := func(hash, category, dir string) *node.Torrent {
		t.Helper()
		x, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat(hash, 20), Category: category, Dir: dir, Paused: true})
		do(err)
		return x
	}
	inFilm, elsewhere, inNew := add("01", "film", ""), add("02", "film", d.Dir()), add("03", "new", "")
	do(d.EditCategory(t.Context(), daemon.Category{Name: "film", Dir: filepath.Join(d.Dir(), "f")}))
	do(d.SetCategory(t.Context(), elsewhere, "other"))
	check := func(x *node.Torrent, category, dir string) {
		t.Helper()
		if got := x.Details(); got.Category != category || got.Dir != dir {
			t.Errorf("%s: %q in %s", x.Name(), got.Category, got.Dir)
		}
	}
	check(inFilm, "film", films)
	check(elsewhere, "other", d.Dir())
	check(inNew, "new", d.Dir())
	do(d.RemoveCategories(t.Context(), []string{"new", "none"}))
	check(inNew, "", d.Dir())
	do(d.Close(t.Context()))

	d = open(t, dir)
	want := []daemon.Category{{Name: "film", Dir: filepath.Join(d.Dir(), "f")}, {Name: "other"}}
	if diff := cmp.Diff(want, d.Categories()); diff != "" {
		t.Error(diff)
	}
	x, err := d.Find(strings.Repeat("01", 20))
	do(err)
	check(x, "film", films)
	y, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat("09", 20), Category: "other", Paused: true})
	do(err)
	check(y, "other", d.Dir())
}

func TestCategoriesThatAreRefused(t *testing.T) {
	d := open(t, t.TempDir())
	for name, c := range map[string]daemon.Category{
		"empty": {}, "blank": {Name: " a"}, "long": {Name: strings.Repeat("a", 129)},
		"outside": {Name: "a", Dir: "/etc"}, "relative": {Name: "a", Dir: "etc"},
	} {
		var f *node.Fault
		if err := d.CreateCategory(t.Context(), c); !errors.As(err, &f) || f.Kind != node.FaultUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(d.Categories()) != 0 {
		t.Error(d.Categories())
	}
}

// opened opens a daemon with a folder for incomplete data.
func openWithIncomplete(t *testing.T, dir string) *daemon.Daemon {
	t.Helper()
	s := daemon.DefaultSettings()
	s.IncompleteDir = filepath.Join(dir, "incomplete")
	return openGiven(t, dir, s)
}

// moved waits until a torrent is in a folder and nothing is left to do.
func moved(t *testing.T, d *daemon.Daemon, x *node.Torrent, dir string) {
	t.Helper()
	events := d.Node().Subscribe()
	defer events.Close()
	for x.Details().Dir != dir || x.Details().MoveTo != "" {
		if _, open := <-events.Ready(); !open {
			t.Fatal("the node has ended")
		}
		events.Take()
	}
}

// A download is in the folder for incomplete data until it is complete, and then in its final
// folder only. A restart in between changes nothing.
func TestIncompleteDataMovesWhenItIsComplete(t *testing.T) {
	dir := t.TempDir()
	torrent := shared(t, filepath.Join(dir, "source"), "film")
	seed := openGiven(t, filepath.Join(dir, "seed"), daemon.DefaultSettings())
	d := openWithIncomplete(t, dir)
	final := filepath.Join(d.Dir(), "films")
	if err := d.CreateCategory(t.Context(), daemon.Category{Name: "film", Dir: final}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(seed.Dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "source", "film"), filepath.Join(seed.Dir(), "film")); err != nil {
		t.Fatal(err)
	}
	s, _, err := seed.Add(t.Context(), daemon.AddRequest{Torrent: torrent, Seed: true})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	link := s.Link() + "&x.pe=" + seed.Node().Addrs()[0].String()
	x, _, err := d.Add(t.Context(), daemon.AddRequest{Link: link, Category: "film", Paused: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := x.Details(); got.Dir != filepath.Join(dir, "incomplete") || got.FinalDir != final {
		t.Errorf("it is added in %s for %s", got.Dir, got.FinalDir)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = openWithIncomplete(t, dir)
	if x, err = d.Find("1"); err != nil {
		t.Fatal(err)
	}
	if got := x.Details(); got.Dir != filepath.Join(dir, "incomplete") || got.FinalDir != final {
		t.Errorf("it is restored in %s for %s", got.Dir, got.FinalDir)
	}
	if err := x.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	moved(t, d, x, final)
	if _, err := os.Stat(filepath.Join(final, "film")); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "incomplete")); len(left) != 0 {
		t.Errorf("the folder for incomplete data has %v", left)
	}
	if got := x.Details(); got.FinalDir != "" {
		t.Errorf("it still has to go to %s", got.FinalDir)
	}
}

// Data that is in the final folder already is not downloaded again.
func TestExistingDataIsNotIncomplete(t *testing.T) {
	dir := t.TempDir()
	d := openWithIncomplete(t, dir)
	x, _, err := d.Add(t.Context(), daemon.AddRequest{Torrent: shared(t, d.Dir(), "film")})
	if err != nil {
		t.Fatal(err)
	}
	<-x.Done()
	if got := x.Details(); got.Dir != d.Dir() || got.FinalDir != "" {
		t.Errorf("%+v", got)
	}
}

// Removing a torrent whose data is incomplete leaves nothing in either folder.
func TestIncompleteDataIsRemoved(t *testing.T) {
	dir := t.TempDir()
	d := openWithIncomplete(t, dir)
	torrent := shared(t, filepath.Join(dir, "incomplete"), "film")
	if err := os.Truncate(filepath.Join(dir, "incomplete", "film"), 100); err != nil {
		t.Fatal(err)
	}
	x, _, err := d.Add(t.Context(), daemon.AddRequest{Torrent: torrent, Overwrite: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), x, true); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"incomplete", "data"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range entries {
			if e.Name() != "film" { // the file of another program, which nothing was written to
				t.Errorf("%s has %s", folder, e.Name())
			}
		}
	}
}

// A subcategory is named after its parent, which is implied, and its folder is in that of the parent.
func TestSubcategories(t *testing.T) {
	d := open(t, t.TempDir())
	films := filepath.Join(d.Dir(), "films")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func() (all []string) {
		for _, c := range d.Categories() {
			all = append(all, c.Name)
		}
		return all
	}
	do(d.CreateCategory(t.Context(), daemon.Category{Name: "film/short/silent"}))
	do(d.CreateCategory(t.Context(), daemon.Category{Name: "film/own", Dir: filepath.Join(d.Dir(), "own")}))
	do(d.CreateCategory(t.Context(), daemon.Category{Name: "filmed"}))
	if diff := cmp.Diff([]string{"film", "film/own", "film/short", "film/short/silent", "filmed"}, names()); diff != "" {
		t.Error(diff)
	}
	number := 10
	added := func(category string) *node.Torrent {
		t.Helper()
		number++
		x, _, err := d.Add(t.Context(), daemon.AddRequest{Link: strings.Repeat(strconv.Itoa(number), 20), Category: category, Paused: true})
		do(err)
		return x
	}
	silent := added("film/short/silent") // no category has a folder
	do(d.EditCategory(t.Context(), daemon.Category{Name: "film", Dir: films}))
	other := added("filmed")
	for x, want := range map[*node.Torrent]string{
		silent: d.Dir(), other: d.Dir(), added("film"): films, added("film/short/silent"): filepath.Join(films, "short", "silent"),
		added("film/own/new"): filepath.Join(d.Dir(), "own", "new"),
	} {
		if got := x.Details(); got.Dir != want {
			t.Errorf("%s is in %s, not %s", got.Category, got.Dir, want)
		}
	}
	for _, bad := range []string{"/film", "film/", "film//x", "film/..", "../film", "film/./x"} {
		if err := d.CreateCategory(t.Context(), daemon.Category{Name: bad}); err == nil {
			t.Errorf("%q is a category", bad)
		}
	}
	do(d.RemoveCategories(t.Context(), []string{"film"}))
	if diff := cmp.Diff([]string{"filmed"}, names()); diff != "" {
		t.Error(diff)
	}
	if silent.Details().Category != "" || other.Details().Category != "filmed" {
		t.Errorf("the torrents are in %q and %q", silent.Details().Category, other.Details().Category)
	}
}
