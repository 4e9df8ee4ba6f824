package api_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
)

// A publication that has ended with its history kept is listed if asked for, and can be deleted.
func TestEndedPublications(t *testing.T) {
	r := newRig(t)
	key := strings.Repeat("ab", 32)
	public, err := id.ParseHex32(key)
	if err != nil {
		t.Fatal(err)
	}
	for salt, ended := range map[string]bool{"gone": true, "failed": false} {
		filetest.Write(t, filepath.Join(r.d.Node().StateDir(), "publications", dht.ItemTarget(public, []byte(salt)).String(), "record"),
			fmt.Appendf(nil, `{"key": %q, "key_name": "site", "salt": %q, "path": "/p", "ended": %t, "versions": [{"seq": 7, "infohash": "%040x"}]}`, key, base64.StdEncoding.EncodeToString([]byte(salt)), ended, 1))
	}
	list := func(query string) []object {
		t.Helper()
		var out struct{ Publications []object }
		if code := r.do("GET", "/v1/publications"+query, nil, &out); code != 200 {
			t.Fatalf("list: %d", code)
		}
		return out.Publications
	}
	if all := list(""); len(all) != 0 {
		t.Error("listed as published:", all)
	}
	all := list("?ended=true")
	if len(all) != 1 || all[0]["ended"] != true || all[0]["salt"] != "gone" || len(all[0]["versions"].([]any)) != 1 {
		t.Fatal("ended:", all)
	}
	target := all[0]["target"].(string)
	if code := r.do("DELETE", "/v1/publications/"+target+"?keep_history=true", nil, nil); code != 204 || len(list("?ended=true")) != 1 {
		t.Errorf("ended again: %d", code)
	}
	var problem object
	if code := r.do("DELETE", "/v1/publications/site", nil, &problem); code != 400 || !strings.Contains(problem["detail"].(string), target[:8]) {
		t.Errorf("a key of two publications: %d %v", code, problem)
	}
	if code := r.do("DELETE", "/v1/publications/"+target, nil, nil); code != 204 || len(list("?ended=true")) != 0 {
		t.Errorf("deleted: %d", code)
	}
	if code := r.do("DELETE", "/v1/publications/"+target, nil, nil); code != 404 {
		t.Errorf("deleted twice: %d", code)
	}
}
