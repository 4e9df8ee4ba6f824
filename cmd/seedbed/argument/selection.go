package argument

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseSelection parses "1,3-5" into ascending file numbers, which start at 1 as in show.
func ParseSelection(v string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(v, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 1 || b < a {
			return nil, fmt.Errorf("%q in --select is not a file number or a range such as 3-5", part)
		}
		if b-a >= maxSelection-len(out) {
			return nil, fmt.Errorf("%q in --select names more files than any torrent has", part)
		}
		for n := a; n <= b; n++ {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// maxSelection is more than the number of files that metainfo accepts in one torrent.
const maxSelection = 4 << 20
