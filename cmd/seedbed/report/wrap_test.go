package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrapBreaksBetweenWords(t *testing.T) {
	const text = "any id is valid for a private address, see http://bittorrent.org/beps/bep_0042.html  5 ms"
	for n, want := range map[int][]string{
		0:  {text},
		20: {"any id is valid for", "a private address,", "see", "http://bittorrent.org/beps/bep_0042.html", "5 ms"},
		40: {"any id is valid for a private address,", "see", "http://bittorrent.org/beps/bep_0042.html", "5 ms"},
		99: {text},
	} {
		if got := wrap(text, n); !cmp.Equal(got, want) {
			t.Errorf("%d columns: %q", n, got)
		}
	}
	if got := wrap("", 40); got != nil {
		t.Errorf("%q", got)
	}
}
