//go:build !unix

package storage

func defaultHandles() int { return 512 }
