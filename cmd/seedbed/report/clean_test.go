package report

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A name from the network cannot move the cursor or hide the text after it.
func TestNamesCannotControlTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain name.mkv":                  "plain name.mkv",
		"a\x1b[2Jb\u202ec\nd":             "a\uFFFD[2Jb\uFFFDc\uFFFDd",
		"\x9b31mC1\x85":                   "\uFFFD31mC1\uFFFD",
		"\u009b31mC1\u0085":               "\uFFFD31mC1\uFFFD",
		"bidi \u2066x\u2069\u200f\u061c":  "bidi \uFFFDx\uFFFD\uFFFD\uFFFD",
		"\u3000wide\u00a0space\u2028":     " wide space\uFFFD",
		"می\u200cخواهم":                   "می\u200cخواهم",
		"👩\u200d🚀 \u200d":                 "👩\u200d🚀 \uFFFD",
		"tags\U000E0041":                  "tags\uFFFD",
		"e" + strings.Repeat("\u0301", 9): "e" + strings.Repeat("\u0301", 4),
		"tab\tand\rreturn\x00\x7f":        "tab\uFFFDand\uFFFDreturn\uFFFD\uFFFD",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// raw returns the first character of s that controls a terminal, or -1.
func raw(s string) rune {
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			return rune(s[i])
		}
		if !unicode.IsPrint(r) && !isJoiner(r) {
			return r
		}
	}
	return -1
}

func TestWhatIsCleanedHoldsNoControls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		out := Clean(s)
		if r := raw(out); r >= 0 {
			t.Fatalf("Clean(%q) = %q holds %U", s, out, r)
		}
		if Clean(out) != out {
			t.Fatalf("Clean changes %q twice", s)
		}
	})
}

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

// Arguments are sanitised for every type and verb; the format and numbers are not changed.
func TestEveryArgumentIsCleaned(t *testing.T) {
	const evil = "x\x1b[2J\ny"
	for _, arg := range []any{evil, Exact(evil), errors.New(evil), fmt.Errorf("a: %w", errors.New(evil)), stringer{evil}, []byte(evil), []string{evil}, struct{ Name string }{evil}} {
		var b bytes.Buffer
		if _, err := Fprintf(&b, "%*d\t%s|%v\n", 3, 7, arg, arg); err != nil {
			t.Fatal(err)
		}
		line, ends := strings.CutSuffix(b.String(), "\n")
		line, begins := strings.CutPrefix(line, "  7\t")
		if !ends || !begins || raw(line) >= 0 || !strings.Contains(line, "y") {
			t.Errorf("%T: %q", arg, b.String())
		}
	}
	if got, want := Sprintf("%-6s|%x|%q|%5.1f|%v", "ab", []byte{1, 255}, "c", 2.0, true), `ab    |01ff|"c"|  2.0|true`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Sprintf("%v", errors.Join(errors.New("one"), errors.New("two"))); got != "one; two" {
		t.Errorf("joined errors: %q", got)
	}
}

// A very long name is cut; a link never is.
func TestLongTextIsCut(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	if got := Sprintf("%s", long); utf8.RuneCountInString(got) != maxText || !strings.HasSuffix(got, "…") {
		t.Errorf("%d characters", utf8.RuneCountInString(got))
	}
	if got := Sprintf("%s", Exact(long)); got != long {
		t.Errorf("%d characters of a link", utf8.RuneCountInString(got))
	}
}

// The text log quotes unprintable characters in messages, values and groups.
func TestTheLogHoldsNoControls(t *testing.T) {
	const evil = "x\x1b[2J\u202e\u009b\xffy\nz"
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).With("peer", evil).WithGroup("g").Info(evil, "name", evil, "err", errors.New(evil), "any", stringer{evil}, evil, 1)
	line, ok := strings.CutSuffix(b.String(), "\n")
	if r := raw(line); !ok || r >= 0 {
		t.Errorf("the log holds %U: %q", r, line)
	}
}
