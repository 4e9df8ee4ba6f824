package report

import (
	"io"
	"os"
	"sync"
	"time"
)

// A FullScreen is the alternate screen of the terminal that Out is. Keys of the terminal on
// standard input are read one by one, without Enter. Interrupt closes it.
type FullScreen struct {
	out     *Output
	restore func() // gives the keys back to the terminal's line editor
	quit    func()

	mu     sync.Mutex // held while the terminal is written to
	closed bool
}

const (
	enterAlternate = "\x1b[?1049h"
	leaveAlternate = "\x1b[?1049l"
	clearAll       = "\x1b[H\x1b[2J"
)

// OpenFullScreen switches to the alternate screen. It calls quit, perhaps more than once, when the
// key q is pressed or the terminal is gone. If in is not a terminal, no keys are read. The caller
// calls Close.
func (o *Output) OpenFullScreen(in io.Reader, quit func()) *FullScreen {
	s := &FullScreen{out: o, restore: func() {}, quit: quit}
	if f, ok := in.(*os.File); ok && IsTerminal(f) {
		if restore, err := readKeys(int(f.Fd())); err == nil { // else the user has Ctrl-C
			s.restore = restore
			go s.readFrom(f)
		}
	}
	_, _ = io.WriteString(o.Stdout(), enterAlternate)
	o.full.Store(s)
	return s
}

// readFrom reads keys until q. It can outlive the screen, because reading a terminal cannot be
// stopped; a command that has a full screen reads no more of its input.
func (s *FullScreen) readFrom(f *os.File) {
	for key := make([]byte, 1); ; {
		if _, err := f.Read(key); err != nil || key[0] == 'q' {
			s.quit()
			return
		}
	}
}

// Draw clears the screen and calls print, which prints to Out. It does nothing after Close.
func (s *FullScreen) Draw(print func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if _, err := io.WriteString(s.out.Stdout(), clearAll); err != nil {
		s.quit()
		return
	}
	print()
}

// Close restores the terminal. If the terminal takes no output (Ctrl-S), Close gives back the
// keys first and then waits.
func (s *FullScreen) Close() {
	s.restore()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	time.Sleep(flushTime)
	_, _ = io.WriteString(s.out.Stdout(), leaveAlternate)
}
