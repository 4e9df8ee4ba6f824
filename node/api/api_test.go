package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// rig is a daemon without a DHT behind the REST interface.
type rig struct {
	t testing.TB
	d *daemon.Daemon
	*httptest.Server
	token string // of the scope admin
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigWith(t, node.Config{NoDHT: true})
}

// newRigWith is newRig with some of the configuration of the node.
func newRigWith(t testing.TB, cfg node.Config) *rig {
	t.Helper()
	dir := t.TempDir()
	cfg.State, cfg.Listen = filepath.Join(dir, "state"), "127.0.0.1:0"
	settings := daemon.DefaultSettings()
	settings.Dir = filepath.Join(dir, "data")
	d, err := daemon.Open(t.Context(), daemon.Config{Node: cfg, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	g := guard.New(guard.Config{Tokens: d.Tokens(), Open: api.IsOpen})
	r := &rig{t: t, d: d, Server: httptest.NewServer(g.Remote(api.New(api.Config{Daemon: d, Guard: g, Version: "1", Hint: func(error) string { return "do this" }})))}
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Server.Close()
		d.Close(context.Background())
	})
	r.token = r.newToken(token.Admin)
	return r
}

func (r *rig) newToken(s token.Scope) string {
	r.t.Helper()
	text, _, err := r.d.Tokens().New("", s)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// do sends a request and decodes the answer into out, unless that is nil.
func (r *rig) do(method, path string, body, out any) int {
	r.t.Helper()
	return r.as(r.token, method, path, body, out)
}

func (r *rig) as(token, method, path string, body, out any) int {
	r.t.Helper()
	var from io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		from = bytes.NewReader(b)
	}
	resp, b := r.send(token, method, path, from)
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			r.t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, b, err)
		}
	}
	return resp.StatusCode
}

// send sends a request with headers given as pairs, and with a token unless that is "". It returns the
// answer and its body.
func (r *rig) send(token, method, path string, body io.Reader, headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, b
}

type object = map[string]any

func TestTorrentsFromAddToRemove(t *testing.T) {
	r := newRig(t)
	hash := strings.Repeat("ab", 20)
	var made, again, list, changes object
	if code := r.do("POST", "/v1/torrents", object{"link": hash, "paused": true, "labels": []string{"tv"}}, &made); code != 201 || made["infohash"] != hash || made["number"] != 1.0 {
		t.Fatalf("add: %d %v", code, made)
	}
	if code := r.do("POST", "/v1/torrents", object{"link": hash}, &again); code != 200 || again["infohash"] != hash {
		t.Errorf("add again: %d %v", code, again)
	}
	if code := r.do("GET", "/v1/torrents?label=tv&state=paused", nil, &list); code != 200 || len(list["torrents"].([]any)) != 1 {
		t.Errorf("list: %d %v", code, list)
	}
	if code := r.do("PATCH", "/v1/torrents/1", object{"labels": []string{"film"}, "up_limit": 1000}, &made); code != 200 || made["up_limit"] != 1000.0 || made["down_limit"] != 0.0 {
		t.Errorf("change: %d %v", code, made)
	}
	if code := r.do("GET", "/v1/torrents/abab/files", nil, &made); code != 409 {
		t.Errorf("files of a magnet: %d %v", code, made)
	}
	if code := r.do("GET", "/v1/torrents/1/peers", nil, &made); code != 200 || len(made["connections"].([]any)) != 0 {
		t.Errorf("peers: %d %v", code, made)
	}
	if code := r.do("GET", "/v1/torrents/1/pieces", nil, &made); code != 200 || made["pieces"] != 0.0 || made["have"] != "" || len(made["peers"].([]any)) != 0 {
		t.Errorf("pieces: %d %v", code, made)
	}
	if code := r.do("POST", "/v1/torrents/"+hash+"/move", object{"dir": "/etc"}, &made); code != 400 || !strings.Contains(made["detail"].(string), "/etc") || made["hint"] != "do this" {
		t.Errorf("move outside: %d %v", code, made)
	}
	if code := r.do("DELETE", "/v1/torrents/1", nil, nil); code != 204 {
		t.Errorf("remove: %d", code)
	}
	if code := r.do("GET", "/v1/torrents/1", nil, &made); code != 404 {
		t.Errorf("get: %d", code)
	}
	if code := r.do("GET", "/v1/changes?since="+list["cursor"].(string), nil, &changes); code != 200 || len(changes["removed"].([]any)) != 1 || changes["removed"].([]any)[0] != hash {
		t.Errorf("changes: %d %v", code, changes)
	}
	var none object
	if code := r.do("GET", "/v1/changes?since="+changes["cursor"].(string), nil, &none); code != 200 || len(none) != 1 || none["cursor"] != changes["cursor"] {
		t.Errorf("no changes: %d %v", code, none)
	}
}

func TestCategories(t *testing.T) {
	r := newRig(t)
	films := filepath.Join(r.d.Dir(), "films")
	var none object
	if code := r.do("GET", "/v1/categories", nil, &none); code != 200 || none["categories"] == nil {
		t.Errorf("%d %v", code, none)
	}
	var list api.CategoryList
	if code := r.do("PUT", "/v1/categories/film", object{"dir": films}, &list); code != 200 || len(list.Categories) != 1 || list.Categories[0].Dir != films {
		t.Fatalf("%d %+v", code, list)
	}
	var made object
	if code := r.do("POST", "/v1/torrents", object{"link": strings.Repeat("ab", 20), "paused": true, "category": "film"}, &made); code != 201 || made["category"] != "film" || made["dir"] != films {
		t.Errorf("%d %v", code, made)
	}
	if code := r.do("PATCH", "/v1/torrents/1", object{"category": "new"}, &made); code != 200 || made["category"] != "new" || made["dir"] != films {
		t.Errorf("%d %v", code, made)
	}
	var page api.TorrentList
	if code := r.do("GET", "/v1/torrents?category=new", nil, &page); code != 200 || len(page.Torrents) != 1 {
		t.Errorf("%d %v", code, page)
	}
	if code := r.do("GET", "/v1/torrents?category=film", nil, &page); code != 200 || len(page.Torrents) != 0 {
		t.Errorf("%d %v", code, page)
	}
	if code := r.do("PUT", "/v1/categories/bad", object{"dir": "/etc"}, nil); code != 400 {
		t.Errorf("a category outside of the allowed folders: %d", code)
	}
	if code := r.do("DELETE", "/v1/categories/new", nil, &list); code != 200 || len(list.Categories) != 1 || list.Categories[0].Name != "film" {
		t.Errorf("%d %+v", code, list)
	}
	var after object
	if code := r.do("GET", "/v1/torrents/1", nil, &after); code != 200 || after["category"] != nil {
		t.Errorf("%d %v", code, after)
	}
}

func TestSettingsChange(t *testing.T) {
	r := newRig(t)
	var list api.SettingList
	find := func(name string) (s view.Setting) {
		for _, s := range list.Settings {
			if s.Setting == name {
				return s
			}
		}
		t.Fatalf("there is no setting %s", name)
		return
	}
	body := object{"up-limit": 512000, "alt-limits": true, "seed-ratio": 1.5, "down-limit": "2M", "allow-host": []string{"a", "b"}}
	if code := r.do("PATCH", "/v1/settings", body, &list); code != 200 || find("up-limit").Value != "500K" || find("seed-ratio").Value != "1.5" || find("alt-limits").Value != "true" {
		t.Fatalf("%d %+v", code, list)
	}
	if s := r.d.Settings(); s.UpRate != 512000 || s.DownRate != 2<<20 || !s.AltLimits || len(s.AllowHosts) != 2 {
		t.Errorf("%+v", s)
	}
	if s := find("allow-host"); len(s.Values) != 2 || s.Source != "changed while running" || s.Env != "SEEDBED_ALLOW_HOST" || !s.Live {
		t.Errorf("%+v", s)
	}
	if code := r.do("PATCH", "/v1/settings", object{"up-limit": nil}, &list); code != 200 || find("up-limit").Value != "0" || find("up-limit").Source != "default" {
		t.Errorf("%d %+v", code, list)
	}
	for name, want := range map[string]view.SettingForm{"up-limit": {Type: "size", Unit: "bytes a second", Group: "rates"}, "port": {Type: "number", Group: "peers"}, "super-seed": {Type: "word", Group: "peers"},
		"seed-ratio": {Type: "ratio", Group: "seeding"}, "seed-idle": {Type: "duration", Group: "seeding"}, "alt-schedule": {Type: "schedule", Group: "rates"}, "watch-dir": {Type: "list", Group: "sources", ReadOnly: true},
		"interface": {Type: "list", Group: "access"}, "add-paused": {Type: "bool", Group: "queue"}, "dir": {Type: "text", Group: "folders"}} {
		if got := find(name); got.Type != want.Type || got.Unit != want.Unit || got.Group != want.Group || got.ReadOnly != want.ReadOnly || got.Help == "" {
			t.Errorf("%s: %+v", name, got.SettingForm)
		}
	}
	if s := find("port"); s.Minimum == nil || s.Maximum == nil || *s.Maximum != 65535 || len(find("super-seed").Choices) != 3 || len(find("interface").Choices) != 3 {
		t.Errorf("%+v", s.SettingForm)
	}
	for _, s := range list.Settings {
		if s.Group == "" || s.Type == "" {
			t.Errorf("%s has no group or no type", s.Setting)
		}
	}
	var p api.Problem
	for body, code := range map[string]int{`{"port":65536}`: 400, `{"allow-path":["/"]}`: 403, `{"up-limt":1}`: 400, `{"up-limit":{}}`: 400, `{"allow-host":[1]}`: 400, `{"up-limit":-1}`: 400, `{"connections":0.5}`: 400, `[]`: 422} {
		if got := r.do("PATCH", "/v1/settings", json.RawMessage(body), &p); got != code || p.Detail == "" {
			t.Errorf("%s: %d %+v", body, got, p)
		}
	}
	if code := r.do("GET", "/v1/settings", nil, &list); code != 200 || find("connections").Value != "500" {
		t.Errorf("%d %+v", code, list)
	}
}

// The queue and the seeding goals are changed by REST, and shown with the torrent.
func TestQueueAndGoals(t *testing.T) {
	r := newRig(t)
	var made object
	for i := range 7 {
		if code := r.do("POST", "/v1/torrents", object{"link": fmt.Sprintf("%040x", i+1)}, &made); code != 201 {
			t.Fatalf("%d %v", code, made)
		}
	}
	if made["place"] != 7.0 || made["why"] != "waiting: 5 of 5 downloads run; place 7" || made["state"] != "queued" || made["finished"] != false {
		t.Errorf("%v", made)
	}
	for to, place := range map[string]float64{"up": 6, "top": 1, "down": 2, "bottom": 7} {
		var now object
		r.do("POST", "/v1/torrents/7/queue", object{"to": "bottom"}, nil)
		if to == "down" {
			r.do("POST", "/v1/torrents/7/queue", object{"to": "top"}, nil)
		}
		if code := r.do("POST", "/v1/torrents/7/queue", object{"to": to}, &now); code != 200 || now["place"] != place {
			t.Errorf("%s: %d %v", to, code, now)
		}
	}
	if code := r.do("POST", "/v1/torrents/7/queue", object{"to": "left"}, &made); code != 422 {
		t.Errorf("left: %d %v", code, made)
	}
	r.do("POST", "/v1/torrents/7/queue", object{"to": "bottom"}, nil)
	made = nil
	if code := r.do("POST", "/v1/torrents/6/start", nil, &made); code != 200 || made["why"] == "waiting: 5 of 5 downloads run; place 6" || made["place"] != 6.0 {
		t.Errorf("start: %d %v", code, made)
	}
	if code := r.do("PATCH", "/v1/torrents/1", object{"goals": object{"ratio": 1.5, "idle_s": -1}}, &made); code != 200 {
		t.Errorf("goals: %d %v", code, made)
	}
	if code := r.do("PATCH", "/v1/torrents/1", object{"goals": object{"time_s": 3600}}, &made); code != 200 ||
		!maps.Equal(made["goals"].(object), object{"ratio": 1.5, "idle_s": -1.0, "time_s": 3600.0}) {
		t.Errorf("goals: %d %v", code, made)
	}
	if code := r.do("PATCH", "/v1/torrents/1", object{"goals": object{"ratio": -2}}, &made); code != 422 {
		t.Errorf("a negative ratio: %d %v", code, made)
	}
}

// Every operation answers a token of a smaller scope with 403, and one of its scope with anything
// else. An operation without a scope would panic here.
func TestEveryOperationChecksItsScope(t *testing.T) {
	r := newRig(t)
	tokens := map[token.Scope]string{token.Read: r.newToken(token.Read), token.Add: r.newToken(token.Add), token.Admin: r.token}
	needs := map[string]token.Scope{
		"GET /v1/torrents": token.Read, "POST /v1/torrents": token.Add, "GET /v1/torrents/{id}": token.Read, "PATCH /v1/torrents/{id}": token.Add,
		"DELETE /v1/torrents/{id}": token.Admin, "GET /v1/torrents/{id}/files": token.Read, "GET /v1/torrents/{id}/files/{number}/content": token.Read, "POST /v1/torrents/{id}/files/{number}/link": token.Read, "POST /v1/torrents/{id}/link": token.Read, "GET /v1/torrents/{id}/playlist.m3u8": token.Read, "GET /v1/torrents/{id}/peers": token.Read, "GET /v1/torrents/{id}/pieces": token.Read, "POST /v1/torrents/{id}/pause": token.Add,
		"POST /v1/torrents/{id}/resume": token.Add, "POST /v1/torrents/{id}/start": token.Add, "POST /v1/torrents/{id}/queue": token.Add, "POST /v1/torrents/{id}/recheck": token.Add, "POST /v1/torrents/{id}/move": token.Admin, "POST /v1/torrents/{id}/rename": token.Admin, "POST /v1/import": token.Admin,
		"GET /v1/changes": token.Read, "GET /v1/node": token.Read, "GET /v1/space": token.Read, "GET /v1/tokens": token.Admin, "POST /v1/tokens": token.Admin, "DELETE /v1/tokens/{which}": token.Admin,
		"GET /v1/session": token.None, "POST /v1/session": token.None, "DELETE /v1/session": token.None, "POST /v1/session/code": token.Admin,
		"GET /v1/categories": token.Read, "PUT /v1/categories/{name}": token.Admin, "DELETE /v1/categories/{name}": token.Admin,
		"GET /v1/settings": token.Admin, "PATCH /v1/settings": token.Admin,
		"GET /v1/publications": token.Read, "POST /v1/publications": token.Admin, "GET /v1/publications/{id}": token.Read,
		"POST /v1/publications/{id}/rollback": token.Admin, "DELETE /v1/publications/{id}": token.Admin, "GET /v1/keys": token.Read,
		"GET /v1/publications/{id}/diff": token.Read, "GET /v1/follows/{id}/diff": token.Read, "GET /v1/follows/{id}/versions": token.Read, "GET /v1/qr": token.Read, "GET /v1/follows": token.Read, "POST /v1/follows": token.Add, "GET /v1/follows/{id}": token.Read, "DELETE /v1/follows/{id}": token.Admin,
		"POST /v1/follows/{id}/check": token.Add, "PUT /v1/follows/{id}/stay": token.Admin, "DELETE /v1/follows/{id}/stay": token.Admin,
		"GET /v1/pins": token.Read, "POST /v1/pins": token.Add, "DELETE /v1/pins/{id}": token.Admin, "POST /v1/pins/publish": token.Admin,
		"GET /v1/pin-lists": token.Read, "POST /v1/pin-lists": token.Admin, "DELETE /v1/pin-lists/{id}": token.Admin,
		"GET /v1/fleet": token.Read, "GET /v1/fleet/owners/{infohash}": token.Read,
		"GET /v1/catalogue": token.Read, "POST /v1/catalogue": token.Admin, "DELETE /v1/catalogue/{infohash}": token.Admin,
		"GET /v1/jobs": token.Read, "GET /v1/jobs/{number}": token.Read, "DELETE /v1/jobs/{number}": token.Add, "POST /v1/doctor": token.Add,
		"GET /v1/torrents/{id}/activity": token.Read, "GET /v1/torrents/{id}/log": token.Read, "POST /v1/inspect": token.Add, "GET /v1/jobs/{number}/files": token.Read, "GET /v1/jobs/{number}/diff": token.Read,
		"GET /v1/dht": token.Read, "POST /v1/dht/lookup": token.Add, "POST /v1/dht/get": token.Add, "POST /v1/dht/put": token.Admin, "GET /v1/dht/trace": token.Add,
	}
	var spec struct{ Paths map[string]map[string]any }
	if code := r.do("GET", "/v1/openapi.json", nil, &spec); code != 200 {
		t.Fatalf("openapi: %d", code)
	}
	seen := 0
	for path, methods := range spec.Paths {
		for method := range methods {
			seen++
			name := strings.ToUpper(method) + " " + path
			need, ok := needs[name]
			if !ok {
				t.Errorf("%s has no row in this test", name)
				continue
			}
			for scope, text := range tokens {
				code := r.as(text, strings.ToUpper(method), strings.NewReplacer("{id}", "nosuch", "{number}", "99", "{which}", "nosuch").Replace(path), nil, nil)
				if (code == 403) != (scope < need) {
					t.Errorf("%s with the scope %v: %d", name, scope, code)
				}
			}
		}
	}
	if seen != len(needs) {
		t.Errorf("%d operations of %d", seen, len(needs))
	}
}

func TestProblems(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		method, path string
		body         any
		want         int
	}{
		{"POST", "/v1/torrents", object{}, 400},
		{"POST", "/v1/torrents", object{"link": "hello"}, 400},
		{"POST", "/v1/torrents", object{"link": 7}, 422},
		{"POST", "/v1/torrents", object{"lnk": "x"}, 422},
		{"POST", "/v1/torrents", object{"torrent": "!"}, 422},
		{"POST", "/v1/torrents", object{"link": strings.Repeat("ab", 20), "dir": "/etc"}, 400},
		{"GET", "/v1/torrents?limit=0", nil, 422},
		{"GET", "/v1/nothing", nil, 404},
		{"PUT", "/v1/torrents", object{}, 404},
		{"DELETE", "/v1/tokens/nobody", nil, 404},
		{"POST", "/v1/tokens", object{"scope": "root"}, 422},
	} {
		var p struct {
			Status int
			Title  string
			Detail string
		}
		if code := r.do(c.method, c.path, c.body, &p); code != c.want || p.Status != code || p.Title == "" || p.Detail == "" {
			t.Errorf("%s %s %v: %d %+v", c.method, c.path, c.body, code, p)
		}
	}
}

// stream opens the event stream after an event, or from the beginning.
func (r *rig) stream(last string) (next func() (id, event string, data object), end func()) {
	t := r.t
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (id, event string, data object) {
		for lines.Scan() {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
			case "id":
				id = value
			case "event":
				event = value
			case "data":
				if err := json.Unmarshal([]byte(value), &data); err != nil {
					t.Fatal(err)
				}
				return id, event, data
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return
	}, func() { cancel(); resp.Body.Close() }
}

// The stream begins with everything, has each change at once, and continues where a client left it.
func TestTheEventStreamResumes(t *testing.T) {
	r := newRig(t)
	open := r.stream
	// changed reads until a torrent was changed or removed.
	changed := func(next func() (string, string, object), key string) (id string) {
		for {
			if id, event, data := next(); event == "changes" && data[key] != nil {
				return id
			}
		}
	}
	next, end := open("")
	if _, event, data := next(); event != "changes" || data["resync"] != true {
		t.Fatalf("it begins with %s %v", event, data)
	}
	r.do("POST", "/v1/torrents", object{"link": strings.Repeat("ab", 20), "paused": true}, nil)
	last := changed(next, "changed")
	end()
	r.do("DELETE", "/v1/torrents/1", nil, nil)
	next, end = open(last)
	if _, event, data := next(); event != "changes" || data["resync"] != nil || len(data["removed"].([]any)) != 1 {
		t.Errorf("it resumes with %s %v", event, data)
	}
	end()
}

// What a job did comes before the news that the job has ended, however close they are.
func TestTheEventStreamKeepsTheEventsOfAJobBeforeItsEnd(t *testing.T) {
	r := newRig(t)
	next, end := r.stream("")
	defer end()
	for i := range 50 {
		text := fmt.Sprint("warning ", i)
		r.d.Node().Emit(node.Event{Kind: node.Warning, Err: errors.New(text)})
		j, err := r.d.Examine(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		j.Cancel()
		warned := false
		for {
			_, event, data := next()
			warned = warned || event == "warning" && data["error"] == text
			if event == "job" && data["number"] == float64(j.ID) {
				break
			}
		}
		if !warned {
			t.Fatalf("job %d was reported before an earlier event", j.ID)
		}
		<-j.Finished()
	}
}

// curl -d labels JSON as a form.
func TestABodyThatIsLabelledAsAFormIsJSON(t *testing.T) {
	r := newRig(t)
	body := strings.NewReader(`{"link":"` + strings.Repeat("ab", 20) + `"}`)
	resp, _ := r.send(r.token, "POST", "/v1/torrents", body, "Content-Type", "application/x-www-form-urlencoded")
	if resp.StatusCode != http.StatusCreated {
		t.Error(resp.Status)
	}
}

// Several streams share one look at the running torrents, which leave it when they stop.
func TestStreamsShareTheProgress(t *testing.T) {
	r := newRig(t)
	running := func() int { return len(r.d.Node().Active()) }
	r.do("POST", "/v1/torrents", object{"link": strings.Repeat("ab", 20)}, nil)
	r.do("POST", "/v1/torrents", object{"link": strings.Repeat("cd", 20), "paused": true}, nil)
	r.do("POST", "/v1/torrents/1/resume?wait=60", nil, nil) // it has started then
	if n := running(); n != 1 {
		t.Errorf("%d torrents run", n)
	}
	for range 2 {
		next, end := r.stream("")
		defer end()
		next() // all torrents
		for {  // the progress of the running one, which had no event since
			_, event, data := next()
			if event == "changes" && len(data["changed"].([]any)) == 1 {
				break
			}
		}
	}
	r.do("POST", "/v1/torrents/1/pause?wait=60", nil, nil)
	if n := running(); n != 0 {
		t.Errorf("%d torrents run", n)
	}
}
