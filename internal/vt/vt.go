// Package vt is a terminal emulator for tests: it shows what a program's output leaves on
// the screen and in the scrollback.
//
// It supports the few escape sequences that seedbed uses, and records every other one as a
// fault. So tests find names from the network that reach the terminal unsanitised. Widths
// and heights are in cells.
package vt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// A Terminal is an emulated terminal of Cols by Rows cells.
type Terminal struct {
	Cols, Rows int
	reflow     bool

	screen  []row // at most Rows
	scroll  []row // rows that scrolled off the top
	x, y    int
	pending bool // the last column is written; the next character wraps
	escape  string
	part    []byte    // bytes of an incomplete character
	saved   [2]int    // saved cursor
	main    *Terminal // the main screen and its cursor, while the alternate screen is shown

	// Faults are the control characters and escape sequences that a program should not send.
	Faults []string
}

// A row is a row of cells; the second cell of a wide character is 0.
type row struct {
	cells   []rune
	wrapped bool // continues in the next row
}

// New returns a terminal. If reflow is true, a change of the width rewraps long lines, as
// most terminals do; otherwise it cuts them, as xterm does.
func New(cols, rows int, reflow bool) *Terminal {
	return &Terminal{Cols: cols, Rows: rows, reflow: reflow, screen: []row{{}}}
}

// Write processes the output of a program.
func (v *Terminal) Write(b []byte) (int, error) {
	v.part = append(v.part, b...)
	for len(v.part) > 0 && (utf8.FullRune(v.part)) {
		r, size := utf8.DecodeRune(v.part)
		if r == utf8.RuneError && size == 1 {
			v.fault("byte %#x, which is not UTF-8", v.part[0])
		}
		v.part = v.part[size:]
		v.put(r)
	}
	return len(b), nil
}

func (v *Terminal) fault(format string, args ...any) {
	v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
}

func (v *Terminal) put(r rune) {
	switch {
	case v.escape == "\x1b" && r == '7':
		v.saved, v.escape = [2]int{v.x, v.y}, ""
	case v.escape == "\x1b" && r == '8':
		v.x, v.y, v.escape = v.saved[0], v.saved[1], ""
	case v.escape == "\x1b" && r != '[':
		v.fault("escape sequence ESC %q", r)
		v.escape = ""
	case v.escape != "":
		if v.escape += string(r); len(v.escape) > 2 && r >= '@' && r <= '~' {
			v.control(v.escape[2:len(v.escape)-1], r)
			v.escape = ""
		}
	case r == 0x1b:
		v.escape = "\x1b"
	case r == '\r':
		v.x, v.pending = 0, false
	case r == '\n': // the kernel's terminal driver adds the \r
		v.x, v.pending = 0, false
		v.down()
	case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != 0x200C && r != 0x200D:
		v.fault("control character %U", r)
	default:
		v.print(r)
	}
}

// cells returns the number of cells of r.
func cells(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func (v *Terminal) print(r rune) {
	w := cells(r)
	if w == 0 {
		return
	}
	if v.pending || v.x+w > v.Cols {
		v.screen[v.y].wrapped = true
		v.x, v.pending = 0, false
		v.down()
	}
	at := &v.screen[v.y]
	for len(at.cells) < v.x+w {
		at.cells = append(at.cells, ' ')
	}
	at.cells[v.x] = r
	if w == 2 {
		at.cells[v.x+1] = 0
	}
	if v.x += w; v.x >= v.Cols {
		v.x, v.pending = v.Cols-1, true
	}
}

func (v *Terminal) down() {
	if v.y++; v.y >= len(v.screen) {
		v.screen = append(v.screen, row{})
	}
	v.trim()
}

// trim scrolls until the screen has no more rows than the terminal.
func (v *Terminal) trim() {
	for len(v.screen) > v.Rows {
		if v.main == nil { // the alternate screen has no scrollback
			v.scroll = append(v.scroll, v.screen[0])
		}
		v.screen = v.screen[1:]
		v.y--
	}
}

// colors are the arguments of the colour sequences that seedbed uses.
var colors = []string{"0", "2", "31", "32", "33"}

func (v *Terminal) control(args string, final rune) {
	n, err := strconv.Atoi(args)
	known := map[rune]bool{'m': slices.Contains(colors, args), 'A': err == nil, 'B': args == "", 'K': args == "", 'J': args == "" || args == "2", 'H': args == "",
		'h': args == "?1049" && v.main == nil, 'l': args == "?1049" && v.main != nil}
	if !known[final] {
		v.fault("escape sequence %q", v.escape)
		return
	}
	switch final {
	case 'A':
		v.y, v.pending = max(v.y-max(n, 1), 0), false
	case 'B':
		for range max(n, 1) {
			if v.y < v.Rows-1 {
				v.y++
			}
			if v.y >= len(v.screen) {
				v.screen = append(v.screen, row{})
			}
		}
	case 'K':
		at := &v.screen[v.y]
		at.cells, at.wrapped = at.cells[:min(v.x, len(at.cells))], false
	case 'H':
		v.x, v.y, v.pending = 0, 0, false
	case 'h':
		v.main = &Terminal{screen: v.screen, x: v.x, y: v.y}
		v.screen, v.x, v.y, v.pending = []row{{}}, 0, 0, false
	case 'l':
		v.screen, v.x, v.y, v.pending, v.main = v.main.screen, v.main.x, v.main.y, false, nil
	case 'J':
		if args == "2" {
			for i := range v.screen {
				v.screen[i] = row{}
			}
			return
		}
		if v.x == 0 && v.y == 0 && v.main == nil { // as in tmux
			v.scroll = append(v.scroll, v.screen...)
		}
		v.control("", 'K')
		v.screen = v.screen[:v.y+1]
	}
}

// Resize changes the size as terminals do: the cursor stays at the same text.
func (v *Terminal) Resize(cols, rows int) {
	v.Cols, v.Rows = cols, rows
	if v.reflow {
		v.rewrap()
	} else {
		for i := range v.screen {
			v.screen[i].cells = v.screen[i].cells[:min(len(v.screen[i].cells), cols)]
		}
	}
	v.x, v.pending = min(v.x, cols-1), false
	for len(v.screen) > v.Rows && v.y < len(v.screen)-1 { // remove rows below the cursor first
		v.screen = v.screen[:len(v.screen)-1]
	}
	v.trim()
}

func (v *Terminal) rewrap() {
	old, y := v.screen, v.y
	v.screen, v.y = nil, 0
	for i := 0; i < len(old); i++ {
		start, cells := i, slices.Clone(old[i].cells)
		for old[i].wrapped && i+1 < len(old) {
			i++
			cells = append(cells, old[i].cells...)
		}
		if y >= start && y <= i {
			v.y = len(v.screen) // the frame's cursor is at the start of a line
		}
		for len(cells) > v.Cols {
			v.screen = append(v.screen, row{cells[:v.Cols:v.Cols], true})
			cells = cells[v.Cols:]
		}
		v.screen = append(v.screen, row{cells: cells})
	}
}

func rowText(r row) string {
	return strings.TrimRight(strings.ReplaceAll(string(r.cells), "\x00", ""), " ")
}

// Text returns the text on the screen, without empty rows at the end.
func (v *Terminal) Text() string {
	var out []string
	for _, r := range v.screen {
		out = append(out, rowText(r))
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

// History returns the text that scrolled off the screen.
func (v *Terminal) History() string {
	var out []string
	for _, r := range v.scroll {
		out = append(out, rowText(r))
	}
	return strings.Join(out, "\n")
}
