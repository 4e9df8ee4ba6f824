package pcp

import (
	"time"

	"seedbed/internal/mono"
)

// EpochClock compares the epochs of a router's responses with our time. The epoch of a router
// counts seconds, and starts again near 0 when the router loses its mappings. The zero EpochClock has seen no
// response.
type EpochClock struct {
	isSet bool
	epoch uint32
	at    mono.Time // when epoch was received
}

// Update notes an epoch that was received at now. It returns true if the router has lost its
// mappings since the last Update: its epoch went back or does not fit the time that has passed
// (RFC 6887, 8.5; RFC 6886, 3.6).
func (c *EpochClock) Update(now mono.Time, epoch uint32) (isLost bool) {
	last := *c
	*c = EpochClock{true, epoch, now}
	if !last.isSet {
		return false
	}
	ours, theirs := now.Sub(last.at), time.Duration(int64(epoch)-int64(last.epoch))*time.Second
	// RFC 6887 allows 1 second back, because packets are reordered, and clocks that differ by a
	// sixteenth. NAT-PMP allows an eighth, and routers with slow clocks exist; the larger tolerance
	// is for both.
	return theirs < -time.Second || ours+2*time.Second < theirs-theirs/8 || theirs+2*time.Second < ours-ours/8
}
