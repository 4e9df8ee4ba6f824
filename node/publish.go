package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// PublishConfig says what to publish under a key.
type PublishConfig struct {
	Key     ed25519.PrivateKey
	KeyName string // as it is called here, for the record
	Salt    []byte // one of several publications of a key; at most 64 bytes
	Path    string // "": where it was the last time
	// Options make the torrent; nil are those of the last time, or of a plain hybrid.
	Options *ShareOptions
	// Warn and Progress are those of ShareOptions.
	Warn     func(error)
	Progress func(done, total int64)
	// Rollback, if not 0, publishes that earlier version again, under a new number.
	Rollback int64
	// Overrule goes on from a version that somebody else has put under the key.
	Overrule bool
}

// A Publication is a file or folder that is shared under a key: its newest version is
// seeded, and the item that names it is kept alive in the DHT. Its methods may be
// called from any goroutine.
type Publication struct {
	node   *Node
	key    ed25519.PrivateKey
	target id.ID
	remove func() // takes back OnClose

	mu      sync.Mutex // held while a version is made
	state   *publicationState
	options ShareOptions
	print   create.Fingerprint // of the files as they were published
	torrent atomic.Pointer[Torrent]
	unkeep  func()
	told    int64 // number of a stranger's item that was told of
	spoken  bool  // what became of the newest item was told
	held    bool  // nodes hold it, as far as was told
	ended   bool
}

// Publish publishes a file or folder, and what has changed of it since the last time.
func (n *Node) Publish(ctx context.Context, cfg PublishConfig) (_ *Publication, err error) {
	if n.dht == nil {
		return nil, &Fault{Kind: FaultUsage, Err: errors.New("to publish under a key takes the DHT, which is off"), hint: "leave out --no-dht"}
	}
	public := [ed25519.PublicKeySize]byte(cfg.Key.Public().(ed25519.PublicKey))
	target := dht.ItemTarget(public, cfg.Salt)
	if cfg.Options != nil && cfg.Options.Private {
		return nil, &Fault{Kind: FaultUsage, Err: errors.New("a private torrent is kept out of the DHT, where followers look for it"), hint: "publish without --private, or share it with seedbed seed"}
	}
	ctx, cancel := n.within(ctx)
	defer cancel()
	// What cannot be signed is refused before anything is hashed.
	if _, err := dht.SignItem(cfg.Key, cfg.Salt, 1, pointer(&metainfo.Info{})); err != nil {
		return nil, &Fault{Kind: FaultUsage, Err: err}
	}
	st, err := n.state.openPublication(target)
	if err != nil {
		return nil, err
	}
	p := &Publication{node: n, key: cfg.Key, target: target, state: st}
	if p.remove, err = n.OnClose(p.Close); err != nil {
		return nil, errors.Join(err, st.close())
	}
	n.mu.Lock()
	n.published[p] = struct{}{}
	n.mu.Unlock()
	defer func() {
		if err != nil {
			p.Close() // after mu is let go
		}
	}()
	f := &st.file
	f.Key, f.Salt = id.ID32(public).String(), cfg.Salt
	if cfg.KeyName != "" {
		f.KeyName = cfg.KeyName
	}
	if cfg.Path != "" {
		if f.Path, err = filepath.Abs(cfg.Path); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.Options != nil:
		f.Options = recorded(*cfg.Options)
	case len(f.Versions) == 0:
		f.Options = recordOptions{Format: metainfo.Hybrid}
	}
	if f.Path == "" {
		return nil, &Fault{Kind: FaultUsage, Err: errors.New("nothing was published under this key yet"), hint: "name the file or folder to publish"}
	}
	p.options = f.Options.share()
	p.options.Warn, p.options.Progress = cfg.Warn, cfg.Progress
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case cfg.Rollback != 0:
		err = p.rollback(ctx, cfg.Rollback, cfg.Overrule)
	case cfg.Path == "" && f.RolledBack:
		err = p.rollback(ctx, st.last().Seq, cfg.Overrule) // until the folder is published again
	default:
		_, err = p.update(ctx, cfg.Overrule)
	}
	p.options.Progress = nil
	return p, err
}

// isPublished reports whether a torrent is the newest version of a publication.
func (n *Node) isPublished(t *Torrent) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.published {
		if p.Torrent() == t {
			return true
		}
	}
	return false
}

// Link is the link that followers open.
func (p *Publication) Link() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link()
}

func (p *Publication) link() string {
	name := ""
	if v := p.state.last(); v != nil {
		name = v.Name
	}
	return linkOfKey([ed25519.PublicKeySize]byte(p.key.Public().(ed25519.PublicKey)), p.state.file.Salt, name).String()
}

// Torrent is the torrent of the newest version.
func (p *Publication) Torrent() *Torrent { return p.torrent.Load() }

// Update looks whether the files have changed, and if so makes and puts the next
// version. Only files that were touched are hashed.
func (p *Publication) Update(ctx context.Context) (changed bool, err error) {
	ctx, cancel := p.node.within(ctx)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false, ErrClosed
	}
	return p.update(ctx, false)
}

// Watch calls Update when the files have changed and then been left alone for a
// while, until ctx ends; every is how often it is looked.
func (p *Publication) Watch(ctx context.Context, every time.Duration) error {
	var last, failed create.Fingerprint
	wait := every
	for {
		if err := sleep(ctx, wait); err != nil {
			return nil
		}
		p.mu.Lock()
		path, options, published := p.state.file.Path, p.options, p.print
		p.mu.Unlock()
		began := time.Now()
		now, err := create.Print(path, options)
		wait = max(every, watchShare*time.Since(began)) // a large folder is not walked all the time
		settled := err == nil && now == last
		last = now
		if !settled || now == published || now == failed {
			continue
		}
		if _, err := p.Update(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var f *Fault
			if errors.As(err, &f) && f.Kind == FaultConflict {
				return err
			}
			failed = now // it is tried again when something changes
			p.node.Emit(Event{Kind: Warning, Err: fmt.Errorf("what has changed is not published: %w", asFault(err))}.About(p.Torrent()))
		}
	}
}

// watchShare bounds the share of a processor that watching takes: one in so many.
const watchShare = 20

// update is Update with mu held.
func (p *Publication) update(ctx context.Context, overrule bool) (bool, error) {
	o := p.options
	o.Before = p.state.before()
	path := p.state.file.Path
	made, err := Make(ctx, path, o)
	if err != nil {
		return false, err
	}
	spec, err := MadeSpec(path, made)
	if err != nil {
		return false, err
	}
	v := p.state.last()
	p.state.file.RolledBack = false
	fresh := v == nil || v.InfoHash != made.Info.Hash.String() || v.InfoHashV2 != hexV2(made.Info)
	if err := p.release(ctx, spec, fresh, overrule); err != nil {
		return false, err
	}
	p.print = made.Print
	if err := p.state.keepStamps(made); err != nil {
		p.node.log.Warn("what the files are like could not be saved; they are hashed again next time", "err", err)
	}
	return fresh, nil
}

// rollback publishes the torrent of an earlier version, or goes on with that. Its data
// comes from the path, if that holds it again, or else from those who have kept it.
// What is in the path is not published again before it changes, or is named.
func (p *Publication) rollback(ctx context.Context, seq int64, overrule bool) (err error) {
	k := slices.IndexFunc(p.state.file.Versions, func(v Version) bool { return v.Seq == seq })
	if k < 0 {
		return &Fault{Kind: FaultUsage, Err: fmt.Errorf("there is no version %d of this publication", seq), hint: "seedbed publish --history lists them"}
	}
	v := p.state.file.Versions[k]
	torrent := p.state.torrent(&v)
	if torrent == nil {
		return &Fault{Kind: FaultVanished, Err: fmt.Errorf("the torrent of version %d is not in the state directory any more", seq)}
	}
	fresh := k != len(p.state.file.Versions)-1
	p.state.file.RolledBack = true
	if p.print, err = create.Print(p.state.file.Path, p.options); err != nil {
		p.print = create.Fingerprint{} // the folder is gone
	}
	o := p.options
	o.Before = p.state.before()
	if made, err := Make(ctx, p.state.file.Path, o); err == nil && made.Info.Hash == torrent.Info.Hash {
		spec, err := MadeSpec(p.state.file.Path, made)
		if err != nil {
			return err
		}
		return p.release(ctx, spec, fresh, overrule)
	}
	dir := filepath.Join(p.state.path, "data", fmt.Sprint(seq))
	p.node.Emit(Event{Kind: Warning, Err: &Fault{Err: fmt.Errorf("%s does not hold version %d any more", p.state.file.Path, seq),
		hint: "it is fetched from those who have kept it, into " + dir}})
	return p.release(ctx, Spec{Torrent: torrent, Dir: dir}, fresh, overrule)
}

// release seeds a version, puts its item if it is a fresh one, and keeps that alive.
func (p *Publication) release(ctx context.Context, spec Spec, fresh, overrule bool) error {
	item, cas, err := p.current(ctx, spec.Torrent, &fresh, overrule)
	if err != nil {
		return err
	}
	t, err := p.node.Add(spec)
	if errors.Is(err, ErrDuplicate) {
		t, err = p.node.lookup(spec.InfoHash()), nil
	}
	if err != nil {
		return err
	}
	if old := p.torrent.Swap(t); old != nil && old != t && !p.node.isPublished(old) {
		old.stop()
	}
	p.spoken, p.held = false, false
	just := fresh && p.put(ctx, item, cas)
	if p.unkeep != nil {
		p.unkeep()
	}
	p.unkeep = p.node.keeper.Keep(item, just, p.tended)
	return nil
}

// current is the item for a torrent: signed and on record with a new number if it is
// a fresh one, or else the latest. cas is the number that the DHT has, if any.
func (p *Publication) current(ctx context.Context, torrent *metainfo.Torrent, fresh *bool, overrule bool) (item DHTItem, cas *int64, err error) {
	last := p.state.last()
	if !*fresh && !overrule {
		item, err = p.state.file.item(last)
		return item, nil, err
	}
	var seq int64
	if last != nil {
		seq = last.Seq
	}
	// What others see may be ahead of us: the key is used elsewhere too, or our
	// record is an old one.
	g, err := p.node.dht.Get(ctx, p.target, p.state.file.Salt, nil, nil)
	if err != nil {
		return item, nil, err
	}
	switch s := g.Item; {
	case s != nil && p.strange(s) && !overrule:
		return item, nil, p.conflict(s)
	case s != nil && p.strange(s):
		seq, cas, *fresh = max(seq, s.Seq), &s.Seq, true
	case !*fresh:
		item, err = p.state.file.item(last)
		return item, nil, err
	case s != nil:
		cas = &s.Seq
	}
	if seq == math.MaxInt64 {
		return item, nil, &Fault{Kind: FaultConflict, Err: errors.New("the number of the newest version is the highest there is: no other can follow"), hint: "publish under another key or salt"}
	}
	info := torrent.Info
	if item, err = dht.SignItem(p.key, p.state.file.Salt, seq+1, pointer(info)); err != nil {
		return item, nil, err
	}
	err = p.state.add(Version{
		Seq: item.Seq, InfoHash: info.Hash.String(), InfoHashV2: hexV2(info), Name: info.Name, Size: info.Payload(), Files: info.Stored(),
		Time: time.Now().UTC().Truncate(time.Second), Value: item.Value, Sig: item.Sig[:],
	}, torrent)
	return item, cas, err
}

func hexV2(i *metainfo.Info) string {
	if !i.HasV2() {
		return ""
	}
	return i.HashV2.String()
}

// put puts a new version and reports whether nodes hold it; if not, the keeper goes
// on trying.
func (p *Publication) put(ctx context.Context, item DHTItem, cas *int64) bool {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	r, err := p.node.dht.Put(ctx, item, cas)
	var raced *DHTCASError
	switch {
	case errors.As(err, &raced) && r.Item != nil && p.strange(r.Item):
		p.told = r.Item.Seq
		p.node.Emit(Event{Kind: Warning, Err: p.conflict(r.Item)}.About(p.Torrent()))
		return false
	case err != nil:
		p.node.log.Debug("the item was not put", "err", err)
	}
	p.tell(item.Seq, r.Kept, len(r.Nodes))
	return r.Kept > 0
}

// putTimeout bounds the first put: the torrent is shared all the while.
const putTimeout = 30 * time.Second

// tell says where the newest item is.
func (p *Publication) tell(seq int64, kept, nodes int) {
	p.spoken, p.held = true, kept > 0
	p.node.Emit(Event{Kind: PublishedItem, Publication: &PublicationEvent{Link: p.link(), Seq: seq, Kept: kept, Nodes: nodes}}.About(p.Torrent()))
}

// strange reports whether an item is none that this record knows, and is not older
// than those.
func (p *Publication) strange(i *DHTItem) bool {
	last := p.state.last()
	return last == nil || i.Seq > last.Seq || i.Seq == last.Seq && !bytes.Equal(i.Value, last.Value)
}

func (p *Publication) conflict(i *DHTItem) error {
	what := "something else"
	if ih, err := parsePointer(i.Value); err == nil {
		what = "the torrent " + ih.String()
	}
	return &Fault{Kind: FaultConflict, Err: fmt.Errorf("version %d of this key names %s, and was not published from here: the key is used on another machine, or this state directory is an old copy", i.Seq, what),
		hint: "publish from one machine only; to go on from here all the same, --overrule"}
}

// tended hears of each round of the keeper. It tells once where the item is, or that
// it is nowhere, and then that it got somewhere; and once of what a stranger put.
func (p *Publication) tended(r dht.TendReport, _ error) {
	go func() { // the keeper waits for nobody who holds mu
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ended {
			return
		}
		s := r.Newer
		if s == nil {
			s = r.Fork
		}
		if s != nil && p.strange(s) && p.told != s.Seq {
			p.told = s.Seq
			p.node.Emit(Event{Kind: Warning, Err: p.conflict(s)}.About(p.Torrent()))
		}
		if r.Newer == nil && (!p.spoken || !p.held && r.Kept > 0) {
			p.tell(p.state.last().Seq, r.Kept, len(r.Nodes))
		}
	}()
}

// Close ends the keeping of the item; the torrent goes on until the node ends.
func (p *Publication) Close() {
	p.remove()
	p.node.mu.Lock()
	delete(p.node.published, p)
	p.node.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	if p.unkeep != nil {
		p.unkeep()
	}
	if err := p.state.close(); err != nil {
		p.node.log.Warn("the lock of a publication was not freed", "err", err)
	}
}
