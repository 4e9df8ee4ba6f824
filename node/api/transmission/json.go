package transmission

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// A writer writes one JSON value. Reflection would take most of the time of an answer about
// thousands of torrents.
type writer struct {
	b []byte
	d dialect
}

// next writes a comma unless a value was just opened.
func (w *writer) next() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' && w.b[n-1] != ':' {
		w.b = append(w.b, ',')
	}
}

// key writes the name of a member, in the form of the dialect.
func (w *writer) key(name string) { w.literalKey(w.d.in(name)) }

// literalKey writes a name that has no quotes.
func (w *writer) literalKey(name string) {
	w.next()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) open(c byte)  { w.next(); w.b = append(w.b, c) }
func (w *writer) close(c byte) { w.b = append(w.b, c) }

func (w *writer) raw(b []byte) { w.next(); w.b = append(w.b, b...) }

func (w *writer) integer(v int64) { w.next(); w.b = strconv.AppendInt(w.b, v, 10) }

// A member is an integer member of an object.
type member struct {
	name  string
	value int64
}

func (w *writer) members(list ...member) {
	for _, m := range list {
		w.key(m.name)
		w.integer(m.value)
	}
}

func (w *writer) boolean(v bool) { w.next(); w.b = strconv.AppendBool(w.b, v) }

// double writes v with four decimals at most, as Transmission does.
func (w *writer) double(v float64) {
	w.next()
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	w.b = strconv.AppendFloat(w.b, math.Round(v*1e4)/1e4, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// text writes a string. Bytes that are not UTF-8 become U+FFFD.
func (w *writer) text(s string) {
	w.next()
	w.b = append(w.b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			w.b = append(w.b, s[start:i]...)
			if c == '"' || c == '\\' {
				w.b = append(w.b, '\\', c)
			} else {
				w.b = append(w.b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			w.b = append(append(w.b, s[start:i]...), "\ufffd"...)
			start = i + 1
		}
		i += size
	}
	w.b = append(append(w.b, s[start:]...), '"')
}
