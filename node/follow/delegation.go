package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// The owner of the key in the link can name other keys that publish too: see
// docs/delegation.md and package delegation. The item that names them is looked up once every
// Config.Poll, and the items of the named keys at each poll.

// recall lets the items that counted in the last run count again.
func (f *Follower) recall() {
	r := &f.folder.file
	if s := r.Statement; s != nil {
		i := delegation.Item{Key: f.cfg.Link.PublicKey, Seq: s.Seq, Value: s.Value}
		copy(i.Sig[:], s.Sig)
		_ = f.judge.Offer(i, time.Time{})
	}
	if r.Seq == 0 {
		return
	}
	item, err := r.current.item(f.cfg.Link)
	if err != nil {
		f.warn(err)
		return
	}
	_ = f.judge.Offer(node.SignedItem(item), time.Time{}) // its key may have been revoked since
}

// look looks up the items of the keys that publish. It returns false if no node answered.
func (f *Follower) look(ctx context.Context) bool {
	f.count(func(s *Stats) { s.Polls++ })
	keys := f.judge.Keys()
	if len(keys) == 1 || !time.Now().Before(f.masterDue) {
		if !f.get(ctx, keys[:1]) {
			return false
		}
		f.masterDue = time.Now().Add(f.cfg.Poll)
		keys = f.judge.Keys()
	}
	return len(keys) == 1 || f.get(ctx, keys[1:])
}

// get looks up the items of some keys, all at the same time.
func (f *Follower) get(ctx context.Context, keys []id.ID32) (answered bool) {
	salt := f.cfg.Link.Salt
	found := make([]dht.GetReport, len(keys))
	var wg sync.WaitGroup
	for k, key := range keys {
		var after *int64
		if seq := f.judge.After(key); seq > 0 {
			after = &seq
		}
		wg.Go(func() {
			g, err := f.items.Get(ctx, dht.ItemTarget(key, salt), salt, after)
			if err != nil {
				g.Item, g.Answered = nil, 0
			}
			found[k] = g
		})
	}
	wg.Wait()
	for _, g := range found {
		f.count(func(s *Stats) {
			s.Older += int64(g.Older)
			s.Unsigned += int64(g.Faults.Unsigned)
			s.Foreign += int64(g.Faults.Wrong)
			if g.Forked {
				s.Forked++
			}
		})
		answered = answered || g.Answered > 0
		if g.Item != nil {
			f.consider(*g.Item)
		}
	}
	return answered
}

// consider lets an item whose signature is valid count, or counts in Stats why it does not.
func (f *Follower) consider(item dht.Item) {
	err := f.judge.Offer(node.SignedItem(item), time.Now())
	var expired *delegation.ExpiredError
	switch {
	case err == nil:
		if item.Key == f.cfg.Link.PublicKey {
			f.noteStatement(item)
			f.subscribe()
		}
		f.push(item)
	case errors.Is(err, delegation.ErrKnown):
	case errors.Is(err, delegation.ErrOlder):
		f.count(func(s *Stats) { s.Older++ })
	case errors.Is(err, delegation.ErrForked):
		f.count(func(s *Stats) { s.Forked++ })
	case errors.Is(err, delegation.ErrForeign):
		f.count(func(s *Stats) { s.Foreign++ })
	case errors.As(err, &expired):
		f.count(func(s *Stats) { s.Expired++ })
		f.warn(node.NewFault(node.FaultPermission, fmt.Errorf("version %d is ignored: %w", item.Seq, err),
			"ask the owner of the publication to renew the delegation, or correct the clock of this machine"))
	default:
		f.count(func(s *Stats) { s.Useless++ })
		f.warn(fmt.Errorf("version %d is ignored: %w", item.Seq, err))
	}
}

// noteStatement records a new item of the key in the link, if other keys publish now or did
// before, so that no earlier one counts after a restart.
func (f *Follower) noteStatement(item dht.Item) {
	r := f.folder.file
	if f.judge.Statement() == nil && r.Statement == nil {
		return
	}
	r.Statement = &signedItem{item.Seq, item.Value, item.Sig[:]}
	if err := f.folder.save(&r); err != nil {
		f.warn(fmt.Errorf("cannot record who publishes: %w", err))
	}
	f.mu.Lock()
	f.folder.file = r
	f.mu.Unlock()
	f.keep()
}

// itemsToKeep returns the items without which the link would not lead to the current version.
func (f *Follower) itemsToKeep() (items []dht.Item) {
	r, l := &f.folder.file, f.cfg.Link
	if r.Statement != nil {
		if s, ok := f.judge.Item(l.PublicKey); ok {
			items = append(items, node.ItemOf(l, s))
		}
	}
	if r.Seq == 0 {
		return items
	}
	item, err := r.current.item(l)
	if err != nil || r.Statement != nil && (item.Key == l.PublicKey || f.isRevoked(&r.current)) {
		return items
	}
	return append(items, item)
}

// isRevoked reports whether the key that has signed a version does not publish any more.
func (f *Follower) isRevoked(c *current) bool {
	if c.Signer == "" {
		return false
	}
	for _, key := range f.judge.Keys() {
		if key.String() == c.Signer {
			return false
		}
	}
	return true
}

// reportRevoked warns if the current version is to be replaced by v because its key was revoked.
func (f *Follower) reportRevoked(v delegation.Version) {
	if now := &f.folder.file.current; f.isRevoked(now) {
		f.warn(node.NewFault(node.FaultPermission, fmt.Errorf("version %d does not count any more: the owner of the publication has revoked the key %.8s, which has signed it", now.Seq, now.Signer),
			fmt.Sprintf("version %d takes its place", v.Number)))
	}
}

// currentOf returns what is recorded of a version when it is adopted.
func currentOf(l *magnet.Link, fe *fetch) current {
	c := current{Seq: fe.seq, InfoHash: fe.ih.String(), Folder: fe.name, Value: fe.item.Value, Sig: fe.item.Sig[:]}
	if fe.item.Key != l.PublicKey {
		c.Signer = id.ID32(fe.item.Key).String()
	}
	if fe.item.Seq != fe.seq {
		c.ItemSeq = fe.item.Seq
	}
	return c
}

// delegation returns the recorded statement, or nil.
func (r *record) delegation(l *magnet.Link) *mutable.Delegation {
	if r.Statement == nil {
		return nil
	}
	v, _ := mutable.Read(l, r.Statement.Value) // it need not name a torrent
	return v.Delegation
}
