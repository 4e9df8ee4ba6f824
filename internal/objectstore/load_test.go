package objectstore_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// An object whose content does not fit its ETag is read again: a write on the condition of that ETag would undo what was not seen.
func TestContentThatDoesNotFitTheETag(t *testing.T) {
	for _, c := range []struct {
		what       string
		wrong      int  // answers with other content
		areUnknown bool // nothing was written before
		requests   int
		isError    bool
	}{
		{what: "right", requests: 1},
		{what: "while it is replaced", wrong: 2, requests: 3},
		{what: "the same, nothing known", wrong: 2, areUnknown: true, requests: 3},
		{what: "always", wrong: 100, requests: 5, isError: true},
		{what: "encrypted", wrong: 100, areUnknown: true, requests: 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("data")
			data := []byte("0123456789")
			if c.areUnknown {
				server.Put("data/record", data)
			} else if _, err := s.Write(t.Context(), "record", data, "text/plain", objectstore.Condition{}); err != nil {
				t.Fatal(err)
			}
			gets := 0
			server.SetFault(func(r *http.Request) s3test.Fault {
				if r.Method == http.MethodGet {
					gets++
				}
				return s3test.Fault{Flip: r.Method == http.MethodGet && gets <= c.wrong}
			})
			b, o, err := s.Load(t.Context(), "record", 100)
			if c.isError != (objectstore.KindOf(err) == objectstore.Changed) || gets != c.requests {
				t.Errorf("%s: %d requests, %v", c.what, gets, err)
			}
			if !c.isError && c.wrong < 100 && (string(b) != string(data) || o.Size != 10) {
				t.Errorf("%s: %q", c.what, b)
			}
		})
	}
}

// Nothing is read twice from a store whose ETags are known not to be MD5s.
func TestOtherETags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(t)
		s := server.Open("data")
		server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{OtherETag: true} })
		if _, err := s.Write(t.Context(), "record", []byte("0123456789"), "text/plain", objectstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		before := len(server.Requests())
		b, _, err := s.Load(t.Context(), "record", 100)
		if n := len(server.Requests()) - before; string(b) != "0123456789" || err != nil || n != 2 {
			t.Errorf("%q %v, %d requests", b, err, n)
		}
	})
}

// What was listed is read once if its ETag fits. Otherwise it is read until the same comes twice.
func TestAListedObjectIsReadAgain(t *testing.T) {
	for _, c := range []struct {
		what     string
		fault    func(get int) s3test.Fault
		requests int
	}{
		{"right", func(int) s3test.Fault { return s3test.Fault{} }, 1},
		{"changed once on the way", func(get int) s3test.Fault { return s3test.Fault{Flip: get == 1} }, 2},
		{"other ETags", func(int) s3test.Fault { return s3test.Fault{OtherETag: true} }, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("data")
			server.Put("data/file", []byte("0123456789"))
			gets := 0
			server.SetFault(func(r *http.Request) s3test.Fault {
				if r.Method == http.MethodGet {
					gets++
				}
				return c.fault(gets)
			})
			b, err := s.ReadAll(t.Context(), stat(t, s, "file"))
			if err != nil || gets != c.requests || string(b) != "0123456789" {
				t.Errorf("%s: %q, %d requests, %v", c.what, b, gets, err)
			}
		})
	}
}
