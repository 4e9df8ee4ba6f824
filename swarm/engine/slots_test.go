package engine

import (
	"testing"

	"pgregory.net/rapid"
)

// slots is compared with a set of the slots in use, at every step.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slots
		out := map[Slot]bool{}
		budget := rapid.IntRange(1, 8).Draw(t, "budget")
		s.resize(budget)
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				free := s.available()
				v, ok := s.take()
				if ok != free || ok != (len(out) < budget) || (ok && (out[v] || int(v) >= budget)) {
					t.Fatalf("slot %d, %v with %d of %d in use", v, ok, len(out), budget)
				}
				if ok {
					out[v] = true
				}
			},
			"give": func(t *rapid.T) {
				for v := range Slot(16) {
					if out[v] {
						s.give(v)
						delete(out, v)
						return
					}
				}
			},
			"resize": func(t *rapid.T) {
				budget = rapid.IntRange(0, 8).Draw(t, "budget")
				s.resize(budget)
			},
			"": func(t *rapid.T) {
				if s.inUse != len(out) {
					t.Fatalf("%d counted as used, not %d", s.inUse, len(out))
				}
			},
		})
	})
}
