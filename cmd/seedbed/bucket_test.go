package main

import (
	"net/http/httptest"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"seedbed/internal/s3test"
)

// theBucket is the key of the object store of a script among its values.
type theBucket struct{}

// setBucket gives a script a function that starts its object store.
func setBucket(e *testscript.Env) {
	var s *s3test.Store
	e.Values[theBucket{}] = func(ts *testscript.TestScript) *s3test.Store {
		if s == nil {
			s = s3test.New(e.T().(testing.TB))
			server := httptest.NewServer(s)
			ts.Defer(server.Close)
			ts.Setenv("AWS_ENDPOINT_URL", server.URL)
			ts.Setenv("AWS_REGION", "us-east-1")
			ts.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		}
		return s
	}
}

// bucket FILE NAME puts a file into the object store of the script. The first call starts the store, and sets the variables
// with which every program finds it.
func bucket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bucket FILE NAME")
	}
	store := ts.Value(theBucket{}).(func(*testscript.TestScript) *s3test.Store)(ts)
	store.Put(args[1], []byte(ts.ReadFile(args[0])))
}
