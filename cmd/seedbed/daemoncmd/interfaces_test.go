package daemoncmd

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/api/metrics"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
)

// Settings switch the interfaces of other programs on and off and mount them, while the daemon runs.
// REST is always there.
func TestSettingsSwitchAndMountInterfaces(t *testing.T) {
	dir := t.TempDir()
	given := daemon.DefaultSettings()
	given.Dir = filepath.Join(dir, "data")
	d, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	f := interfaces{settings: d.Settings, metrics: metrics.New("1.2")}
	g := guard.New(guard.Config{Tokens: d.Tokens(), Open: f.open})
	h := f.handler(t.Context(), d, g, func() {})
	status := func(h http.Handler, path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8009"+path, nil))
		return w.Code
	}
	const (
		none   = http.StatusNotFound
		rest   = http.StatusOK
		rpc    = http.StatusConflict  // it has no session id
		web    = http.StatusForbidden // the answer without a token that clients expect
		locked = http.StatusUnauthorized
	)
	type paths struct{ rest, rpc, web, restBelow, rpcBelow, webBelow int }
	for _, c := range []struct {
		interfaces []string
		base       string
		local      paths // over the unix socket
		web        int   // of the WebAPI without a token: only its own handler answers so
	}{
		{[]string{"transmission", "qbittorrent"}, "", paths{rest, rpc, rest, none, none, none}, web},
		{[]string{"transmission"}, "", paths{rest, rpc, none, none, none, none}, locked},
		{[]string{"qbittorrent"}, "/seed/bed/", paths{rest, none, rest, rest, none, rest}, web},
		{[]string{"off"}, "seed/bed", paths{rest, none, none, rest, none, none}, locked},
		{[]string{"transmission", "qbittorrent"}, "seed/bed", paths{rest, rpc, rest, rest, rpc, rest}, web},
	} {
		if err := d.SetSettings(t.Context(), map[string][]string{"interface": c.interfaces, "base-path": {c.base}}); err != nil {
			t.Fatal(err)
		}
		local := g.Local(h)
		get := func(path string) int { return status(local, path) }
		const restPath, rpcPath, webPath = "/v1/settings", "/transmission/rpc", "/api/v2/app/version"
		got := paths{get(restPath), get(rpcPath), get(webPath), get("/seed/bed" + restPath), get("/seed/bed" + rpcPath), get("/seed/bed" + webPath)}
		if got != c.local {
			t.Errorf("%v below %q: %+v, want %+v", c.interfaces, c.base, got, c.local)
		}
		if got := status(g.Remote(h), webPath); got != c.web {
			t.Errorf("%v without a token: %d, want %d", c.interfaces, got, c.web)
		}
	}
	if err := d.SetSettings(t.Context(), map[string][]string{"interface": {"utorrent"}}); err == nil {
		t.Error("an interface that does not exist is served")
	}
}

// Metrics need a token with the scope read, below a base path too. The health is open, and requests are counted by their
// routes also if the guard refuses them.
func TestMetricsNeedATokenAndHealthDoesNot(t *testing.T) {
	dir := t.TempDir()
	given := daemon.DefaultSettings()
	given.Dir, given.BasePath, given.Interfaces = filepath.Join(dir, "data"), "/seed/bed/", []string{daemon.InterfaceQBittorrent}
	d, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	text, _, err := d.Tokens().New("prometheus", token.Read)
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New("1.2")
	m.Watch(d)
	f := interfaces{settings: d.Settings, metrics: m}
	g := guard.New(guard.Config{Tokens: d.Tokens(), Open: f.open})
	h := m.Observe(g.Remote(f.handler(t.Context(), d, g, func() {})))
	get := func(path, token string) (int, string) {
		r := httptest.NewRequest("GET", "http://127.0.0.1:8009"+path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/metrics", "", http.StatusUnauthorized}, {"/seed/bed/metrics", "", http.StatusUnauthorized},
		{"/metrics", text, http.StatusOK}, {"/seed/bed/metrics", text, http.StatusOK},
		{"/healthz", "", http.StatusOK}, {"/seed/bed/healthz", "", http.StatusOK}, {"/readyz", "", http.StatusOK}, {"/seed/bed/readyz", "", http.StatusOK},
		{"/healthz/more", "", http.StatusUnauthorized}, {"/v1/torrents/abcd", text, http.StatusNotFound}, {"/api/v2/app/version", text, http.StatusOK}, {"/api/v2/any", text, http.StatusNotFound},
	} {
		if code, body := get(c.path, c.token); code != c.want {
			t.Errorf("%s with %q: %d %s", c.path, c.token, code, body)
		}
	}
	_, body := get("/metrics", text)
	for _, line := range []string{
		`{code="401",route="refused"} 3`, `{code="200",route="GET /metrics"} 2`, `{code="200",route="GET /healthz"} 2`,
		`{code="404",route="GET /v1/torrents/{id}"} 1`, `{code="200",route="/api/v2/app/version"} 1`, `{code="404",route="/api/v2/"} 1`,
	} {
		if !strings.Contains(body, "\nseedbed_http_requests_total"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}
