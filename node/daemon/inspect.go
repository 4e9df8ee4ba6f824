package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/names"
)

const (
	// inspectWithin is how long an inspection may take if its client does not say.
	inspectWithin = 2 * time.Minute
	// inspectedAtOnce limits the inspections that run. Each asks DHT nodes and dials peers.
	inspectedAtOnce = 4
	// keptInspected limits the torrents that ended inspections keep, and keptInspectedBytes their
	// info dictionaries together. The last one is always kept.
	keptInspected      = 16
	keptInspectedBytes = 16 << 20
)

// JobInspect is the kind of the jobs that Inspect starts.
const JobInspect = "inspect"

// InspectRequest describes a torrent to show before it is added. Exactly one of Link and Torrent is
// set.
type InspectRequest struct {
	Link    string // a magnet link, also one of a publication, a bare infohash, or the domain name of a publication
	Torrent []byte // the content of a .torrent file
	At      int64  // of a publication: the version to show; 0: the newest
	Peers   []string
	// AcceptChange pins the key that a name has now in place of the pinned one.
	AcceptChange bool
	Within       time.Duration // how long to look for the metadata; 0: 2 minutes
}

// Inspection is what is known of a torrent that may be added. It is the result of a job.
type Inspection struct {
	Link        *magnet.Link      // nil for a .torrent file; of a publication, that of its newest version, or the one of InspectRequest.At
	Torrent     *metainfo.Torrent // nil while the metadata is not known
	Publication *Newest           // of a link with a key, once it is found
	Domain      string            // that was given; Publication is nil until it is resolved
	Progress    node.Snapshot     // of the search for the metadata
	Expired     bool              // Torrent was known and is not kept any more
}

// InfoHash returns the infohash, or zero while it is not known.
func (i *Inspection) InfoHash() id.ID {
	switch {
	case i.Torrent != nil:
		return i.Torrent.Info.Hash
	case i.Link != nil:
		return i.Link.Hash()
	}
	return id.ID{}
}

// Newest is the newest version of a publication that the DHT has.
type Newest struct {
	Link     *magnet.Link // of the publication
	Target   id.ID
	Seq      int64
	InfoHash id.ID
	Holders  int // DHT nodes that hold this version
	Version  delegation.Version
}

// inspections limits the inspections of a daemon, and what they keep.
type inspections struct {
	running atomic.Int32

	mu   sync.Mutex
	kept []*Job // with a torrent, the oldest first
}

// errTooManyInspections is the error if inspectedAtOnce inspections run.
var errTooManyInspections = node.NewFault(node.FaultBusy, fmt.Errorf("%d inspections run already", inspectedAtOnce), "wait until one of them has ended, or cancel one")

// Inspect starts a job that finds out what a link or a .torrent file is, without adding it: the
// session stays as it is, and nothing is stored. Its result is an *Inspection.
func (d *Daemon) Inspect(r InspectRequest) (*Job, error) {
	first, err := r.first()
	if err != nil {
		return nil, err
	}
	if err := checkPeers(r.Peers); err != nil {
		return nil, err
	}
	s := &d.inspections
	if s.running.Add(1) > inspectedAtOnce {
		s.running.Add(-1)
		return nil, errTooManyInspections
	}
	within := r.Within
	if within <= 0 {
		within = inspectWithin
	}
	j, err := d.jobs.start(JobInspect, func(ctx context.Context, j *Job) error {
		defer s.running.Add(-1)
		ctx, cancel := context.WithTimeoutCause(ctx, within, errInspectTime)
		defer cancel()
		found := *first
		err := d.inspect(ctx, j, &found, &r)
		if err == nil {
			s.keep(j, found)
		}
		if err != nil && ctx.Err() != nil {
			return inspectionFault(context.Cause(ctx), &found, within)
		}
		return err
	})
	if err != nil {
		s.running.Add(-1)
	}
	return j, err
}

// first returns what the request itself says.
func (r *InspectRequest) first() (*Inspection, error) {
	if (r.Link == "") == (r.Torrent == nil) {
		return nil, usage(errors.New("give either a link or a torrent"), "")
	}
	noVersions := usage(errors.New("only the link of a publication has versions"), "leave out the number of the version")
	if r.Torrent != nil {
		t, err := metainfo.ParseTorrent(r.Torrent)
		var lacks *metainfo.LayersError
		switch {
		case r.At != 0:
			return nil, noVersions
		case errors.As(err, &lacks):
			return &Inspection{Torrent: lacks.Torrent}, nil
		case err != nil:
			return nil, usage(fmt.Errorf("the .torrent file is not usable: %w", err), "")
		}
		return &Inspection{Torrent: t}, nil
	}
	if names.IsName(r.Link) {
		return &Inspection{Domain: r.Link}, nil
	}
	link, err := magnet.ParseBare(r.Link)
	if err != nil {
		return nil, usage(err, "")
	}
	if !link.HasPublicKey {
		if r.At != 0 {
			return nil, noVersions
		}
		return &Inspection{Link: link}, link.Openable()
	}
	return &Inspection{Publication: newest(link)}, nil
}

// newest returns the Newest of a publication before its version is known.
func newest(link *magnet.Link) *Newest {
	return &Newest{Link: link, Target: dht.ItemTarget(link.PublicKey, link.Salt)}
}

// inspect resolves a name, finds the version of a publication and the metadata, and reports each step.
func (d *Daemon) inspect(ctx context.Context, j *Job, found *Inspection, r *InspectRequest) error {
	report := func() {
		now := *found
		j.Report(&now)
	}
	report()
	if found.Domain != "" {
		link, err := d.ResolveName(ctx, found.Domain, r.AcceptChange)
		if err != nil {
			return err
		}
		found.Domain, found.Publication = link.Name, newest(link)
		report()
	}
	if found.Publication != nil {
		version := *found.Publication
		if err := d.findNewest(ctx, &version); err != nil {
			return err
		}
		link, err := node.VersionAt(version.Link, &version.Version, cmp.Or(r.At, version.Seq))
		if err != nil {
			return err
		}
		found.Publication, found.Link = &version, link
		report()
	}
	if found.Torrent != nil {
		return nil
	}
	if t := d.node.Torrent(found.Link.Hash()); t != nil {
		info, err := await.Result(ctx, func() (*metainfo.Info, error) { return t.Info(), nil }) // it may be on disk
		if err != nil {
			return err
		}
		if info != nil {
			found.Torrent = &metainfo.Torrent{Info: info}
			return nil
		}
	}
	info, err := d.node.Inspect(ctx, found.Link, r.Peers, func(s node.Snapshot) {
		if s.Stats == found.Progress.Stats && s.Reason == found.Progress.Reason {
			return
		}
		found.Progress = s
		j.Progress(s.MetaHave, s.MetaSize)
		report()
	})
	if err != nil {
		return err
	}
	found.Torrent = &metainfo.Torrent{Info: info, WebSeeds: found.Link.WebSeeds, Trackers: tiers(found.Link.Trackers)}
	return nil
}

// tiers returns the trackers of a link in the form of a .torrent file.
func tiers(trackers []string) (list [][]string) {
	for _, t := range trackers {
		list = append(list, []string{t})
	}
	return list
}

// findNewest asks the DHT for the newest version of a publication.
func (d *Daemon) findNewest(ctx context.Context, n *Newest) error {
	items, err := d.node.Items()
	if err != nil {
		return err
	}
	j := delegation.New(n.Link)
	found, rejected, err := items.FindNewest(ctx, n.Link, j)
	v, ok := j.Newest()
	switch {
	case ok:
		n.InfoHash, n.Seq, n.Holders, n.Version = v.InfoHash, v.Number, found[v.Item.Key].Have, v
		return nil
	case err != nil:
		return err
	case rejected != nil:
		return fmt.Errorf("the newest version of the publication names no torrent: %w", rejected)
	}
	return node.NewFault(node.FaultMissing, fmt.Errorf("none of the %d DHT nodes that answered holds a version of this publication", found[n.Link.PublicKey].Answered), "check the link, or try again when its publisher is online")
}

// IsFollowed reports whether the publication with this target is followed.
func (d *Daemon) IsFollowed(target id.ID) bool {
	p := &d.publications
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.follows[target] != nil
}

// errInspectTime is the cause if an inspection takes too long.
var errInspectTime = errors.New("the inspection took too long")

// inspectionFault returns the error of an inspection that was cancelled or took too long.
func inspectionFault(cause error, found *Inspection, within time.Duration) error {
	if !errors.Is(cause, errInspectTime) {
		return cause
	}
	what := "the metadata was not received"
	if found.Link == nil {
		what = "the publication was not found"
	}
	return node.NewFault(node.FaultMissing, fmt.Errorf("%s within %v", what, within), "try again later, name a peer that has it, or add it: it is then looked for until it is found")
}

// keep stores the result of an inspection that has found its torrent, and drops the oldest ones
// beyond the limits.
func (s *inspections) keep(j *Job, found Inspection) {
	j.Report(&found)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, j)
	n, size := 0, 0
	for k := len(s.kept) - 1; k >= 0; k-- {
		i := s.kept[k].State().Result.(*Inspection)
		n, size = n+1, size+len(i.Torrent.Info.Raw)
		if k < len(s.kept)-1 && (n > keptInspected || size > keptInspectedBytes) {
			s.expire(k)
			return
		}
	}
}

// expire drops the torrents of the inspections up to the one with index k. mu is held.
func (s *inspections) expire(k int) {
	for _, j := range s.kept[:k+1] {
		i := *j.State().Result.(*Inspection)
		i.Torrent, i.Expired = nil, true
		j.Report(&i)
	}
	s.kept = append([]*Job(nil), s.kept[k+1:]...)
}

// Inspected returns what an inspection has found, for a request that adds it.
func (d *Daemon) Inspected(number int64) (*Inspection, error) {
	j, err := d.Job(number)
	if err != nil {
		return nil, err
	}
	s := j.State()
	i, ok := s.Result.(*Inspection)
	switch {
	case !ok:
		return nil, usage(fmt.Errorf("job %d is not an inspection", number), "")
	case i.Expired:
		return nil, usage(fmt.Errorf("inspection %d is too old: its metadata is not kept any more", number), "inspect the link again, or add the link")
	case i.Torrent == nil || !s.Ended:
		return nil, usage(fmt.Errorf("inspection %d has not found the metadata", number), "wait until it has ended, or add the link")
	}
	return i, nil
}
