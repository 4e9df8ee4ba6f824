package report

import (
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// HashBar shows the progress of hashing on a terminal, and nothing elsewhere.
type HashBar struct {
	p   *mpb.Progress
	bar *mpb.Bar
}

// NewHashBar returns the progress bar of hashing what is called name.
func NewHashBar(o Output, name string) *HashBar {
	if !o.live() {
		return &HashBar{}
	}
	p := mpb.New(mpb.WithOutput(o.Out), mpb.WithAutoRefresh())
	style := mpb.BarStyle().Lbound("").Filler("━").Tip("╸").Padding("┄").Rbound("")
	bar := p.New(1, style,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(clip(Clean(name), nameWidth), decor.WC{W: nameWidth + 1, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 6}), decor.Name(" hashing")))
	return &HashBar{p, bar}
}

// Set reports that done of total bytes are hashed.
func (h *HashBar) Set(done, total int64) {
	if h.bar != nil {
		h.bar.SetTotal(max(total, 1), false)
		h.bar.SetCurrent(done)
	}
}

// Close removes the bar.
func (h *HashBar) Close() {
	if h.bar != nil {
		h.bar.Abort(true)
		h.p.Wait()
	}
}
