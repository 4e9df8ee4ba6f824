// Package api serves the REST interface of a daemon, below /v1.
//
// Every action is an operation of package daemon; the handlers here only translate.
// The objects are those of package view, so that REST, the event stream and --json agree. Errors
// are problem details (RFC 9457) with a hint. openapi.json is made from the types.
//
// Lists of torrents have a cursor into the change log. A client reads the list once, and then
// either asks for the changes since its cursor (/v1/changes) or listens to the event stream
// (/v1/events), which resumes at Last-Event-ID.
//
// The guard in front of the handler (package guard) has checked the token; the handler checks that
// the scope of the token suffices for the operation.
package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/stream"
)

// Config configures the interface.
type Config struct {
	Daemon  *daemon.Daemon
	Guard   *guard.Guard // begins and ends the sessions of logins
	Version string       // of the program
	// Hint returns what a user can do about an error, or "".
	Hint func(error) string
	// Ending ends the event streams when it is closed. They also end with the node. May be nil.
	Ending <-chan struct{}
	// Serving returns the URLs at which the daemon serves TCP, for stream links. May be nil.
	Serving func() []string
	// Page returns the URL of the web page that logs in with a code, or "" if there is none. May be nil.
	Page func(code string) string
	// Gateway is the URL at which the browsers of this machine can read publications, or "".
	Gateway string
}

// api holds what the handlers share.
type api struct {
	*daemon.Daemon
	cfg      Config
	huma     huma.API
	progress progress
	readers  *stream.Gate
	tickets  ticketKey
	traces   chan struct{} // limits the lookups that are shown live
}

// New returns the handler of everything below /v1.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	newAPI(cfg, mux)
	return takeJSON(mux)
}

// takeJSON treats a body that is labelled as a form as JSON, because curl -d labels it so by
// default, and limits the values in it. The guard has refused the forms of other sites.
func takeJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
			r.Header.Set("Content-Type", "application/json")
		}
		r.Body = &counted{r.Body, maxValues}
		next.ServeHTTP(w, r)
	})
}

// maxValues limits the values in a body. Each takes a hundred times the memory of its text, and as
// much again if it is not valid.
const maxValues = 1 << 20

var errTooManyValues = fmt.Errorf("the body has more than %d values", maxValues)

// counted is a body in JSON. Reading it fails if it has too many values; commas in texts count too.
type counted struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.left -= bytes.Count(p[:n], []byte{','}); c.left < 0 {
		return n, errTooManyValues
	}
	return n, err
}

func newAPI(cfg Config, mux *http.ServeMux) *api {
	c := huma.DefaultConfig("seedbed", cfg.Version)
	c.Info.Description = "Controls a running seedbed daemon. See docs/daemon.md. Sizes are in bytes and rates in bytes a second."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "/v1/openapi", "", "", nil
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A token of seedbed token new."},
		"basic":  {Type: "http", Scheme: "basic", Description: "The same token as the password, with any user name."},
	}
	c.Security = []map[string][]string{{"bearer": {}}, {"basic": {}}}
	a := &api{Daemon: cfg.Daemon, cfg: cfg, huma: humago.New(mux, c), readers: stream.NewGate(maxReaders), tickets: newTicketKey(), traces: make(chan struct{}, maxTraces)}
	a.progress.a = a
	a.huma.UseMiddleware(a.checkScope)
	a.addTorrents()
	a.addOperations()
	a.addContent(mux)
	a.addLinks(mux)
	a.addImport()
	a.addChanges()
	a.addNode()
	a.addSpace()
	a.addTokens()
	a.addSession()
	a.addSettings()
	a.addPublications()
	a.addFollows()
	a.addPins()
	a.addFleet()
	a.addCatalogue()
	a.addVersions()
	a.addQR(mux)
	a.addJobs()
	a.addInspect()
	a.addActivity()
	a.addDHT(mux)
	a.addCategories()
	mux.Handle("GET /v1/docs", guard.Require(token.Read, http.HandlerFunc(serveDocs)))
	mux.Handle("GET /v1/events", guard.Require(token.Read, http.HandlerFunc(a.events)))
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, &Problem{Status: http.StatusNotFound, Detail: "there is no " + r.Method + " " + r.URL.Path})
	})
	return a
}

// scopeKey is the key of the scope that an operation needs, in its metadata.
const scopeKey = "scope"

// checkScope refuses requests whose token lacks the scope of the operation.
func (a *api) checkScope(ctx huma.Context, next func(huma.Context)) {
	need := ctx.Operation().Metadata[scopeKey].(token.Scope)
	if guard.ScopeOf(ctx.Context()) >= need {
		next(ctx)
		return
	}
	_, w := humago.Unwrap(ctx)
	writeProblem(w, missingScope(need))
}

// missingScope is the answer to a request whose token lacks the scope that it needs.
func missingScope(need token.Scope) *Problem {
	return &Problem{Status: http.StatusForbidden, Title: http.StatusText(http.StatusForbidden), Detail: "this token may not do that: the scope " + need.String() + " is needed"}
}

// bodyWithin is how long the body of a request may take. The library would allow 5 s, in which a
// slow line sends no large .torrent file.
const bodyWithin = 5 * time.Minute

// operation describes an operation; id is that in the OpenAPI document.
func operation(method, path, id, summary string, scope token.Scope) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, MaxBodyBytes: 1 << 20, BodyReadTimeout: bodyWithin,
		Metadata: map[string]any{scopeKey: scope}, Errors: []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound}}
}
