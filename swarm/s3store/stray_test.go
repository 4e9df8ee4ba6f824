package s3store

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// checkNoUploads checks that no upload is left in the store.
func (w *writerLab) checkNoUploads(what string) {
	w.t.Helper()
	w.server.SetFault(nil)
	for u, err := range w.server.Open("").Uploads(w.t.Context(), "") {
		if objectstore.KindOf(err) == objectstore.NotFound { // the store has never had one
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Errorf("%s: the upload of %s is left over", what, u.Name)
	}
}

// isBegin reports whether a request begins an upload.
func isBegin(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploads")
}

// isAbort reports whether a request aborts an upload.
func isAbort(r *http.Request) bool {
	return r.Method == http.MethodDelete && r.URL.Query().Has("uploadId")
}

// isComplete reports whether a request completes an upload.
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// once returns the fault for the first request that matches.
func once(matches func(*http.Request) bool, fault s3test.Fault) func(*http.Request) s3test.Fault {
	var n atomic.Int32
	return func(r *http.Request) s3test.Fault {
		if matches(r) && n.Add(1) == 1 {
			return fault
		}
		return s3test.Fault{}
	}
}

// An upload whose id was lost with the answer is aborted when the object is there, and so is one that could not be aborted before.
func TestStrayUploadsAreAborted(t *testing.T) {
	lost, failed := s3test.Fault{Lost: true}, s3test.Fault{Status: 503}
	for what, fault := range map[string]func(*http.Request) s3test.Fault{
		"the answer of Begin is lost": once(isBegin, lost),
		"Abort fails":                 once(isAbort, failed),
		"Parts are denied":            once(func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }, s3test.Fault{Status: 404}),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWriterLab(t, metainfo.V1, 5, 20<<20)
			w.open()
			defer w.close()
			w.server.SetFault(func(r *http.Request) s3test.Fault {
				if what == "Abort fails" && isComplete(r) { // another node is faster, so that there is something to abort
					w.server.Put("data/film/001", w.objects["data/film/001"])
					return s3test.Fault{Status: http.StatusPreconditionFailed} // s3test completes it whatever the condition is
				}
				return fault(r)
			})
			w.download(w.all()...)
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			w.checkStore()
			w.checkNoUploads(what)
		})
	}
}

// When nothing was lost, the store is not asked for uploads but once, at the beginning.
func TestNobodyLooksForStraysWithoutReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 20<<20)
		var lists atomic.Int32
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodGet && r.URL.Query().Has("uploads") {
				lists.Add(1)
			}
			return s3test.Fault{}
		})
		w.open()
		defer w.close()
		w.download(w.all()...)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		if n := lists.Load(); n != 1 {
			t.Errorf("the uploads were listed %d times", n)
		}
	})
}

// A stray upload is remembered over a restart.
func TestStrayUploadsAreAbortedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 20<<20)
		w.open()
		w.server.SetFault(func(r *http.Request) s3test.Fault { return s3test.Fault{Lost: isBegin(r)} })
		w.download(w.all()...)
		synctest.Wait()
		w.close()
		w.server.SetFault(nil)
		w.open()
		defer w.close()
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		w.checkNoUploads("after a restart")
	})
}

// If the store does not let us list uploads, the download succeeds with a warning.
func TestStrayUploadsThatCannotBeAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 20<<20)
		w.open()
		defer w.close()
		fault := once(isBegin, s3test.Fault{Lost: true})
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			if r.Method == http.MethodGet && r.URL.Query().Has("uploads") {
				return s3test.Fault{Status: 403}
			}
			return fault(r)
		})
		w.download(w.all()...)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		if n := len(w.warnings); n != 2 || !strings.Contains(w.warnings[n-1], "s3://bucket/data/film/001 may be left in the store") {
			t.Errorf("%q", w.warnings)
		}
	})
}

// An upload that another node aborts, because the object is there, ends with that object.
func TestAnUploadThatAnotherNodeAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 5, 52<<20)
		w.open()
		defer w.close()
		const name = "data/film/001"
		store := w.server.Open("data")
		var begins, parts atomic.Int32
		w.server.SetFault(func(r *http.Request) s3test.Fault {
			if isBegin(r) {
				begins.Add(1)
			}
			if r.URL.Query().Get("partNumber") == "4" && parts.Add(1) == 1 {
				w.server.Put(name, w.objects[name])
				for u := range store.Uploads(t.Context(), "") {
					if err := u.Abort(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
			return s3test.Fault{}
		})
		w.download(w.all()...)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
		w.checkNoUploads("after the abort")
		if n := begins.Load(); n != 1 {
			t.Errorf("%d uploads were begun", n)
		}
	})
}
