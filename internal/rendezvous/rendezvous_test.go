package rendezvous

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"seedbed/internal/id"
)

func keys(n int) []id.ID {
	random := rand.NewChaCha8([32]byte{1})
	list := make([]id.ID, n)
	for i := range list {
		_, _ = random.Read(list[i][:])
	}
	return list
}

func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("node-%d", i))
	}
	return list
}

// Each member owns about the same number of keys.
func TestSharesAreEqual(t *testing.T) {
	const members, k, total = 8, 2, 40_000
	m := New(names(members))
	count := map[string]int{}
	for _, key := range keys(total) {
		owners := m.Owners(key, k)
		if len(owners) != k || owners[0] == owners[1] {
			t.Fatalf("owners: %q", owners)
		}
		for _, name := range m.names {
			if m.Owns(name, key, k) != slices.Contains(owners, name) {
				t.Fatalf("Owns(%q) differs from Owners %q", name, owners)
			}
		}
		for _, o := range owners {
			count[o]++
		}
	}
	for name, n := range count {
		if mean := total * k / members; n < mean*95/100 || n > mean*105/100 {
			t.Errorf("%s owns %d, the mean is %d", name, n, mean)
		}
	}
}

// If a member leaves, only its keys move; if it comes back, they come back.
func TestOnlyTheKeysOfAMemberMove(t *testing.T) {
	before, after := New(names(8)), New(names(7))
	moved := 0
	list := keys(20_000)
	for _, key := range list {
		was, is := before.Owners(key, 2), after.Owners(key, 2)
		kept := slices.DeleteFunc(slices.Clone(was), func(s string) bool { return s == "node-7" })
		for _, o := range kept {
			if !slices.Contains(is, o) {
				t.Fatalf("%q was not gone, but lost a key", o)
			}
		}
		if len(kept) < 2 {
			moved++
		}
	}
	if part := float64(moved) / float64(len(list)); part < 0.23 || part > 0.27 { // 2 owners of 8 members
		t.Errorf("%.3f of the keys have moved", part)
	}
}

// The order in which members are named, and names that come twice, do not matter.
func TestTheOrderDoesNotMatter(t *testing.T) {
	a, b := New([]string{"x", "y", "z"}), New([]string{"z", "x", "y", "x"})
	for _, key := range keys(1000) {
		if !slices.Equal(a.Owners(key, 2), b.Owners(key, 2)) {
			t.Fatal("the owners differ")
		}
	}
	if a.Owns("other", id.ID{}, 2) || len(New(nil).Owners(id.ID{}, 2)) != 0 || len(New([]string{"x"}).Owners(id.ID{}, 2)) != 1 {
		t.Error("a group that is too small")
	}
}
