package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// settle runs a settling over the live members of each second, and returns those that own torrents afterwards, for each second.
func settle(seconds ...string) (owners []string) {
	var s settling
	for i, live := range seconds {
		s.step(mono.Time(time.Duration(i+1)*time.Second), strings.Split(live, ""), true)
		owners = append(owners, strings.Join(s.current, ""))
	}
	return owners
}

func times(n int, live string) []string { return slices.Repeat([]string{live}, n) }

func TestChangesOfMembersSettle(t *testing.T) {
	join, loss, most := int(settleJoin/time.Second), int(settleLoss/time.Second), int(settleAtMost/time.Second)
	for _, c := range []struct {
		name  string
		live  []string
		calm  int // seconds, after those of live
		after string
		want  string
	}{
		{"a member joins", times(5, "ab"), join, "abc", "ab"},
		{"a member has joined", times(5, "ab"), join + 1, "abc", "abc"},
		{"a member is lost", times(5, "ab"), loss, "a", "ab"},
		{"a member was lost", times(5, "ab"), loss + 1, "a", "a"},
		{"a member returns in time", slices.Concat(times(5, "ab"), times(loss, "a")), 1, "ab", "ab"},
		{"one is lost as another joins", times(5, "ab"), loss, "bc", "ab"},
	} {
		got := settle(append(slices.Clone(c.live), times(c.calm, c.after)...)...)
		if last := got[len(got)-1]; last != c.want {
			t.Errorf("%s: %s own, want %s", c.name, last, c.want)
		}
	}
	// A member that comes and goes every second does not hold up the loss of another.
	var live []string
	for range most {
		live = append(live, "ab", "a")
	}
	got := settle(append(times(5, "abc"), live...)...)
	if at := slices.IndexFunc(got[5:], func(s string) bool { return !strings.Contains(s, "c") }); at < 0 || at > most {
		t.Errorf("the loss of a member took effect after %d seconds: %v", at, got)
	}
	// Nothing is owned before the others are known.
	var s settling
	for i := range 20 {
		if s.step(mono.Time(time.Duration(i+1)*time.Second), []string{"a"}, false) {
			t.Fatal("a node owns torrents before it has joined")
		}
	}
}
