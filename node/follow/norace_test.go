//go:build !race

package follow

const scale = 1
