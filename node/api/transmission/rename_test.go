package transmission

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"seedbed/node/daemon/token"
)

// torrent-rename-path answers in both dialects when the file has its new name or cannot get it.
func TestTorrentRenamePath(t *testing.T) {
	r := newRig(t)
	r.write("show/a.txt", "first")
	r.write("show/sub/b.txt", "second")
	add := fmt.Sprintf(`{"method":"torrent-add","arguments":{"metainfo":%q}}`, base64.StdEncoding.EncodeToString(r.torrentOf("show")))
	r.post(token.Admin, add)
	data := filepath.Join(r.dir, "data")
	rename := func(path, name string) (result string) {
		t.Helper()
		var a struct {
			Result    string
			Arguments struct {
				ID         int64
				Path, Name string
			}
		}
		body := r.post(token.Admin, fmt.Sprintf(`{"method":"torrent-rename-path","arguments":{"ids":[1],"path":%q,"name":%q}}`, path, name)).Body.Bytes()
		if err := json.Unmarshal(body, &a); err != nil || a.Arguments.ID != 1 || a.Arguments.Path != path || a.Arguments.Name != name {
			t.Errorf("%s: %v", body, err)
		}
		return a.Result
	}
	exists := func(name string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(data, name)); err != nil {
			t.Error(err)
		}
	}
	if err := r.handler.Node().Torrents()[0].Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, name, want, at string }{
		{"show/a.txt", "c.txt", "success", "show/c.txt"},
		{"show/sub", "other", "success", "show/other/b.txt"},
		{"show/a.txt", "d.txt", "Invalid argument", "show/c.txt"},
		{"show/c.txt", "../d.txt", "Invalid argument", "show/c.txt"},
		{"show/c.txt", "..", "Invalid argument", "show/c.txt"},
		{"show/c.txt", "", "Invalid argument", "show/c.txt"},
		{"", "x", "Invalid argument", "show/c.txt"},
		{"show", "Film", "success", "Film/c.txt"},
	} {
		if got := rename(c.path, c.name); got != c.want {
			t.Errorf("%s to %s: %s", c.path, c.name, got)
		}
		exists(c.at)
	}
	r.write("Film/foreign", "x")
	if got := rename("Film/c.txt", "foreign"); got != "File exists" {
		t.Error(got)
	}
	var get struct {
		Arguments struct {
			Torrents []struct {
				Name  string
				Files []struct{ Name string }
			}
		}
	}
	body := r.post(token.Admin, `{"method":"torrent-get","arguments":{"fields":["name","files"]}}`).Body.Bytes()
	if err := json.Unmarshal(body, &get); err != nil || len(get.Arguments.Torrents) != 1 {
		t.Fatal(string(body))
	}
	if x := get.Arguments.Torrents[0]; x.Name != "Film" || len(x.Files) != 2 || x.Files[0].Name != "Film/c.txt" || x.Files[1].Name != "Film/other/b.txt" {
		t.Errorf("%+v", x)
	}
	var modern struct {
		Result struct{ Path, Name string }
		Error  *struct {
			Code code
			Data struct {
				Result struct{ Path string }
			}
		}
	}
	body = r.post(token.Admin, `{"jsonrpc":"2.0","id":1,"method":"torrent_rename_path","params":{"ids":1,"path":"Film/c.txt","name":"e.txt"}}`).Body.Bytes()
	if err := json.Unmarshal(body, &modern); err != nil || modern.Error != nil || modern.Result.Path != "Film/c.txt" || modern.Result.Name != "e.txt" {
		t.Errorf("%s: %v", body, err)
	}
	exists("Film/e.txt")
	for _, ids := range []string{`[]`, `[99]`} {
		body = r.post(token.Admin, `{"jsonrpc":"2.0","id":1,"method":"torrent_rename_path","params":{"ids":`+ids+`,"path":"Film/e.txt","name":"f.txt"}}`).Body.Bytes()
		modern.Error = nil
		if err := json.Unmarshal(body, &modern); err != nil || modern.Error == nil || modern.Error.Code != invalidParams {
			t.Errorf("ids %s: %s: %v", ids, body, err)
		}
	}
}
