package objectstore_test

import (
	"bytes"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// A slow line sends what the system has buffered for minutes, and a store copies parts for minutes. A store that is silent for
// longer has failed.
func TestUploadsMayTakeTime(t *testing.T) {
	for _, c := range []struct {
		name           string
		part, complete time.Duration
		kind           objectstore.Kind
	}{
		{"slow", time.Minute, 9 * time.Minute, 0},
		{"a silent part", 3 * time.Minute, 0, objectstore.Unavailable},
		{"a silent end", 0, 11 * time.Minute, objectstore.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			server.SetFault(func(r *http.Request) s3test.Fault {
				switch q := r.URL.Query(); {
				case q.Has("partNumber"):
					return s3test.Fault{Delay: c.part}
				case q.Has("uploadId"):
					return s3test.Fault{Delay: c.complete}
				}
				return s3test.Fault{}
			})
			u, err := server.Open("").Begin(t.Context(), "file", "")
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, objectstore.MinPart)
			p, err := u.Write(t.Context(), 1, bytes.NewReader(data), int64(len(data)))
			if err == nil {
				_, err = u.Complete(t.Context(), []objectstore.Part{p}, objectstore.Condition{})
			}
			if objectstore.KindOf(err) != c.kind || c.kind == 0 && err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

// Only a store that does not know conditions is asked without them.
func TestARefusalIsNotALackOfConditions(t *testing.T) {
	for status, lacks := range map[int]bool{400: false, 403: false, 405: false, 412: false, 501: true} {
		server := s3test.New(t)
		server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: status} })
		_, err := server.Open("").Write(t.Context(), "file", []byte("1"), "", objectstore.Condition{Absent: true})
		if err == nil || objectstore.LacksConditions(err) != lacks {
			t.Errorf("%d: %v", status, err)
		}
	}
}
