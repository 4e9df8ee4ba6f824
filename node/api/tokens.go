package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node/daemon/token"
)

// TokenList is the tokens of a daemon, without their texts.
type TokenList struct {
	Tokens []token.Token `json:"tokens"`
}

type newTokenInput struct {
	Body struct {
		Scope string `json:"scope" enum:"read,add,admin"`
		Name  string `json:"name,omitempty" maxLength:"100" doc:"A name for lists, such as that of the program that uses the token."`
	}
}

// NewToken is a token that was created.
type NewToken struct {
	token.Token
	Text string `json:"text" doc:"The token itself. It cannot be shown again."`
}

func (a *api) addTokens() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/tokens", "list-tokens", "List the tokens", token.Admin),
		func(context.Context, *struct{}) (*struct{ Body TokenList }, error) {
			return &struct{ Body TokenList }{TokenList{a.Tokens().List()}}, nil
		})
	create := operation(http.MethodPost, "/v1/tokens", "new-token", "Create a token", token.Admin)
	create.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, create, func(_ context.Context, in *newTokenInput) (*struct{ Body NewToken }, error) {
		scope, err := token.ParseScope(in.Body.Scope)
		if err != nil {
			return nil, a.problem(err)
		}
		text, t, err := a.Tokens().New(in.Body.Name, scope)
		if err != nil {
			return nil, a.problem(err)
		}
		return &struct{ Body NewToken }{NewToken{t, text}}, nil
	})
	revoke := operation(http.MethodDelete, "/v1/tokens/{which}", "revoke-token", "Revoke a token, by its id or name", token.Admin)
	huma.Register(a.huma, revoke, func(_ context.Context, in *struct {
		Which string `path:"which" doc:"The id or the name of the token."`
	}) (*struct{ Body TokenList }, error) {
		gone, err := a.cfg.Guard.Revoke(in.Which)
		if err != nil {
			return nil, a.problem(err)
		}
		return &struct{ Body TokenList }{TokenList{gone}}, nil
	})
}
