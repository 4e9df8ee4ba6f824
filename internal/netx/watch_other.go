//go:build !linux

package netx

// watchLinks returns a channel that never receives: this system does not report changes in a
// way that is used here, and the caller looks at intervals.
func watchLinks(<-chan struct{}) <-chan struct{} { return nil }
