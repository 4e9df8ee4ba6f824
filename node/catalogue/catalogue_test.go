package catalogue

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/bencode"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// torrentOf returns the torrent of one file.
func torrentOf(t testing.TB, name string, data []byte) *metainfo.Torrent {
	t.Helper()
	const length = 16 << 10
	var hashes []byte
	for at := 0; at < len(data); at += length {
		h := sha1.Sum(data[at:min(at+length, len(data))])
		hashes = append(hashes, h[:]...)
	}
	b := []byte("d4:infod")
	b = bencode.AppendInt(bencode.AppendString(b, "length"), int64(len(data)))
	b = bencode.AppendString(bencode.AppendString(b, "name"), name)
	b = bencode.AppendInt(bencode.AppendString(b, "piece length"), length)
	b = append(bencode.AppendBytes(bencode.AppendString(b, "pieces"), hashes), "ee"...)
	torrent, err := metainfo.ParseTorrent(b)
	if err != nil {
		t.Fatal(err)
	}
	return torrent
}

// rig is a node with a catalogue over a store.
type rig struct {
	*nodetest.Node
	*Catalogue
	t     testing.TB
	store *s3test.Store

	mu       sync.Mutex // held by writers of
	warnings []string
}

// withStore gives a node the store.
func withStore(t testing.TB, s *s3test.Store) func(*node.Config) { return withStoreAt(t, s, "p") }

func withStoreAt(t testing.TB, s *s3test.Store, prefix string) func(*node.Config) {
	return nodetest.Store(t, s.Open(prefix))
}

func start(t testing.TB, n *simnet.Net, num int, s *s3test.Store, opts ...func(*node.Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: s}
	r.Node = nodetest.Start(t, n, num, append([]func(*node.Config){withStore(t, s)}, opts...)...)
	if err := r.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	warn := func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.warnings = append(r.warnings, err.Error())
	}
	if r.Catalogue, err = Open(Config{Node: r.Node.Node, Warn: warn}); err != nil {
		r.t.Fatal(err)
	}
}

// end closes the catalogue and the node.
func (r *rig) end() {
	r.t.Helper()
	if err := r.Catalogue.Close(); err != nil {
		r.t.Error(err)
	}
	r.Node.Close()
}

// put puts a torrent and its file into the store.
func put(t testing.TB, s *s3test.Store, name string) id.ID {
	t.Helper()
	data := filetest.RandomBytes(name, 20_000)
	torrent := torrentOf(t, name, data)
	s.Put("p/"+name, data)
	s.Put("p/"+nameOf(torrent.Info.Hash), torrent.Append(nil))
	return torrent.Info.Hash
}

// loads returns how many objects of the catalogue were read.
func loads(s *s3test.Store) (n int) {
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, "GET /bucket/") && strings.Contains(r, "/"+folder) {
			n++
		}
	}
	return n
}

// The torrents of the store are shared, what is added later too, and what has gone is removed. A restart loads nothing again.
func TestTheNodeSharesWhatTheStoreLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(1, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		first, second := put(t, store, "first"), put(t, store, "second")
		state := t.TempDir()
		r := start(t, n, 1, store, nodetest.State(state))
		time.Sleep(time.Second)
		if r.Torrent(first) == nil || r.Torrent(second) == nil {
			t.Fatal("the torrents are not shared")
		}
		third := put(t, store, "third")
		time.Sleep(interval + time.Second)
		if s := r.Status(); r.Torrent(third) == nil || s.Torrents != 3 || s.Objects != 3 || s.Err != nil || s.Listed.IsZero() {
			t.Fatalf("%+v", s)
		}
		r.end()
		was := loads(store)
		r = start(t, n, 2, store, nodetest.State(state))
		time.Sleep(5 * interval)
		if s := r.Status(); s.Torrents != 3 || loads(store) != was {
			t.Errorf("after a restart: %+v, %d loaded again", s, loads(store)-was)
		}
		if err := r.Node.Remove(t.Context(), first, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * interval)
		if r.Torrent(first) == nil {
			t.Error("a torrent of the catalogue that was removed from the node does not come back")
		}
		if err := Remove(t.Context(), store.Open("p"), second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(interval)
		if r.Torrent(second) == nil {
			t.Error("it is removed after one listing without it")
		}
		time.Sleep(3 * interval)
		if s := r.Status(); r.Torrent(second) != nil || r.Torrent(first) == nil || s.Torrents != 2 || s.Absent != 0 {
			t.Errorf("%+v", s)
		}
		if err := Remove(t.Context(), store.Open("p"), second); err == nil {
			t.Error("it can be removed twice")
		}
		if len(r.warnings) > 0 {
			t.Error(r.warnings)
		}
		r.end()
	})
}

// A peer gets what the store has.
func TestTorrentsOfTheCatalogueAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(2, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		put(t, store, "film")
		r := start(t, n, 1, store)
		time.Sleep(time.Second)
		peer := nodetest.Start(t, n, 2)
		data := filetest.RandomBytes("film", 20_000)
		dir := t.TempDir()
		if _, err := peer.Add(node.Spec{Torrent: torrentOf(t, "film", data), Dir: dir, Peers: []string{nodetest.AddrPort(1).String()}}); err != nil {
			t.Fatal(err)
		}
		peer.Await(node.Complete, time.Minute)
		if got, err := os.ReadFile(filepath.Join(dir, "film")); err != nil || !bytes.Equal(got, data) {
			t.Error("the peer has other data", err)
		}
		r.end()
	})
}

// fetchTime returns how long a new peer needs for a torrent of the rig.
func (r *rig) fetchTime(n *simnet.Net, num int, name string) time.Duration {
	r.t.Helper()
	peer := nodetest.Start(r.t, n, num)
	data, began := filetest.RandomBytes(name, 20_000), time.Now()
	if _, err := peer.Add(node.Spec{Torrent: torrentOf(r.t, name, data), Dir: r.t.TempDir(), Peers: []string{nodetest.AddrPort(1).String()}}); err != nil {
		r.t.Fatal(err)
	}
	peer.Await(node.Complete, time.Minute)
	took := time.Since(began)
	peer.Close()
	return took
}

// Torrents that nobody has asked for are parked. When a peer comes, the first byte takes as long as that of the store, and at most
// 100 ms more than if the store took no time.
func TestIdleTorrentsAnswerWhenTheStoreDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(7, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		const count = 80
		for i := range count {
			put(t, store, fmt.Sprint("torrent ", i))
		}
		r := start(t, n, 1, store)
		time.Sleep(3 * interval)
		var names []string
		for _, one := range r.Torrents() {
			if one.Phase() == lifecycle.Parked {
				names = append(names, one.Name())
			}
		}
		if len(names) < count/2 {
			t.Fatalf("%d of %d torrents are parked", len(names), count)
		}
		const first = 700 * ms
		fast := r.fetchTime(n, 2, names[0])
		store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: first} })
		slow := r.fetchTime(n, 3, names[1])
		t.Logf("%v from a store that answers at once, %v from one that takes %v", fast, slow, first)
		if slow > fast+first+100*ms {
			t.Errorf("a peer has the data after %v, and after %v if the store takes no time", slow, fast)
		}
		r.end()
	})
}

// A listing that fails removes nothing. One that is empty, or lacks most of the torrents, removes them only if it stays so for an
// hour.
func TestABadListingRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(3, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		var hashes []id.ID
		for i := range 30 {
			hashes = append(hashes, put(t, store, fmt.Sprint("torrent ", i)))
		}
		r := start(t, n, 1, store)
		time.Sleep(time.Second)
		store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: http.StatusServiceUnavailable} })
		time.Sleep(3 * time.Hour)
		if s := r.Status(); s.Torrents != 30 || s.Err == nil || len(r.warnings) != 1 || !strings.Contains(r.warnings[0], "is not up to date") {
			t.Errorf("the store is away: %+v, %q", s, r.warnings)
		}
		store.SetFault(nil)
		time.Sleep(5 * interval)
		content := map[string][]byte{}
		for _, h := range hashes[:20] {
			name := "p/" + nameOf(h)
			content[name] = store.Get(name)
			if err := Remove(t.Context(), store.Open("p"), h); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Minute)
		if s := r.Status(); s.Torrents != 30 || s.Absent != 20 || s.Err != nil || len(r.warnings) != 2 || !strings.Contains(r.warnings[1], "20 of the 30") {
			t.Errorf("most of the listing is gone: %+v, %q", s, r.warnings)
		}
		for _, h := range hashes[10:20] {
			name := "p/" + nameOf(h)
			store.Put(name, content[name])
		}
		time.Sleep(interval + time.Second)
		if s := r.Status(); s.Torrents != 30 || s.Absent != 10 {
			t.Errorf("some have come back, and the rest is removed at once: %+v", s)
		}
		for name, b := range content {
			store.Put(name, b)
		}
		time.Sleep(20 * time.Minute)
		if s := r.Status(); s.Torrents != 30 || s.Absent != 0 {
			t.Errorf("they have come back: %+v", s)
		}
		for _, h := range hashes {
			if err := Remove(t.Context(), store.Open("p"), h); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(50 * time.Minute)
		if s := r.Status(); s.Torrents != 30 {
			t.Errorf("the listing is empty: %+v", s)
		}
		time.Sleep(20 * time.Minute)
		if s := r.Status(); s.Torrents != 0 || s.Absent != 0 || len(r.Torrents()) != 0 {
			t.Errorf("the listing stays empty: %+v", s)
		}
		r.end()
	})
}

// A torrent that the user has added is left alone, also when it leaves the catalogue.
func TestTorrentsOfTheUserStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(4, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		dir := t.TempDir()
		data := filetest.RandomBytes("mine", 20_000)
		filetest.Write(t, filepath.Join(dir, "mine"), data)
		torrent := torrentOf(t, "mine", data)
		r := &rig{t: t, store: store, Node: nodetest.Start(t, n, 1, withStore(t, store))}
		if _, err := r.Add(node.Spec{Torrent: torrent, Dir: dir, Seed: true}); err != nil {
			t.Fatal(err)
		}
		put(t, store, "mine")
		put(t, store, "other")
		r.open()
		time.Sleep(time.Second)
		if s := r.Status(); s.Objects != 2 || s.Torrents != 1 {
			t.Errorf("%+v", s)
		}
		if err := Remove(t.Context(), store.Open("p"), torrent.Info.Hash); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * interval)
		if s := r.Status(); s.Objects != 1 || r.Torrent(torrent.Info.Hash) == nil {
			t.Errorf("the user's torrent is removed: %+v", s)
		}
		store.Put("p/"+nameOf(torrent.Info.Hash), torrent.Append(nil))
		time.Sleep(2 * interval)
		if err := r.Node.Remove(t.Context(), torrent.Info.Hash, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * interval)
		if s := r.Status(); s.Torrents != 2 || r.Torrent(torrent.Info.Hash) == nil {
			t.Errorf("when the user has removed it, the catalogue does not share it: %+v", s)
		}
		r.end()
	})
}

// What is no torrent file costs one warning and one load. A torrent that two objects have stays until both have gone.
func TestHostileObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(5, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		good := put(t, store, "good")
		again := "p/" + folder + "folder/an other name" + suffix
		store.Put(again, store.Get("p/"+nameOf(good)))
		store.Put("p/"+folder+"garbage"+suffix, []byte("d4:infod"))
		store.Put("p/"+folder+"empty"+suffix, nil)
		store.Put("p/"+folder+"README", []byte("hello"))
		store.Put("p/"+folder+"large"+suffix, make([]byte, maxFile+1))
		for i := range 20 {
			store.Put(fmt.Sprint("p/", folder, "a/../", i, suffix), fmt.Append(nil, i))
		}
		r := start(t, n, 1, store)
		time.Sleep(10 * interval)
		if s := r.Status(); s.Torrents != 1 || s.Objects != 24 || s.Refused != 22 || r.Torrent(good) == nil {
			t.Errorf("%+v", s)
		}
		if n := loads(store); n != 23 { // two torrents and what is small enough, once each
			t.Errorf("%d objects were loaded", n)
		}
		if len(r.warnings) != maxWarnings+1 || !strings.Contains(r.warnings[maxWarnings], "12 more") {
			t.Errorf("%q", r.warnings)
		}
		if err := Remove(t.Context(), store.Open("p"), good); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * interval)
		if r.Torrent(good) == nil || len(r.Events(node.Removed)) > 0 {
			t.Error("the torrent was removed although another object has it")
		}
		// The object gets another torrent.
		other := torrentOf(t, "good", filetest.RandomBytes("other", 20_000))
		store.Put(again, other.Append(nil))
		time.Sleep(2 * interval)
		if r.Torrent(good) != nil || r.Torrent(other.Info.Hash) == nil {
			t.Error("the torrent of an object that has changed is not replaced")
		}
		r.end()
	})
}

// Garbage costs one load for each object, also after a restart, a few warnings, and nothing else: what is right is shared at once. With
// SEEDBED_TORRENTS=100000 it is as many objects.
func TestACatalogueFullOfGarbage(t *testing.T) {
	count := 300
	if s := os.Getenv("SEEDBED_TORRENTS"); s != "" {
		count, _ = strconv.Atoi(s)
	}
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(25, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		for i := range count {
			name := [...]string{"%x", "sub/folder/%x", "\u202e\u00e9%x", "%x.torrent", strings.Repeat("a", 200) + "/%x"}[i%5]
			store.Put("p/"+folder+fmt.Sprintf(name, i)+suffix, []byte([...]string{"", "d4:infod", "d4:infode", "x", strings.Repeat("l", 5000)}[i%5]+fmt.Sprint(i)))
		}
		good := put(t, store, "good")
		state := t.TempDir()
		for restarts := range 2 {
			r := start(t, n, 1+restarts, store, nodetest.State(state))
			time.Sleep(10 * interval)
			if s := r.Status(); s.Torrents != 1 || s.Refused != count || r.Torrent(good) == nil {
				t.Errorf("%+v", s)
			}
			if n := loads(store); n != count+1 {
				t.Errorf("%d objects were loaded after %d restarts, want %d", n, restarts, count+1)
			}
			if want := (1 - restarts) * (maxWarnings + 1); len(r.warnings) != want {
				t.Errorf("%d warnings, want %d: %q", len(r.warnings), want, r.warnings)
			}
			r.end()
		}
	})
}

// Many objects that the store lists, but does not give, are not all tried again after each pause, and leave a turn to one that it gives
// later.
func TestManyObjectsThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 8 * maxAgain
		n, store := simnet.New(26, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		for i := range count {
			store.Put(fmt.Sprintf("p/%s0%x%s", folder, i, suffix), fmt.Append(nil, i))
		}
		good := put(t, store, "good")
		hide := func(names string) {
			store.SetFault(func(r *http.Request) s3test.Fault {
				if strings.Contains(r.URL.Path, "/"+folder+names) {
					return s3test.Fault{Status: http.StatusNotFound}
				}
				return s3test.Fault{}
			})
		}
		hide("")
		r := start(t, n, 1, store)
		time.Sleep(interval / 2)
		first := loads(store)
		if first != count+1 || r.Status().Refused != count+1 {
			t.Errorf("%d objects were loaded; %+v", first, r.Status())
		}
		hide("0")
		time.Sleep(30 * time.Minute)
		if most := maxAgain * int(30*time.Minute/interval); loads(store)-first > most || r.Torrent(good) == nil {
			t.Errorf("%d more loads, want at most %d; %+v", loads(store)-first, most, r.Status())
		}
		r.end()
	})
}

// An object that the store does not give costs itself alone, and so does one with a strange name. It is asked for again later.
func TestObjectsThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(8, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		const denied = 3 * maxDenied / 2
		for i := range denied {
			store.Put(fmt.Sprintf("p/%s!denied %03d%s", folder, i, suffix), []byte("secret"))
		}
		store.Put("p/"+folder+"a\nline"+suffix, torrentOf(t, "line", []byte("data")).Append(nil))
		store.Put("p/"+folder+"bad gateway"+suffix, []byte("x"))
		leaves, stays := put(t, store, "leaves"), put(t, store, "stays")
		store.SetFault(func(r *http.Request) s3test.Fault {
			switch {
			case strings.Contains(r.URL.Path, "!denied"):
				return s3test.Fault{Status: http.StatusForbidden}
			case strings.Contains(r.URL.Path, "bad gateway"):
				return s3test.Fault{Status: http.StatusBadGateway}
			}
			return s3test.Fault{}
		})
		state := t.TempDir()
		r := start(t, n, 1, store, nodetest.State(state))
		time.Sleep(5 * interval)
		if s := r.Status(); s.Torrents != 3 || s.Objects != denied+4 || s.Refused != denied+1 || r.Torrent(leaves) == nil {
			t.Errorf("%+v, %q", s, r.warnings)
		}
		if err := Remove(t.Context(), store.Open("p"), leaves); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * interval)
		if r.Torrent(leaves) != nil || r.Torrent(stays) == nil {
			t.Error("a torrent that has left the catalogue is not removed")
		}
		if n := loads(store); n > 6*(denied+1)+3 {
			t.Errorf("%d objects were loaded in %v", n, 25*interval)
		}
		before := loads(store)
		store.SetFault(nil)
		store.Remove("p/" + folder + "bad gateway" + suffix)
		time.Sleep(2*retryTime + interval)
		if s := r.Status(); s.Torrents != 2 || s.Refused != denied || s.Err != nil || loads(store) != before+denied {
			t.Errorf("when they can be read: %+v, %d loaded", s, loads(store)-before)
		}
		r.end()
		r = start(t, n, 2, store, nodetest.State(state))
		time.Sleep(interval)
		if s := r.Status(); s.Torrents != 2 || loads(store) != before+denied {
			t.Errorf("after a restart: %+v, %d loaded", s, loads(store)-before-denied)
		}
		r.end()
	})
}

// A torrent file that a fault on the way has changed is neither refused for good nor taken for another torrent.
func TestATorrentFileThatIsChangedOnTheWay(t *testing.T) {
	for _, isWrong := range []bool{true, false} { // the first answer
		synctest.Test(t, func(t *testing.T) {
			n, store := simnet.New(8, simnet.Link{Delay: 10 * ms}), s3test.New(t)
			infohash := put(t, store, "film")
			store.SetFault(func(r *http.Request) s3test.Fault {
				isFile := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, suffix)
				return s3test.Fault{Flip: isFile && isWrong && loads(store) == 1}
			})
			want := 1
			if isWrong {
				want = 2
			}
			r := start(t, n, 1, store)
			time.Sleep(retryTime + 2*interval)
			if s := r.Status(); r.Torrent(infohash) == nil || s.Torrents != 1 || s.Refused != 0 || len(r.warnings) > 0 || loads(store) != want {
				t.Errorf("wrong %v: %+v, %q, %d requests", isWrong, s, r.warnings, loads(store))
			}
			r.end()
		})
	}
}

// A torrent that the state directory does not take is added when it does.
func TestAStateDirectoryThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(9, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		hash, other := put(t, store, "film"), put(t, store, "other")
		state := t.TempDir()
		inTheWay := filepath.Join(state, "torrents", hash.String())
		filetest.Write(t, inTheWay, []byte("a file"))
		r := start(t, n, 1, store, nodetest.State(state))
		time.Sleep(3 * interval)
		if s := r.Status(); s.Torrents != 1 || r.Torrent(other) == nil || len(r.warnings) != 1 {
			t.Errorf("%+v, %q", s, r.warnings)
		}
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryTime + 2*interval)
		if s := r.Status(); s.Torrents != 2 || r.Torrent(hash) == nil || s.Err != nil || s.Refused != 0 {
			t.Errorf("%+v, %q", s, r.warnings)
		}
		r.end()
	})
}

// A catalogue that was killed while it added torrents knows them as its own, and adds those that are missing.
func TestAKillWhileTorrentsAreAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(6, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		hash := put(t, store, "film")
		state := t.TempDir()
		r := start(t, n, 1, store, nodetest.State(state))
		time.Sleep(time.Second)
		if err := r.Catalogue.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Node.Remove(t.Context(), hash, false); err != nil { // as if it had been killed before
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.Node.Close()
		r = start(t, n, 2, store, nodetest.State(state))
		time.Sleep(time.Second)
		if r.Torrent(hash) == nil {
			t.Error("the torrent is missing")
		}
		if err := Remove(t.Context(), store.Open("p"), hash); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * interval)
		if r.Torrent(hash) != nil {
			t.Error("the torrent is taken for one of the user")
		}
		r.end()
	})
}

// A torrent that cannot be removed, because the node is being closed, stays one of the catalogue, and is removed after the restart.
func TestARemovalThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(10, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		leaves, changes := put(t, store, "leaves"), put(t, store, "changes")
		state := t.TempDir()
		r := start(t, n, 1, store, nodetest.State(state))
		time.Sleep(time.Second)
		r.Node.Close()
		if err := r.removeAll(context.Background(), []id.ID{keyOf(nameOf(leaves))}); err == nil {
			t.Fatal("the node removes a torrent after it is closed")
		}
		if err := r.keep(context.Background(), nameOf(changes), entry{kind: refused, version: 1}); err == nil {
			t.Fatal("the node removes a torrent after it is closed")
		}
		if err := r.Catalogue.Close(); err != nil {
			t.Fatal(err)
		}
		r = start(t, n, 2, store, nodetest.State(state))
		time.Sleep(time.Second)
		if s := r.Status(); s.Torrents != 2 || r.Torrent(leaves) == nil {
			t.Errorf("%+v", s)
		}
		store.Remove("p/" + nameOf(leaves))
		store.Put("p/"+nameOf(changes), []byte("garbage"))
		time.Sleep(5 * interval)
		if s := r.Status(); s.Torrents != 0 || r.Torrent(leaves) != nil || r.Torrent(changes) != nil {
			t.Errorf("they are taken for torrents of the user: %+v", s)
		}
		r.end()
	})
}

// The listings of a catalogue take at most 10 requests a minute, and a small one is listed every minute.
func TestTheRequestsOfListings(t *testing.T) {
	for _, objects := range []int{0, 1, 9_999, 10_000, 25_000, 100_000, maxTorrents} {
		pause := listingPause(objects)
		if requests := float64(objects) / listPage; requests/pause.Minutes() > 10 || pause > interval && objects <= 10_000 {
			t.Errorf("%d objects are listed every %v", objects, pause)
		}
	}
}

// Check names what is missing.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New(t)
		torrent := torrentOf(t, "film", []byte("data"))
		err := Check(t.Context(), store.Open("p"), torrent)
		if node.KindOf(err) != node.FaultIncomplete || !strings.Contains(err.Error(), "s3://bucket/p/film is missing or has another size") {
			t.Error(err)
		}
		store.Put("p/film", []byte("data"))
		if err := Check(t.Context(), store.Open("p"), torrent); err != nil {
			t.Error(err)
		}
	})
}

// A node that gets another store, with the same objects, shares the torrents from there.
func TestAnotherStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(11, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		copied, left := put(t, store, "copied"), put(t, store, "left")
		for _, name := range []string{"copied", nameOf(copied)} {
			store.Put("q/"+name, store.Get("p/"+name))
		}
		state := t.TempDir()
		r := start(t, n, 1, store, nodetest.State(state))
		time.Sleep(time.Second)
		r.end()
		store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: http.StatusForbidden} })
		r = start(t, n, 2, store, nodetest.State(state), withStoreAt(t, store, "q"))
		time.Sleep(2 * interval)
		if s := r.Status(); s.Torrents != 2 || s.Err == nil {
			t.Errorf("while it cannot be listed: %+v", s)
		}
		store.SetFault(nil)
		time.Sleep(interval + time.Second)
		if s := r.Status(); s.Torrents != 1 || r.Torrent(left) != nil || s.Err != nil {
			t.Errorf("%+v", s)
		}
		peer, dir := nodetest.Start(t, n, 3), t.TempDir()
		data := filetest.RandomBytes("copied", 20_000)
		if _, err := peer.Add(node.Spec{Torrent: torrentOf(t, "copied", data), Dir: dir, Peers: []string{nodetest.AddrPort(2).String()}}); err != nil {
			t.Fatal(err)
		}
		peer.Await(node.Complete, time.Minute)
		r.end()
		was := loads(store)
		r = start(t, n, 4, store, nodetest.State(state), withStoreAt(t, store, "q"))
		time.Sleep(2 * interval)
		if s := r.Status(); s.Torrents != 1 || loads(store) != was {
			t.Errorf("after a restart: %+v", s)
		}
		r.end()
	})
}

// What is kept is parsed as it was written.
func FuzzEntry(f *testing.F) {
	one := entry{infohash: id.ID{1, 2}, version: 77, kind: others}
	f.Add(one.encode())
	f.Add([]byte("ours 00 0"))
	f.Add([]byte(" " + strings.Repeat("0", 40) + " 0000000000000001"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		if again, err := parseEntry(e.encode()); err != nil || again != e {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
