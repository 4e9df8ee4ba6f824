// Package excerpt shortens what others have written, for messages.
package excerpt

import "unicode/utf8"

// Of returns s if it has at most n bytes. Otherwise it returns as many whole characters of it as
// n bytes contain, and "…".
func Of(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := n
	for end > n-utf8.UTFMax && end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
