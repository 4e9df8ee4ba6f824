package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// box is a watched folder whose files contain what happens to them: bad, later, or anything else.
type box struct {
	t *testing.T
	Folder
	mu       sync.Mutex
	added    []string
	warnings []string
	isLater  bool // files that contain later are not added yet
}

func newBox(t *testing.T) *box {
	b := &box{t: t, isLater: true}
	b.Folder = Folder{Dir: filepath.Join(t.TempDir(), "box"), Add: b.add, Warn: func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.warnings = append(b.warnings, err.Error())
	}}
	return b
}

func (b *box) add(_ context.Context, torrent []byte, link string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	what := string(torrent) + link
	switch {
	case strings.HasPrefix(what, "bad"):
		return &InvalidError{errors.New("this is bad")}
	case strings.HasPrefix(what, "later") && b.isLater:
		return errors.New("the disk is full")
	}
	b.added = append(b.added, what)
	return nil
}

func (b *box) put(name, content string) {
	b.t.Helper()
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// names returns the names in the folder.
func (b *box) names() string {
	entries, err := os.ReadDir(b.Dir)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// take returns what was added since the last call, sorted.
func (b *box) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.added)
	s := strings.Join(b.added, " ")
	b.added = nil
	return s
}

// polled watches without events, in fake time, until the test ends.
func (b *box) polled() {
	go b.watch(b.t.Context(), nil, nil, func() {})
}

func is(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, not %q", what, got, want)
	}
}

// Without any event, files are added once they have been left alone, and renamed.
func TestFilesAreAddedAndRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		b.put("a.torrent", "one")
		b.put("B.TORRENT", "bad")
		b.put("c.magnet", "\ufeff# my links\nx1\r\n\n x2 \n")
		b.put("d.magnet", "x3\nbad link\nx4")
		b.put("e.magnet", "# nothing\n")
		b.put("f.txt", "no")
		b.put("g.torrent.part", "no")
		b.put("h.torrent", "") // not written yet
		b.put("i.torrent", "later")
		b.put("a.torrent.added", "of before")
		b.polled()
		time.Sleep(5 * time.Second)
		is(t, "added", b.take(), "one x1 x2 x3 x4")
		is(t, "names", b.names(), "B.TORRENT.invalid a.torrent.added a.torrent.added.2 c.magnet.added d.magnet.invalid e.magnet.invalid f.txt g.torrent.part h.torrent i.torrent")
		b.put("h.torrent", "two")
		time.Sleep(10 * time.Minute)
		is(t, "added", b.take(), "two")
		if n := len(b.warnings); n != 4 {
			t.Errorf("%d warnings: %q", n, b.warnings)
		}
		b.mu.Lock()
		b.isLater = false
		b.mu.Unlock()
		time.Sleep(15 * time.Second)
		is(t, "added", b.take(), "later")
	})
}

// A file that grows is read when it has stopped growing.
func TestAFileThatGrowsIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		b.polled()
		for i := range 100 {
			b.put("a.torrent", strings.Repeat("x", i+1))
			time.Sleep(700 * time.Millisecond)
			is(t, "added", b.take(), "")
		}
		time.Sleep(12 * time.Second)
		is(t, "added", b.take(), strings.Repeat("x", 100))
	})
}

// A folder that is missing is reported once and looked for again.
func TestAFolderMayBeMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		b.polled()
		time.Sleep(time.Hour)
		b.put("a.torrent", "one")
		time.Sleep(15 * time.Second)
		is(t, "added", b.take(), "one")
		if err := os.RemoveAll(b.Dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.put("a.torrent", "two")
		time.Sleep(15 * time.Second)
		is(t, "added", b.take(), "two")
		if len(b.warnings) != 2 {
			t.Errorf("%q", b.warnings)
		}
	})
}

// Only regular files are read, and no large ones. Links to files are files.
func TestWhatIsNotAFileIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		b.put("x", "linked")
		for name, to := range map[string]string{"link.torrent": "x", "loop.torrent": "loop.torrent", "dangling.torrent": "nosuch", "null.torrent": "/dev/zero"} {
			if err := os.Symlink(to, filepath.Join(b.Dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(b.Dir, "folder.torrent"), 0o755); err != nil {
			t.Fatal(err)
		}
		b.put("large.magnet", "x")
		if err := os.Truncate(filepath.Join(b.Dir, "large.magnet"), maxMagnets+1); err != nil {
			t.Fatal(err)
		}
		b.polled()
		time.Sleep(time.Minute)
		is(t, "added", b.take(), "linked")
		is(t, "names", b.names(), "dangling.torrent folder.torrent large.magnet.invalid link.torrent.added loop.torrent null.torrent x")
	})
}

func TestTenThousandFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		for i := range 10_000 {
			b.put(fmt.Sprintf("%d.torrent", i), "x")
		}
		b.polled()
		time.Sleep(30 * time.Second)
		if n := len(b.added); n != 10_000 {
			t.Errorf("%d were added", n)
		}
	})
}

// A file in a folder that cannot be written is added once.
func TestAFileThatCannotBeRenamedIsAddedOnce(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		b.put("a.torrent", "one")
		if err := os.Chmod(b.Dir, 0o555); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(b.Dir, 0o755)
		b.polled()
		time.Sleep(time.Hour)
		is(t, "added", b.take(), "one")
	})
}

// The system's events make a look come soon.
func TestEventsMakeALookComeSoon(t *testing.T) {
	b := newBox(t)
	b.put("a.torrent", "one")
	b.Delete = true
	added := make(chan string)
	b.Add = func(_ context.Context, torrent []byte, _ string) error {
		added <- string(torrent)
		return nil
	}
	ended := make(chan struct{})
	ctx, end := context.WithCancel(t.Context())
	go func() {
		b.Watch(ctx)
		close(ended)
	}()
	is(t, "added", <-added, "one")
	b.put("b.torrent", "two")
	is(t, "added", <-added, "two")
	end()
	<-ended
}
