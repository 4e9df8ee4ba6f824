package transmission

import (
	"strings"
	"testing"
)

// The two forms of a name have the same letters, with one exception.
func TestNamesAreRenamedBothWays(t *testing.T) {
	letters := strings.NewReplacer("_", "", "-", "")
	seen := map[string]bool{}
	for _, r := range renamed {
		current, old := r[0], r[1]
		if seen[current] || seen[old] || current == old {
			t.Errorf("%q", r)
		}
		seen[current], seen[old] = true, true
		if !strings.EqualFold(letters.Replace(current), letters.Replace(old)) && current != "cache_size_mib" {
			t.Errorf("%s is not %s", current, old)
		}
		if got := currentName(old); got != current {
			t.Errorf("%s: %s", old, got)
		}
		if got := legacy.inTorrent(current); got != old {
			t.Errorf("%s: %s", current, got)
		}
		if currentName(current) != current || jsonRPC.in(current) != current {
			t.Errorf("%s is not the same in JSON-RPC", current)
		}
	}
	if len(renamed) != 209 {
		t.Errorf("%d names", len(renamed))
	}
}

func TestNamesThatAreRenamedDifferentlyInTwoPlaces(t *testing.T) {
	for _, old := range []string{"download-dir", "downloadDir"} {
		if got := currentName(old); got != "download_dir" {
			t.Errorf("%s: %s", old, got)
		}
	}
	if a, b := legacy.in("download_dir"), legacy.inTorrent("download_dir"); a != "download-dir" || b != "downloadDir" {
		t.Errorf("%s, %s", a, b)
	}
	if a, b := legacy.in("total_size"), legacy.inTorrent("total_size"); a != "total_size" || b != "totalSize" {
		t.Errorf("%s, %s", a, b)
	}
}
