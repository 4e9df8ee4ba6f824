//go:build !unix

package importer

// isLocked returns false: there are no POSIX locks.
func isLocked(string) bool { return false }
