package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/excerpt"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// InspectBody describes a torrent to show before it is added.
type InspectBody struct {
	Link    string   `json:"link,omitempty" maxLength:"262144" doc:"A magnet link, also one of a publication (xs=urn:btpk:), an infohash, or the domain name of a publication; or give torrent."`
	At      int64    `json:"at,omitempty" minimum:"1" doc:"Of a publication: the number of the version to show, one of those in newest.versions; by default the newest."`
	Torrent []byte   `json:"torrent,omitempty" doc:"The content of a .torrent file, in base64."`
	Peers   []string `json:"peers,omitempty" doc:"HOST:PORT of peers to try first."`
	Accept  bool     `json:"accept_change,omitempty" doc:"Pin the key that the name has now in place of the key that is pinned."`
	Within  float64  `json:"within_s,omitempty" minimum:"0" maximum:"600" doc:"How many seconds to look for the metadata; by default 120."`
}

type jobFilesInput struct {
	JobPath
	FilePage
}

func (a *api) addInspect() {
	o := startsJob(http.MethodPost, "/v1/inspect", "inspect", "Show what a link or a .torrent file is, before it is added", token.Add)
	o.MaxBodyBytes = maxAddBody
	o.Description += " The job fetches the metadata from peers; the session stays as it is, and nothing is stored. At most 4 run at a time. " +
		"To add what it has found without fetching it again, give POST /v1/torrents the number of the job as inspection. To cancel it, delete the job."
	huma.Register(a.huma, o, func(_ context.Context, in *struct{ Body InspectBody }) (*startedJob, error) {
		b := &in.Body
		return a.started(a.Inspect(daemon.InspectRequest{Link: b.Link, At: b.At, Torrent: b.Torrent, Peers: b.Peers, AcceptChange: b.Accept, Within: seconds(b.Within)}))
	})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/jobs/{number}/diff", "compare-inspected", "Show which files differ between what two inspections have found", token.Read), a.inspectedDiff)
	huma.Register(a.huma, operation(http.MethodGet, "/v1/jobs/{number}/files", "list-inspected-files", "List the files that an inspection has found", token.Read), a.inspectedFiles)
}

func (a *api) inspectedFiles(_ context.Context, in *jobFilesInput) (*struct{ Body FileList }, error) {
	i, err := a.Inspected(in.Number)
	if err != nil {
		return nil, a.problem(err)
	}
	info := i.Torrent.Info
	after := min(in.After, info.Stored())
	out := FileList{Files: make([]view.TorrentFile, min(in.Limit, info.Stored()-after))}
	out.More = after+len(out.Files) < info.Stored()
	for k := range out.Files {
		n := after + k + 1
		index, _ := info.FileIndex(n)
		out.Files[k] = view.TorrentFile{Number: n, File: view.FileOf(&info.Files[index]), Selected: i.Link.Selects(index), Priority: node.PriorityName(node.PriorityNormal)}
	}
	return &struct{ Body FileList }{out}, nil
}

type jobDiffInput struct {
	JobPath
	From  int64 `query:"from" required:"true" doc:"The number of the job of the inspection to compare with, usually of an earlier version."`
	Limit int   `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"The maximum number of files in the answer."`
}

func (a *api) inspectedDiff(_ context.Context, in *jobDiffInput) (*struct{ Body view.VersionDiff }, error) {
	before, err := a.Inspected(in.From)
	if err != nil {
		return nil, a.problem(err)
	}
	after, err := a.Inspected(in.Number)
	if err != nil {
		return nil, a.problem(err)
	}
	return &struct{ Body view.VersionDiff }{view.DiffOf(in.From, in.Number, before.Torrent.Info, after.Torrent.Info, in.Limit)}, nil
}

// inspection returns the object of an inspection.
func (a *api) inspection(i *daemon.Inspection) *view.Inspection {
	o := &view.Inspection{Expired: i.Expired, Domain: i.Domain}
	if hash := i.InfoHash(); !hash.IsZero() {
		o.InSession = a.Node().Torrent(hash) != nil
	}
	if i.Link != nil {
		o.Name, o.Magnet = excerpt.Of(i.Link.Name, maxShownName), shortLink(i.Link)
	}
	if i.Torrent != nil {
		describeInspected(o, i.Torrent.Info)
	} else if !i.Expired && i.Link != nil {
		o.Search = view.SearchOf(&i.Progress)
	}
	if p := i.Publication; p != nil {
		v := &view.FoundVersion{Link: shortLink(p.Link), Target: p.Target.String(), PublicKey: p.Link.PublicKey.String(), Salt: string(p.Link.Salt),
			HolderCount: p.Holders, Followed: a.IsFollowed(p.Target)}
		if p.Seq != 0 || !p.InfoHash.IsZero() {
			seq := p.Seq
			v.Seq, v.Current, v.Versions = &seq, p.InfoHash.String(), view.NamedVersions(seq, &p.Version.Version)
		}
		o.Version = v
	}
	return o
}

const (
	// maxShownName and maxShownLink limit the name and the link of an inspection, in bytes: the list of
	// jobs and each event of a job contain them.
	maxShownName = 1 << 10
	maxShownLink = 8 << 10
)

// shortLink returns a link as a text. It leaves out the hints of a very long link.
func shortLink(l *magnet.Link) string {
	text := l.String()
	if len(text) <= maxShownLink {
		return text
	}
	short := magnet.Link{InfoHash: l.InfoHash, HasInfoHash: l.HasInfoHash, V2: l.V2, HasV2: l.HasV2, PublicKey: l.PublicKey, HasPublicKey: l.HasPublicKey, Salt: l.Salt}
	return short.String()
}

func describeInspected(o *view.Inspection, info *metainfo.Info) {
	o.Known, o.Name, o.Size, o.Pieces, o.PieceLength, o.FileCount, o.Private = true, info.Name, info.Payload(), info.NumPieces(), info.PieceLength, info.Stored(), info.Private
	if info.HasV2() {
		o.InfoHashV2 = info.HashV2.String()
	}
	if o.Magnet == "" {
		o.Magnet = node.LinkOf(info)
	}
}
