package option

// Nearest returns the word that the user probably meant by wrong, or "". It is the word
// with the smallest edit distance, if that is at most a third of its length, or else the
// first word that begins with wrong.
func Nearest(wrong string, words []string) string {
	best, at := "", 1<<30
	for _, w := range words {
		if d := distance(wrong, w); d < at && d <= max(1, (len(w)+1)/3) {
			best, at = w, d
		}
	}
	if best != "" || len(wrong) < 2 {
		return best
	}
	for _, w := range words {
		if len(w) > len(wrong) && w[:len(wrong)] == wrong {
			return w
		}
	}
	return ""
}

// distance returns the edit distance of a and b: the number of bytes to insert, delete,
// replace or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
