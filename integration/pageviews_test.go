//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"seedbed/node/api"
)

// A viewTest is the web page of a daemon that takes part in the DHT.
type viewTest struct {
	*webPage
	*service
	dir      string   // of the daemon, for torrents
	axe      string   // the source of axe-core
	other    *service // another daemon in the DHT
	otherDir string
}

// openViews starts two daemons that know each other in the DHT, and opens the page of the first, which gets more arguments.
func openViews(t *testing.T, ip, otherIP string, more ...string) *viewTest {
	takeBrowser(t)
	axe := axeSource(t)
	ctx := timeLimit(t)
	dir, otherDir := t.TempDir(), t.TempDir()
	other := serve(t, ctx, otherIP, filepath.Join(shortDir(t), "s"), otherDir, "--no-dht=false", "--bootstrap", endpoint(ip))
	s := serve(t, ctx, ip, filepath.Join(shortDir(t), "s"), dir, append(more, "--http", ip+":8009", "--no-dht=false", "--bootstrap", endpoint(otherIP))...)
	url, err := s.rest.Page(ctx, api.ToAdd{})
	must(t, err)
	p := &viewTest{service: s, webPage: browse(t, ctx, url), dir: dir, axe: axe, other: other, otherDir: otherDir}
	p.shows("There is no torrent yet")
	poll(ctx, t, "the daemons to know each other", func() bool {
		var status struct {
			Good int `json:"good_nodes"`
		}
		b, err := s.send(ctx, "GET", "/v1/dht", "", nil)
		return err == nil && json.Unmarshal(b, &status) == nil && status.Good > 0
	})
	return p
}

// within is the open dialog, or the page without one.
const within = `([...document.querySelectorAll("dialog[open]")].pop() || document)`

// shows waits until the page shows a text.
func (p *viewTest) shows(text string) {
	p.webPage.t.Helper()
	p.until(fmt.Sprintf("the text %q", text), within+`.textContent || document.body.innerText`, text)
}

// view opens a view.
func (p *viewTest) view(hash, text string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (location.hash = %q)`, hash)))
	p.until("the view "+hash, `document.querySelector("main").innerText`, text)
}

// pressButton clicks the button or the like that has a text.
func (p *viewTest) pressButton(text string) {
	p.webPage.t.Helper()
	p.until("the button "+text, fmt.Sprintf(`(() => {
		const e = [...%s.querySelectorAll("button, summary, a")].find((e) => e.textContent.includes(%q) && !e.disabled);
		e.click();
		return "clicked";
	})()`, within, text), "clicked")
}

// answer clicks the button of the open dialog that has a text, and waits until the dialog is another or closed.
func (p *viewTest) answer(text string) {
	p.webPage.t.Helper()
	p.until("the button "+text+" of the dialog", fmt.Sprintf(`(() => {
		const e = [...document.querySelectorAll("dialog[open] footer button")].find((e) => e.textContent.includes(%q) && !e.disabled);
		window.answered = e.closest("dialog");
		e.click();
		return "clicked";
	})()`, text), "clicked")
	p.until("the end of the dialog", `answered.isConnected`, "false")
}

// fill enters a value into the field with a label, as its events tell the page.
func (p *viewTest) fill(label, value string) {
	p.webPage.t.Helper()
	p.until("the field "+label, fmt.Sprintf(`(() => {
		const e = [...%s.querySelectorAll("label")].find((l) => l.textContent.startsWith(%q)).control;
		e.value = %q;
		for (const name of ["input", "change"]) e.dispatchEvent(new Event(name, { bubbles: true }));
		return "filled";
	})()`, within, label, value), "filled")
}

// accessible checks what is shown with axe-core, and that it fits into 390 px.
func (p *viewTest) accessible(what string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](`window.axe || (() => {` + p.axe + `})(); undefined`))
	for _, width := range []int64{390, 1280} {
		p.do(chromedp.EmulateViewport(width, 900))
		found, err := chromedp.Run(p.webPage.ctx, chromedp.Evaluate[string](`axe.run({ preload: false }).then((r) =>
			r.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => v.help + ": " + v.nodes.map((n) => n.html).join("  ")).join("\n")
			+ (document.querySelector("main").scrollWidth > innerWidth ? "too wide" : ""))`, chromedp.EvalAwaitPromise))
		must(p.webPage.t, err)
		if found != "" {
			p.webPage.t.Errorf("%s at %d px: %s", what, width, found)
		}
	}
}

// The page publishes a folder, its next version and an earlier one again, compares them, asks who holds it, and ends it; it follows what
// another daemon publishes, and stops.
func TestPagePublishesAndFollows(t *testing.T) {
	t.Parallel()
	p := openViews(t, "10.4.199.1", "10.4.199.2")
	ctx := p.webPage.ctx
	folder := filepath.Join(p.dir, "things")
	must(t, os.MkdirAll(folder, 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "kept.txt"), []byte("kept"), 0o644))

	p.view("#/publications", "Nothing is published yet")
	p.accessible("no publications")
	p.pressButton("Publish a folder")
	p.fill("Folder or file", folder)
	p.fill("Key", "things")
	p.accessible("the dialog of a new publication")
	p.answer("Publish")
	p.shows("Version 1 is published")
	p.answer("Show it")
	p.until("the publication", `document.querySelector("main h1").textContent`, "things")
	must(t, os.WriteFile(filepath.Join(folder, "new.txt"), []byte("new"), 0o644))
	p.pressButton("Publish the next version")
	p.until("two versions", `document.querySelectorAll("main tbody tr").length`, "2")
	p.pressButton("Differences between")
	p.until("the file that was added", `document.querySelector(".files-added").textContent`, "new.txt")
	p.pressButton("Go back to version 1")
	p.answer("Publish version 1 again")
	p.until("three versions", `document.querySelectorAll("main tbody tr").length`, "3")
	p.pressButton("Ask the DHT")
	p.until("the holder", `document.querySelector("main").innerText`, "1 DHT node")
	p.accessible("a publication")
	p.pressButton("End…")
	p.answer("End")
	p.until("the end", `document.querySelector("main tbody").textContent`, "ended")
	p.accessible("the publications")

	theirs := filepath.Join(p.otherDir, "theirs")
	must(t, os.MkdirAll(theirs, 0o755))
	must(t, os.WriteFile(filepath.Join(theirs, "a.txt"), []byte("theirs"), 0o644))
	_, err := p.other.rest.Publish(ctx, api.PublishBody{Key: "theirs", Path: theirs})
	must(t, err)
	link := ""
	poll(ctx, t, "the publication of the other daemon", func() bool {
		list, err := p.other.rest.Publications(ctx, false)
		if err == nil && len(list) == 1 {
			link = list[0].Link
		}
		return link != ""
	})
	p.view("#/follows", "Nothing is followed yet")
	p.accessible("no follows")
	p.pressButton("Follow a link")
	p.fill("Link", link)
	p.accessible("the dialog of a new follow")
	p.answer("Follow")
	p.until("the first version", `document.querySelector("main .facts-list").textContent`, "none found")
	p.until("it on disk", `document.querySelector("main tbody").textContent`, "current")
	p.accessible("a follow")
	p.pressButton("Stop following")
	p.answer("Stop following")
	p.until("the end of the follow", `document.querySelector("main").innerText`, "Nothing is followed yet")

	f, _, err := p.rest.Follow(ctx, api.FollowBody{Link: link, Poll: 1})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(theirs, "b.txt"), []byte("new"), 0o644))
	_, err = p.other.rest.Publish(ctx, api.PublishBody{Key: "theirs", Path: theirs})
	must(t, err)
	p.view("#/follows/"+f.Target, "Current version")
	p.until("both versions", `document.querySelectorAll("main tbody tr").length`, "2")
	p.pressButton("Go back to it")
	p.until("the earlier version", `document.querySelector("main .facts-list").innerText`, "1 stays")
	p.accessible("a follow that stays")
	p.pressButton("Continue with the newest")
	p.until("the newest version", `document.querySelector("main tbody tr").textContent`, "current")
	p.noErrors()
}

// The page shows the DHT, looks up, stores and finds, runs the doctor, changes settings, and makes and revokes tokens. A session that may
// only read sees why it may not do more.
func TestPageOperatesTheNode(t *testing.T) {
	t.Parallel()
	p := openViews(t, "10.4.199.3", "10.4.199.4")
	p.view("#/dht", "Nodes by distance and age")
	p.until("the other node", `document.querySelector("main tbody").textContent`, "10.4.199.4")
	p.until("the plot", `document.querySelector("main svg[role=img]").getAttribute("aria-label")`, "1 node")
	p.accessible("the nodes")
	p.view("#/dht/lookup", "Infohash")
	p.fill("Infohash", strings.Repeat("ab", 20))
	p.pressButton("Look up")
	p.until("the lookup", `document.querySelector(".lookup").innerText`, "It took")
	p.until("who was asked", `document.querySelector(".lookup tbody").textContent`, "answered")
	p.accessible("a lookup")
	p.view("#/dht/items", "Put an item")
	p.fill("Value", "from the page")
	p.pressButton("Put")
	p.until("the item", `document.querySelector("main").innerText`, "The item is stored")
	p.do(chromedp.Evaluate[chromedp.Void](`window.target = document.querySelector('[aria-label="Stored item"] input').value; undefined`))
	p.do(chromedp.Evaluate[chromedp.Void](`(() => { const e = document.querySelector("main input"); e.value = target; e.dispatchEvent(new Event("input", { bubbles: true })); })()`))
	p.pressButton("Get")
	p.until("the value", `document.querySelector("main textarea[readonly]").value`, "from the page")
	p.accessible("the items")

	p.view("#/doctor", "Nothing has been checked")
	p.pressButton("Run the checks")
	p.until("the findings", `document.querySelector(".findings").innerText`, "Checked")
	p.until("that no step is left", `document.querySelector("main").innerText.includes("Waits for its turn")`, "false")
	p.accessible("the findings")

	p.view("#/settings", "Seeding goals")
	p.fill("Port", "99999")
	p.fill("Seed ratio", "2")
	p.pressButton("Save")
	p.until("the error at the field", `document.querySelector("#setting-port-error").textContent`, "65535")
	p.accessible("settings with an error")
	p.ignore("status of 400")
	p.fill("Port", "6999")
	p.pressButton("Save")
	p.until("no drafts", `document.querySelector(".save-bar") === null`, "true")
	ctx := p.webPage.ctx
	settings, err := p.send(ctx, "GET", "/v1/settings", "", nil)
	must(t, err)
	for _, want := range []string{`"setting":"port","value":"6999"`, `"setting":"seed-ratio","value":"2"`} {
		if !strings.Contains(string(settings), want) {
			t.Errorf("the settings lack %s", want)
		}
	}

	p.view("#/tokens", "New token")
	p.pressButton("New token")
	p.fill("Name", "reader")
	p.answer("Create")
	p.until("the secret", within+`.querySelector("input[readonly]").value`, "sbt_")
	p.do(chromedp.Evaluate[chromedp.Void](`window.secret = ` + within + `.querySelector("input[readonly]").value; undefined`))
	p.accessible("the secret of a token")
	p.answer("Close")
	p.pressButton("New token")
	p.fill("Name", "unused")
	p.answer("Create")
	p.until("another secret", within+`.querySelector("input[readonly]").value`, "sbt_")
	p.answer("Close")
	p.until("both tokens", `document.querySelectorAll("main tbody tr").length >= 2`, "true")
	p.accessible("the tokens")
	p.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("main tbody tr")].find((r) => r.textContent.includes("unused")).querySelector("button").click()`))
	p.answer("Revoke")
	p.until("no such token", `document.querySelector("main tbody").textContent.includes("unused")`, "false")
	p.noErrors()

	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('button[aria-label="Log out"]').click()`))
	p.until("the login", `document.querySelector("main").innerText`, "Log in")
	p.do(chromedp.Evaluate[chromedp.Void](`(() => { const e = document.querySelector("input[name=token]"); e.value = secret; e.dispatchEvent(new Event("input", { bubbles: true })); })()`))
	p.pressButton("Log in")
	p.until("the session", `document.querySelector("nav") !== null`, "true")
	p.view("#/publications", "This session may not publish")
	p.pressButton("New publication")
	p.until("why not", `document.querySelector(".toasts").innerText`, "token of the scope admin")
	p.accessible("a session that may only read")
}
