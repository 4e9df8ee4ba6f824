package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/node"
	"seedbed/node/api"
)

// withDHT returns daemons in one private DHT, in which each knows the others.
func withDHT(t *testing.T, n int) (rigs []*rig) {
	t.Helper()
	boot := []string{}
	for range n {
		r := newRigWith(t, node.Config{Bootstrap: boot})
		if len(boot) == 0 {
			boot = []string{r.d.Node().Addrs()[0].String()}
		}
		rigs = append(rigs, r)
	}
	for _, r := range rigs {
		eventually(t, func() bool { return r.d.Node().DHTNodes() == n-1 })
	}
	return rigs
}

// A lookup is shown step by step: each answer follows its query, and the last line has the result.
func TestALookupIsShownLive(t *testing.T) {
	rigs := withDHT(t, 3)
	target := strings.Repeat("ab", 20)
	for _, query := range []string{"target=" + target, "nodes=true&target=" + target} {
		resp, b := rigs[2].get("GET", "/v1/dht/trace?"+query)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%s: %s", resp.Status, b)
		}
		asked, answered := map[string]bool{}, 0
		var end api.TraceEnd
		for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
			var s api.TraceStep
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil || end.Event != "" {
				t.Fatalf("%q, %v", lines.Text(), err)
			}
			switch s.Event {
			case "asked":
				asked[s.Addr] = true
			case "answered":
				if answered++; !asked[s.Addr] || s.Bits == nil || s.ID == "" || s.RTT <= 0 {
					t.Errorf("%+v", s)
				}
			case "done":
				if err := json.Unmarshal(lines.Bytes(), &end); err != nil {
					t.Fatal(err)
				}
			}
		}
		if answered != 2 || end.Lookup.Answered != 2 || end.Error != "" || len(end.Lookup.Closest) != 2 {
			t.Errorf("%s: %d answered, %+v", query, answered, end)
		}
	}
	for _, query := range []string{"", "?target=hello", "?target=" + strings.Repeat("a", 100000)} {
		if resp, b := rigs[0].get("GET", "/v1/dht/trace"+query); resp.StatusCode != 400 && resp.StatusCode != 431 {
			t.Errorf("%.30s: %s %.100s", query, resp.Status, b)
		}
	}
}

// An item is stored and found again, and the next one has the next number.
func TestPutAndGetAnItem(t *testing.T) {
	rigs := withDHT(t, 3)
	r := rigs[1]
	var put api.StoredItem
	if code := r.do("POST", "/v1/dht/put", object{"text": "hello"}, &put); code != 200 || put.Accepted == 0 || put.Kept != put.Accepted || put.Item.Text != "hello" || put.Item.Mutable {
		t.Fatalf("%d %+v", code, put)
	}
	var got api.FoundItem
	if code := rigs[2].do("POST", "/v1/dht/get", object{"target": put.Target}, &got); code != 200 || got.Item == nil || got.Item.Text != "hello" {
		t.Errorf("%d %+v", code, got)
	}
	var p api.Problem
	if code := r.do("POST", "/v1/dht/put", object{"text": "1", "key": "none"}, &p); code != 404 || p.Detail == "" {
		t.Errorf("no such key: %d %+v", code, p)
	}
	path := filepath.Join(r.d.Dir(), "page.html")
	filetest.Write(t, path, []byte("hello"))
	if code := r.do("POST", "/v1/publications", object{"key": "web", "path": path}, nil); code != 202 {
		t.Fatalf("publish: %d", code)
	}
	eventually(t, func() bool { return len(r.d.Publications()) == 1 })
	if code := r.do("POST", "/v1/dht/put", object{"text": "1", "key": "web"}, &p); code != 409 || !strings.Contains(p.Detail, "publication") {
		t.Errorf("in place of a publication: %d %+v", code, p)
	}
	for seq := int64(1); seq <= 2; seq++ {
		if code := r.do("POST", "/v1/dht/put", object{"text": fmt.Sprint(seq), "key": "web", "salt": "other"}, &put); code != 200 || put.Item.Seq == nil || *put.Item.Seq != seq {
			t.Fatalf("%d %+v", code, put)
		}
	}
	if code := rigs[2].do("POST", "/v1/dht/get", object{"target": put.Item.Key, "salt": "other"}, &got); code != 200 || got.Item == nil || got.Item.Text != "2" {
		t.Errorf("%d %+v", code, got)
	}
	if code := r.do("POST", "/v1/dht/put", object{"text": "3", "key": "web", "salt": "other", "cas": 1}, &p); code != 409 {
		t.Errorf("another number: %d %+v", code, p)
	}
	for _, body := range []object{{}, {"text": "x", "bencoded": "MTp4"}, {"bencoded": "aGVsbG8="}, {"text": "x", "salt": "s"}} {
		if code := r.do("POST", "/v1/dht/put", body, &p); code != 400 {
			t.Errorf("%v: %d %+v", body, code, p)
		}
	}
}

// The status has the age of each node and what the node stores.
func TestTheStatusOfTheDHT(t *testing.T) {
	rigs := withDHT(t, 2)
	if code := rigs[0].do("POST", "/v1/dht/put", object{"text": "hello"}, nil); code != 200 {
		t.Fatal(code)
	}
	var s api.DHTStatus
	if code := rigs[1].do("GET", "/v1/dht", nil, &s); code != 200 || len(s.Nodes) != 1 || s.Nodes[0].Family != "ipv4" || s.Nodes[0].Silent == nil || *s.Nodes[0].Silent > float64(time.Hour/time.Second) {
		t.Fatalf("%d %+v", code, s)
	}
	if len(s.Families) != 1 || s.Families[0].Nodes != 1 || s.Families[0].Sent == 0 || s.Families[0].Votes == nil || s.Held.Items != 1 || s.Families[0].ID != s.ID4 {
		t.Errorf("%+v %+v", s.Families, s.Held)
	}
	if d, err := rigs[1].d.Node().DHT(); err != nil || d.Held() != (dht.Held{Items: 1}) {
		t.Error(err)
	}
}
