//go:build !race

package engine

const raceEnabled = false

const defaultSeeds = 5
