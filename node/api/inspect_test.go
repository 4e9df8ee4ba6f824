package api_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// seeds makes a torrent of a folder of two files, which r seeds. It returns the torrent and an
// address of r.
func (r *rig) seeds(t *testing.T, format metainfo.Format) (*metainfo.Torrent, string) {
	t.Helper()
	dir := filepath.Join(r.d.Dir(), "shared")
	for name, size := range map[string]int{"a.txt": 70_000, "sub/b.txt": 100} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat(name, size/len(name))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := node.Share(t.Context(), dir, node.ShareOptions{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	var made object
	if code := r.do("POST", "/v1/torrents", object{"torrent": spec.Torrent.Append(nil), "dir": filepath.Dir(dir), "seed": true}, &made); code != 201 {
		t.Fatalf("%d %v", code, made)
	}
	x := r.d.Node().Torrent(spec.InfoHash())
	select {
	case <-x.Done():
	case <-time.After(time.Minute):
		t.Fatal("it is not seeded")
	}
	return spec.Torrent, r.d.Node().Addrs()[0].String()
}

// ended waits until a job has ended.
func (r *rig) ended(j *view.Job) *view.Job {
	r.t.Helper()
	job, err := r.d.Job(j.Number)
	if err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-job.Finished():
	case <-time.After(2 * time.Minute):
		r.t.Fatalf("job %d does not end", j.Number)
	}
	var out view.Job
	r.do("GET", fmt.Sprintf("/v1/jobs/%d", j.Number), nil, &out)
	return &out
}

// A link is inspected through its peers, nothing is in the session meanwhile, and adding what was
// found fetches nothing.
func TestALinkIsInspectedBeforeItIsAdded(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(format.String(), func(t *testing.T) { inspectAndAdd(t, format) })
	}
}

func inspectAndAdd(t *testing.T, format metainfo.Format) {
	seed, r := newRig(t), newRig(t)
	shared, addr := seed.seeds(t, format)
	var j view.Job
	selected := 1 // in a link, padding counts
	if shared.Info.HasV2() {
		selected = 2
	}
	link := fmt.Sprintf("%s&so=%d", node.LinkOf(shared.Info), selected)
	if code := r.as(r.newToken(token.Add), "POST", "/v1/inspect", object{"link": link, "peers": []string{addr}}, &j); code != 202 || j.Kind != "inspect" {
		t.Fatalf("%d %+v", code, j)
	}
	done := r.ended(&j)
	i := done.Inspection
	if done.Status != "done" || i == nil || !i.Known || i.Name != "shared" || i.FileCount != 2 || i.Size != shared.Info.Payload() || i.InSession || done.InfoHash != shared.Info.Hash.String() {
		t.Fatalf("%+v %+v %+v", done, i, done.Fault)
	}
	if n := len(r.d.Node().Torrents()); n != 0 {
		t.Errorf("%d torrents in the session", n)
	}
	var files api.FileList
	if code := r.do("GET", fmt.Sprintf("/v1/jobs/%d/files?limit=1", j.Number), nil, &files); code != 200 || len(files.Files) != 1 || !files.More || files.Files[0].Path != "a.txt" || files.Files[0].Selected {
		t.Errorf("%d %+v", code, files)
	}
	if code := r.do("GET", fmt.Sprintf("/v1/jobs/%d/files?after=1", j.Number), nil, &files); code != 200 || len(files.Files) != 1 || files.More || files.Files[0].Number != 2 || !files.Files[0].Selected {
		t.Errorf("%d %+v", code, files)
	}
	var made view.Torrent
	if code := r.do("POST", "/v1/torrents", object{"inspection": j.Number, "paused": true}, &made); code != 201 || made.Size != shared.Info.Payload() || made.Wanted == made.Size || made.InfoHash != done.InfoHash {
		t.Errorf("%d %+v", code, made)
	}
	if r.do("GET", fmt.Sprintf("/v1/jobs/%d", j.Number), nil, &j); !j.Inspection.InSession {
		t.Errorf("%+v", j.Inspection)
	}
	// What the session has needs no peer.
	r.do("POST", "/v1/inspect", object{"link": done.InfoHash}, &j)
	if done := r.ended(&j); done.Status != "done" || !done.Inspection.InSession || done.Inspection.FileCount != 2 {
		t.Errorf("%+v", done)
	}
}

// A .torrent file needs no peer. Too old results are dropped, and say so.
func TestOnlyTheLastInspectionsAreKept(t *testing.T) {
	seed, r := newRig(t), newRig(t)
	shared, _ := seed.seeds(t, metainfo.V1)
	first := int64(0)
	for range 17 {
		var j view.Job
		if code := r.do("POST", "/v1/inspect", object{"torrent": base64.StdEncoding.EncodeToString(shared.Append(nil))}, &j); code != 202 {
			t.Fatalf("%d %+v", code, j)
		}
		if done := r.ended(&j); done.Status != "done" || !done.Inspection.Known {
			t.Fatalf("%+v", done)
		}
		if first == 0 {
			first = j.Number
		}
	}
	var p api.Problem
	if code := r.do("POST", "/v1/torrents", object{"inspection": first}, &p); code != 400 || !strings.Contains(p.Detail, "too old") {
		t.Errorf("%d %+v", code, p)
	}
	if code := r.do("POST", "/v1/torrents", object{"inspection": first + 1}, nil); code != 201 {
		t.Errorf("the second: %d", code)
	}
}

// An inspection that finds nothing says why while it runs, ends in time, and can be cancelled. Only
// some run at the same time.
func TestInspectionsAreLimited(t *testing.T) {
	r := newRig(t)
	adder := r.newToken(token.Add)
	var j, last view.Job
	if code := r.do("POST", "/v1/inspect", object{"link": strings.Repeat("ab", 20), "within_s": 0.3}, &j); code != 202 {
		t.Fatal(code)
	}
	if done := r.ended(&j); done.Status != "failed" || done.Fault.Kind != node.FaultMissing || !strings.Contains(done.Fault.Error, "300ms") {
		t.Errorf("%+v", done.Fault)
	}
	var running []view.Job
	for i := range 4 {
		if code := r.as(adder, "POST", "/v1/inspect", object{"link": fmt.Sprintf("%040x", i+1)}, &last); code != 202 {
			t.Fatal(code)
		}
		running = append(running, last)
	}
	var p api.Problem
	if code := r.do("POST", "/v1/inspect", object{"link": strings.Repeat("cd", 20)}, &p); code != 409 || p.Kind != node.FaultBusy {
		t.Errorf("%d %+v", code, p)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r.do("GET", fmt.Sprintf("/v1/jobs/%d", last.Number), nil, &last)
		if s := last.Inspection; s != nil && s.Search != nil && s.Search.Why != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", last)
		}
	}
	for i := range running {
		if code := r.as(adder, "DELETE", fmt.Sprintf("/v1/jobs/%d", running[i].Number), nil, nil); code != 200 {
			t.Errorf("cancel: %d", code)
		}
		if done := r.ended(&running[i]); done.Status != "cancelled" {
			t.Errorf("%+v", done)
		}
	}
	if code := r.do("POST", "/v1/inspect", object{"link": strings.Repeat("cd", 20)}, &j); code != 202 {
		t.Errorf("after they have ended: %d", code)
	}
	for _, body := range []object{{}, {"link": "hello"}, {"link": strings.Repeat("ab", 20), "torrent": "AAAA"}, {"torrent": "AAAA"}} {
		if code := r.do("POST", "/v1/inspect", body, nil); code != 400 {
			t.Errorf("%v: %d", body, code)
		}
	}
	if code := r.do("POST", "/v1/torrents", object{"inspection": j.Number}, &p); code != 400 {
		t.Errorf("one that runs: %d %+v", code, p)
	}
	if code := r.do("POST", "/v1/torrents", object{"inspection": 999}, &p); code != 404 {
		t.Errorf("none: %d %+v", code, p)
	}
}
