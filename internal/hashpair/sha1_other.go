//go:build !amd64

package hashpair

const fast = false

func blocks(h1, h2 *[5]uint32, p1, p2 *byte, n int) {
	panic("hashpair: not supported on this processor")
}
