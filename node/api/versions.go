package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/follow"
	"seedbed/node/publish"
	"seedbed/node/view"
)

// FollowPath is the path parameter of operations on one follow.
type FollowPath struct {
	ID string `path:"id" maxLength:"64" doc:"The target of the publication, or the beginning of it (at least 4 digits)."`
}

// DiffRange is the two versions to compare.
type DiffRange struct {
	From  int64 `query:"from" minimum:"1" required:"true" doc:"The number of the earlier version."`
	To    int64 `query:"to" minimum:"1" required:"true" doc:"The number of the later version."`
	Limit int   `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"The maximum number of files in the answer."`
}

// FollowedVersion is a version on disk.
type FollowedVersion struct {
	Seq       int64  `json:"seq"`
	InfoHash  string `json:"infohash"`
	Name      string `json:"name"`
	Folder    string `json:"dir" doc:"Contains its file or folder."`
	Size      int64  `json:"size"`
	FileCount int    `json:"file_count"`
	Current   bool   `json:"current"`
}

// FollowedVersions is the versions of a publication that are on disk.
type FollowedVersions struct {
	Versions []FollowedVersion `json:"versions" doc:"The newest first. Those that were complete once; the setting keep of the follow says how many stay."`
}

func (a *api) addVersions() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/publications/{id}/diff", "compare-versions", "Show which files differ between two versions of a publication", token.Read),
		func(ctx context.Context, in *struct {
			PublicationPath
			DiffRange
		}) (*struct{ Body view.VersionDiff }, error) {
			p, err := a.FindPublication(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return a.diff(ctx, &in.DiffRange, p.Metadata)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/follows/{id}/diff", "compare-followed-versions", "Show which files differ between two versions on disk", token.Read),
		func(ctx context.Context, in *struct {
			FollowPath
			DiffRange
		}) (*struct{ Body view.VersionDiff }, error) {
			f, err := a.FindFollow(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return a.diff(ctx, &in.DiffRange, f.Metadata)
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/follows/{id}/versions", "list-followed-versions", "List the versions of a followed publication that are on disk", token.Read),
		func(ctx context.Context, in *FollowPath) (*struct{ Body FollowedVersions }, error) {
			f, err := a.FindFollow(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			ctx, cancel := context.WithTimeout(ctx, answerWithin)
			defer cancel()
			list, err := await.Result(ctx, func() ([]follow.Version, error) { return f.Versions(), nil }) // the disk may hang
			if err != nil {
				return nil, a.problem(err)
			}
			out := FollowedVersions{Versions: []FollowedVersion{}}
			for _, v := range list {
				out.Versions = append(out.Versions, FollowedVersion{v.Seq, v.InfoHash, v.Name, v.Folder, v.Size, v.Files, v.Current})
			}
			return &struct{ Body FollowedVersions }{out}, nil
		})
}

// diff compares two versions whose metadata read returns.
func (a *api) diff(ctx context.Context, in *DiffRange, read func(seq int64) (*metainfo.Info, error)) (*struct{ Body view.VersionDiff }, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	out, err := await.Result(ctx, func() (view.VersionDiff, error) { return diffOf(in, read) }) // the disk may hang
	if errors.Is(err, publish.ErrNoVersion) {
		err = node.NewFault(node.FaultUsage, err, "the publication lists its versions")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &struct{ Body view.VersionDiff }{out}, nil
}

func diffOf(in *DiffRange, read func(seq int64) (*metainfo.Info, error)) (view.VersionDiff, error) {
	before, err := read(in.From)
	if err != nil {
		return view.VersionDiff{}, err
	}
	after, err := read(in.To)
	if err != nil {
		return view.VersionDiff{}, err
	}
	return view.DiffOf(in.From, in.To, before, after, in.Limit), nil
}
