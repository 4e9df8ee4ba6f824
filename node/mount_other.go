//go:build !unix

package node

// mountOf returns "": other systems show a disk that is not mounted as a folder that does not exist.
func mountOf(string) string { return "" }
