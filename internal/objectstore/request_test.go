package objectstore_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"sync"
	"testing"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// Conditions and hashes are in the requests, and not only compared with the answers: only the store knows what has arrived there,
// and what others write at the same time.
func TestConditionsAndHashesAreInTheRequests(t *testing.T) {
	server := s3test.New(t)
	s := server.Open("")
	var mu sync.Mutex
	var last http.Header
	server.SetFault(func(r *http.Request) (f s3test.Fault) {
		mu.Lock()
		defer mu.Unlock()
		last = r.Header.Clone()
		return f
	})
	has := func(what, header, want string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if got := last.Get(header); got != want {
			t.Errorf("%s: %s is %q, not %q", what, header, got, want)
		}
	}
	data := bytes.Repeat([]byte("data"), 1000)
	sum := md5.Sum(data)
	hash := base64.StdEncoding.EncodeToString(sum[:])

	etag, err := s.Write(t.Context(), "small", data, "", objectstore.Condition{Absent: true})
	if err != nil {
		t.Fatal(err)
	}
	has("a write", "Content-Md5", hash)
	has("a write", "If-None-Match", "*")
	if _, err = s.Write(t.Context(), "small", data, "", objectstore.Condition{ETag: etag}); err != nil {
		t.Fatal(err)
	}
	has("a write", "If-Match", `"`+etag+`"`)

	body, _, err := s.Read(t.Context(), objectstore.Object{Name: "small", Size: int64(len(data)), ETag: etag}, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	has("a read", "If-Match", `"`+etag+`"`)
	has("a read", "Range", "bytes=1-2")

	u, err := s.Begin(t.Context(), "large", "")
	if err != nil {
		t.Fatal(err)
	}
	part, err := u.Write(t.Context(), 1, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	has("a part", "Content-Md5", hash)
	if _, err := u.Complete(t.Context(), []objectstore.Part{part}, objectstore.Condition{Absent: true}); err != nil {
		t.Fatal(err)
	}
	has("the end of an upload", "If-None-Match", "*")
}
