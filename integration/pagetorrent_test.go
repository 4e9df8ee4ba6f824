//go:build linux

package integration

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
	"seedbed/node/view"
)

// shareMedia makes a torrent with a sound that browsers play and shares it at ip. It returns the content of the .torrent file.
func shareMedia(t *testing.T, p *pageTest, ip string) []byte {
	t.Helper()
	parent := t.TempDir()
	dir, torrent := filepath.Join(parent, "media"), filepath.Join(parent, "media.torrent")
	must(t, os.MkdirAll(filepath.Join(dir, "folder"), 0o755))
	const seconds, rate = 2, 8000
	sound := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"), make([]byte, 20+seconds*rate)...)
	binary.LittleEndian.PutUint32(sound[4:], uint32(len(sound)-8))
	binary.LittleEndian.PutUint32(sound[24:], rate)
	binary.LittleEndian.PutUint32(sound[28:], rate)
	copy(sound[32:], "\x01\x00\x08\x00data")
	binary.LittleEndian.PutUint32(sound[40:], seconds*rate)
	must(t, os.WriteFile(filepath.Join(dir, "a sound.wav"), sound, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "folder", "large.bin"), make([]byte, 16<<20), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "folder", "notes.txt"), []byte("notes"), 0o644))
	must(t, exec.CommandContext(p.webPage.ctx, seedbed, "create", dir, "-o", torrent, "--piece-length", "16K").Run())
	run(t, ip, offline("seed", torrent, "-d", parent)...).wait(p.webPage.ctx, "ready")
	b, err := os.ReadFile(torrent)
	must(t, err)
	return b
}

// details is the text of the details of a torrent.
const details = `document.querySelector(".details").textContent`

// act clicks an action of the torrent that is shown.
func (p *pageTest) act(title string) {
	p.webPage.t.Helper()
	p.click(fmt.Sprintf(`.details-actions button[aria-label=%q]`, title))
}

// untilDialog waits until a dialog has the keyboard.
func (p *pageTest) untilDialog() {
	p.webPage.t.Helper()
	p.until("the dialog", `document.activeElement.closest("dialog[open]") !== null`, "true")
}

// untilTorrent waits until the daemon says something of a torrent.
func (p *pageTest) untilTorrent(what, hash string, is func(*view.Torrent) bool) {
	p.webPage.t.Helper()
	ctx := p.webPage.ctx
	poll(ctx, p.webPage.t, what, func() bool {
		o, err := p.rest.Torrent(ctx, hash)
		return err == nil && is(o)
	})
}

// limitDownload sets the download limit of the torrent that is shown, in kB a second.
func (p *pageTest) limitDownload(hash, limit string, want int64) {
	p.webPage.t.Helper()
	p.webPage.click(byXPath(`//div[@class="overview"]//button[text()="Change…"]`))
	p.untilDialog()
	p.enter("dialog input[type=number]", limit)
	p.press(kb.Enter)
	p.untilTorrent("the limit", hash, func(o *view.Torrent) bool { return o.DownLimit == want })
	p.until("no dialog", `document.querySelector("dialog") === null`, "true")
}

// The details of a torrent say why it does not move, every tab can be reached by keyboard, and every action works. axe-core finds
// nothing serious on any of them.
func TestPageShowsATorrent(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.203.1")
	ctx := p.webPage.ctx
	o, _, err := p.rest.Add(ctx, api.AddBody{Torrent: shareMedia(t, p, "10.4.203.2"), Peers: []string{endpoint("10.4.203.2")}, Paused: true})
	must(t, err)
	hash := o.InfoHash
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`location.hash = "#/torrents/%s"`, hash)))
	p.until("why it does not move", `document.querySelector(".status").textContent`, "Paused: nothing is downloaded")
	p.limitDownload(hash, "40", 40_000)
	p.act("Resume")
	p.untilState(hash, "downloading")
	p.until("what it does", `document.querySelector(".status").textContent`, "from 1 connected peer")
	p.until("the steps", `document.querySelector(".torrent-step-now").textContent`, "pieces verified")
	p.inEveryLook("the overview", p.accessible)
	p.copies("the infohash (v1)", hash)
	p.copies("the magnet link", o.Magnet)

	p.do(chromedp.Focus(chromedp.CSS(`[role="tab"][aria-selected="true"]`)))
	for _, tab := range []struct{ id, shown, text string }{
		{"files", `document.querySelector(".tree").textContent`, "a sound.wav"},
		{"peers", `document.querySelector(".peers td").textContent`, "10.4.203.2"},
		{"pieces", `document.querySelector(".pieces canvas").getAttribute("aria-label")`, "pieces verified"},
		{"plots", `document.querySelectorAll(".chart canvas").length`, "2"},
		{"log", details, "it is downloading"},
	} {
		p.press(kb.ArrowRight)
		p.until("the tab "+tab.id, `location.hash`, "/"+tab.id)
		p.until("what the tab "+tab.id+" shows", tab.shown, tab.text)
		p.inEveryLook("the tab "+tab.id, p.accessible)
		switch tab.id {
		case "peers":
			p.showsThePeer(hash)
			p.do(chromedp.Focus(chromedp.CSS(`[role="tab"][aria-selected="true"]`)))
		case "plots":
			p.until("the rates in words", `document.querySelector(".plots figcaption").textContent`, "kB/s")
			p.until("the seed in words", `document.querySelectorAll(".plots figcaption")[1].textContent`, "Connected 1 at most 1Seeds among them 1")
		}
	}
	p.noErrors()
	p.filesOfATorrent(hash)

	p.act("Rename…")
	p.untilDialog()
	p.enter("dialog input", "another name"+kb.Enter)
	p.until("the new name", `document.querySelector(".details h2").textContent`, "another name")
	p.act("Play in a player")
	p.until("the link to a playlist", `document.querySelector("dialog input").value`, "/v1/stream/")
	p.until("the playlist", `(window.playlist ??= fetch(document.querySelector("dialog input").value).then((r) => r.text()).then((text) => (playlist = text)), playlist)`, "a%20sound.wav")
	p.accessible("the link to a playlist")
	p.press(kb.Escape)
	p.act("Pause")
	p.untilState(hash, "paused")
	p.act("Move the data…")
	p.untilDialog()
	p.enter("dialog input", filepath.Join(o.Dir, "elsewhere")+kb.Enter)
	p.untilTorrent("the move", hash, func(now *view.Torrent) bool { return now.Dir == filepath.Join(o.Dir, "elsewhere") && now.MoveTo == "" })
	p.act("Start now")
	p.untilState(hash, "downloading")

	p.webPage.click(byXPath(`//button[@role="tab"][text()="Overview"]`))
	p.setsLimits(hash)
	p.limitDownload(hash, "", 0)
	p.untilState(hash, "seeding")
	p.until("that it is complete", `document.querySelector(".status").textContent`, "Complete")
	p.act("Check the data")
	p.webPage.click(byXPath(`//button[@role="tab"][text()="Log"]`))
	p.until("the check", `[...document.querySelectorAll(".log li")].filter((e) => e.textContent.includes("it is checking")).length > 1`, "true")
	p.untilState(hash, "seeding")
	p.act("Remove…")
	p.untilDialog()
	p.click(`dialog input[type="checkbox"]`)
	p.click(`dialog button[type="submit"]`)
	poll(ctx, t, "the removal", func() bool {
		all, err := p.rest.List(ctx, remote.Filter{})
		return err == nil && len(all) == 0
	})
	p.until("that it is gone", details, "not in the session")
	p.noErrors()
}

// copies clicks the button that copies what is named, and checks what the page puts into the clipboard.
func (p *pageTest) copies(what, text string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](`void addEventListener("copy", (e) => (window.copied = e.target.value), { capture: true, once: true })`))
	p.webPage.click(byXPath(fmt.Sprintf(`//button[@class="copy"][contains(., %q)]`, what)))
	p.until("that it is copied", `[...document.querySelectorAll("button.copy")].map((e) => e.textContent).join()`, "Copied")
	p.until("what was copied", `copied`, text)
}

// showsThePeer checks that the row of the only peer says what the daemon does.
func (p *pageTest) showsThePeer(hash string) {
	t, ctx := p.webPage.t, p.webPage.ctx
	t.Helper()
	peers, err := p.rest.Peers(ctx, hash)
	must(t, err)
	if len(peers) != 1 || peers[0].Client == "" || peers[0].Addr == "" {
		t.Fatalf("the peers are %+v", peers)
	}
	const row = `document.querySelector(".peers tbody tr").textContent`
	for what, text := range map[string]string{"its client": peers[0].Client, "its address": peers[0].Addr, "where it was found": "named", "what it has": "all", "its transport": strings.ToUpper(peers[0].Transport),
		"the rate": "kB/s", "a flag": "it sends us data"} {
		p.until(what, row, text)
	}
	p.click(".peers .legend summary")
	p.until("what the flags mean", `document.querySelector(".legend-list").innerText`, "the handshake was encrypted")
	p.look(390, 800, false)
	p.until("the row of a narrow page", row, peers[0].Client)
	p.look(1280, 800, false)
}

// setsLimits changes every limit and goal of the torrent that is shown.
func (p *pageTest) setsLimits(hash string) {
	p.webPage.t.Helper()
	p.webPage.click(byXPath(`//div[@class="overview"]//button[text()="Change…"]`))
	p.untilDialog()
	p.inEveryLook("the limits", p.accessible)
	for i, value := range []string{"50", "60", "7"} {
		p.enter(fmt.Sprintf("dialog .fields label:nth-child(%d) input", i+1), value)
	}
	p.do(chromedp.Evaluate[chromedp.Void](`for (const [i, value] of ["own", "none", "settings"].entries()) {
		const s = document.querySelectorAll("dialog select")[i];
		s.value = value;
		s.dispatchEvent(new Event("change", { bubbles: true }));
	}`))
	p.until("the field of the ratio", `document.querySelector("dialog [role=group] input") !== null`, "true")
	p.enter("dialog [role=group] input", "1.5")
	p.click("dialog label.check input")
	p.click("dialog button[type=submit]")
	p.untilTorrent("the limits and goals", hash, func(o *view.Torrent) bool {
		return o.DownLimit == 50_000 && o.UpLimit == 60_000 && o.MaxPeers == 7 && o.Goals.Ratio == 1.5 && o.Goals.Time == -1 && o.Goals.Idle == 0 && o.Sequential && !o.FirstLast
	})
	p.until("the limits in words", `document.querySelector(".overview").textContent`, "Stop at a ratio of1.50Stop after seeding fornone")
}

// filesOfATorrent selects, prioritises, searches, renames, downloads and plays the files of the torrent that shareMedia makes.
func (p *pageTest) filesOfATorrent(hash string) {
	t, ctx := p.webPage.t, p.webPage.ctx
	t.Helper()
	file := func(what string, number int, is func(view.TorrentFile) bool) {
		t.Helper()
		poll(ctx, t, what, func() bool {
			files, err := p.rest.Files(ctx, hash)
			return err == nil && is(files[number-1])
		})
	}
	p.webPage.click(byXPath(`//button[@role="tab"][text()="Files"]`))
	p.click(`.tree input[aria-label="Download notes.txt"]`)
	file("the file not to be wanted", 3, func(f view.TorrentFile) bool { return !f.Selected })
	p.until("a folder of which some files are wanted", `document.querySelector('.tree input[aria-label="Download folder"]').indeterminate`, "true")
	p.do(chromedp.Evaluate[chromedp.Void](`(() => {
		const s = document.querySelector('.tree select[aria-label="Priority of a sound.wav"]');
		s.value = "high";
		s.dispatchEvent(new Event("change", { bubbles: true }));
	})()`))
	file("the priority", 1, func(f view.TorrentFile) bool { return f.Priority == "high" })

	// By keyboard: the folder is the second row. Space selects all its files, the left arrow closes it.
	p.do(chromedp.Focus(chromedp.CSS(".tree")))
	p.press(kb.Home + kb.ArrowDown)
	p.press(" ")
	file("the whole folder to be wanted", 3, func(f view.TorrentFile) bool { return f.Selected })
	p.press(kb.ArrowLeft)
	p.until("the folder to be closed", `document.querySelectorAll(".tree-row").length`, "2")
	p.enter(".files-bar input", "notes")
	p.until("the file of the search in its folder", `[...document.querySelectorAll(".tree-text")].map((e) => e.textContent).join()`, "folder,notes.txt")
	p.enter(".files-bar input", "no such file")
	p.until("that there is none", `document.querySelector(".tree").textContent`, "No file has these words")
	p.enter(".files-bar input", "")

	// The priority of a folder is that of its files. A list of choices has its own keys.
	p.press(kb.Escape)
	p.do(chromedp.Evaluate[chromedp.Void](`(() => {
		const s = document.querySelector('.tree select[aria-label="Priority of folder"]');
		s.value = "low";
		s.dispatchEvent(new Event("change", { bubbles: true }));
	})()`))
	file("the priority of the first file of the folder", 2, func(f view.TorrentFile) bool { return f.Priority == "low" })
	file("the priority of the second", 3, func(f view.TorrentFile) bool { return f.Priority == "low" })
	p.do(chromedp.Focus(chromedp.CSS(".tree")))
	p.press(kb.Home + kb.ArrowDown + kb.ArrowRight)
	p.until("the folder to be open", `document.querySelectorAll(".tree-row").length`, "4")
	p.do(chromedp.Focus(chromedp.CSS(`.tree select[aria-label="Priority of notes.txt"]`)))
	p.press(kb.ArrowDown)
	file("the priority by keyboard", 3, func(f view.TorrentFile) bool { return f.Priority == "normal" })
	p.until("that the files of the folder differ", `document.querySelector('.tree select[aria-label="Priority of folder"]').selectedOptions[0].textContent`, "Mixed")

	p.fileAction("notes.txt", "Rename…")
	p.untilDialog()
	p.enter("dialog input", "folder/my notes.txt"+kb.Enter)
	file("the file to have another name", 3, func(f view.TorrentFile) bool { return f.Path == "folder/my notes.txt" })
	p.until("it in the folder, which stays open", `[...document.querySelectorAll(".tree-text")].map((e) => e.textContent).join()`, "my notes.txt")
	p.fileAction("folder", "Rename…")
	p.untilDialog()
	p.enter("dialog input", "a new folder"+kb.Enter)
	file("the folder to have another name", 2, func(f view.TorrentFile) bool { return f.Path == "a new folder/large.bin" })
	file("and with it its other file", 3, func(f view.TorrentFile) bool { return f.Path == "a new folder/my notes.txt" })
	p.until("it in the tree", `document.querySelector(".tree").textContent`, "a new folder")
	p.inEveryLook("renamed files", p.accessible)

	// A file that is not complete is downloaded to this device as its pieces come.
	down := t.TempDir()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: down})
		return err
	}))
	p.do(chromedp.Focus(chromedp.CSS(".tree")))
	p.press(kb.Home + kb.ArrowDown + kb.ArrowRight)
	p.fileAction("my notes.txt", "Download to this device")
	poll(ctx, t, "the file on this device", func() bool {
		b, err := os.ReadFile(filepath.Join(down, "my notes.txt"))
		return err == nil && string(b) == "notes"
	})
	o, err := p.rest.Torrent(ctx, hash)
	must(t, err)
	if o.Complete {
		t.Error("the torrent is complete before its sound is played")
	}

	p.click(`.tree button[aria-label="Play a sound.wav"]`)
	p.until("the sound to be played", `document.querySelector("dialog audio").readyState > 0`, "true")
	p.accessible("the player")
	p.press(kb.Escape)
	p.until("no player", `document.querySelector("dialog") === null`, "true")
}

// fileAction runs an action of the menu of a file or folder.
func (p *pageTest) fileAction(name, title string) {
	p.webPage.t.Helper()
	p.click(fmt.Sprintf(`.tree button[aria-label="Actions on %s"]`, name))
	p.webPage.click(byXPath(fmt.Sprintf(`//div[@role="menu"]//button[span[text()=%q]]`, title)))
}
