package daemon

import (
	"fmt"
	"testing"
)

// Each measurement takes a thread while its disk hangs.
func TestFewFoldersAreMeasuredAtATime(t *testing.T) {
	s := spaces{running: maxMeasured - 1}
	s.mu.Lock() // no measurement ends
	defer s.mu.Unlock()
	for i := range 100 {
		if m := s.measure(fmt.Sprintf("/%d", i), nil); (m.measured != nil) != (i == 0) {
			t.Fatalf("folder %d: %v", i, m.measured)
		}
	}
	if n := s.of.Len(); n != 1 {
		t.Errorf("%d folders are remembered", n)
	}
}
