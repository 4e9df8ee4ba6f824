//go:build linux

package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/profiler"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	"seedbed/node/view"
)

// calls returns how often each function in the files of the page whose paths contain a text was called while do ran.
func (w *webPage) calls(path string, do func()) map[string]int64 {
	w.t.Helper()
	take := func() (out map[string]int64) {
		out = map[string]int64{}
		w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			r, err := cdp.Call(ctx, t, profiler.TakePreciseCoverage, cdp.Empty{})
			for _, script := range r.Result {
				for _, f := range script.Functions {
					if strings.Contains(script.URL, path) {
						out[f.FunctionName] += f.Ranges[0].Count
						out["all"] += f.Ranges[0].Count
					}
				}
			}
			return err
		}))
		return out
	}
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, profiler.Enable, cdp.Empty{}); err != nil {
			return err
		}
		yes := true
		_, err := cdp.Call(ctx, t, profiler.StartPreciseCoverage, profiler.StartPreciseCoverageParams{CallCount: &yes, Detailed: &yes})
		return err
	}))
	take()
	do()
	return take()
}

// What a click in a torrent of 20,000 files costs depends on what it changes and on what is in view, and not on the number of files. A change of
// all files, and reading them, leaves the page usable in between.
func TestPageShowsManyFiles(t *testing.T) {
	t.Parallel()
	const n, perFolder, atOnce = 20_000, 100, 2_500
	p := openPage(t, "10.4.208.1")
	ctx := p.webPage.ctx
	var files []any
	for i := range n {
		files = append(files, map[string]any{"length": 1, "path": []any{"all", fmt.Sprintf("part %03d", i/perFolder), fmt.Sprintf("file %05d.bin", i)}})
	}
	hashes := strings.Repeat("x", (n+16383)/16384*20)
	content := bencode(nil, map[string]any{"info": map[string]any{"name": "many", "files": files, "piece length": 16384, "pieces": hashes}})
	o, _, err := p.rest.Add(ctx, api.AddBody{Torrent: content, Paused: true})
	must(t, err)
	selected := func(what string, is func(files []view.TorrentFile) bool) {
		t.Helper()
		poll(ctx, t, what, func() bool {
			files, err := p.rest.Files(ctx, o.InfoHash)
			return err == nil && is(files)
		})
	}
	const shown = `[...document.querySelectorAll(".tree-text")].map((e) => e.textContent).join()`
	opening := p.calls("/torrent/", func() {
		p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = "#/torrents/%s/files")`, o.InfoHash)))
		p.until("the folders", shown, "all,part 000,part 001")
	})
	if pages := evaluate[int](p.webPage, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/files?")).length`); pages < n/atOnce {
		t.Errorf("the files were read in %d pages", pages)
	}
	t.Logf("opening: %d calls", opening["all"])
	const few = 2_000 // calls; the rows in view are some 20
	check := func(what string, do func()) {
		t.Helper()
		if c := p.calls("/torrent/", do); c["all"] > few {
			t.Errorf("%s calls %d functions: %v", what, c["all"], c)
		} else {
			t.Logf("%s: %d calls", what, c["all"])
		}
	}
	check("opening a folder", func() {
		p.click(`.tree button[aria-label="Open part 001"]`)
		p.until("its files", shown, "part 001,file 00100.bin,file 00101.bin")
	})
	check("choosing a file", func() {
		p.click(`.tree input[aria-label="Download file 00100.bin"]`)
		selected("the file not to be wanted", func(f []view.TorrentFile) bool { return !f[100].Selected && f[101].Selected })
	})
	check("going through the rows", func() {
		p.do(chromedp.Focus(chromedp.CSS(".tree")))
		p.press(kb.Home + kb.ArrowDown + kb.ArrowDown)
		p.until("the row", `document.querySelector(".tree-row.current").textContent`, "part 001")
	})
	check("choosing a folder", func() {
		p.press(" ")
		selected("the folder to be wanted", func(f []view.TorrentFile) bool { return f[100].Selected })
	})
	all := p.calls("/torrent/", func() {
		p.do(chromedp.Evaluate[chromedp.Void](`(() => {
			const s = document.querySelector('.tree select[aria-label="Priority of all"]');
			s.value = "high";
			s.dispatchEvent(new Event("change", { bubbles: true }));
		})()`))
		selected("the priority of all", func(f []view.TorrentFile) bool { return f[0].Priority == "high" && f[n-1].Priority == "high" })
	})
	if all["change"] < n || all["FileTree"] < n/atOnce {
		t.Errorf("changing all files draws the tree %d times: %v", all["FileTree"], all)
	}
	p.inEveryLook("20,000 files", p.accessible)
	p.noErrors()
}
