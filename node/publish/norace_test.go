//go:build !race

package publish

const scale = 1
