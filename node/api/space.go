package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node/daemon/token"
)

// FolderSpace is the space of the file system of a folder.
type FolderSpace struct {
	Dir   string `json:"dir" doc:"The folder."`
	Free  int64  `json:"free" doc:"Bytes that the daemon can use there."`
	Total int64  `json:"total" doc:"Bytes."`
}

type spaceInput struct {
	Dir      string `query:"dir" maxLength:"4096" doc:"An absolute path in an allowed folder. It need not exist yet. By default the folder of the category, or of the daemon."`
	Category string `query:"category" maxLength:"128" doc:"The category of a torrent that would be added."`
}

func (a *api) addSpace() {
	o := operation(http.MethodGet, "/v1/space", "get-space", "Show the free space where a new torrent would be downloaded to", token.Read)
	o.Description = "The value may be some seconds old."
	huma.Register(a.huma, o, func(ctx context.Context, in *spaceInput) (*struct{ Body FolderSpace }, error) {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		dir, s, err := a.SpaceFor(ctx, in.Dir, in.Category)
		if err != nil {
			return nil, a.problem(err)
		}
		return &struct{ Body FolderSpace }{FolderSpace{dir, s.Free, s.Total}}, nil
	})
}
