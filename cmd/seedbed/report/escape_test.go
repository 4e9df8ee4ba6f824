package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The decoded strings do not change, and the JSON contains no control characters for
// terminals.
func TestJSONIsExactAndHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.ToValidUTF8(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))+rapid.String().Draw(t, "text")+"\u009b\u202e\U000E0041\x7f\x1b", "")
		var b bytes.Buffer
		enc := json.NewEncoder(EscapeJSON(&b))
		enc.SetEscapeHTML(false)
		if err := enc.Encode(map[string]string{s: s}); err != nil {
			t.Fatal(err)
		}
		line, _ := strings.CutSuffix(b.String(), "\n")
		if r := raw(line); r >= 0 || !utf8.ValidString(line) {
			t.Fatalf("%q holds %U", line, r)
		}
		var back map[string]string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back[s] != s {
			t.Fatalf("%q came back as %q: %v", s, back, err)
		}
	})
}
