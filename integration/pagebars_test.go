//go:build linux

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"golang.org/x/sync/errgroup"

	"seedbed/node/api"
)

// scrollAll scrolls through the whole list in 200 frames, and returns the longest task of the page in that time.
const scrollAll = `(async () => {
	let longest = 0;
	const tasks = new PerformanceObserver((l) => l.getEntries().forEach((e) => (longest = Math.max(longest, e.duration))));
	tasks.observe({ type: "longtask" });
	const list = document.querySelector(".list");
	for (let i = 0; i <= 200; i++) {
		list.scrollTop = (list.scrollHeight / 200) * i;
		await new Promise(requestAnimationFrame);
	}
	await new Promise((done) => setTimeout(done, 500));
	list.scrollTop = 0;
	return longest;
})()`

// renameFirst renames the first torrent as another program does, and returns the time until the list shows that, in milliseconds.
const renameFirst = `(async (name) => {
	const hash = document.querySelector(".rows .row").id.replace("row-", "");
	const shows = new Promise((done) => {
		const list = document.querySelector(".list");
		const look = () => list.textContent.includes(name) && done(performance.now());
		new MutationObserver(look).observe(list, { subtree: true, childList: true, characterData: true });
	});
	const began = performance.now();
	await fetch("v1/torrents/" + hash + "/rename", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name }) });
	return (await shows) - began;
})(%q)`

// The page shows 10,000 torrents soon after it has read them, stays quick while one scrolls, shows changes at once, and
// needs little memory, here and in the daemon.
func BenchmarkBarPageTenThousand(b *testing.B) {
	const count = 10_000
	needCommands(b, "chromium")
	ctx := daemonBarTime(b)
	s := serve(b, ctx, "10.2.95.1", filepath.Join(shortDir(b), "s"), b.TempDir(), "--http", "10.2.95.1:8009")
	var g errgroup.Group
	for i := range mixClients {
		g.Go(func() error {
			for k := i; k < count; k += mixClients {
				body := api.AddBody{Link: magnetOf(k + 1), Name: fmt.Sprintf("Torrent %d of a large collection", k), Labels: []string{fmt.Sprint("label ", k%20)}, Paused: true}
				if _, _, err := s.rest.Add(ctx, body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(b, g.Wait())
	url, err := s.rest.Page(ctx, api.ToAdd{})
	must(b, err)
	b.ReportMetric(0, "ns/op")
	for range b.N { // -benchtime 1x
		w := browse(b, ctx, url)
		w.until("the list", `performance.getEntriesByName("torrents-painted").length`, "1")
		w.until("all torrents", `document.querySelector(".selected-count").textContent.replace(/\D/g, "")`, fmt.Sprint(count))
		atMost(b, "paint-ms", evaluate[float64](w, `performance.measure("paint", "torrents-read", "torrents-painted").duration`), 150)
		if rows := evaluate[int](w, rows); rows > 100 {
			b.Errorf("%d rows are in the document", rows)
		}
		atMost(b, "longest-task-ms", evaluate[float64](w, scrollAll), 50)
		var took []float64
		for i := range 11 {
			took = append(took, evaluate[float64](w, fmt.Sprintf(renameFirst, fmt.Sprintf("renamed %d.", i))))
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)-1], "slowest-change-ms")
		atMost(b, "change-ms", took[len(took)/2], 100)
		atMost(b, "heap-MB", heap(b, w), 100)
		atMost(b, "daemon-MiB", anonymous(b, s.cmd.Process.Pid)/1024, 100)
	}
}

// heap returns the size of the heap of a page after a collection, in MB.
func heap(b *testing.B, w *webPage) float64 {
	b.Helper()
	used := 0.0
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			return err
		}
		u, err := cdp.Call(ctx, t, runtime.GetHeapUsage, cdp.Empty{})
		used = u.UsedSize / 1e6
		return err
	}))
	return used
}
