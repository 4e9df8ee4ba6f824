//go:build race

package engine

const raceEnabled = true

// defaultSeeds is small because the simulation has one goroutine and cannot race.
const defaultSeeds = 2
