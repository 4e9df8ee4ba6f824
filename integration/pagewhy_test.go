//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"seedbed/node/api"
	"seedbed/node/view"
)

// saysWhy opens the details of a torrent, and checks that their first line has a text, the daemon's own explanation and its hint.
func (p *pageTest) saysWhy(what, hash, state, text string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = "#/torrents/%s")`, hash)))
	p.until(what, `document.querySelector(".status").textContent`, text)
	p.untilTorrent(what+", which the daemon says too", hash, func(o *view.Torrent) bool {
		why := strings.TrimPrefix(o.Why, "waiting: ")
		if o.Fault != nil {
			why = o.Fault.Error
		}
		said := evaluate[string](p.webPage, `document.querySelector(".status").textContent.toLowerCase()`)
		return o.State == state && why != "" && strings.Contains(said, strings.ToLower(why)) && strings.Contains(said, strings.ToLower(o.Hint))
	})
	p.inEveryLook(what, p.accessible)
}

// The details say in one line why a torrent does not move and what to do, as the daemon explains it, and the button beside it does that.
func TestPageSaysWhyATorrentDoesNotMove(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.209.1")
	ctx := p.webPage.ctx
	node, err := p.rest.Node(ctx)
	must(t, err)
	add := func(body api.AddBody) string {
		t.Helper()
		o, _, err := p.rest.Add(ctx, body)
		must(t, err)
		return o.InfoHash
	}
	files := tree(t, "too much", 3<<20)
	run(t, "10.4.209.2", offline("seed", files.torrent, "-d", files.parent)...).wait(ctx, "ready")
	run(t, "10.4.209.3", offline("get", magnetOf(73), "-d", t.TempDir())...)
	small := filepath.Join(node.Dir, "small")
	must(t, os.MkdirAll(small, 0o755))
	resize := mountSmallAt(t, small, "1M")

	p.saysWhy("a torrent without peers", add(api.AddBody{Link: magnetOf(71)}), "metadata", "only peers from --peer or the link are tried")
	p.saysWhy("a torrent whose peer cannot be reached", add(api.AddBody{Link: magnetOf(72) + "&x.pe=" + "10.4.209.9:65535"}), "metadata", "ould not connect to 1 peer")
	p.saysWhy("a torrent whose peer has no metadata", add(api.AddBody{Link: magnetOf(73) + "&x.pe=" + endpoint("10.4.209.3")}), "metadata", "onnected to 1 peer; it does not have the metadata")
	p.until("the step that is held up", `document.querySelector(".torrent-step-failing").textContent`, "Metadata")

	full := add(api.AddBody{Link: files.from("10.4.209.2"), Dir: small})
	p.saysWhy("a full disk", full, "downloading", "no space left")
	resize("16M")
	p.webPage.click(byXPath(`//div[contains(@class, "status-error")]/button[text()="Resume"]`))
	p.untilState(full, "seeding")
	for _, verb := range []string{"pause", "resume"} {
		_, err = p.rest.Perform(ctx, verb, full)
		must(t, err)
		if verb == "pause" {
			p.untilState(full, "paused")
			must(t, os.RemoveAll(filepath.Join(small, files.name)))
		}
	}
	p.saysWhy("missing data", full, "missing", "Data missing")

	_, err = p.rest.SetSettings(ctx, map[string][]string{"download-queue": {"1"}})
	must(t, err)
	waits := add(api.AddBody{Link: magnetOf(74)})
	p.saysWhy("a place in the queue", waits, "queued", "Waiting")
	p.webPage.click(byXPath(`//div[contains(@class, "status")]/button[text()="Start now"]`))
	p.untilState(waits, "metadata")
	p.noErrors()
}
