package objectstore_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// read reads a part of an object.
func read(t *testing.T, s *objectstore.Store, o objectstore.Object, off, n int64) ([]byte, error) {
	t.Helper()
	r, _, err := s.Read(t.Context(), o, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func stat(t *testing.T, s *objectstore.Store, name string) objectstore.Object {
	t.Helper()
	o, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestPartsOfObjects(t *testing.T) {
	server := s3test.New(t)
	data := []byte("0123456789")
	server.Put("data/a/file", data)
	s := server.Open("data")
	o := stat(t, s, "a/file")
	if o.Size != 10 || o.Name != "a/file" || o.ETag == "" {
		t.Errorf("%+v", o)
	}
	for _, c := range []struct{ off, n int64 }{{0, 10}, {0, 1}, {3, 4}, {9, 1}} {
		b, err := read(t, s, o, c.off, c.n)
		if err != nil || !bytes.Equal(b, data[c.off:c.off+c.n]) {
			t.Errorf("%d bytes from %d: %q, %v", c.n, c.off, b, err)
		}
	}
	var names []string
	for o, err := range s.List(t.Context(), "a/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	if len(names) != 1 || names[0] != "a/file" {
		t.Errorf("names: %q", names)
	}
	if _, err := s.Stat(t.Context(), "none"); objectstore.KindOf(err) != objectstore.NotFound {
		t.Errorf("an object that does not exist: %v", err)
	}
	if got := s.Counts(); got.Gets != 4 || got.Read != 16 || got.Lists != 1 {
		t.Errorf("%+v", got)
	}
}

// All kinds of requests of a user are counted, also at another place.
func TestWhatAUserHasAsked(t *testing.T) {
	server := s3test.New(t)
	server.Put("data/a", []byte("0123456789"))
	var use objectstore.Usage
	all := server.Open("data")
	s := all.For(&use)
	up, _, _ := s.Parent()
	for range s.List(t.Context(), "") {
	}
	if _, err := read(t, up, stat(t, up, "data/a"), 0, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), "b", []byte("b"), "", objectstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	stat(t, all, "a")
	if n, read := use.Requests.Load(), use.Read.Load(); n != 4 || read != 7 {
		t.Errorf("%d requests, %d bytes", n, read)
	}
	if c := all.Counts(); c.Gets != 1 || c.Heads != 2 || c.Lists != 1 || c.Puts != 1 {
		t.Errorf("%+v", c)
	}
}

// An object that was replaced is never mixed with the one that was asked for, also by a store that does not look at
// If-Match.
func TestAReplacedObjectIsNotRead(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		server := s3test.New(t)
		s := server.Open("")
		server.Put("file", []byte("0123456789"))
		o := stat(t, s, "file")
		server.Put("file", []byte("abcdefghij"))
		server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{IgnoreMatch: ignore} })
		if b, err := read(t, s, o, 2, 3); objectstore.KindOf(err) != objectstore.Changed {
			t.Errorf("ignore %v: %q, %v", ignore, b, err)
		}
	}
}

func TestFaultsOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(t)
		s := server.Open("")
		server.Put("file", make([]byte, 100_000))
		o := stat(t, s, "file")
		for _, c := range []struct {
			name  string
			fault s3test.Fault
			kind  objectstore.Kind
		}{
			{"slow by a second", s3test.Fault{Delay: time.Second}, 0},
			{"silent", s3test.Fault{Hang: true}, objectstore.Unavailable},
			{"cut", s3test.Fault{CutAfter: 30_000}, objectstore.Unavailable},
			{"500", s3test.Fault{Status: 500}, objectstore.Unavailable},
			{"503", s3test.Fault{Status: 503}, objectstore.Unavailable},
			{"429", s3test.Fault{Status: 429}, objectstore.Unavailable},
			{"403", s3test.Fault{Status: 403}, objectstore.Denied},
			{"404", s3test.Fault{Status: 404}, objectstore.NotFound},
			{"no ranges", s3test.Fault{IgnoreRange: true}, objectstore.Unsupported},
		} {
			server.SetFault(func(*http.Request) s3test.Fault { return c.fault })
			began := time.Now()
			b, err := read(t, s, o, 1000, 60_000)
			if objectstore.KindOf(err) != c.kind || c.kind == 0 && len(b) != 60_000 {
				t.Errorf("%s: %d bytes, %v", c.name, len(b), err)
			}
			if took := time.Since(began); took > objectstore.Patience+time.Second {
				t.Errorf("%s: it took %v", c.name, took)
			}
			var e *objectstore.Error
			if c.kind != 0 && (!errors.As(err, &e) || e.Name != "s3://bucket/file") {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		server.SetFault(nil)
		server.SetDown(true)
		if _, err := read(t, s, o, 0, 10); objectstore.KindOf(err) != objectstore.Unavailable {
			t.Errorf("down: %v", err)
		}
		server.SetDown(false)
		if _, err := read(t, s, o, 0, 10); err != nil {
			t.Errorf("back: %v", err)
		}
	})
}

// A bucket in another region is no store that is away, and the user is told what to do.
func TestABucketInAnotherRegion(t *testing.T) {
	server := s3test.New(t)
	s := server.Open("")
	for _, c := range []struct {
		status int
		body   string
		hint   string
	}{
		{301, "<Error><Code>PermanentRedirect</Code></Error>", "give the region of the bucket with --store-region, or its endpoint with --store-endpoint"},
		{301, "", "give the region of the bucket with --store-region, or its endpoint with --store-endpoint"},
		{400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>", "use --store-region eu-west-1"},
		{400, "<Error><Code>IllegalLocationConstraintException</Code><Region>; rm</Region></Error>", "give the region of the bucket with --store-region, or its endpoint with --store-endpoint"},
	} {
		server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: c.status, Body: []byte(c.body)} })
		for _, err := range s.List(t.Context(), "") {
			var e *objectstore.Error
			if !errors.As(err, &e) || e.Kind != objectstore.Elsewhere || e.Hint() != c.hint {
				t.Errorf("%d %s: %v", c.status, c.body, err)
			}
		}
	}
	server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: 307} })
	for _, err := range s.List(t.Context(), "") {
		if objectstore.KindOf(err) != objectstore.Unavailable {
			t.Errorf("307: %v", err)
		}
	}
}

func TestConditions(t *testing.T) {
	server := s3test.New(t)
	s := server.Open("")
	if err := s.CheckConditions(t.Context(), ".seedbed/check/"); err != nil {
		t.Errorf("a store with conditions: %v", err)
	}
	etag, err := s.Write(t.Context(), "n", []byte("1"), "text/plain", objectstore.Condition{Absent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), "n", []byte("2"), "text/plain", objectstore.Condition{Absent: true}); objectstore.KindOf(err) != objectstore.Changed {
		t.Errorf("absent: %v", err)
	}
	if _, err := s.Write(t.Context(), "n", []byte("2"), "text/plain", objectstore.Condition{ETag: etag}); err != nil {
		t.Errorf("the ETag: %v", err)
	}
	if _, err := s.Write(t.Context(), "n", []byte("3"), "text/plain", objectstore.Condition{ETag: etag}); objectstore.KindOf(err) != objectstore.Changed {
		t.Errorf("an old ETag: %v", err)
	}
	if b, o, err := s.Load(t.Context(), "n", 100); err != nil || string(b) != "2" || o.Size != 1 {
		t.Errorf("%q %+v %v", b, o, err)
	}
	server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{IgnoreMatch: true} })
	if err := s.CheckConditions(t.Context(), ".seedbed/check/"); objectstore.KindOf(err) != objectstore.Unsupported || !errors.Is(err, objectstore.ErrNoConditions) {
		t.Errorf("a store without conditions: %v", err)
	}
	for o := range s.List(t.Context(), ".seedbed/check/") {
		t.Errorf("%s is left over", o.Name)
	}
}

// What a store refuses says nothing about its conditions.
func TestRefusalsAreNotMissingConditions(t *testing.T) {
	server := s3test.New(t)
	s := server.Open("")
	refuse := func(method string, status int) {
		server.SetFault(func(r *http.Request) (f s3test.Fault) {
			if r.Method == method {
				f.Status = status
			}
			return f
		})
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusServiceUnavailable} {
		refuse(http.MethodPut, status)
		if err := s.CheckConditions(t.Context(), ".seedbed/check/"); err == nil || errors.Is(err, objectstore.ErrNoConditions) {
			t.Errorf("a write is answered with %d: %v", status, err)
		}
	}
	refuse(http.MethodDelete, http.StatusMethodNotAllowed)
	if err := s.CheckConditions(t.Context(), ".seedbed/check/"); err != nil {
		t.Errorf("nothing may be removed: %v", err)
	}
}

func TestUploads(t *testing.T) {
	server := s3test.New(t)
	s := server.Open("p")
	u, err := s.Begin(t.Context(), "big", "application/octet-stream")
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Repeat([]byte("x"), objectstore.MinPart+10)
	var parts []objectstore.Part
	for i, b := range [][]byte{whole[:objectstore.MinPart], whole[objectstore.MinPart:]} {
		p, err := u.Write(t.Context(), i+1, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if server.Get("p/big") != nil {
		t.Error("it is visible before it is complete")
	}
	open := 0
	for o, err := range s.Uploads(t.Context(), "") {
		if open++; err != nil || o.Name != "big" || o.ID != u.ID {
			t.Errorf("%+v %v", o, err)
		}
	}
	got, err := s.Resume("big", u.ID).Parts(t.Context())
	if err != nil || open != 1 || len(got) != 2 || got[0].ETag != parts[0].ETag || got[1].ETag != parts[1].ETag || got[1].Size != 10 {
		t.Errorf("%d uploads, parts %v, %v", open, got, err)
	}
	if _, err := u.Complete(t.Context(), parts, objectstore.Condition{}); err != nil || !bytes.Equal(server.Get("p/big"), whole) {
		t.Errorf("complete: %v, %d bytes", err, len(server.Get("p/big")))
	}
	u, err = s.Begin(t.Context(), "other", "")
	if err == nil {
		err = u.Abort(t.Context())
	}
	for o := range s.Uploads(t.Context(), "") {
		t.Errorf("%s is left over", o.Name)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestLocations(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"s3://bucket", "s3://bucket"},
		{"s3://bucket/", "s3://bucket"},
		{"s3://bucket/a/b/", "s3://bucket/a/b"},
		{"s3://b", ""},
		{"s3://buc ket/a", ""},
		{"s3://../a", ""},
		{"http://bucket/a", ""},
		{"s3://", ""},
	} {
		l, err := objectstore.ParseLocation(c.text)
		if got := l.String(); c.want == "" && err == nil || c.want != "" && (err != nil || got != c.want) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	s, err := objectstore.Open(objectstore.Config{At: objectstore.Location{Bucket: "bucket", Prefix: "a/"}, Endpoint: "http://localhost:9000"})
	if err != nil || s.PublicURL("b c/d?") != "http://localhost:9000/bucket/a/b%20c/d%3F" {
		t.Errorf("%v %v", s.PublicURL("b c/d?"), err)
	}
	for _, endpoint := range []string{"", "https://s3.amazonaws.com", "https://s3.amazonaws.com/"} {
		s, err := objectstore.Open(objectstore.Config{At: objectstore.Location{Bucket: "bucket"}, Endpoint: endpoint})
		if err != nil || s.PublicURL("a") != "https://bucket.s3.amazonaws.com/a" {
			t.Errorf("%q: %v %v", endpoint, s.PublicURL("a"), err)
		}
	}
	for _, bad := range []string{"localhost:9000", "ftp://x", "http://x/y", "http://"} {
		if _, err := objectstore.Open(objectstore.Config{At: objectstore.Location{Bucket: "bucket"}, Endpoint: bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// A proxy before the store may make weak ETags, with which nothing can be asked for.
func TestWeakETags(t *testing.T) {
	server := s3test.New(t)
	s := server.Open("")
	data := []byte("0123456789")
	server.Put("file", data)
	listed := objectstore.Object{}
	for o := range s.List(t.Context(), "") {
		listed = o
	}
	server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{WeakETag: true} })
	o := stat(t, s, "file")
	if b, err := read(t, s, o, 2, 3); err != nil || !bytes.Equal(b, data[2:5]) {
		t.Errorf("%q, %v", b, err)
	}
	server.Put("file", []byte("abcdefghij"))
	if b, err := read(t, s, o, 2, 3); objectstore.KindOf(err) != objectstore.Changed {
		t.Errorf("a replaced object: %q, %v", b, err)
	}
	if listed.ETag == "" || listed.ETag == o.ETag {
		t.Errorf("ETags %q and %q", listed.ETag, o.ETag)
	}
}
