package report

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// A screen redraws a few lines at the bottom of a terminal, the frame, while other output
// scrolls by above them.
//
// Between two draws the cursor is in the first column of the frame's first line. When a
// terminal is resized, the cursor stays with its text, whether the terminal rewraps long
// lines or cuts them. So "clear from the cursor to the end" always removes exactly the
// frame, however many rows it fills by then. The size is queried at each draw, and a line is
// always shorter than the terminal is wide.
type screen struct {
	w    io.Writer
	size func() (cols, rows int)
	// flush is flushTime, or 0 in tests.
	flush time.Duration

	mu       sync.Mutex
	sections []*section // from top to bottom
	color    bool
	ended    bool // no frame is drawn any longer
}

// A section is the part of the frame that one owner draws.
type section struct {
	screen *screen
	// lines returns the lines for this size. It is called with the screen locked.
	lines func(cols, rows int) []line
}

// A line is one row of the frame. The screen cuts it if it is too long.
type line struct {
	text string
	dim  bool
}

func newScreen(f *Stdio) *screen {
	return &screen{w: f, flush: flushTime, color: os.Getenv("NO_COLOR") == "", size: func() (int, int) {
		cols, rows, err := term.GetSize(int(f.File.Fd()))
		if err != nil || cols < 1 || rows < 1 {
			return 80, 24
		}
		return cols, rows
	}}
}

// add adds a section at the bottom of the frame.
func (s *screen) add(lines func(cols, rows int) []line) *section {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := &section{s, lines}
	s.sections = append(s.sections, sec)
	return sec
}

// remove removes the section from the screen.
func (sec *section) remove() {
	s := sec.screen
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sections = slices.DeleteFunc(s.sections, func(o *section) bool { return o == sec })
	s.write(s.frame())
}

// draw redraws the frame. It skips the draw if another write is in progress: a stopped
// terminal (Ctrl-S) must not block callers that have progress to show.
func (s *screen) draw() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	s.write(s.frame())
}

// end removes the frame permanently. Later writes go directly to the terminal.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		time.Sleep(s.flush)
		s.write(clearFrame)
	}
}

// flushTime is how long the kernel may take to handle a ^C. The kernel sends the signal
// first and then discards output not yet passed to the terminal, which could include ours.
const flushTime = 10 * time.Millisecond

const (
	clearLine = "\x1b[K" // from the cursor to the end of the line
	clearDown = "\x1b[J" // from the cursor to the end of the screen

	// clearFrame clears the cursor's line and everything below it. It does so in two steps,
	// because tmux treats "clear down" from the top left corner as "clear all", and first
	// moves the screen to the scrollback. The cursor is saved and restored between the
	// steps, because it cannot move down from the last line.
	clearFrame = "\r" + clearLine + "\x1b7\x1b[B\r" + clearDown + "\x1b8"
)

// frame returns the text that draws the frame. The cursor is on the frame's first line
// before and after.
func (s *screen) frame() string {
	if s.ended {
		return ""
	}
	cols, rows := s.size()
	var lines []line
	for _, sec := range s.sections {
		lines = append(lines, sec.lines(cols, rows-len(lines))...)
	}
	lines = lines[:min(len(lines), max(rows-1, 1))] // a frame that scrolls cannot be redrawn
	if len(lines) == 0 {
		return clearFrame
	}
	var b strings.Builder
	b.WriteString("\r")
	for i, l := range lines {
		if i > 0 {
			b.WriteString(clearLine + "\r\n")
		}
		color := Color("")
		if l.dim {
			color = Dim
		}
		b.WriteString(string(paint(s.color && l.dim, color, cut(Clean(l.text), cols-1))))
	}
	b.WriteString(clearDown)
	if len(lines) > 1 {
		b.WriteString("\x1b[" + strconv.Itoa(len(lines)-1) + "A")
	}
	b.WriteString("\r")
	return b.String()
}

// write writes to the terminal. An error means that the terminal is gone; the command gets a
// signal for that.
func (s *screen) write(text string) { _, _ = io.WriteString(s.w, text) }

// Write prints whole lines above the frame.
func (s *screen) Write(b []byte) (int, error) { return s.above(s.w, b) }

// above prints whole lines to w, which is the same terminal, above the frame. It breaks long
// ones at blanks.
func (s *screen) above(w io.Writer, b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cols, _ := s.size()
	text := wrapLines(string(b), cols)
	if s.ended {
		return written(b, w, text)
	}
	s.write(clearFrame)
	n, err := written(b, w, text)
	s.write(s.frame())
	return n, err
}

// written writes text, which stands for b, to w.
func written(b []byte, w io.Writer, text string) (int, error) {
	if _, err := io.WriteString(w, text); err != nil {
		return 0, err
	}
	return len(b), nil
}

// A sharedWriter writes above the frame to another file that is the same terminal.
type sharedWriter struct {
	screen *screen
	w      io.Writer
}

func (s sharedWriter) Write(b []byte) (int, error) { return s.screen.above(s.w, b) }

// runeWidth returns the maximum number of columns that terminals give r.
func runeWidth(r rune) int {
	switch {
	case r == 0xFE0F: // asks for the wide form of the character before
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// textWidth returns the number of columns of s.
func textWidth(s string) (n int) {
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// cut shortens s to n columns; the last one becomes an ellipsis.
func cut(s string, n int) string {
	if textWidth(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		if used += runeWidth(r); used > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// pad cuts s to n columns or fills it with blanks.
func pad(s string, n int) string {
	s = cut(s, n)
	return s + strings.Repeat(" ", max(n-textWidth(s), 0))
}
