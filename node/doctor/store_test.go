package doctor

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/s3test"
)

// Each property of a store is a finding. A store that fails says where, and what to do.
func TestExamineStore(t *testing.T) {
	status := func(method, part string, code int) func(*http.Request) s3test.Fault {
		return func(r *http.Request) (f s3test.Fault) {
			if r.Method == method && strings.Contains(r.URL.Path, part) {
				f.Status = code
			}
			return f
		}
	}
	all := func(f s3test.Fault) func(*http.Request) s3test.Fault {
		return func(*http.Request) s3test.Fault { return f }
	}
	const perfect = "address:fine clock:fine listing:fine reading:fine web seed:fine"
	for name, c := range map[string]struct {
		fault        func(*http.Request) s3test.Fault
		isDown       bool
		empty, write bool
		want, says   string
	}{
		"perfect":       {want: perfect, says: "everybody can read the objects"},
		"writing":       {write: true, want: perfect + " writing:fine conditional writes:fine", says: "several publishers can share a key"},
		"no conditions": {write: true, fault: all(s3test.Fault{IgnoreMatch: true}), want: perfect + " writing:fine conditional writes:notice", says: "only one publisher"},
		"read only":     {write: true, fault: status("PUT", "", 403), want: perfect + " writing:bad", says: "may write and delete"},
		"no deleting":   {write: true, fault: status("DELETE", "", 403), want: perfect + " writing:bad", says: "cannot delete"},
		"away":          {isDown: true, want: "address:bad", says: "check --store-endpoint"},
		"silent":        {fault: all(s3test.Fault{Hang: true}), want: "address:bad", says: "no answer from http://store.test/bucket/films/"},
		"clock":         {fault: all(s3test.Fault{Clock: 2 * time.Minute}), want: strings.Replace(perfect, "clock:fine", "clock:notice", 1), says: "2m0s ahead of"},
		"clock behind":  {fault: all(s3test.Fault{Clock: -2 * time.Minute}), want: strings.Replace(perfect, "clock:fine", "clock:notice", 1), says: "2m0s behind"},
		"no ranges":     {fault: all(s3test.Fault{IgnoreRange: true}), want: "address:fine clock:fine listing:fine reading:bad", says: "use another store"},
		"no listing":    {fault: status("GET", "/bucket/", 403), want: "address:fine clock:fine listing:bad", says: "s3:ListBucket"},
		"empty":         {empty: true, want: "address:fine clock:fine listing:fine reading:notice", says: "no object with content"},
		"cut":           {fault: status("GET", "/film", 503), want: "address:fine clock:fine listing:fine reading:bad", says: "cannot read a part"},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			if !c.empty {
				server.Put("films/film", []byte("film"))
			}
			server.SetFault(c.fault)
			server.SetDown(c.isDown)
			var found, text []string
			err := ExamineStore(t.Context(), server.Open("films"), c.write, func(f Finding) {
				if f.Step != StepStore {
					t.Error(f.Step)
				}
				found, text = append(found, f.What+":"+f.Verdict.String()), append(text, f.Text+" "+f.Advice)
			})
			if got := strings.Join(found, " "); err != nil || got != c.want || !strings.Contains(strings.Join(text, "\n"), c.says) {
				t.Errorf("%s: %v, %v\n%s", name, err, got, strings.Join(text, "\n"))
			}
			if server.SetFault(nil); len(server.Get("films/.seedbed/check/")) > 0 {
				t.Errorf("%s: an object is left", name)
			}
		})
	}
}
