package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"seedbed/internal/bitset"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// errEnded tells the swarm that there is nothing to open, because only the metadata was
// requested or the torrent has failed.
var errEnded = errors.New("the torrent has ended")

// openContent opens the storage and verifies the existing data. The swarm calls it on its
// own goroutine when the info dictionary is known. After an error, the swarm reports a
// warning and calls again; a permanent error ends the torrent instead.
func (r *run) openContent(ctx context.Context, info *metainfo.Info, progress func(done, total int64)) (swarm.Content, error) {
	<-r.ready
	c, err := r.tryContent(ctx, info, progress)
	var f *Fault
	switch err = asFault(err); {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return swarm.Content{}, err
	case errors.Is(err, errEnded):
	case !errors.As(err, &f) || r.spec.Seed || r.spec.Objects && f.Kind == FaultUsage || f.Kind == FaultExists || f.Kind == FaultSelection || f.Kind == FaultBusy:
		r.t.fail(err)
	default:
		return swarm.Content{}, err
	}
	<-ctx.Done()
	return swarm.Content{}, errEnded
}

func (r *run) tryContent(ctx context.Context, info *metainfo.Info, progress func(done, total int64)) (_ swarm.Content, err error) {
	t, spec := r.t, &r.spec
	torrent := torrentFile(spec, info)
	if spec.MetadataOnly {
		path, err := writeTorrent(spec, torrent)
		if err != nil {
			return swarm.Content{}, err
		}
		t.emit(Event{Kind: Metadata, Info: info, Path: path})
		t.milestones.reach(isDone)
		t.stop()
		return swarm.Content{}, errEnded
	}
	if spec.Torrent == nil && t.state.loadInfo(spec) == nil {
		r.wg.Go(func() { // a busy disk does not delay the first piece
			if err := statefile.WriteSync(t.state.torrentPath(), torrent.Append(nil)); err != nil {
				t.node.log.Warn("cannot save the metadata", "torrent", t.Name(), "err", err)
			}
		})
	}
	if spec.Objects {
		return r.openObjects(ctx, info, progress)
	}
	files, err := spec.files(info)
	if err != nil {
		return swarm.Content{}, err
	}
	if t.endFetch() {
		return swarm.Content{}, errEnded
	}
	if !spec.Seed && t.control.reportNames() { // data that is only shared keeps the names that it has
		for _, err := range nameWarnings(info, spec.Symlinks) {
			t.emit(Event{Kind: Warning, Err: err})
		}
	}
	if spec.Prepare != nil {
		if err := spec.Prepare(info); err != nil {
			return swarm.Content{}, err
		}
	}
	o := storage.Options{
		Dir: spec.Dir, Info: info, Select: files, Overwrite: spec.Overwrite, Own: spec.Own, ReadOnly: spec.Seed, Symlinks: spec.Symlinks,
		Record: t.state.resumePath(), Handles: t.node.handles, Steps: &t.node.steps, Verified: spec.Verified,
		OpenDisk: t.node.cfg.openDisk,
	}
	if t.inSession() && t.isDataMissing(o) {
		t.fail(t.missingFault())
		return swarm.Content{}, errEnded
	}
	s, have, err := openChecked(ctx, o, progress)
	wanted := info.Wanted(files)
	if errors.Is(err, storage.ErrLinked) {
		// If the symbolic link points to complete data elsewhere, that data is seeded
		// read-only.
		o.ReadOnly = true
		target, found, e := openChecked(ctx, o, progress)
		switch {
		case e != nil:
		case wanted.AnyNotIn(found) || len(dataFaults(target)) > 0:
			_ = target.Close() // report the error about the link
		default:
			s, have, err = target, found, nil
		}
	}
	if err != nil {
		return swarm.Content{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if n, path, name := s.Renamed(); n > 0 {
		t.emit(Event{Kind: Warning, Err: &Fault{Err: fmt.Errorf(
			"%s in %s replaced, because the file system does not allow or distinguish them: %q is stored as %q%s",
			count(n, "name"), info.Name, cut(path), cut(name), more(n))}})
	}
	if spec.Seed {
		if err := incomplete(info, spec, missing(wanted, have), wanted.Count(), dataFaults(s)); err != nil {
			return swarm.Content{}, err
		}
	}
	stored := storedBlocks(s)
	r.storage.Store(s)
	t.passOrder(r)
	t.setRoot(info, s.Names())
	return swarm.Content{Storage: s, Have: have, Wanted: wanted, Files: fileSet(info, files), Stored: stored, Outdated: s.Outdated()}, nil
}

// storedBlocks returns the blocks of incomplete pieces that are on the disk.
func storedBlocks(s *storage.Storage) (stored []engine.Block) {
	for _, c := range s.Chunks() {
		stored = append(stored, engine.Block{Piece: uint32(c.Piece), Begin: c.Begin, Length: c.Length})
	}
	return stored
}

// fileSet returns files as a set. Nil means all files and gives an empty set.
func fileSet(info *metainfo.Info, files []int) (s bitset.Set) {
	if files == nil {
		return s
	}
	s = bitset.New(len(info.Files))
	for _, i := range files {
		s.Add(i)
	}
	return s
}

// openChecked opens a storage and hashes the data that the resume record does not prove.
func openChecked(ctx context.Context, o storage.Options, progress func(done, total int64)) (*storage.Storage, bitset.Set, error) {
	s, err := storage.Open(o)
	if err != nil {
		return nil, bitset.Set{}, err
	}
	have := s.Have()
	if s.NeedsCheck() {
		if have, err = s.CheckDoubtful(ctx, progress); err != nil {
			return nil, bitset.Set{}, errors.Join(err, s.Close())
		}
	}
	return s, have, nil
}

// maxListedFaults is the maximum number of bad files in a message.
const maxListedFaults = 3

// dataFaults returns the files whose data differs from that of the torrent. Missing empty
// files are left out, because they have no data to seed.
func dataFaults(s *storage.Storage) []storage.FileFault {
	return slices.DeleteFunc(s.Faults(), func(f storage.FileFault) bool { return !f.AffectsData() })
}

// incomplete returns a fault if data to be seeded does not match the torrent,
// or nil if it does.
func incomplete(info *metainfo.Info, spec *Spec, bad, total int, faults []storage.FileFault) error {
	if bad == 0 && len(faults) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s is not complete", info.Name, displayDir(spec.Dir))
	if bad > 0 {
		fmt.Fprintf(&b, ": %s of %d missing or wrong", count(bad, "piece"), total)
	}
	for i, f := range faults {
		if i == maxListedFaults {
			fmt.Fprintf(&b, "; and %s more", count(len(faults)-i, "file"))
			break
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + f.String())
	}
	hint := "download the rest with seedbed get"
	switch {
	case spec.Persistent: // in the session of a daemon, where seedbed get finds it and does not download either
		hint = "put the right files there and recheck it, or remove it but not its data, and add it again without --complete to download the rest"
		if bad == 0 {
			hint = "truncate the files to their size in the torrent and recheck it"
		}
	case bad == 0:
		hint = "truncate the files to their size in the torrent, or download them again with seedbed get --overwrite"
	}
	return &Fault{Kind: FaultIncomplete, Err: errors.New(b.String()), hint: hint}
}

func missing(wanted, have bitset.Set) int { return wanted.Count() - wanted.CountAnd(have) }

func displayDir(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// writeTorrent writes NAME.torrent into the download folder, under a name that the
// file system accepts, and returns its path.
func writeTorrent(spec *Spec, torrent *metainfo.Torrent) (_ string, err error) {
	if err := os.MkdirAll(displayDir(spec.Dir), 0o755); err != nil {
		return "", err
	}
	names := []string{torrent.Info.Name}
	if dos, _ := torrent.Info.Substitutes(metainfo.NameRules{DOS: true}); dos != "" {
		names = append(names, dos)
	}
	for _, name := range names {
		path := filepath.Join(spec.Dir, metainfo.WithSuffix(name, ".torrent"))
		if !spec.Overwrite {
			if _, err := os.Lstat(path); err == nil {
				return "", &Fault{Kind: FaultExists, Err: fmt.Errorf("%s already exists", path), hint: "use --overwrite to replace it"}
			}
		}
		e := statefile.WriteSync(path, torrent.Append(nil))
		if e == nil {
			_ = os.Chmod(path, 0o644) // unlike our state, users may share this file; an error is ignored because some file systems have no modes
			return path, nil
		}
		err = cmp.Or(err, e)
	}
	return "", err
}
