package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// answerWithin is how long a request waits until an operation is on record. The disk of the state
// directory may hang: the answer is then 202, and the operation continues.
const answerWithin = 2 * time.Second

// OperationPath has the parameters of an operation on a torrent.
type OperationPath struct {
	TorrentPath
	Wait int `query:"wait" minimum:"0" maximum:"60" doc:"How many seconds to wait until everything that the operation starts is done, such as moving files. If it is not done by then, the answer is 202. By default the answer comes as soon as the operation is on disk."`
}

// settled waits until everything that an operation has started is done, at most for the time in p,
// and reports whether that is so.
func (p *OperationPath) settled(ctx context.Context, t *node.Torrent) (bool, error) {
	if p.Wait == 0 {
		return true, nil
	}
	wait, cancel := context.WithTimeout(ctx, time.Duration(p.Wait)*time.Second)
	defer cancel()
	err := t.Settled(wait)
	if err != nil && wait.Err() != nil && errors.Is(err, wait.Err()) {
		return false, nil
	}
	return true, err
}

// result is the answer to an operation.
type result struct {
	Status int
	Body   *view.Torrent
}

// within runs an operation that continues when its caller stops waiting, and reports whether
// it has ended.
func within(ctx context.Context, do func(context.Context) error) (ended bool, err error) {
	wait, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err = do(wait)
	if err != nil && wait.Err() != nil && errors.Is(err, wait.Err()) {
		return false, nil
	}
	return true, err
}

// perform performs an operation on a torrent and answers with the torrent.
func (a *api) perform(ctx context.Context, p *OperationPath, do func(context.Context, *node.Torrent) error) (*result, error) {
	t, err := a.Find(p.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	ended, err := within(ctx, func(ctx context.Context) error { return do(ctx, t) })
	if ended && err == nil {
		ended, err = p.settled(ctx, t)
	}
	if err != nil {
		return nil, a.problem(err)
	}
	status := http.StatusOK
	if !ended {
		status = http.StatusAccepted
	}
	return &result{status, a.torrent(t)}, nil
}

type moveInput struct {
	OperationPath
	Body struct {
		Dir          string `json:"dir" minLength:"1" doc:"The new folder for the data: an absolute path in an allowed folder."`
		AlreadyThere bool   `json:"already_there,omitempty" doc:"The files are in the new folder already: use them there, and leave the old folder alone. Files that are not as they were are hashed. If none of the files is there, the request fails."`
	}
}

type renameInput struct {
	OperationPath
	Body struct {
		Path string `json:"path,omitempty" doc:"A file or a folder of the torrent, as the list of its files has it; empty means the torrent itself."`
		Name string `json:"name" minLength:"1" doc:"The new name. With slashes: the new path in the torrent, so that it moves to another folder there; a slash at its beginning is not necessary."`
	}
}

type changeInput struct {
	OperationPath
	Body TorrentChange
}

// TorrentChange is what to change of a torrent. What is left out stays as it is.
type TorrentChange struct {
	Labels    *[]string `json:"labels,omitempty" doc:"All labels: they replace the present ones."`
	Category  *string   `json:"category,omitempty" maxLength:"128" doc:"Created if it does not exist; empty means none. The data stays where it is."`
	UpLimit   *int64    `json:"up_limit,omitempty" minimum:"0" doc:"Bytes a second; 0 means the limit of the settings."`
	DownLimit *int64    `json:"down_limit,omitempty" minimum:"0" doc:"Bytes a second; 0 means the limit of the settings."`
	Select    *[]int    `json:"select,omitempty" doc:"The numbers of the wanted files, from 1; an empty list means all."`

	Files      *FilesChange      `json:"files,omitempty" doc:"The numbers of files that are wanted or not; other files stay as they are."`
	Priorities *PrioritiesChange `json:"priorities,omitempty" doc:"The numbers of files that get another priority; other files keep theirs."`
	Sequential *bool             `json:"sequential,omitempty" doc:"Request the pieces in sequence."`
	From       *int              `json:"sequential_from,omitempty" minimum:"0" maximum:"2147483647" doc:"The piece with which the sequence begins, from 0."`
	FirstLast  *bool             `json:"first_last,omitempty" doc:"Request the first and last pieces of every file first."`
	MaxPeers   *int              `json:"max_peers,omitempty" minimum:"0" maximum:"1000000" doc:"The limit of connected peers; 0 means that of the settings."`

	Goals *GoalsChange `json:"goals,omitempty" doc:"When to stop seeding: at the first goal that is reached."`
}

// FilesChange is which files become wanted, or are not wanted any more.
type FilesChange struct {
	Want []int `json:"want,omitempty"`
	Skip []int `json:"skip,omitempty"`
}

// PrioritiesChange is which files get another priority.
type PrioritiesChange struct {
	Low     []int `json:"low,omitempty"`
	Normal  []int `json:"normal,omitempty"`
	High    []int `json:"high,omitempty"`
	Maximum []int `json:"maximum,omitempty"`
}

// changeOrder changes the priorities of files, the order of pieces, and the limit of peers.
func changeOrder(ctx context.Context, t *node.Torrent, c *TorrentChange) error {
	if p := c.Priorities; p != nil {
		for i, list := range [][]int{p.Low, p.Normal, p.High, p.Maximum} {
			if len(list) == 0 {
				continue
			}
			if err := t.SetPriority(ctx, node.PriorityLow+node.Priority(i), list); err != nil {
				return err
			}
		}
	}
	if o := t.Details().Order; c.Sequential != nil || c.From != nil || c.FirstLast != nil {
		assign(&o.Sequential, c.Sequential)
		assign(&o.From, c.From)
		assign(&o.FirstLast, c.FirstLast)
		if err := t.SetOrder(ctx, o); err != nil {
			return err
		}
	}
	if c.MaxPeers != nil {
		return t.SetMaxPeers(ctx, *c.MaxPeers)
	}
	return nil
}

// assign sets what a change names.
func assign[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

// GoalsChange is which seeding goals of a torrent to change.
type GoalsChange struct {
	Ratio *float64 `json:"ratio,omitempty" minimum:"-1" maximum:"1e9" doc:"Bytes uploaded, divided by the size; 0 means that of the settings, -1 none."`
	Idle  *int64   `json:"idle_s,omitempty" minimum:"-1" maximum:"1e9" doc:"Seconds without an upload; 0 means those of the settings, -1 none."`
	Time  *int64   `json:"time_s,omitempty" minimum:"-1" maximum:"1e9" doc:"Seconds of seeding; 0 means those of the settings, -1 none."`
}

// over returns g with the changes.
func (c *GoalsChange) over(g node.Goals) node.Goals {
	if c.Ratio != nil {
		g.Ratio = *c.Ratio
	}
	if c.Idle != nil {
		g.Idle = time.Duration(*c.Idle) * time.Second
	}
	if c.Time != nil {
		g.Time = time.Duration(*c.Time) * time.Second
	}
	return g
}

type queueInput struct {
	OperationPath
	Body struct {
		To daemon.Where `json:"to" enum:"top,up,down,bottom" doc:"To the top or the bottom, or up or down by one."`
	}
}

type removeInput struct {
	OperationPath
	DeleteData bool `query:"delete_data" doc:"Also delete the files that the torrent has written."`
}

func (a *api) addOperations() {
	for _, o := range []struct {
		verb, summary string
		scope         token.Scope
		do            func(*node.Torrent, context.Context) error
	}{
		{"pause", "Pause a torrent, also after a restart", token.Add, (*node.Torrent).Pause},
		{"resume", "Start a torrent that is paused, has failed or has missing data", token.Add, (*node.Torrent).Resume},
		{"recheck", "Hash the data of a torrent again", token.Add, (*node.Torrent).Recheck},
	} {
		huma.Register(a.huma, operation(http.MethodPost, "/v1/torrents/{id}/"+o.verb, o.verb+"-torrent", o.summary, o.scope),
			func(ctx context.Context, in *OperationPath) (*result, error) {
				return a.perform(ctx, in, func(ctx context.Context, t *node.Torrent) error { return o.do(t, ctx) })
			})
	}
	huma.Register(a.huma, operation(http.MethodPost, "/v1/torrents/{id}/move", "move-torrent", "Move the data of a torrent to another folder", token.Admin),
		func(ctx context.Context, in *moveInput) (*result, error) {
			return a.perform(ctx, &in.OperationPath, func(ctx context.Context, t *node.Torrent) error {
				if in.Body.AlreadyThere {
					return a.SetFolder(ctx, t, in.Body.Dir)
				}
				return a.Move(ctx, t, in.Body.Dir)
			})
		})
	rename := operation(http.MethodPost, "/v1/torrents/{id}/rename", "rename-torrent", "Rename a torrent, or a file or folder in it", token.Admin)
	rename.Description = "Renames on the disk, while the torrent runs. If the metadata is not known yet, only the name that is shown changes. Nothing is replaced: if another file has the new name, the names stay. Whether another program has such a file is known only at the end: see wait."
	huma.Register(a.huma, rename,
		func(ctx context.Context, in *renameInput) (*result, error) {
			return a.perform(ctx, &in.OperationPath, func(ctx context.Context, t *node.Torrent) error {
				if in.Body.Path == "" {
					return t.RenameTorrent(ctx, in.Body.Name)
				}
				return t.RenameFile(ctx, in.Body.Path, in.Body.Name)
			})
		})
	huma.Register(a.huma, operation(http.MethodPost, "/v1/torrents/{id}/start", "start-torrent", "Start a torrent now, regardless of its place in the queue", token.Add),
		func(ctx context.Context, in *OperationPath) (*result, error) { return a.perform(ctx, in, a.StartNow) })
	huma.Register(a.huma, operation(http.MethodPost, "/v1/torrents/{id}/queue", "queue-torrent", "Move a torrent in the queue", token.Add),
		func(ctx context.Context, in *queueInput) (*result, error) {
			return a.perform(ctx, &in.OperationPath, func(ctx context.Context, t *node.Torrent) error {
				return a.Requeue(ctx, []*node.Torrent{t}, in.Body.To)
			})
		})
	huma.Register(a.huma, operation(http.MethodPatch, "/v1/torrents/{id}", "change-torrent", "Change the labels, category, limits, seeding goals, or the wanted files and their priorities of a torrent", token.Add),
		func(ctx context.Context, in *changeInput) (*result, error) {
			return a.perform(ctx, &in.OperationPath, func(ctx context.Context, t *node.Torrent) error { return a.change(ctx, t, &in.Body) })
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/torrents/{id}", "remove-torrent", "Remove a torrent from the session", token.Admin), a.remove)
}

// change performs the changes one after the other, and stops at the first error.
func (a *api) change(ctx context.Context, t *node.Torrent, c *TorrentChange) error {
	if c.Select != nil {
		files := *c.Select
		if len(files) == 0 {
			files = nil
		}
		if err := t.SetFiles(ctx, files); err != nil {
			return err
		}
	}
	if c.Files != nil {
		if err := t.EditFiles(ctx, c.Files.Want, c.Files.Skip); err != nil {
			return err
		}
	}
	if c.Labels != nil {
		if err := a.SetLabels(ctx, t, *c.Labels); err != nil {
			return err
		}
	}
	if c.Category != nil {
		if err := a.SetCategory(ctx, t, *c.Category); err != nil {
			return err
		}
	}
	if c.Goals != nil {
		if err := t.SetGoals(ctx, c.Goals.over(t.Details().Goals)); err != nil {
			return err
		}
	}
	if err := changeOrder(ctx, t, c); err != nil {
		return err
	}
	if c.UpLimit == nil && c.DownLimit == nil {
		return nil
	}
	d := t.Details()
	if c.UpLimit != nil {
		d.UpRate = *c.UpLimit
	}
	if c.DownLimit != nil {
		d.DownRate = *c.DownLimit
	}
	return t.SetLimits(ctx, d.UpRate, d.DownRate)
}

func (a *api) remove(ctx context.Context, in *removeInput) (*struct{ Status int }, error) {
	t, err := a.Find(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	ended, err := within(ctx, func(ctx context.Context) error { return a.Remove(ctx, t, in.DeleteData) })
	if ended && err == nil {
		ended, err = in.settled(ctx, t)
	}
	return a.removed(ended, err)
}

// removed answers to an operation that removes something: 204, or 202 if it continues.
func (a *api) removed(ended bool, err error) (*struct{ Status int }, error) {
	switch {
	case err != nil:
		return nil, a.problem(err)
	case ended:
		return &struct{ Status int }{http.StatusNoContent}, nil
	}
	return &struct{ Status int }{http.StatusAccepted}, nil
}
