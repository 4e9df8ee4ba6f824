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
	"sync"
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

// fence takes numbers of publications in an object store.
type fence struct {
	store *objectstore.Store
	self  string // the publisher; see publisherID

	mu          sync.Mutex
	checked     bool // whether the store has conditional writes is known
	conditional bool // it has
	lease       *lease
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
	return &fence{store: o.Store, self: self}, nil
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

// ready returns an error if this publisher must not publish: the store has no conditional writes, and there is
// another publisher.
func (f *fence) ready(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.checked {
		err := f.store.CheckConditions(ctx, ".seedbed/check/")
		if err != nil && objectstore.KindOf(err) != objectstore.Unsupported {
			return err
		}
		f.checked, f.conditional = true, err == nil
	}
	if f.conditional {
		return nil
	}
	if f.lease == nil {
		f.lease = &lease{store: f.store, self: f.self}
	}
	return f.lease.take(ctx)
}

// close gives up what the publisher has in the store.
func (f *fence) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lease != nil {
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
		if err != nil {
			return nil, "", node.NewFault(node.FaultIO, fmt.Errorf("the record of the publication in %s is damaged: %w", f.store.Location().Name(name), err),
				"move it away; publishing then continues after the versions that this machine and the DHT have")
		}
		return r, o.ETag, nil
	}
	return nil, "", &objectstore.Error{Op: "read", Name: f.store.Location().Name(name), Kind: objectstore.Changed, Err: errors.New("others write it all the time")}
}

// write replaces the record of a target that was read with an ETag, or that was absent.
func (f *fence) write(ctx context.Context, target id.ID, r *sharedRecord, etag string) (newETag string, err error) {
	b, err := r.encode()
	if err != nil {
		return "", err
	}
	c := objectstore.Condition{ETag: etag, Absent: etag == ""}
	if !f.isConditional() {
		c = objectstore.Condition{}
	}
	return f.store.Write(ctx, publicationsPrefix+target.String(), b, "application/json", c)
}

func (f *fence) isConditional() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conditional
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
			return node.NewFault(node.FaultPermission, err, "give this machine credentials that may read and write below "+f.store.Location().Name(".seedbed/"))
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
	return f.patiently(ctx, p.waitForStore, func() error {
		etag, err := f.write(ctx, p.target, next, p.shared.etag)
		if err == nil {
			p.shared = shared{next, etag}
			return nil
		}
		if kind := objectstore.KindOf(err); kind != objectstore.Changed && kind != objectstore.Unavailable {
			return err
		}
		// It may have been written, now or by an earlier try. All tries write the same, on the same condition.
		r, etag, e := f.load(ctx, p.target)
		switch {
		case e != nil:
			return e
		case r.has(&v):
			p.shared = shared{r, etag}
			return nil
		case etag != p.shared.etag:
			return errOvertaken
		}
		return err
	})
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
