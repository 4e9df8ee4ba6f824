package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
)

// CategoryList is the categories of a daemon.
type CategoryList struct {
	Categories []daemon.Category `json:"categories" doc:"Sorted by name."`
}

type categoryInput struct {
	Name string `path:"name" doc:"The name of the category." maxLength:"128"`
	Body struct {
		Dir string `json:"dir,omitempty" doc:"The folder for the data of new torrents: an absolute path in an allowed folder; by default the folder of the daemon."`
	}
}

func (a *api) addCategories() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/categories", "list-categories", "List the categories", token.Read),
		func(context.Context, *struct{}) (*struct{ Body CategoryList }, error) { return a.categories(nil) })
	huma.Register(a.huma, operation(http.MethodPut, "/v1/categories/{name}", "set-category", "Create a category, or change its folder for new torrents", token.Admin),
		func(ctx context.Context, in *categoryInput) (*struct{ Body CategoryList }, error) {
			ctx, cancel := context.WithTimeout(ctx, answerWithin)
			defer cancel()
			return a.categories(a.PutCategory(ctx, daemon.Category{Name: in.Name, Dir: in.Body.Dir}))
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/categories/{name}", "remove-category", "Remove a category; its torrents stay, without a category", token.Admin),
		func(ctx context.Context, in *struct {
			Name string `path:"name" doc:"The name of the category." maxLength:"128"`
		}) (*struct{ Body CategoryList }, error) {
			return a.categories(a.RemoveCategories(ctx, []string{in.Name}))
		})
}

// categories answers with the categories, or with an error.
func (a *api) categories(err error) (*struct{ Body CategoryList }, error) {
	if err != nil {
		return nil, a.problem(err)
	}
	return &struct{ Body CategoryList }{CategoryList{a.Categories()}}, nil
}
