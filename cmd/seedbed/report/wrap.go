package report

import (
	"strings"

	"golang.org/x/term"
)

// Wrap breaks text at words into lines that fit the terminal with an indent. Without a
// terminal it returns one line; for an empty text, none.
func (o *Output) Wrap(text string, indent int) []string {
	if cols, _, err := term.GetSize(int(o.Out.File.Fd())); err == nil && IsTerminal(o.Out.File) {
		return wrap(text, cols-1-indent)
	}
	return wrap(text, 0)
}

// wrap breaks text into lines of n columns, unless n is too small to read. A longer word
// gets a separate line.
func wrap(text string, n int) (lines []string) {
	const readable = 20
	if text = Clean(text); n < readable {
		return strings.FieldsFunc(text, func(rune) bool { return false })
	}
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		switch {
		case line == "":
			line = word
		case textWidth(line)+1+textWidth(word) > n:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
