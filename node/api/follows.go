package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/magnet"
	"seedbed/node/daemon/token"
	"seedbed/node/follow"
	"seedbed/node/names"
	"seedbed/node/view"
)

// FollowList is what a daemon follows.
type FollowList struct {
	Follows []*view.Followed `json:"follows" doc:"Sorted by folder."`
}

// FollowBody describes a publication to follow.
type FollowBody struct {
	Link string `json:"link" minLength:"1" maxLength:"262144" doc:"A magnet link with a public key (xs=urn:btpk:), or the domain name of a publication."`
	// AcceptChange is for a name.
	AcceptChange bool     `json:"accept_change,omitempty" doc:"Pin the key that the name has now in place of the key that is pinned. The follow of the earlier key ends."`
	Dir          string   `json:"dir,omitempty" doc:"The folder of the versions: an absolute path in an allowed folder. By default a new one in the daemon's folder."`
	KeepAlive    bool     `json:"keep_alive,omitempty" doc:"Republish the publisher's signed item, so that the link keeps working without the publisher."`
	Poll         float64  `json:"poll_s,omitempty" minimum:"0" maximum:"86400" doc:"How often to check for a new version, in seconds; by default every 10 minutes."`
	Keep         *int     `json:"keep,omitempty" minimum:"0" maximum:"1000" doc:"How many earlier versions to keep on disk; by default 1."`
	Peers        []string `json:"peers,omitempty" doc:"HOST:PORT of peers to try first."`
}

type oneFollow struct {
	Status int
	Body   *view.Followed
}

func (a *api) addFollows() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/follows", "list-follows", "List the publications that are followed", token.Read),
		func(context.Context, *struct{}) (*struct{ Body FollowList }, error) {
			out := FollowList{Follows: []*view.Followed{}}
			for _, f := range a.Follows() {
				out.Follows = append(out.Follows, followed(f))
			}
			return &struct{ Body FollowList }{out}, nil
		})
	add := operation(http.MethodPost, "/v1/follows", "follow", "Follow a publication", token.Add)
	add.DefaultStatus = http.StatusCreated
	add.Description = "Answers 201, or 200 if the publication is followed already, which stays as it is."
	huma.Register(a.huma, add, a.follow)
	huma.Register(a.huma, operation(http.MethodGet, "/v1/follows/{id}", "get-follow", "Show a publication that is followed", token.Read),
		func(_ context.Context, in *FollowPath) (*oneFollow, error) {
			f, err := a.FindFollow(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return &oneFollow{http.StatusOK, followed(f)}, nil
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/follows/{id}", "unfollow", "Stop following a publication; its versions stay on disk", token.Admin),
		func(ctx context.Context, in *FollowPath) (*struct{ Status int }, error) {
			f, err := a.FindFollow(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return a.end(ctx, func(ctx context.Context) error { return a.Unfollow(ctx, f) })
		})
	huma.Register(a.huma, operation(http.MethodPost, "/v1/follows/{id}/check", "check-follow", "Look for a newer version of a followed publication now", token.Add),
		func(ctx context.Context, in *FollowPath) (*oneFollow, error) {
			return a.changeFollow(ctx, in.ID, func(ctx context.Context, f *follow.Follower) error { return f.Check(ctx) })
		})
	stay := operation(http.MethodPut, "/v1/follows/{id}/stay", "stay-at-version", "Go back to an earlier version of a followed publication, and stay there", token.Admin)
	stay.Description = "The version must be on disk. Newer versions are looked for, but not downloaded, until the stay ends."
	huma.Register(a.huma, stay, func(ctx context.Context, in *stayInput) (*oneFollow, error) {
		return a.changeFollow(ctx, in.ID, func(ctx context.Context, f *follow.Follower) error { return f.Stay(ctx, in.Body.Seq) })
	})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/follows/{id}/stay", "continue-follow", "End the stay at an earlier version: continue with the newest", token.Admin),
		func(ctx context.Context, in *FollowPath) (*oneFollow, error) {
			return a.changeFollow(ctx, in.ID, func(ctx context.Context, f *follow.Follower) error { return f.Continue(ctx) })
		})
}

type stayInput struct {
	FollowPath
	Body struct {
		Seq int64 `json:"seq" minimum:"1" doc:"The number of the version."`
	}
}

// changeFollow changes a follow and answers with it; with 202 if that takes long.
func (a *api) changeFollow(ctx context.Context, id string, do func(context.Context, *follow.Follower) error) (*oneFollow, error) {
	f, err := a.FindFollow(id)
	if err != nil {
		return nil, a.problem(err)
	}
	ended, err := within(ctx, func(ctx context.Context) error { return do(ctx, f) })
	if err != nil {
		return nil, a.problem(err)
	}
	status := http.StatusOK
	if !ended {
		status = http.StatusAccepted
	}
	return &oneFollow{status, followed(f)}, nil
}

func (a *api) follow(ctx context.Context, in *struct{ Body FollowBody }) (*oneFollow, error) {
	b := &in.Body
	link, domain, err := a.publication(ctx, b)
	if err != nil {
		return nil, a.problem(err)
	}
	cfg := follow.Config{Link: link, Domain: domain, Dir: b.Dir, KeepAlive: b.KeepAlive, Poll: seconds(b.Poll), Peers: b.Peers}
	if b.Keep != nil {
		if cfg.Keep = *b.Keep; cfg.Keep == 0 {
			cfg.Keep = -1
		}
	}
	f, added, err := a.Follow(ctx, cfg)
	if err != nil {
		return nil, a.problem(err)
	}
	return &oneFollow{statusOfAdded(added), followed(f)}, nil
}

// publication returns the link that a client wants to follow, and the domain name by which it names it.
func (a *api) publication(ctx context.Context, b *FollowBody) (*magnet.Link, string, error) {
	link, err := a.linkOf(ctx, b.Link, b.AcceptChange)
	if err != nil || !names.IsName(b.Link) {
		return link, "", err
	}
	return link, link.Name, nil
}

// followed returns the object of a publication that is followed.
func followed(f *follow.Follower) *view.Followed {
	what := f.Describe()
	c := &what.Config
	o := &view.Followed{Target: what.Target.String(), PublicKey: c.Link.PublicKey.String(), Salt: string(c.Link.Salt), Link: c.Link.String(), Domain: c.Domain, Dir: c.Dir, Folder: what.Folder,
		KeepAlive: c.KeepAlive, Poll: c.Poll.Seconds(), Keep: max(c.Keep, 0), Connected: f.Connected()}
	if what.Seq != 0 {
		o.Seq, o.InfoHash, o.Stays = &what.Seq, what.InfoHash, what.Stays
	}
	o.SignedBy = what.Signer
	if d := what.Delegation; d != nil {
		o.Expires = d.Expiry.UTC().Format(time.RFC3339)
		for _, key := range d.Keys {
			o.Delegates = append(o.Delegates, key.String())
		}
	}
	if what.Newest != 0 {
		o.NewestSeq = &what.Newest
	}
	if seq, t := f.Next(); t != nil {
		o.NextSeq, o.NextInfoHash = &seq, t.InfoHash().String()
	}
	view.Complete(o, time.Now())
	return o
}
