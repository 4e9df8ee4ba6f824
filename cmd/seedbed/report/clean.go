package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of torrents, files and clients, error texts and DHT items are written by others.
// Fprintf is the one way by which text reaches a terminal or a log file, and it cleans
// every argument, so that no such text can move the cursor, set the title, reorder what
// stands beside it, or begin a line that looks like ours.

const (
	// maxText is how many characters of one argument are printed.
	maxText = 600
	// maxMarks is how many combining marks one character may carry.
	maxMarks = 4
)

// Exact is a string that is printed in full, however long: a link or a path that a person
// copies. It is cleaned like every other argument.
type Exact string

// styled is text of ours with escape sequences in it. Only this package makes it.
type styled string

// Fprintf formats as fmt.Fprintf does, with every argument cleaned. The format is ours: it
// alone may hold line breaks and tabs.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return io.WriteString(w, Sprintf(format, args...))
}

// Sprintf is Fprintf into a string.
func Sprintf(format string, args ...any) string {
	in := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case int, int64, uint, uint8, uint16, uint32, uint64, float64, bool:
			in[i] = a
		case styled:
			in[i] = string(a)
		default:
			in[i] = cleaned{a}
		}
	}
	return fmt.Sprintf(format, in...)
}

// cleaned formats v as usual and cleans the result.
type cleaned struct{ v any }

func (c cleaned) Format(f fmt.State, verb rune) {
	v := c.v
	if err, ok := v.(error); ok {
		v = joined(err)
	}
	s := Clean(fmt.Sprintf(fmt.FormatString(f, verb), v))
	if _, whole := c.v.(Exact); !whole {
		s = shorten(s, maxText)
	}
	_, _ = io.WriteString(f, s)
}

// joined returns the text of err in one line: errors.Join puts each error on its own.
func joined(err error) string {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var parts []string
		for _, e := range many.Unwrap() {
			parts = append(parts, joined(e))
		}
		if text := err.Error(); text != strings.Join(parts, "\n") {
			return text // it has words of its own
		}
		return strings.Join(parts, "; ")
	}
	return err.Error()
}

// Clean returns s safe for a terminal: characters that control it, reorder the text or are
// invisible become U+FFFD, as do bytes that are not UTF-8. All kinds of space become a
// blank. Joiners between letters stay, because Persian, Indic scripts and emoji need them.
func Clean(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	marks := 0
	for i, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
			if marks++; marks > maxMarks {
				continue
			}
		case isJoiner(r) && marks == 0 && betweenLetters(s, i, r):
			b.WriteRune(r)
			continue
		default:
			marks = 0
		}
		switch {
		case unicode.Is(unicode.Zs, r):
			r = ' '
		case !unicode.IsPrint(r):
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isJoiner reports whether r is ZWNJ or ZWJ.
func isJoiner(r rune) bool { return r == 0x200C || r == 0x200D }

// betweenLetters reports whether the joiner r at s[i] has a printable character on both
// sides that is not a joiner.
func betweenLetters(s string, i int, r rune) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
	visible := func(r rune) bool { return r != ' ' && r != utf8.RuneError && unicode.IsPrint(r) }
	return visible(before) && visible(after)
}

// shorten cuts s to n characters, the last of which is then an ellipsis.
func shorten(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}
