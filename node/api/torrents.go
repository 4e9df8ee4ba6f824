package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// TorrentPath is the path parameter of operations on one torrent.
type TorrentPath struct {
	ID string `path:"id" maxLength:"64" doc:"An infohash, the beginning of one (at least 4 digits), or the torrent's number."`
}

type oneTorrent struct{ Body *view.Torrent }

// torrent returns the object that describes a torrent.
func (a *api) torrent(t *node.Torrent) *view.Torrent {
	o := view.TorrentOf(a.Number(t), t, a.cfg.Hint)
	o.Place = a.QueuePosition(t)
	if why := a.WhyQueued(t); why != "" {
		o.Why, o.Hint = why, ""
	}
	view.Complete(o, time.Now())
	return o
}

type listInput struct {
	State    string `query:"state" doc:"Only torrents in this state."`
	Category string `query:"category" doc:"Only torrents of this category and its subcategories."`
	Label    string `query:"label" doc:"Only torrents with this label."`
	After    int64  `query:"after" minimum:"0" doc:"Only torrents with a larger number. For the next page, the last number of this one."`
	Limit    int    `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"The maximum number of torrents in the answer."`
}

// TorrentList is a page of the list of torrents.
type TorrentList struct {
	Torrents []*view.Torrent `json:"torrents" doc:"In the order of their numbers."`
	More     bool            `json:"more" doc:"There are more torrents: ask again with after set to the last number."`
	Cursor   int64           `json:"cursor,string" doc:"The position in the change log before the list was read."`
}

type addInput struct {
	Body AddBody
}

// AddBody describes a torrent to add.
type AddBody struct {
	Link       string          `json:"link,omitempty" maxLength:"262144" doc:"A magnet link or an infohash; or give torrent or inspection."`
	Torrent    []byte          `json:"torrent,omitempty" doc:"The content of a .torrent file, in base64."`
	Inspection int64           `json:"inspection,omitempty" minimum:"1" doc:"The number of the job of an inspection that has ended well. Its metadata is used and not fetched again."`
	Dir        string          `json:"dir,omitempty" doc:"The folder for the data; by default that of the category, or the daemon's."`
	Labels     []string        `json:"labels,omitempty" doc:"At most 32, of at most 128 bytes each."`
	Category   string          `json:"category,omitempty" maxLength:"128" doc:"Created if it does not exist."`
	Paused     bool            `json:"paused,omitempty" doc:"Do not start the torrent."`
	Name       string          `json:"name,omitempty" maxLength:"1024" doc:"The name to show; by default that of the torrent. The files keep their names."`
	Select     []int           `json:"select,omitempty" doc:"The numbers of the wanted files, from 1; by default all, or those that the link names."`
	All        bool            `json:"all,omitempty" doc:"All files, even if the link selects some."`
	Peers      []string        `json:"peers,omitempty" doc:"HOST:PORT of peers to try first."`
	Priorities node.Priorities `json:"priorities,omitzero" doc:"The numbers of the files that are wanted more or less urgently than others."`
	Sequential bool            `json:"sequential,omitempty" doc:"Request the pieces in sequence."`
	From       int             `json:"sequential_from,omitempty" minimum:"0" maximum:"2147483647" doc:"The piece with which the sequence begins, from 0."`
	FirstLast  bool            `json:"first_last,omitempty" doc:"Request the first and last pieces of every file first."`
	MaxPeers   int             `json:"max_peers,omitempty" minimum:"0" maximum:"1000000" doc:"The limit of connected peers; 0 means that of the settings."`
	UpLimit    int64           `json:"up_limit,omitempty" minimum:"0" doc:"Bytes a second; 0 means the limit of the settings."`
	DownLimit  int64           `json:"down_limit,omitempty" minimum:"0" doc:"Bytes a second; 0 means the limit of the settings."`
	Overwrite  bool            `json:"overwrite,omitempty" doc:"Replace existing files that do not belong to the torrent. Needs the scope admin."`
	Symlinks   bool            `json:"symlinks,omitempty" doc:"Create the symbolic links of the torrent, except those that point outside it."`
	Seed       bool            `json:"seed,omitempty" doc:"The data in dir is complete, and is only shared."`
	Store      bool            `json:"store,omitempty" doc:"The data is in the object store of the daemon. What is missing there is downloaded and written into it, unless seed is set."`
}

// SetTorrent sets Link or Torrent to that of spec.
func (b *AddBody) SetTorrent(spec *node.Spec) {
	if spec.Torrent != nil {
		b.Torrent = spec.Torrent.Append(nil)
		return
	}
	b.Link = spec.Link.String()
}

func (b *AddBody) request() daemon.AddRequest {
	return daemon.AddRequest{Priorities: b.Priorities, Order: node.Order{Sequential: b.Sequential, From: b.From, FirstLast: b.FirstLast}, MaxPeers: b.MaxPeers,
		Link: b.Link, Torrent: b.Torrent, Inspection: b.Inspection, Dir: b.Dir, Name: b.Name, Labels: b.Labels, Category: b.Category, Paused: b.Paused, Select: b.Select,
		All: b.All, Peers: b.Peers, UpRate: b.UpLimit, DownRate: b.DownLimit, Overwrite: b.Overwrite, Symlinks: b.Symlinks, Seed: b.Seed, Objects: b.Store}
}

type addOutput struct {
	Status int
	Body   *view.Torrent
}

// maxAddBody limits the body of an add: a .torrent file of 64 MiB in base64.
const maxAddBody = 90 << 20

func (a *api) addTorrents() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/torrents", "list-torrents", "List the torrents", token.Read),
		func(_ context.Context, in *listInput) (*struct{ Body TorrentList }, error) {
			return &struct{ Body TorrentList }{a.list(in)}, nil
		})
	add := operation(http.MethodPost, "/v1/torrents", "add-torrent", "Add a torrent", token.Add)
	add.MaxBodyBytes = maxAddBody
	add.Description = "Answers 201 with the new torrent, or 200 if the session has the torrent already, which stays as it is."
	add.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, add, a.add)
	huma.Register(a.huma, operation(http.MethodGet, "/v1/torrents/{id}", "get-torrent", "Show a torrent", token.Read),
		func(_ context.Context, in *TorrentPath) (*oneTorrent, error) {
			t, err := a.Find(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return &oneTorrent{a.torrent(t)}, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/torrents/{id}/files", "list-files", "List the files of a torrent", token.Read), a.files)
	huma.Register(a.huma, operation(http.MethodGet, "/v1/torrents/{id}/peers", "list-peers", "List the connected peers of a torrent", token.Read), a.peers)
	pieces := operation(http.MethodGet, "/v1/torrents/{id}/pieces", "get-pieces", "Show the pieces of a torrent, here and at its peers", token.Read)
	pieces.Description = "With buckets, the answer has that many ranges of pieces at most in place of every piece, so that it stays small for a torrent of 100,000 pieces."
	huma.Register(a.huma, pieces, a.pieces)
}

func (a *api) list(in *listInput) TorrentList {
	out := TorrentList{Torrents: []*view.Torrent{}, Cursor: int64(a.Node().Cursor())}
	for _, t := range a.Node().Torrents() {
		if a.Number(t) <= in.After || in.Label != "" && !slices.Contains(t.Labels(), in.Label) || in.Category != "" && !daemon.IsInCategory(t.Details().Category, in.Category) {
			continue
		}
		if len(out.Torrents) == in.Limit {
			out.More = true
			break
		}
		if o := a.torrent(t); in.State == "" || o.State == in.State {
			out.Torrents = append(out.Torrents, o)
		}
	}
	return out
}

func (a *api) add(ctx context.Context, in *addInput) (*addOutput, error) {
	if in.Body.Overwrite && guard.ScopeOf(ctx) < token.Admin { // it deletes what is there
		return nil, &Problem{Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden, Detail: "this token may not overwrite files: the scope " + token.Admin.String() + " is needed"}
	}
	t, added, err := a.Add(ctx, in.Body.request())
	if err != nil {
		return nil, a.problem(err)
	}
	return &addOutput{statusOfAdded(added), a.torrent(t)}, nil
}

// FileList is the files of a torrent, without padding.
type FileList struct {
	Files []view.TorrentFile `json:"files" doc:"In the order of their numbers, from 1."`
	More  bool               `json:"more" doc:"There are more files: ask again with after set to the last number."`
}

type filesInput struct {
	TorrentPath
	FilePage
}

// FilePage says which part of a list of files to show.
type FilePage struct {
	After int `query:"after" minimum:"0" doc:"Only files with a larger number. For the next page, the last number of this one."`
	Limit int `query:"limit" minimum:"1" maximum:"1000000" default:"1000000" doc:"The maximum number of files in the answer."`
}

func (a *api) files(_ context.Context, in *filesInput) (*struct{ Body FileList }, error) {
	t, err := a.Find(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	states, info := t.FileStates(in.After, in.Limit)
	if info == nil {
		return nil, a.problem(node.ErrNoMetadata)
	}
	out := FileList{Files: make([]view.TorrentFile, len(states)), More: in.After+len(states) < info.Stored()}
	for k, s := range states {
		f := view.FileOf(&info.Files[s.Index])
		f.Path = s.Path
		out.Files[k] = view.TorrentFile{Number: s.Number, File: f, Selected: s.Selected, Have: s.Have, Priority: node.PriorityName(s.Priority)}
	}
	return &struct{ Body FileList }{out}, nil
}

// PeerList is the connected peers of a torrent.
type PeerList struct {
	Connections []view.Connection `json:"connections" doc:"In the order in which they were made."`
}

func (a *api) peers(_ context.Context, in *TorrentPath) (*struct{ Body PeerList }, error) {
	t, err := a.Find(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &struct{ Body PeerList }{PeerList{view.ConnectionsOf(t)}}, nil
}
