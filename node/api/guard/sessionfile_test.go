package guard_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/node/daemon/token"
)

// file returns the content of the file with the sessions.
func (r *rig) file(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.state, "logins"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// page returns the cookie of a new session of our page.
func (r *rig) page(t *testing.T, text string) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if _, err := r.guard.LoginPage(w, httptest.NewRequest("POST", "http://127.0.0.1:8009/", nil), text); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// scope returns what a session may do, or "" if there is none.
func (r *rig) scope(c *http.Cookie) string {
	code, body := r.do(r.Handler, func(q *http.Request) { q.AddCookie(c) })
	if code != 200 {
		return ""
	}
	return body
}

// A login survives a restart, also after a kill -9. The file holds neither a token nor the value of a cookie, and
// nobody else can read it.
func TestSessionsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		reader, _, err := r.store.New("reader", token.Read)
		if err != nil {
			t.Fatal(err)
		}
		admin, program, reads := r.page(t, r.admin), r.session(t), r.page(t, reader)
		w := httptest.NewRecorder()
		_, code := r.do(r.guard.Local(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			w.Write([]byte(r.guard.NewCode(q.Context(), nil)))
		})), func(*http.Request) {})
		if _, _, err := r.guard.LoginWithCode(w, httptest.NewRequest("POST", "http://127.0.0.1:8009/", nil), code); err != nil {
			t.Fatal(err)
		}
		local := w.Result().Cookies()[0]
		out := r.page(t, r.admin)
		q := httptest.NewRequest("POST", "http://127.0.0.1:8009/", nil)
		q.AddCookie(out)
		r.guard.LogoutPage(httptest.NewRecorder(), q)

		r.start() // without Close: the process was killed
		for c, want := range map[*http.Cookie]string{admin: "admin", program: "admin", reads: "read", local: "admin", out: ""} {
			if got := r.scope(c); got != want {
				t.Errorf("a session that may %q may %q after a restart", want, got)
			}
		}
		if c := r.page(t, r.admin); c.Name != admin.Name {
			t.Errorf("the cookie is %s after a restart, and was %s", c.Name, admin.Name)
		}
		content := r.file(t)
		for _, secret := range []string{r.admin, reader, admin.Value, program.Value, local.Value} {
			if strings.Contains(content, secret) {
				t.Error("the file holds a secret")
			}
		}
		if st, err := os.Stat(filepath.Join(r.state, "logins")); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", st, err)
		}

		// The use of a session is saved from time to time, and at the end.
		time.Sleep(50 * time.Minute)
		r.scope(admin)
		r.scope(reads)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.scope(program)
		r.guard.Close()
		time.Sleep(30 * time.Minute)
		r.start()
		for c, want := range map[*http.Cookie]string{admin: "admin", program: "admin", reads: "read", local: ""} {
			if got := r.scope(c); got != want {
				t.Errorf("a session that may %q may %q after a later restart", want, got)
			}
		}
	})
}

// Requests do not write the file each.
func TestUsingASessionSeldomWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		c := r.page(t, r.admin)
		before := r.file(t)
		writes := 0
		for range 3600 {
			time.Sleep(time.Second)
			synctest.Wait()
			r.scope(c)
			if now := r.file(t); now != before {
				before = now
				writes++
			}
		}
		if writes == 0 || writes > 12 {
			t.Errorf("%d writes in an hour of requests", writes)
		}
	})
}

// Revoking a token ends its sessions, on disk too, and the requests that are being answered; a token that was revoked
// while no daemon ran has none at the next start.
func TestRevokingATokenEndsItsSessions(t *testing.T) {
	r := newRig(t)
	reader, _, err := r.store.New("reader", token.Read)
	if err != nil {
		t.Fatal(err)
	}
	admin, reads := r.page(t, r.admin), r.page(t, reader)
	for name, edit := range map[string]func(*http.Request){
		"the token": func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+reader) },
		"another":   func(q *http.Request) { q.AddCookie(admin) },
	} {
		var during error
		r.do(r.guard.Remote(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
			if name == "the token" {
				_, err = r.guard.Revoke("reader")
			}
			during = q.Context().Err()
		})), edit)
		if name == "the token" && during == nil {
			t.Error("a request goes on without its token")
		}
		if name == "another" && during != nil {
			t.Error("the request of another session has ended")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if r.scope(reads) != "" || r.scope(admin) != "admin" {
		t.Error("the wrong session has ended")
	}
	if n := strings.Count(r.file(t), `"token"`); n != 1 {
		t.Errorf("%d sessions on disk", n)
	}
	if _, err := r.store.Revoke(r.store.List()[0].ID); err != nil { // as seedbed token revoke without a daemon
		t.Fatal(err)
	}
	r.start()
	if r.guard.Close(); strings.Contains(r.file(t), `"token"`) {
		t.Error("a session without a token is kept")
	}
}

// Logging out ends what other tabs with the session receive.
func TestALogoutEndsRequestsOfItsSession(t *testing.T) {
	r := newRig(t)
	c, other := r.page(t, r.admin), r.page(t, r.admin)
	for _, x := range []*http.Cookie{c, other} {
		r.do(r.guard.Remote(http.HandlerFunc(func(_ http.ResponseWriter, stream *http.Request) {
			q := httptest.NewRequest("DELETE", "http://127.0.0.1:8009/", nil)
			q.AddCookie(c)
			r.guard.LogoutPage(httptest.NewRecorder(), q)
			if ended := stream.Context().Err() != nil; ended != (x == c) {
				t.Errorf("the request of the session that has ended: %v; it has ended: %v", x == c, ended)
			}
		})), func(q *http.Request) { q.AddCookie(x) })
	}
}

// A damaged file gives nobody access and harms nothing but the logins.
func TestADamagedSessionFileEndsTheLogins(t *testing.T) {
	r := newRig(t)
	c := r.page(t, r.admin)
	good := r.file(t)
	for _, content := range []string{"", "{", "null", strings.Replace(good, `"token"`, `"tokem"`, 1), strings.Replace(good, `"token":"`, `"token":"00`, 1),
		strings.Replace(good, `"sha256":"`, `"sha256":"xx`, 1), strings.Replace(good, `"token"`, `"local":true,"token"`, 1), strings.Replace(good, c.Name, `a=b; Path=/`, 1), good[:len(good)/2], strings.Repeat(" ", 1<<20+1)} {
		if err := os.WriteFile(filepath.Join(r.state, "logins"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		if r.scope(c) != "" {
			t.Errorf("%.80q gives access", content)
		}
		if again := r.page(t, r.admin); r.scope(again) != "admin" || !strings.Contains(r.file(t), again.Name) {
			t.Errorf("no login after %.80q", content)
		}
	}
	if err := os.WriteFile(filepath.Join(r.state, "logins"), []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.start(); r.scope(c) != "admin" {
		t.Error("the good file gives no access")
	}
}
