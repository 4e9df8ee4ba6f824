package report

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A HashBar shows the progress of hashing: as a bar on a terminal, otherwise as an
// occasional line. All methods are safe for concurrent use.
type HashBar struct {
	name string
	now  func() time.Time

	screen  *screen // nil: nothing is drawn
	section *section
	plain   io.Writer // nil: no lines

	mu          sync.Mutex
	next        time.Time // when to draw or to print
	shown       bool
	done, total int64
	speed       meter
	rate        float64
}

const (
	hashDelay = 300 * time.Millisecond // delay before the bar appears, so that short work shows none
	hashEvery = 100 * time.Millisecond // between draws
)

// NewHashBar returns a progress display for hashing name.
func NewHashBar(o *Output, name string) *HashBar {
	h := &HashBar{name: name, now: time.Now}
	switch {
	case o.JSON || o.Quiet:
	case o.screen != nil:
		h.screen = o.screen
		h.section = h.screen.add(h.lines)
	default:
		h.plain = o.Err
	}
	return h
}

// Set reports that done of total bytes are hashed.
func (h *HashBar) Set(done, total int64) {
	if !h.update(done, total) {
		return
	}
	if h.screen != nil {
		h.screen.draw()
	}
	if h.plain != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		Fprintf(h.plain, "%s: %s\n", h.name, h.status())
	}
}

// update stores the numbers and reports whether it is time to show them.
func (h *HashBar) update(done, total int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	h.done, h.total = done, total
	h.rate = h.speed.update(now, done)
	delay, every := hashDelay, hashEvery
	if h.screen == nil {
		delay, every = plainDelay, plainEvery
	}
	switch {
	case h.next.IsZero():
		h.next = now.Add(delay)
	case !now.Before(h.next):
		h.next, h.shown = now.Add(every), true
		return true
	}
	return false
}

// status describes the progress in words.
func (h *HashBar) status() string {
	s := fmt.Sprintf("hashing, %d %% at %s", Percent(h.done, h.total), Rate(h.rate))
	if left := TimeLeft(h.total-h.done, h.rate); left != "" {
		s += ", " + left + " left"
	}
	return s
}

func (h *HashBar) lines(cols, _ int) []line {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.shown {
		return nil
	}
	b := barLine{name: h.name, done: h.done, total: h.total, parts: []string{
		fmt.Sprintf("hashing %3d %%", Percent(h.done, h.total)), rateOrNone(h.rate), TimeLeft(h.total-h.done, h.rate)}}
	return []line{b.layout(cols)}
}

// Close removes the bar.
func (h *HashBar) Close() {
	if h.section != nil {
		h.section.remove()
	}
}
