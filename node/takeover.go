package node

import (
	"context"
	"errors"
	"time"

	"seedbed/internal/bitset"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// A Takeover is what another client had of a torrent, according to the files of that client.
type Takeover struct {
	// Claim says which data is there; nil: nothing is known. It needs Spec.Torrent.
	Claim *storage.Claim
	// Totals are those of the other client. Zero values are unknown.
	Totals Totals
}

// Adopted says which data was taken over.
type Adopted struct {
	Wanted int64 // bytes of the wanted files; 0 without the metadata
	Have   int64 // bytes of those that count as verified
	Hashed int64 // bytes of a sample that was hashed to confirm them
	// Refused says why all the data must be hashed instead; nil if it need not be.
	Refused error
}

// TakeOver adds a torrent of another client to the session, which continues with the data that the
// client has stored. It hashes a sample of what the client says it has verified. Everything is on
// record when it returns. It returns the errors of Add, and a *Fault if the data is missing.
func (n *Node) TakeOver(spec Spec, from Takeover) (*Torrent, Adopted, error) {
	if !spec.Persistent || spec.Seed || from.Claim != nil && spec.Torrent == nil {
		return nil, Adopted{}, errors.New("this Spec cannot be taken over")
	}
	var adopted Adopted
	t, err := n.add(&spec, func(t *Torrent, k *sessionEntry) (err error) {
		adopted, err = t.takeOver(&spec, &from, k)
		return err
	})
	return t, adopted, err
}

// takeOver takes over the data and the totals of a torrent that is being added. The caller is its
// worker.
func (t *Torrent) takeOver(spec *Spec, from *Takeover, k *sessionEntry) (adopted Adopted, err error) {
	n, y := t.node, &from.Totals
	if from.Claim != nil {
		if adopted, err = t.adopt(n.ctx, spec, from.Claim); err != nil {
			return adopted, err
		}
	}
	if !y.Added.IsZero() {
		k.added = y.Added.Unix()
	}
	t.control.mu.Lock()
	t.control.counts.tally = tally{Uploaded: max(y.Uploaded, 0), Downloaded: max(y.Downloaded, 0), Wasted: max(y.Wasted, 0),
		Downloading: max(y.Downloading, 0), Seeding: max(y.Seeding, 0), Completed: unixSeconds(y.Completed), Active: unixSeconds(y.Active)}
	t.control.mu.Unlock()
	return adopted, nil
}

// unixSeconds returns a time as a tally has it.
func unixSeconds(at time.Time) uint32 {
	if at.IsZero() {
		return 0
	}
	return uint32(min(max(at.Unix(), 0), int64(^uint32(0))))
}

// adopt takes over the data. Data behind symbolic links is left to the usual check.
func (t *Torrent) adopt(ctx context.Context, spec *Spec, c *storage.Claim) (out Adopted, err error) {
	info := spec.Torrent.Info
	files, err := spec.files(info)
	if err != nil {
		return out, err
	}
	a, err := storage.Adopt(ctx, storage.Options{Dir: spec.Dir, Info: info, Select: files, Record: t.state.resumePath(),
		Handles: t.node.handles, Steps: &t.node.steps, OpenDisk: t.node.cfg.openDisk}, c)
	if errors.Is(err, storage.ErrLinked) {
		a, err = storage.Adopted{Have: bitset.New(info.NumPieces()), Refused: err}, nil
	}
	var e *storage.Error
	if errors.As(err, &e) && e.Kind == storage.Vanished {
		err = NewFault(FaultVanished, err, "mount the disk or put the data back, then import it again")
	}
	if err != nil {
		return out, err
	}
	sum := spec.summary()
	out = Adopted{Wanted: sum.wanted, Hashed: a.Hashed, Refused: a.Refused}
	wanted := info.Wanted(files)
	for p := range wanted.All() {
		if a.Have.Has(p) {
			out.Have += info.DataSize(p)
		}
	}
	if out.Have = min(out.Have, out.Wanted); !wanted.AnyNotIn(a.Have) { // pieces have bytes of other files too
		out.Have = out.Wanted
	}
	t.summary.Store(summarize(info, &engine.Stats{Wanted: out.Wanted, HaveWanted: out.Have, HavePieces: a.Have.Count()}))
	return out, nil
}
