//go:build race

package engine

import "testing"

// defaultSeeds is small because the simulation has one goroutine and cannot race.
const defaultSeeds = 2

// skipUnderRace skips a long test that has one goroutine: it has no races, and the detector is slow.
func skipUnderRace(t *testing.T) { t.Skip("slow, and has only one goroutine") }
