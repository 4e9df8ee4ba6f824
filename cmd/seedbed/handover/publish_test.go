package handover

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/api/client"
)

// A version that is not new is not reported as one, even if its item is put again before the job ends.
func TestAnUnchangedPublicationIsNotReportedAsNew(t *testing.T) {
	for unchanged, want := range map[bool]string{
		true:  "site: version 1 is published; the content has not changed",
		false: "site: version 1 published, stored on",
	} {
		ended := fmt.Sprintf(`{"number":7,"kind":"publish","status":"done","link":"magnet:?xs=x","seq":1,"unchanged":%v}`, unchanged)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				io.WriteString(w, `{"number":7,"kind":"publish","status":"running"}`)
			case r.URL.Path == "/v1/events":
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "event: published\ndata: %s\n\nevent: job\ndata: %s\n\n", `{"link":"magnet:?xs=x","seq":1,"kept":3,"nodes":3}`, ended)
			case r.URL.Path == "/v1/keys":
				io.WriteString(w, `{"keys":[{"name":"site"}]}`)
			default:
				io.WriteString(w, `{}`)
			}
		}))
		defer s.Close()
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		daemon, err := client.OverURL(s.URL, "")
		if err != nil {
			t.Fatal(err)
		}
		p := &Publish{App: app.New(nil, &report.Stdio{File: out}, &report.Stdio{File: out}), Client: daemon, Body: api.PublishBody{Key: "site"},
			Target: remotecmd.NewTarget(pflag.NewFlagSet("publish", pflag.ContinueOnError))}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if said, err := os.ReadFile(out.Name()); err != nil || !strings.Contains(string(said), want) {
			t.Errorf("it said %q, %v; want %q", said, err, want)
		}
	}
}
