package hashpair

import "github.com/klauspost/cpuid/v2"

var fast = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSE4, cpuid.SSSE3)

// blocks advances two states by n blocks of 64 bytes each.
//
//go:noescape
func blocks(h1, h2 *[5]uint32, p1, p2 *byte, n int)
