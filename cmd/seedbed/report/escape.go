package report

import (
	"io"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// EscapeJSON returns a writer that passes JSON on to w and writes every terminal control
// character as \uXXXX. The decoded strings do not change. Package json escapes only ASCII
// controls, but terminals also act on C1 controls and bidirectional overrides. Each Write
// must end at a character boundary, as those of a json.Encoder do.
func EscapeJSON(w io.Writer) io.Writer { return jsonEscaper{w} }

type jsonEscaper struct{ w io.Writer }

func (e jsonEscaper) Write(b []byte) (int, error) {
	if !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x7f }) { // nearly always
		return e.w.Write(b)
	}
	out := make([]byte, 0, len(b)+64)
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r < utf8.RuneSelf && r != 0x7f || unicode.IsPrint(r): // json escapes the other ASCII controls
			out = append(out, b[i:i+size]...)
		case r <= 0xffff:
			out = appendUnit(out, uint16(r))
		default:
			hi, lo := utf16.EncodeRune(r)
			out = appendUnit(appendUnit(out, uint16(hi)), uint16(lo))
		}
		i += size
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// appendUnit appends \uXXXX.
func appendUnit(out []byte, u uint16) []byte {
	hex := strconv.FormatUint(uint64(u)|0x10000, 16) // five digits
	return append(append(out, `\u`...), hex[1:]...)
}
