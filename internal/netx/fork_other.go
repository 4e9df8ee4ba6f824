//go:build !linux

package netx

// holdForks does nothing: package net takes the lock itself for each socket on these systems, where
// they have fork at all.
func holdForks() (release func()) { return func() {} }
