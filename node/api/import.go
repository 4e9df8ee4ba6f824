package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
	"seedbed/swarm/storage"
)

// ImportBody describes a torrent that another client has.
type ImportBody struct {
	AddBody
	Goals    view.Goals   `json:"goals,omitzero"`
	FinalDir string       `json:"final_dir,omitempty" doc:"The folder to which the data moves when it is complete; by default it stays in dir."`
	Totals   ImportTotals `json:"totals,omitzero" doc:"What the other client has done with the torrent."`
	Claim    *ImportClaim `json:"claim,omitempty" doc:"The data that the other client has stored. It is used only if a sample of it is correct."`
}

// ImportTotals is what another client has done with a torrent.
type ImportTotals struct {
	Uploaded    int64     `json:"uploaded,omitempty" minimum:"0" doc:"Bytes sent to peers."`
	Downloaded  int64     `json:"downloaded,omitempty" minimum:"0" doc:"Bytes received."`
	Wasted      int64     `json:"wasted,omitempty" minimum:"0" doc:"Bytes received and discarded."`
	Downloading int64     `json:"downloading_s,omitempty" minimum:"0" maximum:"9000000000" doc:"Seconds of downloading."`
	Seeding     int64     `json:"seeding_s,omitempty" minimum:"0" maximum:"9000000000" doc:"Seconds of seeding."`
	Added       time.Time `json:"added,omitzero" doc:"When the torrent was added."`
	Completed   time.Time `json:"completed,omitzero" doc:"When the wanted files became complete."`
	Active      time.Time `json:"active,omitzero" doc:"When data was last sent or received."`
}

// ImportClaim is the form of a storage.Claim in REST.
type ImportClaim struct {
	Pieces []byte       `json:"pieces" doc:"The verified pieces: a bitfield as in BEP 3, in base64."`
	Suffix string       `json:"suffix,omitempty" maxLength:"16" doc:"The suffix of the names of incomplete files."`
	Parts  string       `json:"parts,omitempty" maxLength:"255" doc:"The name of libtorrent's part file in dir."`
	Files  []ImportFile `json:"files" doc:"One for each file of the torrent, padding included."`
}

// ImportFile is one file of an ImportClaim.
type ImportFile struct {
	Name  string `json:"name,omitempty" doc:"The path relative to dir, if it differs from that in the torrent."`
	Until int64  `json:"until" doc:"The latest time, in Unix seconds, at which the other client may have written to it."`
}

// NewImportBody returns the body that imports a torrent.
func NewImportBody(spec *node.Spec, from *node.Takeover) ImportBody {
	y := &from.Totals
	b := ImportBody{AddBody: AddBody{Dir: spec.Dir, Labels: spec.Labels, Category: spec.Category, Paused: spec.Paused, Select: spec.Select, UpLimit: spec.UpRate, DownLimit: spec.DownRate,
		Priorities: spec.Priorities, Sequential: spec.Order.Sequential, From: spec.Order.From, FirstLast: spec.Order.FirstLast, MaxPeers: spec.MaxPeers},
		Goals: view.GoalsOf(spec.Goals), FinalDir: spec.FinalDir, Totals: ImportTotals{
			y.Uploaded, y.Downloaded, y.Wasted, int64(y.Downloading / time.Second), int64(y.Seeding / time.Second), y.Added, y.Completed, y.Active}}
	if spec.Naming != nil {
		b.Name = spec.Naming.Name
	}
	b.SetTorrent(spec)
	if c := from.Claim; c != nil {
		b.Claim = &ImportClaim{Pieces: c.Pieces.AppendTo(nil), Suffix: c.Suffix, Parts: c.Parts, Files: make([]ImportFile, len(c.Files))}
		for i, f := range c.Files {
			b.Claim.Files[i] = ImportFile(f)
		}
	}
	return b
}

// Request returns the arguments of daemon.TakeOver.
func (b *ImportBody) Request() (daemon.AddRequest, node.Takeover, error) {
	r := b.request()
	r.Goals = node.Goals{Ratio: b.Goals.Ratio, Idle: time.Duration(b.Goals.Idle) * time.Second, Time: time.Duration(b.Goals.Time) * time.Second}
	y := &b.Totals
	from := node.Takeover{Totals: node.Totals{Uploaded: y.Uploaded, Downloaded: y.Downloaded, Wasted: y.Wasted,
		Downloading: time.Duration(y.Downloading) * time.Second, Seeding: time.Duration(y.Seeding) * time.Second,
		Added: y.Added, Completed: y.Completed, Active: y.Active}}
	if b.Claim == nil {
		return r, from, nil
	}
	t, err := metainfo.ParseTorrent(b.Torrent)
	if err != nil {
		return r, from, nil // adding it reports why
	}
	pieces, err := bitset.Parse(b.Claim.Pieces, t.Info.NumPieces())
	if err != nil || len(b.Claim.Files) != len(t.Info.Files) {
		return r, from, node.NewFault(node.FaultUsage, errors.New("the claim is about another torrent"), "")
	}
	from.Claim = &storage.Claim{Pieces: pieces, Suffix: b.Claim.Suffix, Parts: b.Claim.Parts}
	for _, f := range b.Claim.Files {
		from.Claim.Files = append(from.Claim.Files, storage.ClaimedFile(f))
	}
	return r, from, nil
}

type importInput struct{ Body ImportBody }

func (a *api) addImport() {
	o := operation(http.MethodPost, "/v1/import", "import-torrent", "Take over a torrent of another client, with its data", token.Admin)
	o.MaxBodyBytes = 2 * maxAddBody
	o.Description = "Renames incomplete files. Answers when a sample of the data was hashed and everything is on disk. A torrent that the session has already stays as it is."
	huma.Register(a.huma, o, func(ctx context.Context, in *importInput) (*struct{ Body *view.Imported }, error) {
		r, from, err := in.Body.Request()
		if err != nil {
			return nil, a.problem(err)
		}
		o, err := a.TakeOver(ctx, r, in.Body.FinalDir, from)
		if err != nil {
			return nil, a.problem(err)
		}
		return &struct{ Body *view.Imported }{ImportedOf(&o)}, nil
	})
}

// ImportedOf returns the object that describes a torrent that was taken over.
func ImportedOf(o *daemon.TakenOver) *view.Imported {
	out := &view.Imported{Head: view.NewHead(o.Torrent.InfoHash(), time.Now()), Name: o.Torrent.Name(), Dir: o.Torrent.Details().Dir, New: o.New,
		Wanted: o.Adopted.Wanted, Have: o.Adopted.Have, Sample: o.Adopted.Hashed}
	if o.Adopted.Refused != nil {
		out.Check = o.Adopted.Refused.Error()
	}
	return out
}
