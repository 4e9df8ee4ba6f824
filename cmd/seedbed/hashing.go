package main

import (
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// hashBar shows the progress of hashing on a terminal, and nothing elsewhere.
type hashBar struct {
	p   *mpb.Progress
	bar *mpb.Bar
}

func (a *app) hashProgress(name string) *hashBar {
	if a.json || a.quiet || !term.IsTerminal(int(a.stdout.Fd())) || os.Getenv("TERM") == "dumb" {
		return &hashBar{}
	}
	p := mpb.New(mpb.WithOutput(a.stdout), mpb.WithAutoRefresh())
	style := mpb.BarStyle().Lbound("").Filler("━").Tip("╸").Padding("┄").Rbound("")
	bar := p.New(1, style,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(clip(printable(name), nameWidth), decor.WC{W: nameWidth + 1, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 6}), decor.Name(" hashing")))
	return &hashBar{p, bar}
}

// set tells how many bytes of how many are hashed.
func (h *hashBar) set(done, total int64) {
	if h.bar != nil {
		h.bar.SetTotal(max(total, 1), false)
		h.bar.SetCurrent(done)
	}
}

func (h *hashBar) close() {
	if h.bar != nil {
		h.bar.Abort(true)
		h.p.Wait()
	}
}
