package publish

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// A node with an object store is one of several that may publish under the same keys. The number of a version is
// taken in the store:
//
//  1. A publisher reads the record of the publication there, and adopts the versions that it does not know (adopt.go).
//  2. It signs the version with the next number, and writes the record with it on the condition that nobody
//     has written it since. Until that has succeeded, the signed item does not leave the process.
//  3. It puts the item. If it dies before, the next publisher adopts the version and puts its item.
//
// So there are never two values with one number, and every version that was put is in the record until maxShared
// versions have followed. What happened to a write whose answer was lost is found out by reading.
//
// A store that ignores conditions has one publisher (lease.go), which reads the record before each write instead.

// fence takes numbers of publications in an object store.
type fence struct {
	store *objectstore.Store
	self  string // the publisher; see publisherID
	lease *lease

	turn        turn // held while ready runs; guards the fields below
	checked     bool // whether the store has conditional writes is known
	conditional bool // it has
}

// errOvertaken reports that another publisher has written the record first.
var errOvertaken = errors.New("another publisher has published meanwhile")

// newFence returns the fence of a node, or nil if the node has no object store.
func newFence(n *node.Node) (*fence, error) {
	o := n.Objects()
	if o == nil {
		return nil, nil
	}
	self, err := publisherID(n.StateDir())
	if err != nil {
		return nil, err
	}
	return &fence{store: o.Store, self: self, lease: newLease(o.Store, self), turn: newTurn()}, nil
}

// publisherID returns the random identifier of the publisher with a state directory.
func publisherID(state string) (string, error) {
	path := filepath.Join(publicationsDir(state), "publisher")
	b, err := statefile.Read(path)
	if text := strings.TrimSpace(string(b)); err == nil && text != "" && len(text) <= maxSharedText {
		return text, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := statefile.MkdirAll(filepath.Dir(path)); err != nil {
		return "", err
	}
	text := rand.Text()
	return text, statefile.WriteSync(path, []byte(text+"\n"))
}

// ready reports whether the store has conditional writes, and returns an error if this publisher must not write now. The
// error is a node.Fault if another publisher has the lease. It is called before each write.
func (f *fence) ready(ctx context.Context) (isConditional bool, err error) {
	if err := f.turn.lockWithin(ctx); err != nil {
		return false, err
	}
	defer f.turn.Unlock()
	if !f.checked {
		err := f.store.CheckConditions(ctx, objectstore.OwnFolder+"/check/")
		if err != nil && !errors.Is(err, objectstore.ErrNoConditions) {
			return false, err
		}
		f.checked, f.conditional = true, err == nil
	}
	if f.conditional {
		err = f.awaitUnleased(ctx)
	} else {
		err = f.lease.take(ctx)
	}
	if errors.Is(err, errLeased) {
		err = f.refused()
	}
	return f.conditional, err
}

// awaitUnleased waits until no other publisher has a lease. One has it if it found no conditional writes.
func (f *fence) awaitUnleased(ctx context.Context) error {
	abandoned, err := f.lease.awaitFree(ctx)
	if abandoned { // so that nobody waits for it again
		err = f.store.Remove(ctx, leaseName)
	}
	return err
}

// refused returns the fault for a lease of another publisher.
func (f *fence) refused() error {
	why, hint := "this object store has no conditional writes", "publish from one machine only, or use an object store with conditional writes (If-Match)"
	if f.conditional {
		why, hint = "that one has found no conditional writes in this object store", "publish from that machine, or start seedbed there again"
	}
	return node.NewFault(node.FaultConflict, fmt.Errorf("another machine publishes through %s, and %s, so that two would take the same numbers", f.store.Location(), why), hint)
}

// close gives up what the publisher has in the store.
func (f *fence) close() {
	if f != nil {
		f.lease.close()
	}
}

// loadTries is how often a record is read that others write at the same time.
const loadTries = 5

// load reads the record of a target. Without one, it is nil.
func (f *fence) load(ctx context.Context, target id.ID) (r *sharedRecord, etag string, err error) {
	name := publicationsPrefix + target.String()
	for range loadTries {
		b, o, err := f.store.Load(ctx, name, maxSharedSize)
		switch {
		case objectstore.KindOf(err) == objectstore.NotFound:
			return nil, "", nil
		case objectstore.KindOf(err) == objectstore.Changed:
			continue // between finding and reading it
		case err != nil:
			return nil, "", err
		}
		r, err := parseShared(b, target)
		if errors.Is(err, errNewerFormat) {
			return nil, "", node.NewFault(node.FaultIO, fmt.Errorf("the record of the publication in %s cannot be read: %w", f.store.Location().Name(name), err),
				"update seedbed on this machine")
		}
		if err != nil {
			return nil, "", node.NewFault(node.FaultIO, fmt.Errorf("the record of the publication in %s is damaged: %w", f.store.Location().Name(name), err),
				"move it away; publishing then continues after the versions that this machine and the DHT have")
		}
		return r, o.ETag, nil
	}
	return nil, "", f.contended("read", target)
}

// write replaces the record of a target, and returns its new ETag.
func (f *fence) write(ctx context.Context, target id.ID, r *sharedRecord, c objectstore.Condition) (etag string, err error) {
	b, err := r.encode()
	if err != nil {
		return "", err
	}
	return f.store.Write(ctx, publicationsPrefix+target.String(), b, "application/json", c)
}

// change changes what is not a version in the record of a target, if there is one. set sets that, and reports whether it differs.
func (f *fence) change(ctx context.Context, target id.ID, set func(*sharedRecord) bool) error {
	for range loadTries {
		r, etag, err := f.load(ctx, target)
		if err != nil || r == nil || !set(r) {
			return err
		}
		isConditional, err := f.ready(ctx)
		if err != nil {
			return err
		}
		var c objectstore.Condition
		if isConditional {
			c.ETag = etag
		}
		if _, err = f.write(ctx, target, r, c); objectstore.KindOf(err) != objectstore.Changed {
			return err
		}
	}
	return f.contended("write", target)
}

// contended returns the error of giving up a record because others write it all the time.
func (f *fence) contended(op string, target id.ID) error {
	return &objectstore.Error{Op: op, Name: f.store.Location().Name(publicationsPrefix + target.String()), Kind: objectstore.Changed, Err: errors.New("others write it all the time")}
}

const (
	firstWait = time.Second
	maxWait   = 30 * time.Second
)

// patiently calls do until the store answers. waits is called once, before the first wait.
func (f *fence) patiently(ctx context.Context, waits func(error), do func() error) error {
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := do()
		switch objectstore.KindOf(err) {
		case objectstore.Unavailable, objectstore.Changed:
		case objectstore.Denied:
			return node.NewFault(node.FaultPermission, err, "give this machine credentials that may read, write and delete below "+f.store.Location().Name(objectstore.OwnFolder+"/"))
		default:
			return err
		}
		if waits != nil {
			waits(err)
			waits = nil
		}
		if err := await.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// take records a version in the store, if there is one, and so takes its number. The error is errOvertaken if another publisher has
// written first; the caller then adopts and decides again. It holds making.
func (p *Publication) take(ctx context.Context, version *Version) error {
	f := p.publisher.fence
	if f == nil {
		return nil
	}
	v := p.sharedVersion(version)
	was := p.shared.record
	if was == nil {
		was = &sharedRecord{Format: sharedFormat, Key: id.ID32(p.key.Public().(ed25519.PublicKey)).String(), Salt: p.itemSalt()}
	}
	next := was.with(v)
	if p.folder.file.Master != "" {
		if s, err := p.statement(); err == nil { // otherwise keepStatement warns
			next.setStatement(s)
		}
	}
	return f.patiently(ctx, p.waitForStore, func() error {
		isConditional, err := f.ready(ctx) // also after a wait: the lease may have ended meanwhile
		if err != nil {
			return err
		}
		var c objectstore.Condition
		if isConditional {
			c = objectstore.Condition{ETag: p.shared.etag, Absent: p.shared.etag == ""}
		} else if taken, err := p.isTaken(ctx, &v); taken || err != nil {
			return err
		}
		etag, err := f.write(ctx, p.target, next, c)
		if err == nil {
			p.shared = shared{next, etag}
			return nil
		}
		if kind := objectstore.KindOf(err); kind != objectstore.Changed && kind != objectstore.Unavailable {
			return err
		}
		// It may have been written, now or by an earlier try. All tries write the same, on the same condition.
		if taken, err := p.isTaken(ctx, &v); taken || err != nil {
			return err
		}
		return err
	})
}

// isTaken reports whether a version is in the store. The error is errOvertaken if it is not, and the record has been written
// since it was read.
func (p *Publication) isTaken(ctx context.Context, v *sharedVersion) (bool, error) {
	r, etag, err := p.publisher.fence.load(ctx, p.target)
	switch {
	case err != nil:
		return false, err
	case r.has(v):
		p.shared = shared{r, etag}
		return true, nil
	case etag != p.shared.etag:
		return false, errOvertaken
	}
	return false, nil
}

// shared is what a publisher knows of the record in the store. The zero value means that there is none.
type shared struct {
	record *sharedRecord
	etag   string
}

// sharedVersion returns the form of a version for the store.
func (p *Publication) sharedVersion(v *Version) sharedVersion {
	s := sharedVersion{Seq: v.Seq, Value: v.Value, Sig: v.Sig, Time: v.Time, By: p.publisher.fence.self}
	if p.secret.IsZero() && len(v.Name) <= maxSharedText {
		s.Name, s.Size, s.Files = v.Name, v.Size, v.Files
	}
	return s
}
