// Package guard decides who may use the HTTP interfaces of a daemon.
//
// A Guard wraps the handler of every interface. It refuses, in this order:
//
//   - a request whose Host header names neither this machine nor an allowed name, with 421. A
//     web page that makes its own host name point at this machine (DNS rebinding) gets no further;
//   - a request that a page of another site made, if its credentials may be ones that the
//     browser added by itself (Basic, a cookie), with 403;
//   - a request without a valid token, with 401, or with 429 if its address has sent too many wrong
//     ones. Handlers of the paths of Config.Open answer such requests themselves.
//
// A token is accepted as a Bearer token, as the password of HTTP Basic with any user name, and
// by the cookie of a session that a login has begun (sessions.go). A login needs a token or a code that
// a client with access has made (codes.go). A connection over the unix socket needs none: only the
// owner of its file can open it.
//
// Handlers find out what the request may do with ScopeOf and Require.
package guard

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"seedbed/node/daemon/token"
)

// MaxBody is the size limit of a request's body, in bytes: a .torrent file of 64 MiB in base64
// and the JSON around it. A handler that needs less sets a limit of its own.
const MaxBody = 96 << 20

// Anyone can send a request without a token. Its body has maxOpenBody bytes at most, and must
// come within openWithin.
const (
	maxOpenBody = 64 << 10
	openWithin  = 10 * time.Second
)

// Config configures a Guard.
type Config struct {
	Tokens *token.Store // required
	// Hosts are the names under which the interfaces are reached, besides addresses and
	// localhost: "nas.example.org", or "*.example.org" for every name below it. Nil means none.
	Hosts func() []string
	// Proxies are the addresses of trusted reverse proxies. The X-Forwarded-For header of their
	// requests names the client.
	Proxies []netip.Prefix
	// State is the folder in which the sessions of logins are kept, so that a restart does not end them. "" keeps
	// them in memory only.
	State string
	Log   *slog.Logger // may be nil
	// Realm is shown by browsers that ask for a password.
	Realm string
	// Open reports whether the handler of a path answers requests without a valid token itself. They
	// reach it with the scope None. Nil means that no handler does.
	Open func(path string) bool
}

// A Guard wraps handlers. Its methods may be called from any goroutine.
type Guard struct {
	cfg      Config
	failures *failures
	sessions *sessions
	codes    codes
	requests requests
}

// New returns a guard, with the sessions that an earlier one has saved. Close saves them.
func New(cfg Config) *Guard {
	if cfg.Hosts == nil {
		cfg.Hosts = func() []string { return nil }
	}
	if cfg.Open == nil {
		cfg.Open = func(string) bool { return false }
	}
	if cfg.Realm == "" {
		cfg.Realm = "seedbed"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{cfg: cfg, failures: newFailures()}
	g.sessions = openSessions(cfg.State, cfg.Log, g.gives)
	return g
}

// Close saves the sessions. Requests may still come; what they change is not saved.
func (g *Guard) Close() { g.sessions.close() }

// caller is who sent a request.
type caller struct {
	token      token.Token // zero: none was sent
	credential credential  // zero: none gives access
	addr       netip.Addr  // not valid over a unix socket
}

// callerKey is the key of the caller in a request's context.
type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// ScopeOf returns what a request may do.
func ScopeOf(ctx context.Context) token.Scope { return callerOf(ctx).token.Scope }

// TokenOf returns the id of the token of a request, or "" if it needed none or had none.
func TokenOf(ctx context.Context) string { return callerOf(ctx).token.ID }

// AddrOf returns the address of the client of a request, behind trusted proxies. It is not valid for a
// client of the unix socket.
func AddrOf(ctx context.Context) netip.Addr { return callerOf(ctx).addr }

// Local wraps a handler for connections over the unix socket, which only the owner of its file can
// open.
func (g *Guard) Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.serve(next, w, r, caller{token: token.Token{Scope: token.Admin}, credential: credential{isLocal: true}})
	})
}

// Remote wraps a handler for connections over TCP.
func (g *Guard) Remote(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSafe(w.Header())
		if !g.isOurHost(r.Host) {
			refuse(w, "this host name is not allowed here; start the daemon with --allow-host "+hostname(r.Host), http.StatusMisdirectedRequest)
			return
		}
		c, ambient := g.credential(r)
		if ambient && isCrossSite(r) {
			refuse(w, "requests from pages of other sites are refused", http.StatusForbidden)
			return
		}
		if t, ok := g.check(c); ok {
			g.serve(next, w, r, caller{t, c, g.clientOf(r)})
			return
		}
		g.serveWithoutToken(next, w, r, c != credential{})
	})
}

// setSafe sets the headers of every answer, which handlers may replace. What an answer says is for one token, so that no cache keeps
// it, and pages of other origins can neither load it as something else nor show it in a frame. Browsers send the cookie to pages of
// other ports of the host too, and say which page asks (isCrossSite) only to servers with TLS or on the same machine.
func setSafe(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
}

func (g *Guard) serve(next http.Handler, w http.ResponseWriter, r *http.Request, c caller) {
	limit := int64(MaxBody)
	if c.token.Scope == token.None {
		limit = maxOpenBody
		hurry(w)
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	ctx, end := context.WithCancel(context.WithValue(r.Context(), callerKey{}, c))
	defer end()
	defer g.requests.add(c.credential, end)()
	next.ServeHTTP(w, r.WithContext(ctx))
}

// hurry limits the rest of a request to openWithin, and ends its connection with the answer.
// Otherwise a few clients could hold all connections: with bodies that never arrive, because the server
// reads what the handler has not read, or with idle connections.
func hurry(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(openWithin)) // a writer without deadlines has none
}

// refuse answers a request with an error and ends its connection.
func refuse(w http.ResponseWriter, text string, status int) {
	hurry(w)
	http.Error(w, text, status)
}

// serveWithoutToken answers a request without a valid token. A token has 192 bits and cannot be
// guessed, so requests with a valid one are never limited. The limit of failures keeps a client with
// a wrong token from filling the log and using the processor.
func (g *Guard) serveWithoutToken(next http.Handler, w http.ResponseWriter, r *http.Request, tried bool) {
	if tried && !g.failures.allow(g.clientOf(r)) {
		w.Header().Set("Retry-After", RetryAfter)
		refuse(w, "too many requests with a wrong token from this address", http.StatusTooManyRequests)
		return
	}
	if g.cfg.Open(r.URL.Path) {
		g.serve(next, w, r, caller{addr: g.clientOf(r)})
		return
	}
	if r.Header.Get("X-Requested-With") != pageHeader { // our page has its own form for logins; otherwise the browser shows another
		w.Header().Set("WWW-Authenticate", `Basic realm="`+g.cfg.Realm+`", charset="UTF-8"`)
	}
	refuse(w, "a token is needed: run seedbed token new admin on the machine of the daemon", http.StatusUnauthorized)
}

// pageHeader is the X-Requested-With header of our web page. The scripts of other pages, such as
// Transmission's, rely on the form of the browser.
const pageHeader = "seedbed"

// A credential is what a request shows to be let in: a token, or a login that needed none. It may come with a
// session. The zero credential gives no access.
type credential struct {
	token   token.Hash
	isLocal bool // of a client of the unix socket
	session sessionID
}

// credentialOf returns the credential of the text of a token.
func credentialOf(text string) credential {
	if text == "" {
		return credential{}
	}
	return credential{token: token.HashOf(text)}
}

// check returns the token of a credential, if it gives access.
func (g *Guard) check(c credential) (token.Token, bool) {
	if c.isLocal {
		return token.Token{Scope: token.Admin}, true
	}
	return g.cfg.Tokens.CheckHash(c.token)
}

// gives reports whether a credential gives access.
func (g *Guard) gives(c credential) bool {
	_, ok := g.check(c)
	return ok
}

// credential returns the credential of a request, and whether a browser may have added it by itself.
func (g *Guard) credential(r *http.Request) (c credential, ambient bool) {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return credentialOf(strings.TrimSpace(bearer)), false
	}
	if _, password, ok := r.BasicAuth(); ok {
		return credentialOf(password), true
	}
	return g.sessions.credential(r), true
}

// Require wraps a handler that needs a scope.
func Require(s token.Scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ScopeOf(r.Context()) < s {
			http.Error(w, "this token may not do that: the scope "+s.String()+" is needed", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
