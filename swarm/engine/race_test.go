//go:build race

package engine

const raceEnabled = true

// defaultSeeds is few, for a simulation on one goroutine has no races.
const defaultSeeds = 2
