//go:build linux

package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
)

// looks are the sizes and colours in which the page is checked.
var looks = []struct {
	width int64
	dark  bool
}{{1280, false}, {1280, true}, {390, false}, {390, true}}

// A pageTest is the web page of a daemon in a browser.
type pageTest struct {
	*webPage
	*service
	url string
	axe string // the source of axe-core
}

// openPage starts a daemon and opens its page with a code, as seedbed open does.
func openPage(t *testing.T, ip string) *pageTest {
	takeBrowser(t)
	axe := axeSource(t)
	ctx := timeLimit(t)
	s := serve(t, ctx, ip, filepath.Join(shortDir(t), "s"), t.TempDir(), "--http", ip+":8009")
	url, err := s.rest.Page(ctx, api.ToAdd{})
	must(t, err)
	p := &pageTest{service: s, webPage: browse(t, ctx, url), url: "http://" + ip + ":8009/", axe: axe}
	p.until("the login with a code", `document.querySelector("main").textContent`, "There is no torrent yet")
	return p
}

// problem is what axe-core has found.
type problem struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// accessible checks what is shown with axe-core, and that nothing is wider than the screen.
func (p *pageTest) accessible(what string) {
	p.webPage.t.Helper()
	if evaluate[bool](p.webPage, `typeof axe === "undefined"`) {
		p.do(chromedp.Evaluate[chromedp.Void](p.axe + "; undefined"))
	}
	found := evaluate[string](p.webPage, `axe.run().then((r) => JSON.stringify(r.violations))`)
	var problems []problem
	must(p.webPage.t, json.Unmarshal([]byte(found), &problems))
	for _, x := range problems {
		if x.Impact == "serious" || x.Impact == "critical" {
			p.webPage.t.Errorf("%s: %s: %s (%s)\n%+v", what, x.Impact, x.Help, x.ID, x.Nodes)
		}
	}
	p.fits(what)
}

// fits checks that the page is not wider than the screen.
func (p *pageTest) fits(what string) {
	p.webPage.t.Helper()
	if over := evaluate[int](p.webPage, `Math.max(document.scrollingElement.scrollWidth, document.body.scrollWidth) - innerWidth`); over > 0 {
		p.webPage.t.Errorf("%s: the page is %d px wider than the screen", what, over)
	}
}

// inEveryLook calls check in every size and colour.
func (p *pageTest) inEveryLook(what string, check func(what string)) {
	p.webPage.t.Helper()
	for _, l := range looks {
		p.look(l.width, 800, l.dark)
		check(fmt.Sprintf("%s at %d px, dark: %v", what, l.width, l.dark))
	}
	p.look(1280, 800, false)
}

// paste pastes a text into the page.
func (p *pageTest) paste(text string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const d = new DataTransfer();
		d.setData("text/plain", %q);
		document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: d, bubbles: true, cancelable: true }));
	})()`, text)))
}

// dropFile drops a file onto the page.
func (p *pageTest) dropFile(name string, content []byte) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const d = new DataTransfer();
		d.items.add(new File([Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))], %q));
		document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: d, bubbles: true, cancelable: true }));
	})()`, base64.StdEncoding.EncodeToString(content), name)))
}

// click clicks the element that a selector of CSS names.
func (p *pageTest) click(selector string) {
	p.webPage.t.Helper()
	p.webPage.click(byCSS(selector))
}

// enter replaces the text of a field, as a person does.
func (p *pageTest) enter(selector, text string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.focus(); e.select(); })()`, selector)))
	if text == "" {
		text = kb.Backspace
	}
	p.press(text)
}

// rows is the number of torrents in the list, and names is their names.
const (
	rows  = `document.querySelectorAll(".rows .row").length`
	names = `[...document.querySelectorAll(".rows .row .name")].map((e) => e.textContent).join("|")`
)

// untilState waits until the daemon says that a torrent is in a state.
func (p *pageTest) untilState(hash, state string) {
	p.webPage.t.Helper()
	ctx := p.webPage.ctx
	poll(ctx, p.webPage.t, hash+" to be "+state, func() bool {
		o, err := p.rest.Torrent(ctx, hash)
		return err == nil && o.State == state
	})
}

// The page adds what is pasted and dropped, with a choice of files, and every action works by keyboard.
func TestPageAddsAndControlsTorrents(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.1")
	ctx := p.webPage.ctx
	files := tree(t, "things", 2<<20)
	run(t, "10.4.198.2", offline("seed", files.torrent, "-d", files.parent)...).wait(ctx, "ready")

	p.paste("look at this: " + files.from("10.4.198.2") + " it is good")
	p.until("the files of the link", `document.querySelector("dialog .file-tree").textContent`, "a first.bin")
	p.inEveryLook("the dialog that adds", p.accessible)
	p.click(`dialog .file-tree input[type="checkbox"]`)
	p.until("one file less", `document.querySelector("dialog .item > .folder").textContent`, " of ")
	p.enter(`dialog .fields label:nth-child(3) input`, "new, from the page"+kb.Enter)
	p.until("the torrent to be complete", `document.querySelector(".rows .row").textContent`, "100 %")
	o, err := p.rest.Torrent(ctx, files.infohash)
	must(t, err)
	if o.Wanted >= o.Size || strings.Join(o.Labels, "|") != "new|from the page" {
		t.Errorf("the torrent has %d of %d bytes and the labels %q", o.Wanted, o.Size, o.Labels)
	}

	p.paste(magnetOf(1) + "\n" + magnetOf(2))
	p.until("both links", `document.querySelectorAll("dialog .item").length`, "2")
	p.click(`dialog button[type="submit"]`)
	p.until("three torrents", rows, "3")
	p.until("no dialog", `document.querySelector("dialog") === null`, "true")
	single := newPayload(t, "dropped.bin", 32<<10, false, map[string]int{"": 100_000})
	content, err := os.ReadFile(single.torrent)
	must(t, err)
	p.dropFile("dropped.torrent", content)
	p.until("the file that was dropped", `document.querySelector("dialog .item").textContent`, "dropped.bin")
	p.click(`dialog label.check:last-child input`)
	p.click(`dialog button[type="submit"]`)
	p.untilState(single.infohash, "paused")
	p.until("four torrents", rows, "4")

	p.do(chromedp.Focus(chromedp.CSS(".list")))
	p.press("/")
	p.until("the search to have the keyboard", `document.activeElement.id`, "search")
	p.enter("#search", "things") // chromedp types the slash too
	p.until("the search", names, "things")
	p.until("one torrent", rows, "1")
	p.press(kb.Escape)
	p.press(kb.ArrowDown + "p")
	p.untilState(files.infohash, "paused")
	p.until("the torrent as paused", `document.querySelector(".row.selected .state").textContent`, "Paused")
	p.press("r")
	p.untilState(files.infohash, "seeding")
	p.enter("#search", "")
	p.press(kb.Escape)
	p.until("all torrents", rows, "4")

	p.click(`.filters ul:first-child li:last-child button`)
	p.until("the torrents that are complete", rows, "1")
	p.click(`.filters ul:first-child li:first-child button`)
	p.until("all torrents again", rows, "4")
	p.press("A", chromedp.ModifierCtrl)
	p.until("all to be selected", `document.querySelectorAll(".row.selected").length`, "4")
	p.press("p")
	for _, hash := range []string{files.infohash, single.infohash} {
		p.untilState(hash, "paused")
	}
	p.press(kb.Escape)
	p.press(kb.ArrowDown + kb.ArrowDown)
	p.until("one to be selected", `document.querySelectorAll(".row.selected").length`, "1")
	p.press(kb.Delete)
	p.until("the question", `document.querySelector("dialog h2").textContent`, "Remove")
	p.inEveryLook("the question before a removal", p.accessible)
	p.press(kb.Enter)
	p.until("the list without it", rows, "3")
	all, err := p.rest.List(ctx, remote.Filter{})
	must(t, err)
	if len(all) != 3 {
		t.Errorf("%d torrents after a removal", len(all))
	}
	p.press("?")
	p.until("the keys", `document.querySelector("dialog").textContent`, "Select all")
	p.inEveryLook("the keys", p.accessible)
	p.press(kb.Escape)
	p.noErrors()
}

// People log in with a token, or with a code that can carry a link. A page whose daemon goes away says so, keeps what it shows, and
// goes on when the daemon is back.
func TestPageLogsIn(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.3")
	ctx := p.webPage.ctx
	p.click(`button[aria-label="Log out"]`)
	p.until("the login", `document.querySelector("main").textContent`, "Log in")
	p.inEveryLook("the login", p.accessible)
	p.noErrors()
	p.enter("input[name=token]", "wrong"+kb.Enter)
	p.until("the error", `document.querySelector("[role=alert]").textContent`, "seedbed token new")
	p.accessible("a login that has failed")
	p.ignore("status of 401")
	reader, err := p.rest.NewToken(ctx, "reader", "read")
	must(t, err)
	p.enter("input[name=token]", reader.Text+kb.Enter)
	p.until("a session that may read", `document.querySelector("main").textContent`, "may only read")
	p.until("no views that need more", `document.querySelector("nav").textContent.includes("Settings")`, "false")

	url, err := p.rest.Page(ctx, api.ToAdd{Link: magnetOf(7) + "&dn=From+a+link"})
	must(t, err)
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
	p.until("the link of the code", `document.querySelector("dialog .item").textContent`, "From a link")
	p.until("the code to be out of the URL", `location.hash`, "#/torrents")
	p.click(`dialog button[type="submit"]`)
	p.until("the torrent", names, "From a link")
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(p.url))
	p.until("the session at another visit", names, "From a link")
	p.noErrors()
}

// hostileNames are names that a page must neither run nor be bent by.
var hostileNames = []string{
	`<img src=x onerror="window.hacked=1">`, `"><script>window.hacked=1</script>`, `javascript:window.hacked=1`, `${window.hacked=1}`,
	"left\u202egnp.exe\u2066", "zero\u200bwidth\u2028line", strings.Repeat("W", 1000), strings.Repeat("a long name ", 85), strings.Repeat("\u0300", 500),
	"\U0001F469\u200d\U0001F4BB\u6587\u5b57\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "  ", "..", "%00%0a&amp;",
}

func TestPageShowsHostileNames(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.4")
	ctx := p.webPage.ctx
	for i, name := range hostileNames {
		label := name
		if len(label) > 100 {
			label = label[:100]
		}
		body := api.AddBody{Link: magnetOf(100 + i), Name: name, Paused: true, Labels: []string{strings.TrimSpace(label) + "!"}, Category: strings.NewReplacer("/", "", "\\", "").Replace(strings.TrimSpace(label)) + "!"}
		if _, _, err := p.rest.Add(ctx, body); err != nil {
			body.Labels, body.Category = nil, "" // the daemon refuses some as labels
			_, _, err = p.rest.Add(ctx, body)
			must(t, err)
		}
	}
	info := map[string]any{"name": strings.Repeat("\u202e<b>", 20), "piece length": 16384, "pieces": string(bytes.Repeat([]byte{1}, 20)), "files": []any{
		map[string]any{"length": 1, "path": []any{`<img src=x onerror="window.hacked=1">`, strings.Repeat("x", 250)}}, map[string]any{"length": 1, "path": []any{"\u202etxt.exe\x00\x1b[31m"}}}}
	p.until("all torrents", rows, fmt.Sprint(len(hostileNames)))
	p.dropFile(`<b>"&.torrent`, bencode(nil, map[string]any{"comment": "<script>", "info": info}))
	p.until("the files", `document.querySelectorAll("dialog .file-tree li").length > 1`, "true")
	p.inEveryLook("a hostile .torrent file", p.accessible)
	p.click(`dialog button[type="submit"]`)
	p.until("that torrent", rows, fmt.Sprint(len(hostileNames)+1))
	p.do(chromedp.Evaluate[chromedp.Void](`localStorage.setItem("seedbed.list", JSON.stringify({ columns: ["labels", "category", "folder", "state"], sort: "name" }))`), chromedp.Reload())
	p.until("all torrents again", rows, fmt.Sprint(len(hostileNames)+1))
	p.inEveryLook("hostile names", func(what string) {
		p.fits(what)
		if over := evaluate[string](p.webPage, `[...document.querySelectorAll(".rows .row")].filter((r) => r.offsetHeight > 60 || [...r.children].some((c) => c.offsetHeight > 60)).map((r) => r.textContent).join()`); over != "" {
			t.Errorf("%s: rows are too high: %q", what, over)
		}
		if evaluate[bool](p.webPage, `"hacked" in window`) {
			t.Fatalf("%s: a name was run", what)
		}
	})
	p.accessible("hostile names")
	p.until("the names", names, "(blank)")
	shown := evaluate[string](p.webPage, names)
	if strings.ContainsAny(shown, "\u202e\u200b\u2028\x01\x1b") {
		t.Errorf("invisible characters are shown: %q", shown)
	}
	p.noErrors()
}

// A page whose daemon ends says so, and keeps what it shows.
func TestPageSaysThatTheDaemonIsGone(t *testing.T) {
	t.Parallel()
	p := openPage(t, "10.4.198.5")
	ctx := p.webPage.ctx
	_, _, err := p.rest.Add(ctx, api.AddBody{Link: magnetOf(5), Paused: true})
	must(t, err)
	p.until("the torrent", rows, "1")
	p.noErrors()
	p.stop()
	p.until("that the daemon does not answer", `document.querySelector(".offline").textContent`, "does not answer")
	p.until("the torrent all the same", rows, "1")
	p.inEveryLook("offline", p.accessible)
}
