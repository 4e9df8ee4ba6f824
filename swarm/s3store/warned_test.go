package s3store

import (
	"net/http"
	"testing"
	"testing/synctest"

	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// Uploads that the store refuses again and again are reported once, and again when the reason is another one.
func TestARefusedUploadIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriterLab(t, metainfo.V1, 300_000, 300_000, 3<<20)
		w.open()
		defer w.close()
		refuse := func(status int) {
			w.server.SetFault(func(r *http.Request) (f s3test.Fault) {
				if r.Method == http.MethodPut || r.Method == http.MethodPost {
					f.Status = status
				}
				return f
			})
		}
		refuse(http.StatusForbidden)
		w.download(w.all()...)
		try := func(times, warnings int) {
			t.Helper()
			for range times {
				if err := w.Finish(); err == nil {
					t.Fatal("it was uploaded")
				}
				if _, err := w.Recheck(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if len(w.warnings) != warnings {
				t.Errorf("%d warnings: %q", len(w.warnings), w.warnings)
			}
		}
		try(5, 1)
		refuse(http.StatusMethodNotAllowed)
		try(5, 2)
		w.server.SetFault(nil)
		if _, err := w.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		w.checkStore()
	})
}
