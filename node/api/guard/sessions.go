package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/node/daemon/token"
)

// SessionCookie is the name of the cookie of a session, as programs for qBittorrent expect it.
const SessionCookie = "SID"

// pageCookie begins the name of the cookie for our own page.
const pageCookie = "seedbed-"

const (
	// sessionIdle is the time after which a session that is not used ends.
	sessionIdle = time.Hour
	// sessionLast is the time after which a session ends, however much it is used.
	sessionLast = 30 * 24 * time.Hour
	// maxSessions limits the sessions, and maxSessionsOfToken those of one token, so that a token that may only
	// read cannot end the sessions of all others. A login beyond a limit ends the session that was not used
	// for the longest time.
	maxSessions        = 1024
	maxSessionsOfToken = 128
)

var (
	// ErrWrongToken is returned by Login for a text that is not a valid token.
	ErrWrongToken = errors.New("the password is not a valid token")
	// ErrWrongCode is returned by LoginWithCode for a code that does not exist any more.
	ErrWrongCode = errors.New("the code has expired or was used already")
	// ErrTooMany is returned for an address that has sent too many wrong tokens or codes.
	ErrTooMany = errors.New("too many logins with a wrong token from this address")
)

// A sessionID is the hash of the value of a session's cookie. Only the browser knows the value.
type sessionID [sha256.Size]byte

// sessions are the logins. A session ends when its token is revoked, because the token is checked at
// each request.
type sessions struct {
	// page is the name of the cookie for our own page. Browsers send a cookie to all ports of a host and, behind
	// a reverse proxy, to all daemons below different paths, so each daemon has a name of its own. Otherwise a
	// login at one would end the login at the other.
	page string

	mu   sync.Mutex
	byID *simplelru.LRU[sessionID, *session]
	file sessionFile
}

type session struct {
	credential
	begun, used time.Time
}

// hasEnded reports whether a session is too old.
func (s *session) hasEnded(now time.Time) bool {
	return now.Sub(s.used) > sessionIdle || now.Sub(s.begun) > sessionLast
}

// openSessions returns the sessions that were saved in a folder, if it is not "", and whose credentials still
// give access.
func openSessions(folder string, log *slog.Logger, gives func(credential) bool) *sessions {
	c, err := simplelru.NewLRU[sessionID, *session](maxSessions, nil)
	if err != nil {
		panic(err) // the size is valid
	}
	s := &sessions{page: pageCookie + strings.ToLower(rand.Text()[:8]), byID: c}
	s.file = sessionFile{log: log, content: s.toSave}
	if folder == "" {
		return s
	}
	s.file.path = filepath.Join(folder, sessionFileName)
	page, list := s.file.read(time.Now())
	if page != "" {
		s.page = page
	}
	for _, x := range list {
		if gives(x.credential) {
			s.byID.Add(x.session, x)
		}
	}
	return s
}

// toSave returns what the file has.
func (s *sessions) toSave() (page string, list []session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.byID.Values() {
		list = append(list, *x)
	}
	return s.page, list
}

// close saves the sessions for the last time.
func (s *sessions) close() { s.file.close() }

// idOf returns the id of the session that a cookie of the request names.
func idOf(r *http.Request, cookie string) (sessionID, bool) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return sessionID{}, false
	}
	return sha256.Sum256([]byte(c.Value)), true
}

// credential returns the credential of the session that a cookie of the request names.
func (s *sessions) credential(r *http.Request) credential {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{s.page, SessionCookie} {
		id, ok := idOf(r, name)
		if !ok {
			continue
		}
		x, ok := s.byID.Get(id)
		if !ok {
			continue
		}
		if x.hasEnded(now) {
			s.byID.Remove(id)
			continue
		}
		x.used = now
		s.file.saveLater()
		return x.credential
	}
	return credential{}
}

// begin begins a session and sets its cookie.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request, cookie string, c credential) {
	value, now := rand.Text(), time.Now()
	c.session = sha256.Sum256([]byte(value))
	s.mu.Lock()
	s.makeRoom(c)
	s.byID.Add(c.session, &session{c, now, now})
	s.mu.Unlock()
	s.file.save()
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: value, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
}

// makeRoom ends the session of the same token that was not used for the longest time, if there are too many.
// The caller holds mu.
func (s *sessions) makeRoom(c credential) {
	var oldest *session
	n := 0
	for _, x := range s.byID.Values() {
		if x.token == c.token && x.isLocal == c.isLocal {
			if n++; oldest == nil {
				oldest = x
			}
		}
	}
	if n >= maxSessionsOfToken {
		s.byID.Remove(oldest.session)
	}
}

// end ends the session that a cookie of the request names, if there is one, and removes the cookie. It returns
// the session.
func (s *sessions) end(w http.ResponseWriter, r *http.Request, cookie string) (id sessionID, ended bool) {
	if id, ended = idOf(r, cookie); ended {
		s.mu.Lock()
		ended = s.byID.Remove(id)
		s.mu.Unlock()
	}
	if ended {
		s.file.save()
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1})
	return id, ended
}

// endWithout ends the sessions that give no access any more.
func (s *sessions) endWithout(gives func(credential) bool) {
	s.mu.Lock()
	ended := false
	for _, x := range s.byID.Values() {
		if !gives(x.credential) {
			ended = s.byID.Remove(x.session) || ended
		}
	}
	s.mu.Unlock()
	if ended {
		s.file.save()
	}
}

// Login begins a session for a program for qBittorrent that knows the text of a token, and sets its
// cookie. A session ends an hour after its last request, 30 days after the login, at its logout, or when its token is
// revoked.
func (g *Guard) Login(w http.ResponseWriter, r *http.Request, text string) error {
	_, err := g.login(w, r, SessionCookie, text)
	return err
}

// LoginPage is Login for our own page. It returns the token.
func (g *Guard) LoginPage(w http.ResponseWriter, r *http.Request, text string) (token.Token, error) {
	return g.login(w, r, g.sessions.page, text)
}

func (g *Guard) login(w http.ResponseWriter, r *http.Request, cookie, text string) (token.Token, error) {
	c := credentialOf(text)
	t, ok := g.check(c)
	if !ok {
		return t, g.failed(r, ErrWrongToken)
	}
	g.sessions.begin(w, r, cookie, c)
	return t, nil
}

// failed counts a login that has failed. It returns ErrTooMany, or err if there were not too many.
func (g *Guard) failed(r *http.Request, err error) error {
	if !g.failures.allow(g.clientOf(r)) {
		return ErrTooMany
	}
	return err
}

// Logout ends the session of a request of a program for qBittorrent and removes its cookie.
func (g *Guard) Logout(w http.ResponseWriter, r *http.Request) { g.logout(w, r, SessionCookie) }

// LogoutPage is Logout for our own page.
func (g *Guard) LogoutPage(w http.ResponseWriter, r *http.Request) {
	g.logout(w, r, g.sessions.page)
}

func (g *Guard) logout(w http.ResponseWriter, r *http.Request, cookie string) {
	if id, ok := g.sessions.end(w, r, cookie); ok {
		g.requests.endIf(func(c credential) bool { return c.session == id })
	}
}
