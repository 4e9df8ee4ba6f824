//go:build !unix

package statefile

// readFast is not available on this system.
func readFast(string, int64) (b []byte, ok bool, err error) { return nil, false, nil }
