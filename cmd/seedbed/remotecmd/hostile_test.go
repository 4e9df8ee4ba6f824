package remotecmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/report"
)

// What a daemon answers is another's text: nothing of it reaches the terminal as a control, and
// nothing of it ends the command with a panic.
func TestAHostileDaemonControlsNothing(t *testing.T) {
	const evil = `\u001b[2J\u001b]0;title\u0007\r\nseedbed: done\u202e\u009b31m\u0000`
	torrent := fmt.Sprintf(`{"number":-1,"infohash":"%[1]s","name":"%[1]s","state":"%[1]s","magnet":"%[1]s","labels":["%[1]s"],"dir":"%[1]s","move_to":"%[1]s","why":"%[1]s","added":"%[1]s",`+
		`"fault":{"error":"%[1]s","hint":"%[1]s"},"size":-5,"wanted":9223372036854775807,"have":-9223372036854775808,"to_check":1,"down_rate":9223372036854775807,"up_rate":-1,"up_limit":-1,"ratio":-1e308}`, evil)
	publication := fmt.Sprintf(`{"target":"x","name":"%[1]s","path":"%[1]s","link":"%[1]s","dir":"%[1]s"}`, evil)
	answers := map[string]string{
		"/v1/torrents":         `{"torrents":[null,` + torrent + `],"more":true}`,
		"/v1/torrents/x":       torrent,
		"/v1/torrents/x/files": fmt.Sprintf(`{"files":[{"number":-1,"path":"%s","size":1,"have":-9223372036854775808},{}]}`, evil),
		"/v1/torrents/x/peers": fmt.Sprintf(`{"connections":[{"addr":"%[1]s","client":"%[1]s","share":-1e308},{}]}`, evil),
		"/v1/torrents/x/pause": torrent,
		"/v1/publications":     `{"publications":[null,` + publication + `]}`,
		"/v1/follows":          `{"follows":[null,` + publication + `]}`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer = fmt.Sprintf(`{"status":404,"detail":"%[1]s","hint":"%[1]s","errors":["%[1]s"]}`, evil)
		}
		fmt.Fprint(w, answer)
	}))
	defer s.Close()
	for _, line := range []string{"list", "top", "info x", "files x", "peers x", "pause x", "publications", "follows", "resume x", "info none"} {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		a := app.New(nil, &report.Stdio{File: out}, &report.Stdio{File: out})
		root := &cobra.Command{Use: "seedbed", SilenceErrors: true, SilenceUsage: true}
		root.AddCommand(Commands(a)...)
		root.SetArgs(append(strings.Fields(line), "--daemon", s.URL))
		if err := root.ExecuteContext(t.Context()); err != nil {
			a.Fail(err)
		}
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			t.Errorf("%s printed nothing", line)
		}
		for l := range strings.Lines(string(b)) {
			if l = strings.TrimSuffix(l, "\n"); strings.HasPrefix(l, "seedbed: done") || strings.ContainsFunc(l, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q", line, l)
			}
		}
	}
}
