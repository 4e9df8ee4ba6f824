package remotecmd

import (
	"slices"
	"testing"

	"seedbed/node/view"
)

// info names the folder to which the data goes: now, or when it is complete.
func TestInfoShowsWhereTheDataGoes(t *testing.T) {
	if got := lines(&view.Torrent{Dir: "/new", FinalDir: "/done"}); !slices.Contains(got, [2]string{"then in", "/done"}) {
		t.Errorf("%v", got)
	}
	if got := lines(&view.Torrent{Dir: "/new", FinalDir: "/done", MoveTo: "/done"}); !slices.Contains(got, [2]string{"moves to", "/done"}) || slices.Contains(got, [2]string{"then in", "/done"}) {
		t.Errorf("%v", got)
	}
}
