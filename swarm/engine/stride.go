package engine

// stride returns a step near the golden section of n that has no common divisor with n.
// Multiples of it, modulo n, are all numbers below n, and successive ones lie far apart.
func stride(n int) int64 {
	step := max(int64(float64(n)*0.618), 1)
	for gcd(step, int64(n)) != 1 {
		step++
	}
	return step
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
