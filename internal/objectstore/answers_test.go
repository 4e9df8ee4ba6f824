package objectstore_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// What is before a store may answer everything with a page of its own. That is neither an empty list nor a write that has succeeded.
func TestAnswersThatAreNotOfTheStore(t *testing.T) {
	for what, page := range map[string]string{
		"a page":              "<html><body><h1>It works!</h1></body></html>",
		"a page with a type":  "<!DOCTYPE html>\n<HTML lang=\"en\"><body>Log in</body></HTML>",
		"an XML page":         "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- login -->\n<html xmlns=\"http://www.w3.org/1999/xhtml\"/>",
		"an error":            "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>later</Message></Error>",
		"an error after time": "\n\n  \n<Error><Code>SlowDown</Code></Error>",
		"text":                "maintenance",
		"nothing":             "",
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("")
			server.Put("file", []byte("data"))
			server.SetFault(func(*http.Request) s3test.Fault {
				return s3test.Fault{Status: http.StatusOK, Body: []byte(page)}
			})
			var err error
			n := 0
			for _, err = range s.List(t.Context(), "") {
				n++
			}
			if objectstore.KindOf(err) != objectstore.Unavailable || n != 1 {
				t.Errorf("%s as a list: %d objects, %v", what, n-1, err)
			}
			if _, err := s.Resume("file", "id").Parts(t.Context()); objectstore.KindOf(err) != objectstore.Unavailable {
				t.Errorf("%s as a list of parts: %v", what, err)
			}
			for _, c := range []objectstore.Condition{{Absent: true}, {ETag: "0123"}} {
				if _, err := s.Write(t.Context(), "record", []byte("data"), "text/plain", c); objectstore.KindOf(err) != objectstore.Unavailable {
					t.Errorf("%s as the answer to a write: %v", what, err)
				}
			}
			server.SetFault(nil)
			n = 0
			for _, err := range s.List(t.Context(), "") {
				if n++; err != nil {
					t.Error(err)
				}
			}
			if n != 1 {
				t.Errorf("%d objects", n)
			}
		})
	}
}
