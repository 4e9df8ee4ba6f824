package remotecmd

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
)

// A certificate that is refused is a network problem, with advice, like a daemon that does not
// answer.
func TestTheExitCodeOfARefusedCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	target := NewTarget(fs)
	if err := fs.Parse([]string{"--daemon", s.URL}); err != nil {
		t.Fatal(err)
	}
	_, err := target.Running(t.Context())
	if err == nil || exit.CodeOf(err) != exit.Network || !strings.Contains(err.Error(), "this system does not trust") || report.Hint(err) == "" {
		t.Errorf("%v, exit code %d, hint %q", err, exit.CodeOf(err), report.Hint(err))
	}
}
