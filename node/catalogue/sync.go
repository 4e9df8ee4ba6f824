package catalogue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
)

// sync lists the store once and does what follows. more says that there is more to load than one round loads.
func (c *Catalogue) sync(ctx context.Context) (more bool, err error) {
	if err := c.adopt(ctx); err != nil {
		return false, err
	}
	c.mu.Lock()
	c.round++
	round := c.round
	c.mu.Unlock()
	fresh, leftOut, more, listErr := c.list(ctx, round)
	l := loader{c: c, round: round, bytes: semaphore.NewWeighted(maxLoadingBytes)}
	loadErr := l.load(ctx, fresh)
	l.warnRest()
	var removeErr error
	if listErr == nil && !more && ctx.Err() == nil { // the listing went to the end
		removeErr = c.removeAbsent(ctx, round, c.now())
		c.mu.Lock()
		c.dropFailures(round)
		c.status.Listed, c.status.LeftOut = time.Now(), leftOut
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.count()
	c.mu.Unlock()
	return more && l.kept > 0, errors.Join(listErr, loadErr, removeErr, c.kept.Sync())
}

// list marks the entries that the store still has, and returns the objects that are new or have changed. Those that could not be
// loaded before come last.
func (c *Catalogue) list(ctx context.Context, round uint32) (fresh []objectstore.Object, leftOut int, more bool, err error) {
	var again []objectstore.Object // a sample of maxAgain
	c.listed = 0
	due := 0 // objects that the sample is of
	for o, listErr := range c.store.List(ctx, folder) {
		if listErr != nil {
			err = listErr
			break
		}
		c.listed++
		if !strings.HasSuffix(o.Name, suffix) || o.Size == 0 {
			continue
		}
		m := c.mark(keyOf(o.Name), versionOf(&o), round, len(fresh)+len(again))
		switch {
		case m == isKnown:
		case m == hasNoRoom:
			leftOut++
		case len(fresh)+len(again) == maxRound:
			return append(fresh, again...), leftOut, true, nil
		case m == isNew:
			fresh = append(fresh, o)
		default:
			if due++; len(again) < maxAgain {
				again = append(again, o)
			} else if i := rand.IntN(due); i < maxAgain {
				again[i] = o
			}
		}
	}
	return append(fresh, again...), leftOut, false, err
}

// marked says what is to be done with an object that is listed.
type marked uint8

const (
	isKnown   marked = iota // nothing: it has not changed, and the node has its torrent, or it is left out for now
	isNew                   // load it
	isAgain                 // load it; that has failed before
	hasNoRoom               // nothing: the catalogue is full
)

// mark notes that a listing has an object. loading is the number of those that are to be loaded.
func (c *Catalogue) mark(key id.ID, version uint64, round uint32, loading int) marked {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if ok {
		e.round, e.absent = round, 0
		c.entries[key] = e
	}
	failedBefore, isLeftOut := c.failed(key, version, round)
	switch {
	case ok && e.version == version && (e.kind == refused || c.node.Torrent(e.infohash) != nil), isLeftOut:
		return isKnown
	case failedBefore:
		return isAgain
	case !ok && len(c.entries)+len(c.failures)+loading >= maxTorrents:
		return hasNoRoom
	}
	return isNew
}

// removeAbsent removes the torrents whose objects have been absent for long enough.
func (c *Catalogue) removeAbsent(ctx context.Context, round, now uint32) error {
	c.mu.Lock()
	a := absence{known: len(c.entries)}
	for _, e := range c.entries {
		if e.round != round {
			a.absent++
		}
	}
	isRelieved := c.isSuspicious && !a.isSuspicious()
	var gone []id.ID
	for key, e := range c.entries {
		if e.round == round {
			continue
		}
		if isRelieved {
			e.absent = 0
		}
		e.noteAbsence(now)
		c.entries[key] = e
		if e.isGone(now, a.patience()) {
			gone = append(gone, key)
		}
	}
	isNew := a.isSuspicious() && len(gone) == 0 && !c.isSuspicious
	c.isSuspicious = a.isSuspicious()
	c.status.Absent = a.absent - len(gone)
	c.mu.Unlock()
	if isNew {
		c.warn(fmt.Errorf("%d of the %d torrents of the catalogue in %s are gone at once; they are removed in an hour unless they come back", a.absent, a.known, c.store.Location().Name(folder)))
	}
	if err := c.removeAll(ctx, gone); err != nil {
		return fmt.Errorf("torrents that have left the catalogue cannot be removed: %w", err)
	}
	return nil
}
