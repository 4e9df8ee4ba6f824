package guard_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/node/api/guard"
	"seedbed/node/daemon/token"
)

// rig is a guard in front of a handler that says what the request may do.
type rig struct {
	guard *guard.Guard
	store *token.Store
	admin string
	state string // its folder
	http.Handler
	local http.Handler
}

func newRig(t *testing.T) *rig {
	t.Helper()
	state := t.TempDir()
	store, err := token.Open(filepath.Join(state, "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := store.New("", token.Admin)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{store: store, admin: text, state: state}
	r.start()
	return r
}

// start begins with a new guard, as a daemon that was started again does.
func (r *rig) start() {
	r.guard = guard.New(guard.Config{Tokens: r.store, State: r.state, Hosts: func() []string { return []string{"nas.example.org", "*.home"} }, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, Open: func(path string) bool { return strings.HasPrefix(path, "/open/") }})
	says := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, guard.ScopeOf(r.Context()).String()) })
	r.Handler, r.local = r.guard.Remote(says), r.guard.Local(says)
}

// session returns the cookie of a new session.
func (r *rig) session(t *testing.T) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if err := r.guard.Login(w, httptest.NewRequest("POST", "http://127.0.0.1/", nil), r.admin); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// do sends a request from 192.0.2.1 and returns its status and body. edit may change it.
func (r *rig) do(h http.Handler, edit func(*http.Request)) (int, string) {
	req := httptest.NewRequest("POST", "http://127.0.0.1:8009/", nil)
	edit(req)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestATokenOpensTheDoorInEveryForm(t *testing.T) {
	r := newRig(t)
	reader, _, err := r.store.New("reader", token.Read)
	if err != nil {
		t.Fatal(err)
	}
	session := r.session(t)
	for name, c := range map[string]struct {
		edit func(*http.Request)
		code int
		body string
	}{
		"nothing":       {func(q *http.Request) {}, 401, ""},
		"bearer":        {func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+r.admin) }, 200, "admin"},
		"bearer reader": {func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+reader) }, 200, "read"},
		"password":      {func(q *http.Request) { q.SetBasicAuth("anybody", r.admin) }, 200, "admin"},
		"no user":       {func(q *http.Request) { q.SetBasicAuth("", r.admin) }, 200, "admin"},
		"cookie":        {func(q *http.Request) { q.AddCookie(session) }, 200, "admin"},
		"other cookie":  {func(q *http.Request) { q.AddCookie(&http.Cookie{Name: "sid2", Value: session.Value}) }, 401, ""},
		"token cookie":  {func(q *http.Request) { q.AddCookie(&http.Cookie{Name: "SID", Value: r.admin}) }, 401, ""},
		"wrong bearer":  {func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+r.admin[1:]) }, 401, ""},
		"user name":     {func(q *http.Request) { q.SetBasicAuth(r.admin, "") }, 401, ""},
	} {
		if code, body := r.do(r.Handler, c.edit); code != c.code || c.body != "" && body != c.body {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
	if code, body := r.do(r.local, func(*http.Request) {}); code != 200 || body != "admin" {
		t.Errorf("the unix socket: %d %q", code, body)
	}
	if _, body := r.do(r.Handler, func(*http.Request) {}); !strings.Contains(body, "seedbed token new admin") {
		t.Errorf("without a token: %q", body)
	}
}

// A page that points its own host name at this machine gets nothing, with or without a token.
func TestForeignHostNamesAreMisdirected(t *testing.T) {
	r := newRig(t)
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:8009": 200, "[::1]:8009": 200, "192.168.1.7:1": 200, "localhost:8009": 200, "LOCALHOST.": 200, "a.localhost": 200,
		"nas.example.org:8009": 200, "NAS.example.org": 200, "box.home": 200, "home": 421, "evilhome": 421, "x.nas.example.org": 421,
		"evil.example": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:8009": 421, "": 421,
	} {
		code, _ := r.do(r.Handler, func(q *http.Request) {
			q.Host = host
			q.Header.Set("Authorization", "Bearer "+r.admin)
		})
		if code != want {
			t.Errorf("%q: %d, want %d", host, code, want)
		}
	}
}

// A page of another site cannot use a password or cookie that the browser remembers.
func TestOtherSitesCannotUseWhatTheBrowserRemembers(t *testing.T) {
	r := newRig(t)
	session := r.session(t)
	cookie := func(q *http.Request) { q.AddCookie(session) }
	basic := func(q *http.Request) { q.SetBasicAuth("u", r.admin) }
	bearer := func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+r.admin) }
	for _, c := range []struct {
		name, method, site, mode, origin string
		auth                             func(*http.Request)
		want                             int
	}{
		{"a program", "POST", "", "", "", cookie, 200},
		{"our page", "POST", "same-origin", "cors", "http://127.0.0.1:8009", cookie, 200},
		{"our page in an old browser", "POST", "", "", "http://127.0.0.1:8009", basic, 200},
		{"another page", "POST", "cross-site", "no-cors", "http://evil.example", cookie, 403},
		{"another page, password", "POST", "cross-site", "no-cors", "http://evil.example", basic, 403},
		{"another port", "POST", "same-site", "cors", "http://127.0.0.1:80", cookie, 403},
		{"another page in an old browser", "POST", "", "", "http://evil.example", cookie, 403},
		{"a page without an origin", "POST", "", "", "null", cookie, 403},
		{"a picture on another page", "GET", "cross-site", "no-cors", "", cookie, 403},
		{"a link on another page", "GET", "cross-site", "navigate", "", cookie, 200},
		{"a form on another page", "POST", "cross-site", "navigate", "", cookie, 403},
		{"an address that the user typed", "GET", "none", "navigate", "", basic, 200},
		{"another page that knows a token", "POST", "cross-site", "cors", "http://app.example", bearer, 200},
	} {
		code, _ := r.do(r.Handler, func(q *http.Request) {
			q.Method = c.method
			for name, v := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Origin": c.origin} {
				if v != "" {
					q.Header.Set(name, v)
				}
			}
			c.auth(q)
		})
		if code != c.want {
			t.Errorf("%s: %d, want %d", c.name, code, c.want)
		}
	}
}

// An address that sends wrong tokens is told to wait; others, and valid tokens, are not.
func TestWrongTokensAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		wrong := func(from string, forwarded ...string) int {
			code, _ := r.do(r.Handler, func(q *http.Request) {
				q.RemoteAddr = from
				for _, f := range forwarded {
					q.Header.Add("X-Forwarded-For", f)
				}
				q.SetBasicAuth("u", "wrong")
			})
			return code
		}
		until := func(from func(int) int) (n int) {
			for ; n < 100 && from(n) == 401; n++ {
			}
			return n
		}
		if n := until(func(int) int { return wrong("192.0.2.1:1000") }); n != 10 {
			t.Errorf("%d wrong tokens were answered", n)
		}
		if code := wrong("192.0.2.2:1000"); code != 401 {
			t.Errorf("another address: %d", code)
		}
		if n := until(func(i int) int { return wrong("[2001:db8::" + string(rune('1'+i%9)) + "]:1") }); n != 10 {
			t.Errorf("%d from one /64", n)
		}
		// A proxy speaks for many clients; what others claim does not count.
		if n := until(func(i int) int { return wrong("10.0.0.1:1", "198.51.100.9, 198.51.100."+string(rune('1'+i))) }); n < 9 {
			t.Errorf("%d from as many clients of a proxy", n)
		}
		if code := wrong("192.0.2.1:1000", "198.51.100.77"); code != 429 {
			t.Errorf("an address that claims to be a proxy: %d", code)
		}
		code, _ := r.do(r.Handler, func(q *http.Request) {
			q.RemoteAddr = "192.0.2.1:1000"
			q.SetBasicAuth("u", r.admin)
		})
		if code != 200 {
			t.Errorf("a valid token from that address: %d", code)
		}
		time.Sleep(time.Minute)
		if n := until(func(int) int { return wrong("192.0.2.1:1000") }); n != 6 {
			t.Errorf("%d a minute later", n)
		}
	})
}

func TestRequireRefusesTooSmallAScope(t *testing.T) {
	store := newRig(t).store
	g := guard.New(guard.Config{Tokens: store})
	h := g.Remote(guard.Require(token.Add, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for scope, want := range map[token.Scope]int{token.Read: 403, token.Add: 200, token.Admin: 200} {
		text, _, err := store.New("", scope)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequest("POST", "http://localhost/", nil)
		req.Header.Set("Authorization", "Bearer "+text)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("%v: %d", scope, w.Code)
		}
	}
}

// A session lasts while it is used and its token is valid. Its cookie is out of reach for scripts
// and other sites.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.state = "" // a thousand logins would write a thousand files
		r.start()
		code := func(c *http.Cookie) int {
			code, _ := r.do(r.Handler, func(q *http.Request) { q.AddCookie(c) })
			return code
		}
		used, idle, left := r.session(t), r.session(t), r.session(t)
		if !used.HttpOnly || used.SameSite != http.SameSiteStrictMode || used.Path != "/" || used.Value == idle.Value {
			t.Errorf("%+v", used)
		}
		req := httptest.NewRequest("POST", "http://127.0.0.1/", nil)
		req.AddCookie(left)
		w := httptest.NewRecorder()
		if r.guard.Logout(w, req); code(left) != 401 || w.Result().Cookies()[0].MaxAge >= 0 {
			t.Error("a session goes on after its logout")
		}
		time.Sleep(50 * time.Minute)
		if code(used) != 200 {
			t.Error("a session has ended too early")
		}
		time.Sleep(50 * time.Minute)
		if code(used) != 200 || code(idle) != 401 {
			t.Error("a session does not end by its last use")
		}
		reader, _, err := r.store.New("", token.Read)
		if err != nil {
			t.Fatal(err)
		}
		for range 1025 {
			if err := r.guard.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "http://127.0.0.1/", nil), reader); err != nil {
				t.Fatal(err)
			}
		}
		if code(used) != 200 {
			t.Error("the logins of one token end the session of another")
		}
		for range 128 {
			r.session(t)
		}
		if code(used) != 401 {
			t.Error("there is no limit of sessions")
		}
		last := r.session(t)
		for range 30 * 48 {
			time.Sleep(30 * time.Minute)
			if code(last) != 200 {
				t.Fatal("a session that is used has ended")
			}
		}
		if time.Sleep(30 * time.Minute); code(last) != 401 {
			t.Error("a session lasts for ever")
		}
		last = r.session(t)
		if _, err := r.guard.Revoke(r.store.List()[0].ID); err != nil || code(last) != 401 {
			t.Errorf("a session goes on without its token: %v", err)
		}
	})
}

// A code begins one session, within a minute, with the rights of the one who made it.
func TestACodeLogsInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		reader, _, err := r.store.New("reader", token.Read)
		if err != nil {
			t.Fatal(err)
		}
		makes := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			io.WriteString(w, r.guard.NewCode(q.Context(), "to add"))
		})
		makeCode := func(text string) string {
			_, code := r.do(r.guard.Remote(makes), func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+text) })
			return code
		}
		_, local := r.do(r.guard.Local(makes), func(*http.Request) {})
		login := func(code string) (*http.Cookie, error) {
			w := httptest.NewRecorder()
			_, what, err := r.guard.LoginWithCode(w, httptest.NewRequest("POST", "http://127.0.0.1:8009/", nil), code)
			if err != nil {
				return nil, err
			}
			if what != "to add" {
				t.Errorf("a code has lost what it was made with: %v", what)
			}
			return w.Result().Cookies()[0], nil
		}
		scope := func(c *http.Cookie) string {
			_, body := r.do(r.Handler, func(q *http.Request) { q.AddCookie(c) })
			return body
		}
		for code, want := range map[string]string{local: "admin", makeCode(r.admin): "admin", makeCode(reader): "read"} {
			c, err := login(code)
			if err != nil {
				t.Fatal(err)
			}
			if got := scope(c); got != want || !strings.HasPrefix(c.Name, "seedbed-") || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
				t.Errorf("a session with the scope %q, not %q: %v", got, want, c)
			}
			if _, err := login(code); err != guard.ErrWrongCode {
				t.Errorf("a code logs in twice: %v", err)
			}
		}
		late := makeCode(r.admin)
		time.Sleep(guard.CodeWithin)
		if _, err := login(late); err != guard.ErrWrongCode {
			t.Errorf("a code after a minute: %v", err)
		}
		first := makeCode(r.admin)
		for range 16 {
			makeCode(r.admin)
		}
		if _, err := login(first); err != guard.ErrWrongCode {
			t.Errorf("there is no limit of codes: %v", err)
		}
		c, err := login(makeCode(reader))
		if err != nil {
			t.Fatal(err)
		}
		left := makeCode(reader)
		if _, err := r.store.Revoke("reader"); err != nil || scope(c) == "read" {
			t.Errorf("a session goes on without its token: %v", err)
		}
		if _, err := login(left); err != guard.ErrWrongCode {
			t.Errorf("the code of a token that was revoked: %v", err)
		}
		var last error
		for range 20 {
			_, last = login("wrong")
		}
		if last != guard.ErrTooMany {
			t.Errorf("wrong codes are not limited: %v", last)
		}
	})
}

// Browsers send the cookies of a host to all its ports and, behind a reverse proxy, to the daemons below all paths. Two daemons
// have different cookies, and so have programs for qBittorrent, so that a login at one does not end that at another.
func TestLoginsOfDifferentPagesAreApart(t *testing.T) {
	jar := map[string]*http.Cookie{guard.SessionCookie: {Name: guard.SessionCookie, Value: "x"}}
	var rigs []*rig
	for i := range 4 {
		r := newRig(t)
		w, q := httptest.NewRecorder(), httptest.NewRequest("POST", "http://nas.example.org/", nil)
		if _, err := r.guard.LoginPage(w, q, r.admin); err != nil {
			t.Fatal(err)
		}
		c := w.Result().Cookies()[0]
		jar[c.Name] = c
		if rigs = append(rigs, r); len(jar) != i+2 {
			t.Fatalf("the cookie %s is that of another", c.Name)
		}
	}
	withAll := func(q *http.Request) {
		for _, c := range jar {
			q.AddCookie(c)
		}
	}
	for i, r := range rigs {
		if code, _ := r.do(r.Handler, withAll); code != 200 {
			t.Errorf("%d: %d", i, code)
		}
		q := httptest.NewRequest("POST", "http://nas.example.org/", nil)
		withAll(q)
		r.guard.LogoutPage(httptest.NewRecorder(), q)
		if code, _ := r.do(r.Handler, withAll); code != 401 {
			t.Errorf("%d: a session goes on after its logout", i)
		}
	}
}

// No answer is kept by a cache, taken for something else or shown in a frame of another page, unless its handler says so.
func TestAnswersAreForOurOwnPageOnly(t *testing.T) {
	r := newRig(t)
	for name, edit := range map[string]func(*http.Request){
		"data":         func(q *http.Request) { q.SetBasicAuth("", r.admin) },
		"no token":     func(*http.Request) {},
		"another host": func(q *http.Request) { q.Host = "evil.example" },
		"another site": func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		q, w := httptest.NewRequest("GET", "http://127.0.0.1:8009/", nil), httptest.NewRecorder()
		edit(q)
		r.ServeHTTP(w, q)
		for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %q", name, header, got)
			}
		}
	}
	own := r.guard.Remote(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=1") }))
	q, w := httptest.NewRequest("GET", "http://127.0.0.1:8009/open/", nil), httptest.NewRecorder()
	if own.ServeHTTP(w, q); w.Header()["Cache-Control"][0] != "max-age=1" {
		t.Error(w.Header())
	}
}

// A browser shows its own form for a password, except to our page, which has one. The page of
// Transmission, which uses jQuery, has none.
func TestOnlyOurPageIsNotAskedForAPassword(t *testing.T) {
	r := newRig(t)
	for header, want := range map[string]bool{"": true, "XMLHttpRequest": true, "seedbed": false} {
		q := httptest.NewRequest("GET", "http://127.0.0.1:8009/", nil)
		q.Header.Set("X-Requested-With", header)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		if got := w.Header().Get("WWW-Authenticate") != ""; w.Code != 401 || got != want {
			t.Errorf("%q: %d %v", header, w.Code, w.Header())
		}
	}
}

// Logins with wrong tokens are limited by address, and valid ones are not.
func TestLoginsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		login := func(text string) error {
			return r.guard.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "http://127.0.0.1/", nil), text)
		}
		for range 10 {
			if err := login("wrong"); err != guard.ErrWrongToken {
				t.Fatal(err)
			}
		}
		if err := login(""); err != guard.ErrTooMany {
			t.Error(err)
		}
		if err := login(r.admin); err != nil {
			t.Error(err)
		}
	})
}

// The handler of an open path answers requests without a token. Wrong tokens are limited there
// too, and a page of another site is refused.
func TestOpenPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		do := func(path, password, site string) (int, string) {
			return r.do(r.Handler, func(q *http.Request) {
				q.URL.Path = path
				if password != "" {
					q.SetBasicAuth("", password)
				}
				q.Header.Set("Sec-Fetch-Site", site)
			})
		}
		for range 20 {
			if code, body := do("/open/x", "", "same-origin"); code != 200 || body != "none" {
				t.Fatalf("%d %s", code, body)
			}
		}
		if code, _ := do("/opening", "", "same-origin"); code != 401 {
			t.Errorf("another path: %d", code)
		}
		if code, _ := do("/open/x", "", "cross-site"); code != 403 {
			t.Errorf("another site: %d", code)
		}
		if code, body := do("/open/x", r.admin, "same-origin"); code != 200 || body != "admin" {
			t.Errorf("%d %s", code, body)
		}
		for range 10 {
			do("/open/x", "wrong", "same-origin")
		}
		if code, _ := do("/open/x", "wrong", "same-origin"); code != 429 {
			t.Errorf("after many wrong tokens: %d", code)
		}
	})
}

// timed is a writer that notes the deadline for reading.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (w *timed) SetReadDeadline(at time.Time) error {
	w.deadline = at
	return nil
}

// A request without a valid token has little time and a small body, whatever the answer is: anyone
// can hold a connection and its memory with one.
func TestRequestsWithoutATokenAreSmallAndQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		h := r.guard.Remote(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if _, err := io.Copy(io.Discard, q.Body); err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		}))
		for name, c := range map[string]struct {
			path string
			size int
			edit func(*http.Request)
			code int
			open bool
		}{
			"another host": {"/", 0, func(q *http.Request) { q.Host = "evil.example" }, 421, true},
			"another site": {"/", 0, func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, true},
			"no token":     {"/", 0, func(*http.Request) {}, 401, true},
			"wrong token":  {"/", 0, func(q *http.Request) { q.SetBasicAuth("", "wrong") }, 401, true},
			"a login":      {"/open/", 64 << 10, func(*http.Request) {}, 200, true},
			"a large one":  {"/open/", 64<<10 + 1, func(*http.Request) {}, 413, true},
			"a token":      {"/open/", 1 << 20, func(q *http.Request) { q.SetBasicAuth("", r.admin) }, 200, false},
		} {
			q := httptest.NewRequest("POST", "http://127.0.0.1:8009"+c.path, strings.NewReader(strings.Repeat("x", c.size)))
			c.edit(q)
			w := &timed{ResponseRecorder: httptest.NewRecorder()}
			h.ServeHTTP(w, q)
			if isQuick := w.deadline.Equal(time.Now().Add(10 * time.Second)); w.Code != c.code || isQuick != c.open || (w.Header().Get("Connection") == "close") != c.open {
				t.Errorf("%s: %d, until %v, %v", name, w.Code, w.deadline, w.Header())
			}
		}
	})
}
