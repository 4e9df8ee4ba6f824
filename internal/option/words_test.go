package option

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWordsAreSplitAtBlanksOutsideOfQuotes(t *testing.T) {
	for line, want := range map[string][]string{
		``:                               nil,
		`  a  b `:                        {"a", "b"},
		`mpv --fs`:                       {"mpv", "--fs"},
		`"/my files/run" 'it is "x"' ""`: {"/my files/run", `it is "x"`, ""},
		`a\ b c\"d C:\dir \\`:            {"a b", `c"d`, `C:\dir`, `\`},
		`'$HOME;rm' *`:                   {"$HOME;rm", "*"},
		`x="y z"`:                        {"x=y z"},
	} {
		if got, err := SplitWords(line); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`"a`, `a 'b`} {
		if got, err := SplitWords(line); err == nil {
			t.Errorf("%s: %q", line, got)
		}
	}
}

func TestACommandReadsBackAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.StringOf(rapid.SampledFrom([]rune("ab '\"\\\t$é"))), 1, 5).Draw(t, "words")
		got, err := SplitWords((&Command{want}).String())
		if err != nil || !cmp.Equal(got, want) {
			t.Fatalf("%q is written as %s and read as %q, %v", want, (&Command{want}).String(), got, err)
		}
	})
}
