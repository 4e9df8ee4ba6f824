//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
)

// transmissionWeb is where Debian installs the web page of Transmission.
const transmissionWeb = "/usr/share/transmission/web"

// The web page of Transmission 3.00, in Chromium, lists torrents, adds, shows, pauses and removes
// one, and changes the settings. It logs in with a token as the password, and no script fails.
func TestWebPageOfTransmission(t *testing.T) {
	t.Parallel()
	takeBrowser(t)
	if _, err := os.Stat(transmissionWeb); err != nil {
		skipIfMissing(t, []string{err.Error()})
	}
	ctx := timeLimit(t)
	p := tree(t, "things", 2<<20)
	run(t, "10.4.197.1", offline("seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
	s := serve(t, ctx, "10.4.196.1", filepath.Join(shortDir(t), "s"), t.TempDir(), "--http", "10.4.196.1:8009", "--transmission-web", transmissionWeb)
	token, err := s.rest.NewToken(ctx, "web", "admin")
	must(t, err)
	_, _, err = s.rest.Add(ctx, api.AddBody{Link: p.from("10.4.197.1")})
	must(t, err)

	w := browse(t, ctx, fmt.Sprintf("http://me:%s@10.4.196.1:8009/transmission/web/", token.Text))
	w.until("the torrent to be complete", `document.querySelector("#torrent_list .torrent .torrent_progress_details").textContent`, "uploaded")
	w.until("its name", `document.querySelector("#torrent_list .torrent .torrent_name").textContent`, "things")

	link := magnetOf(1)
	w.do(chromedp.Click(chromedp.CSS("#toolbar-open")), chromedp.SetValue(chromedp.CSS("#torrent_upload_url"), link), chromedp.Click(chromedp.CSS("#upload_confirm_button")))
	w.until("a second torrent", `document.querySelectorAll("#torrent_list .torrent").length`, "2")
	hash := link[len("magnet:?xt=urn:btih:"):]
	state := func() string {
		o, err := s.rest.Torrent(ctx, hash)
		must(t, err)
		return o.State
	}
	w.do(chromedp.Click(fmt.Sprintf(`//li[contains(@class, "torrent")][.//*[contains(text(), %q)]]`, hash)), chromedp.Click(chromedp.CSS("#toolbar-pause")))
	poll(ctx, t, "the torrent to be paused", func() bool { return state() == "paused" })
	w.do(chromedp.Click(chromedp.CSS("#toolbar-start")))
	poll(ctx, t, "the torrent to be started", func() bool { return state() == "metadata" })

	w.do(chromedp.Click(chromedp.CSS("#toolbar-inspector")))
	w.until("its infohash", `document.querySelector("#inspector-info-hash").textContent`, hash)
	w.do(chromedp.Click(`//li[contains(@class, "torrent")][.//*[contains(text(), "things")]]`), chromedp.Click(chromedp.CSS("#inspector-tab-files")))
	w.until("the files", `document.querySelector("#inspector-page-files").textContent`, "tiny.txt")

	w.do(chromedp.Click(fmt.Sprintf(`//li[contains(@class, "torrent")][.//*[contains(text(), %q)]]`, hash)), chromedp.Click(chromedp.CSS("#toolbar-remove")),
		chromedp.Click(chromedp.CSS("#dialog_confirm_button")))
	poll(ctx, t, "the torrent to be removed", func() bool {
		all, err := s.rest.List(ctx, remote.Filter{})
		must(t, err)
		return len(all) == 1
	})
	w.until("the list without it", `document.querySelectorAll("#torrent_list .torrent").length`, "1")

	// The dialog sends a setting when its field changes.
	w.do(chromedp.Evaluate[chromedp.Void](`transmission.remote.savePrefs({"speed-limit-down": 123, "speed-limit-down-enabled": true})`))
	poll(ctx, t, "the limit to be set", func() bool {
		o, err := (&transmissionRPC{service: s}).call(ctx, "session-get", map[string]any{"fields": []string{"speed-limit-down"}})
		return err == nil && string(o) == `{"speed-limit-down":123}`
	})
	w.noErrors()
}
