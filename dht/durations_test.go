package dht

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Lookups are counted by their method, duration and outcome, and answers to others are counted too.
func TestLookupsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 30)
		d := v.client(t)
		before := d.LookupCounts()[0]
		var took time.Duration
		for range 3 {
			s, err := d.Lookup(t.Context(), randomID(), nil)
			if err != nil {
				t.Fatal(err)
			}
			took += s.Took
		}
		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms, cancel)
		if _, err := d.Lookup(canceled, randomID(), nil); err == nil {
			t.Fatal("the lookup was not canceled")
		}
		after := d.LookupCounts()[0]
		if LookupMethods[0] != "get_peers" || after.Answered-before.Answered != 3 || after.Canceled-before.Canceled != 1 || after.Unanswered != 0 || after.Took-before.Took != took {
			t.Errorf("after 3 lookups of %v: %+v, before %+v", took, after, before)
		}
		last := len(LookupBounds) - 1
		if took <= 3*LookupBounds[0] || after.Within[0] == after.Answered || after.Within[last] != after.Answered {
			t.Errorf("3 lookups took %v: %+v", took, after)
		}
		v.mu.Lock() // late queries may still arrive
		for _, n := range v.nodes {
			n.silent = true
		}
		v.mu.Unlock()
		if _, err := d.FindNode(t.Context(), randomID()); err != nil {
			t.Fatal(err)
		}
		if c := d.LookupCounts()[1]; c.Unanswered == 0 {
			t.Errorf("without answers: %+v", c)
		}
	})
}
