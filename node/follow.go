package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// FollowConfig says what to follow, and how.
type FollowConfig struct {
	Link *magnet.Link // with a public key (BEP 46)
	Dir  string       // where the versions go
	// KeepAlive puts the publisher's item again, as he does, so that the link
	// outlives his machine. It stays signed by him.
	KeepAlive bool
	// Poll is how often a newer version is asked for when there was none lately;
	// 10 minutes by default, at least 1 second.
	Poll time.Duration
	// Keep is how many earlier versions stay; 1 by default, negative for none.
	Keep  int
	Peers []string // HOST:PORT to try besides the link's x.pe
}

func (c *FollowConfig) validate() error {
	if c.Link == nil || !c.Link.HasPublicKey {
		return &Fault{Kind: FaultUsage, Err: errors.New("the link names no publication: it has no public key (xs=urn:btpk:)"), hint: "seedbed get opens other links"}
	}
	if c.Poll == 0 {
		c.Poll = 10 * time.Minute
	}
	if c.Poll < time.Second {
		return &Fault{Kind: FaultUsage, Err: fmt.Errorf("to ask every %v is no polite pace", c.Poll), hint: "give a second or more"}
	}
	if c.Keep == 0 {
		c.Keep = 1
	}
	return nil
}

// FollowStats counts what a follower has seen.
type FollowStats struct {
	Polls    int64
	Older    int64 // answers with an older version: refused
	Unsigned int64 // whose signature is missing or wrong: refused
	Foreign  int64 // of another key or salt: refused
	Forked   int64 // another value under a number that is known: refused
	Useless  int64 // signed, and naming no torrent: refused
	Switched int64
}

// A Follower has the newest version of a publication, seeds it, and switches to the
// next when that is whole. A version is adopted only when its item is signed by the
// key, its number is higher than any that was adopted, and its metadata and data
// have the hashes that follow from the item.
type Follower struct {
	node    *Node
	cfg     FollowConfig
	target  id.ID
	remove  func() // takes back OnClose
	state   *followState
	dirs    *versions
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	hint    chan DHTItem // the keeper saw a newer one; holds one
	current atomic.Pointer[Torrent]

	mu    sync.Mutex
	stats FollowStats

	// Of run alone.
	fetching *fetch
	unkeep   func()
	interval time.Duration
	refused  int64 // number of an item that names no torrent
}

// fetch is a version on its way.
type fetch struct {
	item    DHTItem
	ih      id.ID  // that it names
	name    string // its folder
	torrent *Torrent
	reused  atomic.Int64
}

// Follow begins to follow a publication. It goes on until Close or the node's end.
func (n *Node) Follow(cfg FollowConfig) (*Follower, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if n.dht == nil {
		return nil, ErrNoDHT
	}
	f := &Follower{node: n, cfg: cfg, target: targetOf(cfg.Link), done: make(chan struct{}), hint: make(chan DHTItem, 1)}
	var err error
	if f.state, err = n.state.openFollow(f.target); err != nil {
		return nil, err
	}
	if f.dirs, err = openVersions(cfg.Dir); err != nil {
		return nil, errors.Join(asFault(err), f.state.lock.Release())
	}
	f.ctx, f.cancel = context.WithCancel(n.ctx)
	if f.remove, err = n.OnClose(f.Close); err != nil {
		f.cancel()
		f.dirs.close()
		return nil, errors.Join(err, f.state.lock.Release())
	}
	go f.run()
	return f, nil
}

// Torrent is the torrent of the current version, or nil while there is none.
func (f *Follower) Torrent() *Torrent { return f.current.Load() }

// Seq is the number of the current version; 0: there is none yet.
func (f *Follower) Seq() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.last.Seq
}

// Stats are the counts so far.
func (f *Follower) Stats() FollowStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Close ends the following. The torrent goes on until the node ends.
func (f *Follower) Close() {
	f.remove()
	f.cancel()
	<-f.done
}

// The pace: after a change the next polls come quickEvery times as often, and each
// that finds nothing makes the wait longer by half until it is Poll again. While
// nobody answers, it is asked again from pollRetry on.
const (
	quickEvery = 10
	pollRetry  = 5 * time.Second
)

func (f *Follower) quick() time.Duration {
	return max(f.cfg.Poll/quickEvery, min(f.cfg.Poll, time.Second))
}

func (f *Follower) run() {
	defer close(f.done)
	defer f.end()
	f.resume()
	f.interval = f.quick()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var whole, failed <-chan struct{}
		if f.fetching != nil {
			whole, failed = f.fetching.torrent.Done(), f.fetching.torrent.ended
		}
		select {
		case <-f.ctx.Done():
			return
		case item := <-f.hint:
			f.consider(item)
		case <-whole:
			f.adopt()
		case <-failed: // which was told; it is tried again at a later poll
			f.fetching = nil
		case <-timer.C:
			timer.Reset(f.poll())
		}
	}
}

func (f *Follower) end() {
	if f.unkeep != nil {
		f.unkeep()
	}
	f.dirs.close()
	if err := f.state.lock.Release(); err != nil {
		f.node.log.Warn("the lock of what is followed was not freed", "err", err)
	}
}

// resume takes up the version of the last run.
func (f *Follower) resume() {
	last := f.state.last
	if last.Seq == 0 {
		return
	}
	item, err := last.item(f.cfg.Link)
	if err != nil {
		f.warn(err)
		return
	}
	f.keep(item)
	ih, err := parsePointer(item.Value)
	if err != nil {
		return
	}
	t, err := f.node.Add(Spec{Link: pinned(f.cfg.Link, ih), Dir: f.dirs.path(last.Folder), Peers: f.cfg.Peers})
	if err != nil {
		f.warn(err)
		return
	}
	f.current.Store(t)
}

func (f *Follower) warn(err error) {
	f.node.Emit(Event{Kind: Warning, Err: asFault(err)}.About(f.current.Load()))
}

// poll asks for a newer version, and returns how long to wait for the next time.
func (f *Follower) poll() time.Duration {
	var after *int64
	if seq := f.newest(); seq > 0 {
		after = &seq
	}
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	g, err := f.node.dht.Get(ctx, f.target, f.cfg.Link.Salt, after, nil)
	f.mu.Lock()
	s := &f.stats
	s.Polls++
	s.Older += int64(g.Older)
	s.Unsigned += int64(g.Faults.Unsigned)
	s.Foreign += int64(g.Faults.Wrong)
	if g.Forked {
		s.Forked++
	}
	f.mu.Unlock()
	if err != nil || g.Answered == 0 {
		return min(pollRetry, f.cfg.Poll)
	}
	if g.Item != nil && f.consider(*g.Item) {
		f.interval = f.quick()
	} else {
		f.interval = min(f.interval+f.interval/2, f.cfg.Poll)
	}
	return f.interval
}

// newest is the highest number that is adopted, on its way, or refused.
func (f *Follower) newest() int64 {
	seq := max(f.state.last.Seq, f.refused)
	if f.fetching != nil {
		seq = max(seq, f.fetching.item.Seq)
	}
	return seq
}

// consider takes an item, whose signature was verified, and begins to fetch what it
// names if it is newer than all before; else it is refused.
func (f *Follower) consider(item DHTItem) bool {
	if item.Seq <= f.newest() {
		f.count(func(s *FollowStats) {
			last := f.state.last
			if item.Seq == last.Seq && !bytes.Equal(item.Value, last.Value) {
				s.Forked++
			} else if item.Seq < last.Seq {
				s.Older++
			}
		})
		return false
	}
	ih, err := parsePointer(item.Value)
	if err != nil {
		f.refused = item.Seq
		f.count(func(s *FollowStats) { s.Useless++ })
		f.warn(fmt.Errorf("version %d is passed over: %w", item.Seq, err))
		return false
	}
	if f.fetching != nil {
		f.drop()
	}
	fe := &fetch{item: item, ih: ih, name: versionName(item.Seq, ih.String())}
	if t := f.current.Load(); t != nil && f.state.last.InfoHash == ih.String() {
		// The same content under a new number: nothing to fetch.
		fe.name, fe.torrent = f.state.last.Folder, t
	} else {
		fe.torrent, err = f.node.Add(Spec{
			Link: pinned(f.cfg.Link, ih), Dir: f.dirs.path(fe.name), Peers: f.cfg.Peers,
			Prepare: func(info *metainfo.Info) error { return f.prepare(fe, info) },
		})
		if err != nil {
			f.warn(fmt.Errorf("version %d cannot be fetched: %w", item.Seq, err))
			return false
		}
	}
	f.fetching = fe
	f.tell(FoundVersion, fe)
	return true
}

func (f *Follower) count(with func(*FollowStats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	with(&f.stats)
}

// drop lets go of a version that another overtook.
func (f *Follower) drop() {
	fe := f.fetching
	f.fetching = nil
	if fe.torrent == f.current.Load() {
		return
	}
	fe.torrent.stop()
	<-fe.torrent.ended
	_ = f.dirs.root.RemoveAll(fe.name)
}

// prepare puts into the folder of a version what earlier ones have of it, when its
// metadata is known and nothing of it is on the disk.
func (f *Follower) prepare(fe *fetch, info *metainfo.Info) error {
	var from []source
	for _, name := range f.dirs.list() {
		if name == fe.name {
			continue
		}
		if t := readTorrent(f.state.torrentPath(name)); t != nil {
			from = append(from, source{name, t.Info})
		}
	}
	n, err := f.dirs.reuse(fe.name, info, from)
	fe.reused.Store(n)
	return err
}

// adopt makes the version that has become whole the current one.
func (f *Follower) adopt() {
	fe := f.fetching
	f.fetching = nil
	if err := f.install(fe); err != nil {
		f.warn(fmt.Errorf("version %d is whole, and cannot be made current: %w", fe.item.Seq, err))
		f.refused = fe.item.Seq
		return
	}
	old := f.current.Swap(fe.torrent)
	if old != nil && old != fe.torrent {
		old.stop()
		<-old.ended
	}
	f.clear()
	f.count(func(s *FollowStats) { s.Switched++ })
	f.keep(fe.item)
	f.tell(SwitchedVersion, fe)
}

// install seals a version, makes current lead to it, and remembers it.
func (f *Follower) install(fe *fetch) error {
	info := fe.torrent.Info()
	if info == nil {
		return ErrNoMetadata
	}
	if err := f.dirs.seal(fe.name, info); err != nil {
		return err
	}
	torrent := metainfo.Torrent{Info: info}
	if err := statefile.WriteSync(f.state.torrentPath(fe.name), torrent.Append(nil)); err != nil {
		return err
	}
	if err := f.dirs.switchTo(fe.name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.save(adopted{Seq: fe.item.Seq, InfoHash: fe.ih.String(), Folder: fe.name, Value: fe.item.Value, Sig: fe.item.Sig[:]})
}

// clear removes versions beyond those that are to be kept, and their metadata.
func (f *Follower) clear() {
	if err := f.dirs.prune(max(f.cfg.Keep, 0), f.state.last.Folder); err != nil {
		f.warn(fmt.Errorf("an earlier version could not be removed: %w", err))
	}
	there := map[string]bool{}
	for _, name := range f.dirs.list() {
		there[f.state.torrentPath(name)] = true
	}
	saved, _ := filepath.Glob(filepath.Join(f.state.path, "*.torrent"))
	for _, p := range saved {
		if !there[p] {
			os.Remove(p)
		}
	}
}

// keep has the publisher's item kept alive, if that was asked for.
func (f *Follower) keep(item DHTItem) {
	if !f.cfg.KeepAlive {
		return
	}
	if f.unkeep != nil {
		f.unkeep()
	}
	f.unkeep = f.node.keeper.Keep(item, false, func(r dht.TendReport, _ error) {
		if r.Fork != nil {
			f.count(func(s *FollowStats) { s.Forked++ })
		}
		if r.Newer != nil {
			select {
			case f.hint <- *r.Newer:
			default:
			}
		}
	})
}

func (f *Follower) tell(kind EventKind, fe *fetch) {
	f.node.Emit(Event{Kind: kind, Publication: &PublicationEvent{
		Link: f.cfg.Link.String(), Seq: fe.item.Seq, InfoHash: fe.ih.String(), Dir: f.dirs.path(fe.name),
		Reused: fe.reused.Load(), Fetched: fe.torrent.Snapshot().Downloaded}}.About(fe.torrent))
}
