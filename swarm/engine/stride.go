package engine

// stride returns a step near the golden section of n that is coprime to n. Its multiples
// modulo n are all numbers below n, and consecutive ones are far apart.
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
