package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"seedbed/node/daemon/token"
)

// A browser logs in with a token or a code, uses the cookie, and logs out. Answers are the same as with
// the token.
func TestSessions(t *testing.T) {
	r := newRig(t)
	withCookie := func(method, path, cookie, body string) (*http.Response, object) {
		t.Helper()
		resp, b := r.send("", method, path, strings.NewReader(body), "Cookie", cookie, "Content-Type", "application/json")
		o := object{}
		if len(b) > 0 && json.Unmarshal(b, &o) != nil {
			o["text"] = string(b)
		}
		return resp, o
	}
	reader := r.newToken(token.Read)
	var made object
	if code := r.do("POST", "/v1/session/code", object{"link": "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20)}, &made); code != 201 || made["url"] != nil {
		t.Fatalf("a code: %d %v", code, made)
	}
	for _, c := range []struct {
		body, scope string
		adds        bool
	}{{`{"token": "` + reader + `"}`, "read", false}, {`{"token": "` + r.token + `"}`, "admin", false}, {`{"code": "` + made["code"].(string) + `"}`, "admin", true}} {
		resp, o := withCookie("POST", "/v1/session", "", c.body)
		if resp.StatusCode != 200 || o["scope"] != c.scope || o["token"] == "" || (o["add"] != nil) != c.adds {
			t.Fatalf("a login with %s: %s %v", c.body, resp.Status, o)
		}
		cookie, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
		if resp, o := withCookie("GET", "/v1/session", cookie, ""); resp.StatusCode != 200 || o["scope"] != c.scope || o["add"] != nil {
			t.Errorf("the session: %s %v", resp.Status, o)
		}
		if resp, _ := withCookie("GET", "/v1/tokens", cookie, ""); (resp.StatusCode == 200) != (c.scope == "admin") {
			t.Errorf("tokens with the scope %s: %s", c.scope, resp.Status)
		}
		if resp, _ := withCookie("DELETE", "/v1/session", cookie, ""); resp.StatusCode != 204 || !strings.Contains(resp.Header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("a logout: %s %v", resp.Status, resp.Header)
		}
		if resp, o := withCookie("GET", "/v1/session", cookie, ""); resp.StatusCode != 200 || o["scope"] != "none" {
			t.Errorf("after the logout: %s %v", resp.Status, o)
		}
	}
	for _, body := range []string{`{}`, `{"token": ""}`, `{"token": "wrong"}`, `{"code": "wrong"}`} {
		if resp, o := withCookie("POST", "/v1/session", "", body); resp.StatusCode != 401 || o["detail"] == "" || o["hint"] == nil || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("a login with %s: %s %v", body, resp.Status, o)
		}
	}
	for range 10 {
		withCookie("POST", "/v1/session", "", `{"code": "wrong"}`)
	}
	if resp, _ := withCookie("POST", "/v1/session", "", `{"code": "wrong"}`); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("many wrong codes: %s", resp.Status)
	}
}
