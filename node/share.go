package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
	"seedbed/swarm/storage"
)

// ShareOptions are the options of Share; see create.Options.
type ShareOptions = create.Options

// Make hashes the file or folder at path and creates its torrent.
func Make(ctx context.Context, path string, o ShareOptions) (*create.Made, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	made, err := create.Make(ctx, abs, o)
	return made, sourceFault(path, err)
}

// sourceFault returns a Fault for an error of package create. Its hints replace those of
// package storage, which are about downloads.
func sourceFault(path string, err error) error {
	var notData *create.NotDataError
	var empty *create.EmptyError
	switch {
	case errors.As(err, &notData):
		return &Fault{Kind: FaultUsage, Err: err, hint: notData.Hint()}
	case errors.As(err, &empty):
		return &Fault{Kind: FaultUsage, Err: err}
	}
	err = asFault(err)
	var f *Fault
	if !errors.As(err, &f) {
		return err
	}
	if _, missing := os.Lstat(path); missing != nil && (f.Kind == FaultVanished || f.Kind == FaultExists) {
		return &Fault{Kind: FaultVanished, Err: fmt.Errorf("%s does not exist", path), hint: "give the path of a file or a folder"}
	}
	switch f.Kind {
	case FaultPermission:
		f.hint = "allow this user to read it, or leave out such files with --unreadable skip"
	case FaultVanished:
		f.hint = "wait until nothing changes it, or use --changing skip or --changing again"
	}
	return f
}

// MadeSpec returns a Spec with which Add seeds the result of Make for path, without hashing
// the data again.
func MadeSpec(path string, made *create.Made) (Spec, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Spec{}, err
	}
	return Spec{Torrent: &metainfo.Torrent{Info: made.Info}, Dir: filepath.Dir(abs), Seed: true, Verified: true}, nil
}

// Share makes the torrent of the file or folder at path, and returns a Spec with which Add
// seeds it.
func Share(ctx context.Context, path string, o ShareOptions) (Spec, error) {
	made, err := Make(ctx, path, o)
	if err != nil {
		return Spec{}, err
	}
	return MadeSpec(path, made)
}

// FileFault says how a file differs from the torrent; see package storage.
type FileFault = storage.FileFault

// CheckResult is the result of Check.
type CheckResult struct {
	Info *metainfo.Info
	Have bitset.Set // verified pieces
	// Faults lists the files that do not match the torrent, in its order.
	Faults []FileFault
}

// Check hashes all data of a torrent again and corrects the resume record in the state
// directory. It needs no network, so for a link the metadata must be known from an earlier
// run.
func Check(ctx context.Context, state string, spec Spec, progress func(done, total int64)) (_ CheckResult, err error) {
	if err := spec.validate(); err != nil {
		return CheckResult{}, err
	}
	dir, err := openState(state)
	if err != nil {
		return CheckResult{}, err
	}
	defer dir.close()
	st, err := dir.openTorrent(spec.InfoHash())
	if err != nil {
		return CheckResult{}, fmt.Errorf("%s: %w", spec.Name(), err)
	}
	defer st.close()
	info := st.loadInfo(&spec)
	if info == nil {
		return CheckResult{}, &Fault{Kind: FaultIncomplete,
			Err:  fmt.Errorf("the metadata of %s is not known", spec.Name()),
			hint: "download it with seedbed get --metadata-only, or give the .torrent file"}
	}
	handles := storage.NewHandles(0)
	defer handles.Close()
	s, err := storage.Open(storage.Options{Dir: spec.Dir, Info: info, Record: st.resumePath(), Handles: handles, ReadOnly: true})
	if err != nil {
		return CheckResult{}, asFault(err)
	}
	defer s.Close()
	have, err := s.Check(ctx, progress)
	if err != nil {
		return CheckResult{}, asFault(err)
	}
	if err := s.Flush(); err != nil {
		return CheckResult{}, asFault(err)
	}
	return CheckResult{Info: info, Have: have, Faults: s.Faults()}, nil
}
