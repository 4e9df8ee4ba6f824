package report

import (
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"
)

// Columns returns the width of the terminal f, or 80 if f is none.
func Columns(f *os.File) int {
	if cols, _, err := term.GetSize(int(f.Fd())); err == nil && cols > 0 {
		return cols
	}
	return 80
}

// Rows returns the height of the terminal f, or 24 if f is not a terminal.
func Rows(f *os.File) int {
	if _, rows, err := term.GetSize(int(f.Fd())); err == nil && rows > 0 {
		return rows
	}
	return 24
}

// wrapLines breaks the lines of text that are longer than cols at blanks, so that a terminal
// does not break them within words. A longer word, such as a link, stays whole.
func wrapLines(text string, cols int) string {
	if len(text) <= cols {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimSuffix(line, "\n")
		end := line[len(body):]
		if visibleWidth(body) > cols {
			body = wrapLine(body, cols)
		}
		b.WriteString(body)
		b.WriteString(end)
	}
	return b.String()
}

// wrapLine breaks one line at blanks. Its own indent is that of all lines.
func wrapLine(line string, cols int) string {
	words := strings.Split(strings.TrimLeft(line, " "), " ")
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var b strings.Builder
	b.WriteString(indent + words[0])
	at := len(indent) + visibleWidth(words[0])
	for _, word := range words[1:] {
		width := visibleWidth(word)
		if at+1+width > cols && width > 0 {
			b.WriteString("\n" + indent + word)
			at = len(indent) + width
			continue
		}
		b.WriteString(" " + word)
		at += 1 + width
	}
	return b.String()
}

// sequence matches the escape sequences that this package uses for colors.
var sequence = regexp.MustCompile("\x1b\\[[0-9;]*m")

// visibleWidth returns the number of columns of s, which may have colors.
func visibleWidth(s string) int {
	if strings.Contains(s, "\x1b") {
		s = sequence.ReplaceAllString(s, "")
	}
	return textWidth(s)
}

// A wrapping wraps whole lines that are written to a terminal without progress.
type wrapping struct{ *Stdio }

func (w wrapping) Write(b []byte) (int, error) {
	return written(b, w.Unwatched(), wrapLines(string(b), Columns(w.File)))
}
