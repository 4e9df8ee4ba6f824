package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of torrents, files and clients, error texts and DHT items come from others. All
// text reaches a terminal or a log file through Fprintf, which sanitises every argument.
// Therefore no such text can move the cursor, set the title, reorder the text next to it,
// or start a line that looks like a line of seedbed.

const (
	// maxText is the maximum length of a printed argument, in characters.
	maxText = 600
	// maxMarks is the maximum number of combining marks per character.
	maxMarks = 4
)

// Exact is a string that is printed in full whatever its length, such as a link or a path to
// copy. It is sanitised like every other argument.
type Exact string

// styled is sanitised text that may contain escape sequences. Only this package creates it.
type styled string

// Fprintf is like fmt.Fprintf, but sanitises every argument. Only the format, which is our
// own text, may contain line breaks and tabs.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return io.WriteString(w, Sprintf(format, args...))
}

// Sprintf is like Fprintf, but returns a string.
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

// cleaned formats v as usual and sanitises the result.
type cleaned struct{ v any }

func (c cleaned) Format(f fmt.State, verb rune) {
	v := c.v
	if err, ok := v.(error); ok {
		v = joined(err)
	}
	s := Clean(fmt.Sprintf(fmt.FormatString(f, verb), v))
	if _, isExact := c.v.(Exact); !isExact {
		s = shorten(s, maxText)
	}
	_, _ = io.WriteString(f, s)
}

// joined returns the text of err in one line; errors.Join puts each error on a separate
// line.
func joined(err error) string {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var parts []string
		for _, e := range many.Unwrap() {
			parts = append(parts, joined(e))
		}
		if text := err.Error(); text != strings.Join(parts, "\n") {
			return text // it has a message of its own
		}
		return strings.Join(parts, "; ")
	}
	return err.Error()
}

// Clean makes s safe for a terminal: control characters, characters that reorder text,
// invisible characters, and bytes that are not UTF-8 become U+FFFD. Every kind of space
// becomes a blank. Joiners between letters stay, because Persian, Indic scripts and emoji
// need them.
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
