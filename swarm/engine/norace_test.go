//go:build !race

package engine

import "testing"

const defaultSeeds = 5

func skipUnderRace(*testing.T) {}
