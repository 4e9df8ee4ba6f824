package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"seedbed/internal/bitset"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// MakeOptions configures Make.
type MakeOptions struct {
	Format      metainfo.Format
	PieceLength int64 // 0 means by size
	Private     bool
	Source      string
	Hidden      bool                    // include objects whose names have a part that begins with a dot
	Names       create.Treatment        // of names that other systems do not allow, as in create.Rules
	Progress    func(done, total int64) // in bytes; may be nil
	Warn        func(error)             // called for objects that are left out and for unusual names; may be nil
	// Before is the result of an earlier Make of the same location. Objects that have not changed since then are not read again,
	// except in v1 torrents. May be nil.
	Before *create.Made
}

// OptionsOf returns the options of Make for those of create.Make.
func OptionsOf(o create.Options) MakeOptions {
	return MakeOptions{Format: o.Format, PieceLength: o.PieceLength, Private: o.Private, Source: o.Source,
		Hidden: o.Rules.Hidden == create.Keep, Names: o.Rules.Names, Progress: o.Progress, Warn: o.Warn, Before: o.Before}
}

// Make makes the torrent of the objects at the location of a store, without storing them here: of all objects below it, or of the
// one that has its name. The torrent has the last part of the location for its name. Each object is read once. An object that is
// replaced meanwhile is an error of kind objectstore.Changed.
func Make(ctx context.Context, store *objectstore.Store, o MakeOptions) (*create.Made, error) {
	m := newMaker(store, o)
	if err := m.list(ctx); err != nil {
		return nil, err
	}
	plan := metainfo.Plan{Name: m.name, PieceLength: o.PieceLength, Format: o.Format, Private: o.Private, Source: o.Source}
	for i := range m.objects {
		f := metainfo.PlanFile{Length: m.objects[i].Size}
		if !m.single {
			f.Path = m.path(m.objects[i])
		}
		plan.Files = append(plan.Files, f)
		m.size += f.Length
	}
	if m.size == 0 {
		return nil, m.empty()
	}
	if plan.PieceLength == 0 {
		plan.PieceLength = o.Before.PieceLength(m.size)
	}
	d, err := metainfo.NewDraft(plan)
	if err != nil {
		return nil, fmt.Errorf("cannot make a torrent of %s: %w", m.location, err)
	}
	digests, err := m.hash(ctx, d)
	if err != nil {
		return nil, err
	}
	made := &create.Made{Read: m.toRead, Fingerprint: m.fingerprint()}
	if made.Info, err = d.Finish(digests); err != nil {
		return nil, err
	}
	made.Stamps = make([]create.Stamp, len(made.Info.Files))
	for file, at := range d.Files {
		made.Stamps[at] = stampOf(m.objects[file])
	}
	return made, nil
}

func newMaker(store *objectstore.Store, o MakeOptions) *maker {
	m := &maker{o: o, location: store.Location().String(), most: metainfo.MaxFiles}
	m.place, m.name = placeOf(store)
	return m
}

// A maker makes one torrent.
type maker struct {
	place
	name     string // of the torrent
	location string
	o        MakeOptions
	most     int // objects that are listed
	single   bool
	objects  []objectstore.Object // the files, in the order of a file tree
	size     int64                // of all of them

	toRead   int64        // bytes of those that have changed
	done     atomic.Int64 // bytes hashed
	progress sync.Mutex
}

// empty returns the error for a location without data.
func (m *maker) empty() error {
	return &objectstore.Error{Op: "share", Name: m.location, Kind: objectstore.NotFound, Err: errors.New("it holds no data")}
}

// path returns the path of an object below the folder of the torrent.
func (m *maker) path(o objectstore.Object) []string {
	return strings.Split(strings.TrimPrefix(o.Name, m.object(m.name+"/")), "/")
}

// list finds the objects.
func (m *maker) list(ctx context.Context) error {
	if !m.isBucket {
		o, err := m.store.Stat(ctx, m.name)
		switch {
		case err == nil && o.Size > 0:
			m.single, m.objects = true, []objectstore.Object{o}
			return nil
		case err != nil && objectstore.KindOf(err) != objectstore.NotFound:
			return err
		}
	}
	listed := 0
	for o, err := range m.store.List(ctx, m.object(m.name+"/")) {
		if err != nil {
			return err
		}
		if listed++; listed > m.most {
			return &objectstore.Error{Op: "share", Name: m.location, Err: fmt.Errorf("it has more than %d objects, which is the most a torrent can have", m.most)}
		}
		parts := m.path(o)
		if parts[len(parts)-1] == "" && o.Size == 0 { // it stands for a folder
			continue
		}
		if ok, err := m.accepts(o, parts); err != nil {
			return err
		} else if ok {
			m.objects = append(m.objects, o)
		}
	}
	if len(m.objects) == 0 {
		return m.empty()
	}
	slices.SortFunc(m.objects, func(a, b objectstore.Object) int { return slices.Compare(m.path(a), m.path(b)) })
	return nil
}

// accepts reports whether an object is a file of the torrent. It warns of those that are not, and of unusual names.
func (m *maker) accepts(o objectstore.Object, parts []string) (bool, error) {
	at := m.store.Location().Name(o.Name)
	for _, part := range parts {
		switch {
		case part == objectstore.OwnFolder:
			return false, nil
		case part == "" || part == "." || part == "..":
			m.warn("skipped %s: its name is not that of a file", at)
			return false, nil
		case part[0] == '.' && !m.o.Hidden:
			m.warn("skipped %s: it is hidden", at)
			return false, nil
		}
		why := metainfo.NameProblem(part)
		switch {
		case why == "":
		case m.o.Names == create.Skip:
			m.warn("skipped %s: its name %s", at, why)
			return false, nil
		case m.o.Names == create.Refuse, !utf8.ValidString(part):
			return false, &objectstore.Error{Op: "share", Name: at, Err: fmt.Errorf("its name %s", why)}
		default:
			m.warn("%s: its name %s", at, why)
		}
	}
	return true, nil
}

func (m *maker) warn(format string, args ...any) {
	if m.o.Warn != nil {
		m.o.Warn(fmt.Errorf(format, args...))
	}
}

// hash hashes all pieces, except those of objects that have not changed.
func (m *maker) hash(ctx context.Context, d *metainfo.Draft) ([]metainfo.Digest, error) {
	info := d.Layout()
	fileOf := make([]int, len(info.Files))
	for file, at := range d.Files {
		fileOf[at] = file
	}
	digests := make([]metainfo.Digest, info.NumPieces())
	known := m.o.Before.Unchanged(d, func(file int) create.Stamp { return stampOf(m.objects[file]) })
	unknown := bitset.New(len(digests))
	for p := range digests {
		if was, ok := known[p]; ok {
			digests[p] = was
		} else {
			unknown.Add(p)
			m.toRead += info.DataSize(p)
		}
	}
	h := hasher{info: info, newHash: d.NewPieceHash,
		open: func(ctx context.Context, sp metainfo.Span) (io.ReadCloser, error) {
			body, _, err := m.store.Read(ctx, m.objects[fileOf[sp.File]], sp.Offset, sp.Length)
			return body, err
		},
		done: func(p int, digest metainfo.Digest) {
			digests[p] = digest
			m.report(info.DataSize(p))
		}}
	return digests, h.run(ctx, unknown)
}

// report reports progress, from one goroutine at a time.
func (m *maker) report(n int64) {
	done := m.done.Add(n)
	if m.o.Progress != nil && m.progress.TryLock() {
		m.o.Progress(done, m.toRead)
		m.progress.Unlock()
	}
}
