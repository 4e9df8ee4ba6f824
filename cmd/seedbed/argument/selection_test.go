package argument

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelectionCountsFromOne(t *testing.T) {
	for in, want := range map[string][]int{"1": {1}, "1,3-5": {1, 3, 4, 5}, "5-5, 2": {2, 5}, "1-3,2": {1, 2, 3}} {
		got, err := ParseSelection(in)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("ParseSelection(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "3-1", "a", "1-", "-2", "1,,2", "1-99999999999", "1-9000000"} {
		if got, err := ParseSelection(in); err == nil {
			t.Errorf("ParseSelection(%q) = %d files", in, len(got))
		}
	}
}
