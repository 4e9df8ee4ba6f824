package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"seedbed/node/api/guard"
	"seedbed/node/daemon/token"
)

// sessionPath is where clients log in.
const sessionPath = "/v1/session"

// IsOpen reports whether the interface answers requests for a path without a token. The guard must pass them
// on (guard.Config.Open).
func IsOpen(path string) bool { return path == sessionPath || strings.HasPrefix(path, StreamPath) }

// Session is a login of a browser.
type Session struct {
	Scope string `json:"scope" enum:"none,read,add,admin" doc:"What the session may do; none if there is no session."`
	Token string `json:"token,omitempty" doc:"The id of the token with which it began; left out if it needed none."`
	Add   *ToAdd `json:"add,omitempty" doc:"What the code of a login was made to add."`
}

// LoginCode begins one session.
type LoginCode struct {
	Code string `json:"code" doc:"The code. It is valid once, for a minute."`
	URL  string `json:"url,omitempty" doc:"The web page with the code: opening it logs in. Left out if the daemon serves no TCP address."`
}

// LoginFragment returns the end of the URL of the web page that logs in with a code.
func LoginFragment(code string) string { return "#/login/" + code }

// exchange is a request and its answer, for what the library has no way to express: cookies.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
}

// Resolve implements huma.Resolver.
func (x *exchange) Resolve(ctx huma.Context) []error {
	x.r, x.w = humago.Unwrap(ctx)
	return nil
}

type loginInput struct {
	exchange
	Body struct {
		Token string `json:"token,omitempty" maxLength:"1024" doc:"A token; or give code."`
		Code  string `json:"code,omitempty" maxLength:"1024" doc:"A code of POST /v1/session/code."`
	}
}

// ToAdd is a torrent that the web page offers to add after a login.
type ToAdd struct {
	Link    string `json:"link,omitempty" maxLength:"262144" doc:"A magnet link, also one of a publication, an infohash, or the domain name of a publication."`
	Torrent []byte `json:"torrent,omitempty" doc:"The content of a .torrent file, in base64."`
}

// maxToAdd limits the body of a request for a code, in bytes.
const maxToAdd = 24 << 20

type codeInput struct {
	Body struct {
		ToAdd
	} `required:"false"`
}

type sessionOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Session
}

func newSessionOutput(t token.Token, add *ToAdd) *sessionOutput {
	return &sessionOutput{"no-store", Session{t.Scope.String(), t.ID, add}}
}

// needsNoToken describes an operation that anyone may request.
func needsNoToken(method, path, id, summary string) huma.Operation {
	o := operation(method, path, id, summary, token.None)
	o.Security = []map[string][]string{}
	o.Errors = append(o.Errors, http.StatusUnauthorized, http.StatusTooManyRequests)
	return o
}

func (a *api) addSession() {
	login := needsNoToken(http.MethodPost, sessionPath, "login", "Log in: begin a session with a token or a code")
	login.Description = "Sets a cookie that browsers send with each request. The session ends an hour after its last request, 30 days after the login, or when its token is revoked; a restart of the daemon does not end it."
	huma.Register(a.huma, login, a.login)
	huma.Register(a.huma, needsNoToken(http.MethodGet, sessionPath, "get-session", "Show what the session may do"),
		func(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
			return newSessionOutput(token.Token{ID: guard.TokenOf(ctx), Scope: guard.ScopeOf(ctx)}, nil), nil
		})
	huma.Register(a.huma, needsNoToken(http.MethodDelete, sessionPath, "logout", "Log out: end the session"),
		func(_ context.Context, in *exchange) (*struct{}, error) {
			a.cfg.Guard.LogoutPage(in.w, in.r)
			return nil, nil
		})
	code := operation(http.MethodPost, sessionPath+"/code", "new-code", "Make a code that logs a browser in, once", token.Admin)
	code.DefaultStatus = http.StatusCreated
	code.Description = "The session has the rights of the token of this request. With a torrent, the page offers to add that after the login."
	code.MaxBodyBytes = maxToAdd
	huma.Register(a.huma, code, func(ctx context.Context, in *codeInput) (*struct{ Body LoginCode }, error) {
		out := LoginCode{Code: a.cfg.Guard.NewCode(ctx, in.Body.ToAdd)}
		if a.cfg.Page != nil {
			out.URL = a.cfg.Page(out.Code)
		}
		return &struct{ Body LoginCode }{out}, nil
	})
}

func (a *api) login(_ context.Context, in *loginInput) (*sessionOutput, error) {
	if in.Body.Code != "" {
		t, what, err := a.cfg.Guard.LoginWithCode(in.w, in.r, in.Body.Code)
		if err != nil {
			return nil, refusedLogin(in.w, err)
		}
		out := newSessionOutput(t, nil)
		if add, ok := what.(ToAdd); ok && (add.Link != "" || add.Torrent != nil) {
			out.Body.Add = &add
		}
		return out, nil
	}
	t, err := a.cfg.Guard.LoginPage(in.w, in.r, in.Body.Token)
	if err != nil {
		return nil, refusedLogin(in.w, err)
	}
	return newSessionOutput(t, nil), nil
}

// refusedLogin returns the answer to a login that has failed.
func refusedLogin(w http.ResponseWriter, err error) *Problem {
	p := &Problem{Status: http.StatusUnauthorized, Detail: err.Error()}
	switch {
	case errors.Is(err, guard.ErrTooMany):
		w.Header().Set("Retry-After", guard.RetryAfter)
		p.Status, p.Hint = http.StatusTooManyRequests, "wait for "+guard.RetryAfter+" seconds and try again"
	case errors.Is(err, guard.ErrWrongCode):
		p.Hint = "run seedbed open again, or log in with a token"
	default:
		p.Hint = "seedbed token new admin on the machine of the daemon makes a token"
	}
	p.Title = http.StatusText(p.Status)
	return p
}
