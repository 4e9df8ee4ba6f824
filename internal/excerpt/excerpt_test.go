package excerpt

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAnExcerptKeepsWholeCharacters(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"", 0, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc…"},
		{"aé", 2, "a…"},
		{"日本", 5, "日…"},
		{"😀😀", 7, "😀…"},
		{"é", 1, "…"},
		{"é", 0, "…"},
	} {
		if got := Of(c.s, c.n); got != c.want {
			t.Errorf("Of(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

// No text is longer than n bytes and the ellipsis, and no valid text becomes invalid.
func TestExcerptsOfAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s"), rapid.IntRange(0, 40).Draw(t, "n")
		got := Of(s, n)
		kept, isShort := strings.CutSuffix(got, "…")
		switch {
		case len(s) <= n && got != s:
			t.Fatalf("Of(%q, %d) = %q", s, n, got)
		case len(s) > n && (!isShort || len(kept) > n || len(kept) < n-utf8.UTFMax || !strings.HasPrefix(s, kept)):
			t.Fatalf("Of(%q, %d) = %q", s, n, got)
		case utf8.ValidString(s) && !utf8.ValidString(got):
			t.Fatalf("Of(%q, %d) = %q is not valid", s, n, got)
		}
	})
}
