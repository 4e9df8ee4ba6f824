// Package rendezvous decides which members of a group own a key, so that all members come to the same result without
// asking each other (highest random weight). When a member joins or leaves, only its own keys move.
package rendezvous

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"seedbed/internal/id"
)

// Members are the members of a group, by their names. The zero value has none.
type Members struct {
	names []string
	seeds []uint64 // of the names
}

// New returns the group of these names, each of which counts once.
func New(names []string) Members {
	m := Members{names: slices.Compact(slices.Sorted(slices.Values(names)))}
	for _, name := range m.names {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name)) // it never fails
		m.seeds = append(m.seeds, mix(h.Sum64()))
	}
	return m
}

// Owners returns the names of the k members that own a key, the most important one first, or all if there are fewer.
func (m Members) Owners(key id.ID, k int) []string {
	type weighted struct {
		member int
		weight uint64
	}
	list := make([]weighted, len(m.names))
	for i := range m.names {
		list[i] = weighted{i, m.weight(i, key)}
	}
	slices.SortFunc(list, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.member, b.member))
	})
	owners := make([]string, min(k, len(list)))
	for i := range owners {
		owners[i] = m.names[list[i].member]
	}
	return owners
}

// Owns reports whether a member is one of the k owners of a key. It does not allocate.
func (m Members) Owns(name string, key id.ID, k int) bool {
	self, ok := slices.BinarySearch(m.names, name)
	if !ok {
		return false
	}
	mine, above := m.weight(self, key), 0
	for i := range m.names {
		if w := m.weight(i, key); w > mine || w == mine && i < self {
			above++
		}
	}
	return above < k
}

// weight returns the weight of a member for a key. Infohashes are hashes, but others choose them, so all of their bytes count.
func (m Members) weight(i int, key id.ID) uint64 {
	w := m.seeds[i]
	for at := 0; at+8 <= len(key); at += 4 {
		w = mix(w ^ binary.LittleEndian.Uint64(key[at:]))
	}
	return w
}

// mix is the finalizer of SplitMix64: each bit of the input changes half of the output's.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
