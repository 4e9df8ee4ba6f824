package qbittorrent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
	"seedbed/node/daemon/token"
	"seedbed/node/lifecycle"
)

// A rig is a daemon without a DHT behind the guard and the interface.
type rig struct {
	t     testing.TB
	d     *daemon.Daemon
	h     http.Handler
	dir   string // the download folder
	admin string // a token
	sid   *http.Cookie
	ended int // calls of Shutdown
}

func newRig(t testing.TB, options ...func(*node.Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, dir: filepath.Join(dir, "data")}
	cfg := node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}
	for _, option := range options {
		option(&cfg)
	}
	var err error
	if r.d, err = daemon.Open(t.Context(), daemon.Config{Node: cfg, Settings: daemon.Settings{Dir: r.dir}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.d.Close(context.Background()) })
	g := guard.New(guard.Config{Tokens: r.d.Tokens(), Open: func(path string) bool { return strings.HasPrefix(path, Path) }})
	f := fetch.New(fetch.Config{Agent: "seedbed"})
	t.Cleanup(f.Close)
	r.h = g.Remote(New(Config{Daemon: r.d, Guard: g, Fetcher: f, Version: "1", Shutdown: func() { r.ended++ }}))
	if r.admin, _, err = r.d.Tokens().New("", token.Admin); err != nil {
		t.Fatal(err)
	}
	return r
}

// send sends a request with the cookie of the last login and returns the status and the body.
func (r *rig) send(req *http.Request) (int, string) {
	r.t.Helper()
	if r.sid != nil {
		req.AddCookie(r.sid)
	}
	w := httptest.NewRecorder()
	r.h.ServeHTTP(w, req)
	for _, c := range w.Result().Cookies() {
		r.sid = c
	}
	return w.Code, w.Body.String()
}

func (r *rig) login() {
	r.t.Helper()
	if code, body := r.post("auth/login", "username=admin&password="+url.QueryEscape(r.admin)); code != 200 || body != "Ok." {
		r.t.Fatalf("login: %d %s", code, body)
	}
}

func (r *rig) get(path string) (int, string) {
	r.t.Helper()
	return r.send(httptest.NewRequest("GET", "http://127.0.0.1:8009"+Path+path, nil))
}

func (r *rig) post(path, form string) (int, string) {
	r.t.Helper()
	req := httptest.NewRequest("POST", "http://127.0.0.1:8009"+Path+path, strings.NewReader(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.send(req)
}

// object decodes the answer to a GET request.
func (r *rig) object(path string, out any) {
	r.t.Helper()
	code, body := r.get(path)
	if code != 200 {
		r.t.Fatalf("%s: %d %s", path, code, body)
	}
	if err := json.Unmarshal([]byte(body), out); err != nil {
		r.t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// one returns the torrent with an infohash as torrents/info has it.
func (r *rig) one(hash string) map[string]any {
	r.t.Helper()
	var list []map[string]any
	r.object("torrents/info?hashes="+hash, &list)
	if len(list) != 1 {
		r.t.Fatalf("%d torrents with %s", len(list), hash)
	}
	return list[0]
}

// upload posts a multipart form with a file.
func (r *rig) upload(part, name string, data []byte, values map[string]string) (int, string) {
	r.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k, v := range values {
		w.WriteField(k, v)
	}
	if part != "" {
		f, err := w.CreateFormFile(part, name)
		if err != nil {
			r.t.Fatal(err)
		}
		f.Write(data)
	}
	w.Close()
	req := httptest.NewRequest("POST", "http://127.0.0.1:8009"+Path+"torrents/add", &b)
	req.Header.Set("Content-Type", w.FormDataContentType())
	return r.send(req)
}

// settle waits until no torrent is about to do something else.
func (r *rig) settle() {
	events := r.d.Node().Subscribe(node.Changed)
	defer events.Close()
	for {
		busy := false
		for _, t := range r.d.Node().Torrents() {
			if err := t.Settled(r.t.Context()); err != nil {
				r.t.Error(err)
			}
			switch t.Phase() {
			case lifecycle.Adding, lifecycle.Queued, lifecycle.Checking, lifecycle.Moving, lifecycle.Removing:
				busy = true
			}
		}
		if !busy {
			return
		}
		<-events.Ready()
		events.Take()
	}
}

// share writes a file or, if it has several, a folder into the download folder, and returns the
// infohash and the .torrent file.
func (r *rig) share(name string, files map[string]string) (hash string, torrent []byte) {
	r.t.Helper()
	top := filepath.Join(r.dir, name)
	for f, data := range files {
		path := filepath.Join(top, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	made, err := node.Make(r.t.Context(), top, node.ShareOptions{Format: metainfo.V1})
	if err != nil {
		r.t.Fatal(err)
	}
	return made.Info.Hash.String(), (&metainfo.Torrent{Info: made.Info}).Append(nil)
}

// seed adds a torrent whose data is complete, and waits until it is seeded.
func (r *rig) seed(name string, files map[string]string, values map[string]string) (hash string) {
	r.t.Helper()
	hash, torrent := r.share(name, files)
	if code, body := r.upload("torrents", name+".torrent", torrent, values); code != 200 || body != "Ok." {
		r.t.Fatalf("add: %d %s", code, body)
	}
	t, err := r.d.Find(hash)
	if err != nil {
		r.t.Fatal(err)
	}
	<-t.Done()
	return hash
}

var magnet = strings.Repeat("ab", 20)

func TestLoginWithAToken(t *testing.T) {
	r := newRig(t)
	if code, _ := r.get("app/version"); code != 403 {
		t.Errorf("without a login: %d", code)
	}
	if code, _ := r.get("no/such"); code != 403 {
		t.Errorf("an unknown path without a login: %d", code)
	}
	if code, body := r.post("auth/login", "username=admin&password=adminadmin"); code != 200 || body != "Fails." || r.sid != nil {
		t.Errorf("a wrong password: %d %s", code, body)
	}
	r.login()
	if c := r.sid; c.Name != "SID" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("%+v", c)
	}
	if code, body := r.get("app/version"); code != 200 || body != "v5.0.5" {
		t.Errorf("%d %s", code, body)
	}
	if code, body := r.get("app/webapiVersion"); code != 200 || body != "2.11.2" {
		t.Errorf("%d %s", code, body)
	}
	sid := r.sid
	if code, _ := r.post("auth/logout", ""); code != 200 {
		t.Errorf("logout: %d", code)
	}
	r.sid = sid
	if code, _ := r.get("app/version"); code != 403 {
		t.Errorf("after the logout: %d", code)
	}
	r.sid = nil
	for range 20 {
		r.post("auth/login", "username=admin&password=guess")
	}
	if code, _ := r.post("auth/login", "username=admin&password=guess"); code != 403 {
		t.Errorf("after many wrong passwords: %d", code)
	}
	req := httptest.NewRequest("GET", "http://127.0.0.1:8009"+Path+"app/version", nil)
	req.Header.Set("Authorization", "Bearer "+r.admin)
	if code, _ := r.send(req); code != 200 {
		t.Errorf("with a bearer token: %d", code)
	}
}

// Every endpoint answers a token of a smaller scope with 403. An endpoint without a row fails.
func TestEveryEndpointHasAScope(t *testing.T) {
	r := newRig(t)
	tokens := map[token.Scope]string{token.Admin: r.admin}
	for _, s := range []token.Scope{token.Read, token.Add} {
		var err error
		if tokens[s], _, err = r.d.Tokens().New("", s); err != nil {
			t.Fatal(err)
		}
	}
	for name, need := range scopes {
		if _, ok := endpoints[name]; !ok {
			t.Errorf("there is no %s", name)
		}
		for scope, text := range tokens {
			req := httptest.NewRequest("POST", "http://127.0.0.1:8009"+Path+name, nil)
			req.Header.Set("Authorization", "Bearer "+text)
			if code, body := r.send(req); (code == 403) != (scope < need) {
				t.Errorf("%s with the scope %v: %d %s", name, scope, code, body)
			}
		}
		if need == token.None {
			continue
		}
		r.sid = nil
		if code, _ := r.post(name, ""); code != 403 {
			t.Errorf("%s without a token: %d", name, code)
		}
	}
	for name := range endpoints {
		if _, ok := scopes[name]; !ok {
			t.Errorf("%s has no row in this test", name)
		}
	}
}

var scopes = map[string]token.Scope{
	"auth/login": token.None, "auth/logout": token.None,
	"app/version": token.Read, "app/webapiVersion": token.Read, "app/buildInfo": token.Read, "app/preferences": token.Read, "app/defaultSavePath": token.Read,
	"app/setPreferences": token.Admin, "app/shutdown": token.Admin,
	"torrents/info": token.Read, "torrents/count": token.Read, "torrents/properties": token.Read, "torrents/trackers": token.Read, "torrents/files": token.Read,
	"torrents/pieceHashes": token.Read, "torrents/export": token.Read, "torrents/uploadLimit": token.Read, "torrents/downloadLimit": token.Read,
	"torrents/add": token.Add, "torrents/stop": token.Add, "torrents/pause": token.Add, "torrents/start": token.Add, "torrents/resume": token.Add,
	"torrents/recheck": token.Add, "torrents/reannounce": token.Add, "torrents/filePrio": token.Add, "torrents/setUploadLimit": token.Add, "torrents/setDownloadLimit": token.Add,
	"torrents/setLocation": token.Admin, "torrents/setSavePath": token.Admin, "torrents/delete": token.Admin,
	"torrents/tags": token.Read, "torrents/addTags": token.Add, "torrents/removeTags": token.Add, "torrents/createTags": token.Add, "torrents/deleteTags": token.Add,
	"torrents/pieceStates": token.Read, "torrents/webseeds": token.Read, "torrents/addPeers": token.Add, "torrents/setForceStart": token.Add,
	"torrents/setShareLimits": token.Add, "torrents/topPrio": token.Add, "torrents/increasePrio": token.Add, "torrents/decreasePrio": token.Add, "torrents/bottomPrio": token.Add,
	"torrents/rename": token.Add, "torrents/renameFile": token.Admin, "torrents/renameFolder": token.Admin, "torrents/setDownloadPath": token.Admin,
	"torrents/setAutoManagement": token.Add, "torrents/setSuperSeeding": token.Add, "torrents/toggleSequentialDownload": token.Add, "torrents/toggleFirstLastPiecePrio": token.Add,
	"torrents/addTrackers": token.Add, "torrents/editTracker": token.Add, "torrents/removeTrackers": token.Add,
	"torrents/categories": token.Read, "torrents/createCategory": token.Add, "torrents/editCategory": token.Admin, "torrents/removeCategories": token.Admin, "torrents/setCategory": token.Add,
	"sync/maindata": token.Read, "sync/torrentPeers": token.Read,
	"transfer/speedLimitsMode": token.Read, "transfer/setSpeedLimitsMode": token.Admin, "transfer/toggleSpeedLimitsMode": token.Admin,
	"transfer/info": token.Read, "transfer/uploadLimit": token.Read, "transfer/downloadLimit": token.Read, "transfer/setUploadLimit": token.Admin, "transfer/setDownloadLimit": token.Admin,
	"log/main": token.Read, "log/peers": token.Read,
	"search/plugins": token.Read, "search/status": token.Read, "rss/items": token.Read, "rss/rules": token.Read,
}

func TestTorrentsFromAddToDelete(t *testing.T) {
	r := newRig(t)
	r.login()
	if code, body := r.upload("", "", nil, map[string]string{"urls": "magnet:?xt=urn:btih:" + magnet + "&dn=hello\n", "stopped": "true", "tags": "x, y"}); code != 200 || body != "Ok." {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := r.post("torrents/add", "urls="+magnet); code != 200 || body != "Fails." {
		t.Errorf("again: %d %s", code, body)
	}
	if code, body := r.post("torrents/add", "urls=notalink"); code != 200 || body != "Fails." {
		t.Errorf("not a link: %d %s", code, body)
	}
	if code, body := r.upload("torrents", "x.torrent", []byte("no"), nil); code != 415 {
		t.Errorf("not a torrent: %d %s", code, body)
	}
	x := r.one(magnet)
	for key, want := range map[string]any{"name": "hello", "state": "stoppedDL", "size": 0.0, "total_size": -1.0, "progress": 0.0, "eta": 8640000.0, "tags": "x, y",
		"category": "", "save_path": r.dir, "content_path": "", "ratio_limit": -2.0, "availability": 0.0, "private": nil, "has_metadata": false} {
		if x[key] != want {
			t.Errorf("%s is %v, not %v", key, x[key], want)
		}
	}
	film := r.seed("film", map[string]string{"a/b": "b", "c": "c"}, nil)
	y := r.one(film)
	for key, want := range map[string]any{"name": "film", "state": "stalledUP", "size": 2.0, "total_size": 2.0, "progress": 1.0, "completed": 2.0, "amount_left": 0.0,
		"content_path": filepath.Join(r.dir, "film"), "root_path": filepath.Join(r.dir, "film"), "availability": -1.0, "private": false, "has_metadata": true} {
		if y[key] != want {
			t.Errorf("%s is %v, not %v", key, y[key], want)
		}
	}
	var list []map[string]any
	r.object("torrents/files?hash="+film, &list)
	if len(list) != 2 || list[0]["name"] != "film/a/b" || list[1]["name"] != "film/c" || list[0]["progress"] != 1.0 || list[0]["is_seed"] != true || list[0]["piece_range"].([]any)[1] != 0.0 {
		t.Errorf("%v", list)
	}
	if code, body := r.post("torrents/stop", "hashes="+film); code != 200 || body != "" {
		t.Errorf("stop: %d %s", code, body)
	}
	r.settle()
	if s := r.one(film)["state"]; s != "stoppedUP" {
		t.Errorf("stopped: %v", s)
	}
	if code, _ := r.post("torrents/setUploadLimit", "limit=1000&hashes="+film+"|"+magnet); code != 200 {
		t.Errorf("%d", code)
	}
	var limits map[string]int64
	r.object("torrents/uploadLimit?hashes="+film+"|none", &limits)
	if limits[film] != 1000 || limits["none"] != -1 {
		t.Errorf("%v", limits)
	}
	if code, body := r.post("torrents/setLocation", "hashes="+film+"&location=/etc"); code != 409 || !strings.Contains(body, "/etc") {
		t.Errorf("outside: %d %s", code, body)
	}
	to := filepath.Join(r.dir, "elsewhere")
	if code, body := r.post("torrents/setLocation", "hashes="+film+"&location="+url.QueryEscape(to)); code != 200 {
		t.Errorf("move: %d %s", code, body)
	}
	r.settle()
	if x := r.one(film); x["content_path"] != filepath.Join(to, "film") || x["save_path"] != to {
		t.Errorf("%v %v", x["content_path"], x["save_path"])
	}
	torrents := r.d.Node().Torrents()
	if code, _ := r.post("torrents/delete", "hashes=all&deleteFiles=true"); code != 200 {
		t.Errorf("delete: %d", code)
	}
	if code, body := r.get("torrents/info"); code != 200 || body != "[]" {
		t.Errorf("%d %s", code, body)
	}
	for _, x := range torrents {
		if err := x.Settled(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(to, "film")); !os.IsNotExist(err) {
		t.Errorf("the data is there: %v", err)
	}
	if code, body := r.get("torrents/properties?hash=" + film); code != 404 || body != "Not Found" {
		t.Errorf("%d %s", code, body)
	}
}

// A container that forwards a port of a VPN posts it, with more preferences at times.
func TestGluetunSetsThePort(t *testing.T) {
	r := newRig(t)
	r.login()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	if code, body := r.post("app/setPreferences", "json="+url.QueryEscape(fmt.Sprintf(`{"listen_port":%d,"random_port":false,"upnp":false,"current_network_interface":"tun0"}`, port))); code != 200 || body != "" {
		t.Fatalf("%d %s", code, body)
	}
	var p map[string]any
	r.object("app/preferences", &p)
	if p["listen_port"] != float64(port) || int(r.d.Node().Addrs()[0].Port()) != port {
		t.Errorf("%v, listening on %v", p["listen_port"], r.d.Node().Addrs())
	}
	for _, bad := range []string{`{"listen_port":65536}`, `{"listen_port":-1}`, `{"listen_port":"x"}`, `[]`, ``} {
		if code, _ := r.post("app/setPreferences", "json="+url.QueryEscape(bad)); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if code, body := r.post("app/setPreferences", fmt.Sprintf(`json={"listen_port":%d}`, taken.Addr().(*net.TCPAddr).Port)); code != 409 || !strings.Contains(body, "in use") {
		t.Errorf("a port in use: %d %s", code, body)
	}
}
