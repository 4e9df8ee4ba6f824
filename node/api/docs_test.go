package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/openapi.json")

var openAPIFile = filepath.Join("..", "..", "docs", "openapi.json")

// spec returns openapi.json.
func (r *rig) spec() []byte {
	var doc any
	if code := r.do("GET", "/v1/openapi.json", nil, &doc); code != 200 {
		r.t.Fatalf("openapi: %d", code)
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		r.t.Fatal(err)
	}
	return append(b, '\n')
}

// docs/openapi.json is what a daemon serves as /v1/openapi.json.
func TestTheOpenAPIFileIsUpToDate(t *testing.T) {
	want := newRig(t).spec()
	if *update {
		if err := os.WriteFile(openAPIFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(openAPIFile); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is out of date; run go test ./node/api -run OpenAPI -update (%v)", openAPIFile, err)
	}
}

// Every operation has a summary, its parameters are described, and its errors are problem details.
func TestEveryOperationIsDescribed(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Summary     string
			Parameters  []struct{ Name, In, Description string }
			Responses   map[string]struct {
				Content map[string]any
			}
		}
	}
	if err := json.Unmarshal(newRig(t).spec(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			name := strings.ToUpper(method) + " " + path
			if o.OperationID == "" || o.Summary == "" {
				t.Errorf("%s has no id or no summary", name)
			}
			for _, p := range o.Parameters {
				if p.Description == "" {
					t.Errorf("%s: the parameter %s is not described", name, p.Name)
				}
			}
			for _, status := range []string{"400", "403", "404"} {
				if o.Responses[status].Content["application/problem+json"] == nil {
					t.Errorf("%s: the answer %s is not described", name, status)
				}
			}
		}
	}
}

// The page of the interface needs nothing from elsewhere.
func TestTheDocsLoadNothingFromElsewhere(t *testing.T) {
	r := newRig(t)
	resp, b := r.get("GET", "/v1/docs")
	if resp.StatusCode != 200 || !bytes.Contains(b, []byte("openapi.json")) {
		t.Errorf("%s: %s", resp.Status, b)
	}
	if bytes.Contains(b, []byte("//")) && bytes.Contains(b, []byte("http")) {
		t.Errorf("the page loads something:\n%s", b)
	}
}

// Without a DHT, the operations on it are an error that says so.
func TestNoDHT(t *testing.T) {
	r := newRig(t)
	var p struct{ Detail string }
	if code := r.do("GET", "/v1/dht", nil, &p); code != 400 || !strings.Contains(p.Detail, "DHT") {
		t.Errorf("%d %+v", code, p)
	}
}
