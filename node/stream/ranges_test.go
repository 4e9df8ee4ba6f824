package stream

import (
	"strings"
	"testing"
)

// TestCleanRange covers the cases that http.ServeContent gets wrong.
func TestCleanRange(t *testing.T) {
	for _, c := range []struct {
		in, want    string
		satisfiable bool
	}{
		{"", "", true},
		{"bytes=0-9", "bytes=0-9", true},
		{"items=0-9", "", true},
		{"BYTES=0-9", "bytes=0-9", true},
		{"bytes=-0", "", false},
		{"bytes=-00", "", false},
		{"bytes=-5", "bytes=-5", true},
		{"bytes=-0, 0-1", "bytes=0-1", true},
		{"bytes=, ,", "", false},
		{"bytes", "", true},
		{"bytes=" + strings.Repeat("0-0,", 16), "bytes=" + strings.Repeat("0-0,", 15) + "0-0", true},
		{"bytes=" + strings.Repeat("0-0,", 17), "", true},
	} {
		if got, ok := cleanRange(c.in); got != c.want || ok != c.satisfiable {
			t.Errorf("%q: %q, %v; want %q, %v", c.in, got, ok, c.want, c.satisfiable)
		}
	}
}
