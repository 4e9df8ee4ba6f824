package report

import "os"

// A Color is the escape sequence that starts text of one colour.
type Color string

const (
	Dim    Color = "\x1b[2m"
	Red    Color = "\x1b[31m"
	Green  Color = "\x1b[32m"
	Yellow Color = "\x1b[33m"

	reset = "\x1b[0m"
)

// Color reports whether Out shows colours.
func (o *Output) Color() bool {
	return IsTerminal(o.Out.File) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// Paint returns s, sanitised, in colour c if Out shows colours. Pass the result to Fprintf.
func (o *Output) Paint(c Color, s string) any { return paint(o.Color(), c, s) }

func paint(color bool, c Color, s string) styled {
	if s = Sprintf("%s", s); !color || s == "" {
		return styled(s)
	}
	return styled(string(c) + s + reset)
}
