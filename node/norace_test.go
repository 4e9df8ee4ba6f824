//go:build !race

package node

const scale = 1
