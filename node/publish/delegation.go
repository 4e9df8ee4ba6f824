package publish

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/delegation"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/delegate"
)

// A publication can be under the link of another key, the master key, whose owner has delegated it
// to the key of this machine (docs/delegation.md). Its items are then signed with this machine's key,
// and the master's statement is republished too. The newest statement is in the state directory
// (package delegate), where the owner's own publications find it as well.

// checkDelegation returns an error if a delegation is not for this key and salt.
func (c *Config) checkDelegation() error {
	s := c.Delegation
	if s == nil {
		return nil
	}
	own := id.ID32(c.Key.Public().(ed25519.PublicKey))
	switch {
	case c.Secret:
		return errPrivateDelegation
	case own == s.Item.Key:
		return node.NewFault(node.FaultUsage, errors.New("the key is the master key of the delegation"), "publish without --delegation")
	case !bytes.Equal(s.Item.Salt, c.Salt):
		return node.NewFault(node.FaultUsage, fmt.Errorf("the delegation is for the salt %q, not for %q", s.Item.Salt, c.Salt), "")
	case !slices.Contains(s.Keys, own):
		return node.NewFault(node.FaultUsage, fmt.Errorf("the delegation does not name the key %s", own), "ask the owner of the publication for a file that names it")
	}
	return nil
}

var errPrivateDelegation = node.NewFault(node.FaultUsage, errors.New("a private publication cannot be delegated: its items are signed with a key that is made from its secret"),
	"leave out --delegation, or publish for everyone with another key or --salt and without --secret")

// setDelegation records that the publication is under the link of a statement. joined says that it
// was not before. The caller holds making and mu.
func (p *Publication) setDelegation(s *delegate.Statement) (joined bool, err error) {
	if !p.secret.IsZero() {
		return false, errPrivateDelegation
	}
	master := id.ID32(s.Item.Key).String()
	if was := p.folder.file.Master; was != "" && was != master {
		return false, node.NewFault(node.FaultConflict, fmt.Errorf("this is published under the link of another master key, %s", was), "publish with another key or salt")
	}
	if err := delegate.Open(p.publisher.node.StateDir()).Save(s); err != nil {
		return false, err
	}
	joined = p.folder.file.Master == ""
	p.folder.file.Master = master
	return joined, nil
}

// statement returns the newest known statement about the publication, or nil.
func (p *Publication) statement() (*delegate.Statement, error) {
	l, err := p.folder.file.link()
	if err != nil {
		return nil, err
	}
	return delegate.Open(p.publisher.node.StateDir()).Load(l.PublicKey, l.Salt)
}

// found is what a lookup of a publication has found.
type found struct {
	delegation.Version                     // the newest one of all publishers; Number is 0 if there is none
	statement          *mutable.Delegation // nil if the publication is not delegated
	own                *dht.Item           // at the target of the publication's own key, or nil
	signedHere         bool                // own is the statement, which the owner has signed on this machine
	after              int64               // the number that the next item of the own key must exceed
}

// lookup asks the DHT for the newest version. If the content has not changed, an unreachable DHT is
// not an error, and a delegation that does not hold is a warning.
func (p *Publication) lookup(ctx context.Context, fresh bool) (f found, err error) {
	look := ctx
	if !fresh {
		var cancel context.CancelFunc
		look, cancel = context.WithTimeout(ctx, lookTimeout)
		defer cancel()
	}
	l, err := p.folder.file.link()
	if err != nil {
		return f, err
	}
	j := delegation.New(l)
	st, err := p.statement()
	if err != nil {
		return f, err
	}
	if st != nil {
		_ = j.Offer(node.SignedItem(st.Item), time.Time{}) // it is signed, and the first one
	}
	own := id.ID32(p.key.Public().(ed25519.PublicKey))
	lookups, _, err := p.publisher.items.FindNewest(look, l, j)
	if err != nil && (fresh || ctx.Err() != nil) {
		return f, err
	}
	f.own = lookups[own].Item
	f.Version, _ = j.Newest()
	f.statement = j.Statement()
	f.signedHere = st != nil && f.own != nil && f.own.Key == st.Item.Key && f.own.Seq == st.Item.Seq && bytes.Equal(f.own.Value, st.Item.Value)
	f.after = j.After(own)
	if p.folder.file.Master == "" {
		return f, nil
	}
	if i, ok := j.Item(l.PublicKey); ok && f.statement != nil {
		p.learn(node.ItemOf(l, i))
	}
	if err := p.mayPublish(j, own); err != nil {
		if fresh {
			return f, err
		}
		p.warn(err)
	}
	return f, nil
}

// learn stores a statement that the DHT has.
func (p *Publication) learn(i dht.Item) {
	s, err := delegate.Of(i)
	if err == nil {
		err = delegate.Open(p.publisher.node.StateDir()).Save(s)
	}
	if err != nil {
		p.warn(fmt.Errorf("cannot store the delegation with the number %d: %w", i.Seq, err))
	}
}

// mayPublish returns an error if the statement does not let this key publish. It warns if it
// expires soon.
func (p *Publication) mayPublish(j *delegation.Judge, own id.ID32) error {
	if !slices.Contains(j.Keys(), own) {
		return node.NewFault(node.FaultPermission, fmt.Errorf("the key %s no longer publishes under this link: the owner's newest statement does not name it", own), delegate.AskOwner)
	}
	expired, err := delegate.CheckExpiry(j.Statement().Expiry, time.Now(), delegate.AskOwner)
	if expired {
		return err
	}
	if err != nil {
		p.warn(err)
	}
	return nil
}

// isOthers reports whether the newest version was not published from here, though this machine's
// key may have signed it.
func (p *Publication) isOthers(f *found) bool {
	if f.own != nil && !f.signedHere && p.isForeign(f.own) {
		return true
	}
	last := p.folder.file.last()
	if f.statement == nil || f.Number == 0 || f.Item.Key == id.ID32(p.key.Public().(ed25519.PublicKey)) {
		return false // own says it all
	}
	return last == nil || f.Number > last.Seq || f.Number == last.Seq && f.InfoHash.String() != last.InfoHash
}

// othersConflict returns the fault for a version that was not published from here.
func (p *Publication) othersConflict(f *found) error {
	if f.own != nil && !f.signedHere && p.isForeign(f.own) {
		return p.conflict(f.own)
	}
	return node.NewFault(node.FaultConflict,
		fmt.Errorf("version %d of this publication is the torrent %s and was not published from here: the key %s has signed it", f.Number, f.InfoHash, f.Item.Key),
		"use --overrule to continue from that version")
}

// keepStatement republishes the statement of the master key and pushes it to the connected followers
// until stop is called. When a newer one is in the DHT or in the state directory, or comes from a peer, it takes
// that.
func (p *Publication) keepStatement() (stop func()) {
	if p.folder.file.Master == "" {
		return func() {}
	}
	s, err := p.statement()
	if err == nil && s == nil {
		err = errors.New("there is none in the state directory")
	}
	if err != nil {
		p.warn(fmt.Errorf("the delegation is not republished: %w", err))
		return func() {}
	}
	k := &statementKeeper{p: p, key: s.Item.Key, salt: s.Item.Salt, warned: time.Now(), look: make(chan *dht.Item, 1), done: make(chan struct{})}
	k.pushes = p.publisher.items.Subscribe(s.Item.Key, s.Item.Salt, func(i dht.Item) { k.lookAgain(&i) })
	k.pushes.SetTorrents(infohashes(p.torrent.Load(), nil)...)
	k.keep(s)
	p.publisher.wg.Go(k.run)
	return k.close
}

// statementKeeper republishes and pushes the newest statement of a master key.
type statementKeeper struct {
	p      *Publication
	key    id.ID32 // the master key
	salt   []byte
	warned time.Time      // when the last warning about the expiry was due; of the rounds, which do not overlap
	look   chan *dht.Item // a newer statement, or nil to look for one in the state directory
	done   chan struct{}
	pushes *node.ItemSubscription

	mu     sync.Mutex // not held during a lookup, unlike making
	kept   *delegate.Statement
	stop   func() // stops republishing kept
	closed bool
}

// run takes newer statements until close is called.
func (k *statementKeeper) run() {
	for {
		select {
		case newer := <-k.look:
			if newer != nil {
				k.p.learn(*newer)
			}
			if s, err := delegate.Open(k.p.publisher.node.StateDir()).Load(k.key, k.salt); err == nil && s != nil {
				k.keep(s)
			}
		case <-k.done:
			return
		}
	}
}

// lookAgain makes run look for a newer statement. What it misses because run is busy is found in a later round.
func (k *statementKeeper) lookAgain(newer *dht.Item) {
	select {
	case k.look <- newer:
	default:
	}
}

// keep republishes and pushes s in place of an earlier statement.
func (k *statementKeeper) keep(s *delegate.Statement) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.kept != nil && s.Item.Seq <= k.kept.Item.Seq {
		return
	}
	if k.stop != nil {
		k.stop()
	}
	k.kept = s
	k.stop = k.p.publisher.items.Keep(s.Item, false, func(r dht.RepublishReport, _ error) { k.round(s, r.Newer) })
	k.pushes.Push(s.Item)
	if f := k.p.publisher.fence; f != nil {
		k.p.publisher.wg.Go(func() { k.p.shareStatement(s) })
	}
}

// shareStatement records a statement in the object store, so that other machines republish it while this one is off.
func (p *Publication) shareStatement(s *delegate.Statement) {
	f := p.publisher.fence
	err := f.patiently(p.ctx, nil, func() error {
		return f.change(p.ctx, p.target, func(r *sharedRecord) bool { return r.setStatement(s) })
	})
	if err != nil && p.ctx.Err() == nil {
		p.warn(fmt.Errorf("other machines with the object store do not republish the delegation: %w", err))
	}
}

func (k *statementKeeper) close() {
	k.pushes.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.stop()
	close(k.done)
}

// round handles the report of one round of the dht.Keeper in which kept was republished.
func (k *statementKeeper) round(kept *delegate.Statement, newer *dht.Item) {
	if now := time.Now(); now.Sub(k.warned) > 24*time.Hour {
		if _, err := delegate.CheckExpiry(kept.Expiry, now, delegate.AskOwner); err != nil {
			k.warned = now
			k.p.warn(err)
		}
	}
	k.lookAgain(newer) // a report must not stop its item
}

// carried returns the statement that the owner's next version must repeat, because its item takes
// the place of the statement; nil if there is none.
func (f *found) carried() *mutable.Delegation {
	if f.statement == nil {
		return nil
	}
	d := *f.statement
	d.Number = 0 // that of the item
	return &d
}
