//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
	"seedbed/node/view"
)

// A listTest is the list of torrents in a browser. Two of its torrents have data and a peer, six are links without one.
type listTest struct {
	*pageTest
	things, film *payload
	dir          string            // with their data
	hashes       map[string]string // by name
}

// openList adds the torrents of a listTest and sorts them by name.
func openList(t *testing.T, ip, peer string) *listTest {
	p := &listTest{pageTest: openPage(t, ip), things: tree(t, "things", 1<<20), film: single(t, "film.bin", 300_000), hashes: map[string]string{}}
	ctx := p.webPage.ctx
	p.film.write(t, p.things.parent)
	run(t, peer, offline("seed", p.things.torrent, p.film.torrent, "-d", p.things.parent)...).wait(ctx, "ready")
	bodies := []api.AddBody{
		{Link: p.things.from(peer), Labels: []string{"kept"}, Category: "data/folders"},
		{Link: p.film.from(peer), Labels: []string{"kept", "single"}, Category: "data"},
	}
	for i := range 6 {
		bodies = append(bodies, api.AddBody{Link: magnetOf(i + 1), Name: fmt.Sprint("show ", i+1), Paused: true})
	}
	for _, b := range bodies {
		o, _, err := p.rest.Add(ctx, b)
		must(t, err)
		p.dir = o.Dir
	}
	p.untilState(p.things.infohash, "seeding")
	p.untilState(p.film.infohash, "seeding")
	all, err := p.rest.List(ctx, remote.Filter{})
	must(t, err)
	for _, o := range all {
		p.hashes[o.Name] = o.InfoHash
	}
	p.click(`.list-head [role="columnheader"]:first-child button`)
	p.shows("film.bin|show 1|show 2|show 3|show 4|show 5|show 6|things")
	return p
}

// shows waits until the list has exactly these names, in this order.
func (p *listTest) shows(names string) {
	p.webPage.t.Helper()
	p.until("the list "+names, inOrder(".rows .row"), "["+names+"]")
}

// selects waits until exactly these names are selected.
func (p *listTest) selects(names string) {
	p.webPage.t.Helper()
	p.until("the selection of "+names, inOrder(".rows .row.selected"), "["+names+"]")
}

// inOrder is the names of rows from the top, in brackets. The document has them in another order.
func inOrder(rows string) string {
	return fmt.Sprintf(`"[" + [...document.querySelectorAll(%q)].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((e) => e.querySelector(".name").textContent).join("|") + "]"`, rows)
}

// at returns the middle of the row of a torrent.
func (p *listTest) at(name string) (x, y float64) {
	p.webPage.t.Helper()
	p.until("the rows to have the height of this size", `(({ clientWidth, classList }) => classList.contains("list-compact") === clientWidth < 700)(document.querySelector(".list"))`, "true")
	at := evaluate[[]float64](p.webPage, fmt.Sprintf(`(() => { const r = document.getElementById("row-" + %q).getBoundingClientRect(); return [r.left + 100, r.top + r.height / 2]; })()`, p.hashes[name]))
	return at[0], at[1]
}

// clickRow clicks the row of a torrent.
func (p *listTest) clickRow(name string, options ...chromedp.MouseOption) {
	p.webPage.t.Helper()
	x, y := p.at(name)
	p.do(chromedp.MouseClickXY(x, y, options...))
}

// drag draws the mouse over rows while its button is down.
func (p *listTest) drag(names ...string) {
	p.webPage.t.Helper()
	left := func(e *input.DispatchMouseEventParams) {
		e.Button, e.Buttons, e.ClickCount = input.MouseButtonLeft, 1, 1
	}
	x, y := p.at(names[0])
	p.do(chromedp.MouseEvent(chromedp.MousePressed, x, y, left))
	for _, n := range names {
		x, y = p.at(n)
		p.do(chromedp.MouseEvent(chromedp.MouseMoved, x, y, left))
	}
	p.do(chromedp.MouseEvent(chromedp.MouseReleased, x, y, left))
}

// untilFocus waits until an element that a selector of CSS names has the keyboard.
func (p *listTest) untilFocus(selector string) {
	p.webPage.t.Helper()
	p.until("the focus on "+selector, fmt.Sprintf(`document.activeElement.matches(%q)`, selector), "true")
}

// untilClosed waits until no dialog and no menu is open, and checks that the list has the keyboard again.
func (p *listTest) untilClosed() {
	p.webPage.t.Helper()
	p.until("no dialog", `document.querySelector("dialog, .menu") === null`, "true")
	p.untilFocus(".list")
}

// choose clicks an item of the open menu.
func (p *listTest) choose(title string) {
	p.webPage.t.Helper()
	p.webPage.click(byXPath(fmt.Sprintf(`//div[@role="menu"]//button[span[starts-with(text(), %q)]]`, title)))
}

// untilEach waits until the daemon says something of torrents.
func (p *listTest) untilEach(what string, is func(*view.Torrent) bool, names ...string) {
	p.webPage.t.Helper()
	for _, n := range names {
		p.untilTorrent(what+" of "+n, p.hashes[n], is)
	}
}

// Everything that one can do with the list works, by mouse and by keyboard, and the daemon has done it. axe-core finds nothing serious,
// and no action leaves the keyboard nowhere.
func TestPageControlsTheList(t *testing.T) {
	t.Parallel()
	p := openList(t, "10.4.204.1", "10.4.204.2")
	p.selectsByMouse()
	p.selectsByKeyboard()
	p.hasMenus()
	p.stopsAndChecks()
	p.changesSeveral()
	p.ordersAndChoosesColumns()
	p.queues()
	p.copies()
	p.searchesAndFilters()
	p.noErrors()
	p.fitsAPhone()
	p.removes()
	p.noErrors()
}

func (p *listTest) selectsByMouse() {
	shift, ctrl := chromedp.ButtonModifiers(chromedp.ModifierShift), chromedp.ButtonModifiers(chromedp.ModifierCtrl)
	p.clickRow("show 2")
	p.selects("show 2")
	p.clickRow("show 4", shift)
	p.selects("show 2|show 3|show 4")
	p.clickRow("show 3", ctrl)
	p.selects("show 2|show 4")
	p.clickRow("things", ctrl)
	p.selects("show 2|show 4|things")
	p.drag("show 1", "show 2", "show 3", "show 4")
	p.selects("show 1|show 2|show 3|show 4")
	p.drag("show 5", "show 4", "show 3", "show 4")
	p.selects("show 4|show 5")
	p.untilFocus(".list")
	p.inEveryLook("the list with a selection", p.accessible)
}

func (p *listTest) selectsByKeyboard() {
	p.press(kb.Escape)
	p.selects("")
	p.press(kb.Home)
	p.selects("film.bin")
	p.press(kb.ArrowDown, chromedp.ModifierShift)
	p.selects("film.bin|show 1")
	p.press(kb.ArrowDown + kb.ArrowDown)
	p.selects("show 3")
	p.press(kb.ArrowDown+kb.ArrowDown, chromedp.ModifierCtrl)
	p.selects("show 3")
	p.press(" ")
	p.selects("show 3|show 5")
	p.press(kb.ArrowUp, chromedp.ModifierCtrl)
	p.press(" ", chromedp.ModifierCtrl)
	p.selects("show 3|show 4|show 5")
	p.press(kb.End, chromedp.ModifierShift)
	p.selects("show 4|show 5|show 6|things")
	p.press("A", chromedp.ModifierCtrl)
	p.until("how many are selected", `document.querySelector(".selected-count").textContent`, "8 selected")
	p.press("?")
	p.until("the keys", `document.querySelector("dialog").textContent`, "Alt+↑")
	p.press(kb.Escape)
	p.untilClosed()
	p.press(kb.Home + kb.Enter)
	p.until("the details", details, "film.bin")
	p.press(kb.Escape)
	p.until("no details", `document.querySelector(".details") === null`, "true")
	p.selects("")
	p.untilFocus(".list")
}

func (p *listTest) hasMenus() {
	ctx := p.webPage.ctx
	p.clickRow("show 3", chromedp.ButtonRight)
	p.selects("show 3")
	p.untilFocus(".menu button")
	p.inEveryLookOfMenu("show 3")
	p.clickRow("show 3", chromedp.ButtonRight)
	p.untilFocus(".menu button")
	p.choose("Labels and category")
	p.untilDialog()
	p.enter("dialog input", "tv, <b>old</b>")
	p.enter(`dialog input[list="categories"]`, "data/shows"+kb.Enter)
	p.untilEach("the labels and the category", func(o *view.Torrent) bool {
		return slices.Equal(o.Labels, []string{"tv", "<b>old</b>"}) && o.Category == "data/shows"
	}, "show 3")
	p.untilClosed()

	p.clickRow("show 4", chromedp.ButtonModifiers(chromedp.ModifierShift))
	p.selects("show 3|show 4")
	p.press(kb.F10, chromedp.ModifierShift)
	p.untilFocus(".menu button")
	p.press(kb.Escape)
	p.untilClosed()
	p.press(kb.F10, chromedp.ModifierShift)
	p.untilFocus(".menu button")
	p.press(kb.ArrowDown + kb.ArrowDown + kb.ArrowDown)
	p.until("the fourth item", `document.activeElement.textContent`, "Labels and category")
	p.press(kb.Enter)
	p.untilDialog()
	p.enter("dialog input", "both"+kb.Enter)
	p.untilEach("another label", func(o *view.Torrent) bool { return slices.Contains(o.Labels, "both") }, "show 3", "show 4")
	o, err := p.rest.Torrent(ctx, p.hashes["show 3"])
	must(p.webPage.t, err)
	if len(o.Labels) != 3 || o.Category != "data/shows" {
		p.webPage.t.Errorf("a change of two torrents has left the labels %q and the category %q of the first", o.Labels, o.Category)
	}
	p.untilClosed()
}

// inEveryLookOfMenu checks the menu of a torrent in every size. A page that changes its size closes its menus.
func (p *listTest) inEveryLookOfMenu(name string) {
	p.press(kb.Escape)
	for _, l := range looks {
		p.look(l.width, 800, l.dark)
		p.clickRow(name, chromedp.ButtonRight)
		p.untilFocus(".menu button")
		p.accessible(fmt.Sprintf("the menu at %d px, dark: %v", l.width, l.dark))
		p.press(kb.Escape)
		p.untilClosed()
	}
	p.look(1280, 800, false)
}

func (p *listTest) stopsAndChecks() {
	t := p.webPage.t
	p.clickRow("film.bin")
	p.clickRow("things", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	p.selects("film.bin|things")
	p.webPage.click(byXPath(`//div[@class="toolbar"]//button[span="Pause"]`))
	p.untilEach("the pause", func(o *view.Torrent) bool { return o.State == "paused" }, "film.bin", "things")
	p.press("r")
	p.untilEach("the end of the pause", func(o *view.Torrent) bool { return o.State == "seeding" }, "film.bin", "things")
	for _, f := range p.last() { // a piece of each
		damaged := bytes.Clone(f.data)
		damaged[len(damaged)-1]++
		must(t, os.WriteFile(filepath.Join(p.dir, f.path), damaged, 0o644))
	}
	p.press("c")
	poll(p.webPage.ctx, t, "the check to find what is damaged, and the peer to send it again", func() bool { return p.isIntact(p.dir) })
	p.untilEach("the check", func(o *view.Torrent) bool { return o.State == "seeding" }, "film.bin", "things")
	p.untilFocus("button") // that was clicked
	p.do(chromedp.Focus(chromedp.CSS(".list")))
}

// last returns the last file of each torrent with data.
func (p *listTest) last() []file {
	return []file{p.film.files[0], p.things.files[len(p.things.files)-1]}
}

// isIntact reports whether these files are below dir, with their data.
func (p *listTest) isIntact(dir string) bool {
	return !slices.ContainsFunc(p.last(), func(f file) bool {
		b, err := os.ReadFile(filepath.Join(dir, f.path))
		return err != nil || !bytes.Equal(b, f.data)
	})
}

func (p *listTest) changesSeveral() {
	t, ctx := p.webPage.t, p.webPage.ctx
	limit := int64(5000)
	_, err := p.rest.Change(ctx, p.hashes["things"], api.TorrentChange{UpLimit: &limit, Labels: &[]string{"kept", "limited"}})
	must(t, err)
	p.until("the change of another program", `document.querySelector(".filters").textContent`, "limited")
	p.press("L")
	p.untilDialog()
	p.until("that the limits of upload differ", `document.querySelectorAll("dialog input[type=number]")[1].placeholder`, "different")
	p.inEveryLook("the limits of two torrents", p.accessible)
	p.enter("dialog input[type=number]", "700"+kb.Enter)
	p.untilEach("the limit", func(o *view.Torrent) bool { return o.DownLimit == 700_000 }, "film.bin", "things")
	p.untilClosed()
	for name, want := range map[string]int64{"film.bin": 0, "things": limit} {
		o, err := p.rest.Torrent(ctx, p.hashes[name])
		must(t, err)
		if o.UpLimit != want {
			t.Errorf("a change of the limit of downloads has made the limit of uploads of %s %d, not %d", name, o.UpLimit, want)
		}
	}

	p.press("m")
	p.untilDialog()
	to := filepath.Join(p.dir, "elsewhere")
	p.enter("dialog input", to+kb.Enter)
	p.untilEach("the move", func(o *view.Torrent) bool { return o.Dir == to && o.MoveTo == "" }, "film.bin", "things")
	if !p.isIntact(to) {
		t.Error("the data is not in the new folder")
	}
	p.untilClosed()

	p.press(kb.F2) // for one torrent only
	p.clickRow("show 6")
	p.press(kb.F2)
	p.untilDialog()
	p.enter("dialog input", "renamed show"+kb.Enter)
	p.untilEach("the name", func(o *view.Torrent) bool { return o.Name == "renamed show" }, "show 6")
	p.untilClosed()
	p.shows("film.bin|renamed show|show 1|show 2|show 3|show 4|show 5|things")
	p.hashes["renamed show"] = p.hashes["show 6"]
}

// places waits until torrents have these places in the queue, and the list shows them in its last column.
func (p *listTest) places(want map[string]int) {
	p.webPage.t.Helper()
	for name, place := range want {
		p.untilTorrent(fmt.Sprintf("%s to be at place %d", name, place), p.hashes[name], func(o *view.Torrent) bool { return o.Place == place })
		p.until(fmt.Sprintf("place %d of %s", place, name), fmt.Sprintf(`"#" + document.getElementById("row-%s").lastChild.textContent + "."`, p.hashes[name]), fmt.Sprintf("#%d.", place))
	}
}

func (p *listTest) queues() {
	p.places(map[string]int{"things": 1, "film.bin": 2, "show 1": 3, "show 2": 4})
	p.clickRow("show 1")
	p.clickRow("show 2", chromedp.ButtonModifiers(chromedp.ModifierShift))
	p.selects("show 1|show 2")
	p.press(kb.PageUp, chromedp.ModifierAlt)
	p.places(map[string]int{"show 1": 1, "show 2": 2, "things": 3})
	p.clickRow("things", chromedp.ButtonModifiers(chromedp.ModifierCtrl))
	p.selects("show 1|show 2|things")
	p.press(kb.ArrowUp, chromedp.ModifierAlt) // all three are at the top already
	p.press(kb.ArrowDown, chromedp.ModifierAlt)
	p.places(map[string]int{"film.bin": 1, "show 1": 2, "show 2": 3, "things": 4})
	p.press(kb.PageDown, chromedp.ModifierAlt)
	p.places(map[string]int{"show 1": 6, "show 2": 7, "things": 8})
	p.press(kb.ArrowUp, chromedp.ModifierAlt)
	p.places(map[string]int{"show 1": 5, "show 2": 6, "things": 7})
	p.untilFocus(".list")
}

func (p *listTest) copies() {
	p.press("y")
	p.until("the message", `document.querySelector(".toasts").textContent`, "3 magnet links")
	p.untilFocus(".list")
	p.enter("#search", "")
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kb.KeyDown, Key: "v", Modifiers: int64(chromedp.ModifierCtrl), Commands: []string{"paste"}})
		return err
	}))
	p.until("the links in the clipboard", `document.querySelector("#search").value.split("magnet:?xt=urn:btih:").length`, "4")
	p.until("no torrent with that name", `document.querySelector(".empty").textContent`, "No torrent matches the filter")
	p.accessible("a search without a result")
	p.pressButtonIn(".empty")
}

// pressButtonIn clicks the button within an element.
func (p *listTest) pressButtonIn(selector string) {
	p.webPage.t.Helper()
	p.click(selector + " button")
	p.until("all torrents", rows, "8")
	p.untilFocus(".list")
}

func (p *listTest) searchesAndFilters() {
	p.press("/")
	p.untilFocus("#search")
	for text, want := range map[string]string{"show old": "show 3", "elsewhere": "film.bin|things", "single": "film.bin", p.hashes["show 5"]: "show 5", "data/shows": "show 3"} {
		p.enter("#search", text)
		p.shows(want)
	}
	p.enter("#search", "show")
	p.press(kb.Enter)
	p.untilFocus(".list")
	p.press(kb.ArrowDown)
	p.selects("renamed show")
	p.filter("State", "Paused")
	p.do(chromedp.Evaluate[chromedp.Void](`void (location.hash = "#/tokens")`))
	p.until("another view", `document.querySelector("main h1").textContent`, "Tokens")
	p.press("1")
	p.shows("renamed show|show 1|show 2|show 3|show 4|show 5") // the search and the filter are as they were
	p.enter("#search", "")
	p.press(kb.Escape)
	p.untilFocus(".list")

	for _, f := range []struct{ group, name, want string }{
		{"State", "All", "film.bin|renamed show|show 1|show 2|show 3|show 4|show 5|things"}, {"State", "Seeding", "film.bin|things"}, {"State", "All", ""},
		{"Categories", "data", "film.bin|show 3|things"}, {"Labels", "kept", "film.bin|things"}, {"Labels", "kept", "film.bin|show 3|things"},
		{"Categories", "data/shows", "show 3"}, {"State", "All", ""}, {"Folders", p.dir, "renamed show|show 1|show 2|show 3|show 4|show 5"},
	} {
		p.filter(f.group, f.name)
		if f.want != "" {
			p.shows(f.want)
		}
	}
	p.inEveryLook("a filtered list", p.accessible)
	p.filter("State", "All")
	p.until("all torrents", rows, "8")
}

// filter clicks a filter beside the list.
func (p *listTest) filter(group, name string) {
	p.webPage.t.Helper()
	nth := evaluate[int](p.webPage, fmt.Sprintf(`["State", ...[...document.querySelectorAll(".filters h2")].map((e) => e.textContent)].indexOf(%q)`, group))
	p.until("the filter "+name, fmt.Sprintf(`(() => {
		[...document.querySelectorAll(".filters ul")[%d].querySelectorAll("button")].find((b) => b.firstChild.textContent === %q).click();
		return "clicked";
	})()`, nth, name), "clicked")
}

func (p *listTest) ordersAndChoosesColumns() {
	const heads = `[...document.querySelectorAll('.list-head [role="columnheader"]')].map((e) => e.textContent).join("|")`
	menu := func() {
		p.webPage.t.Helper()
		p.do(chromedp.Focus(chromedp.CSS(`button[aria-label="Columns and order"]`)))
		p.press(kb.Enter)
		p.untilFocus(".menu button")
	}
	menu()
	p.choose("Queue")
	p.choose("Ratio")
	p.until("the chosen columns", heads, "Name|Size|Done|State|Down|Up|Time left|Peers|Queue")
	p.accessible("the menu of the columns")
	p.webPage.click(byXPath(`(//div[@role="menu"]//button[span="Queue"])[2]`)) // by which to sort
	p.press(kb.Escape)
	p.untilFocus(`button[aria-label="Columns and order"]`)
	byPlace := "things|film.bin|show 1|show 2|show 3|show 4|show 5|renamed show"
	p.shows(byPlace)
	p.do(chromedp.Reload())
	p.shows(byPlace)
	p.until("the columns after a reload", heads, "Peers|Queue")
	p.webPage.click(byXPath(`//div[@class="list-head"]//button[text()="Queue"]`))
	p.until("the other direction", `document.querySelector('[aria-sort="descending"]').textContent`, "Queue")
	list := strings.Split(byPlace, "|")
	slices.Reverse(list)
	p.shows(strings.Join(list, "|"))
	p.webPage.click(byXPath(`//div[@class="list-head"]//button[text()="Name"]`))
}

// fitsAPhone does on a narrow page what is elsewhere there.
func (p *listTest) fitsAPhone() {
	p.look(390, 800, true)
	menu := func() {
		p.webPage.t.Helper()
		p.click(`button[aria-label="Filter and sort"]`)
		p.untilFocus(".menu button")
	}
	for _, f := range []struct{ title, want string }{{"kept", "film.bin|things"}, {"data/shows", "show 3"}, {p.dir, "renamed show|show 1|show 2|show 3|show 4|show 5"}} {
		menu()
		p.choose(f.title + " (")
		p.until("the filter as chosen", `document.activeElement.ariaChecked`, "true")
		p.accessible("the menu of the filters")
		p.press(kb.Escape)
		p.shows(f.want)
		p.until("a sign of the filter", `document.querySelector(".is-filtered") !== null`, "true")
		menu()
		p.choose("All (")
		p.press(kb.Escape)
	}
	menu()
	p.choose("kept (")
	p.press(kb.Escape)
	menu()
	p.choose("Select all")
	p.selects("film.bin|things")
	p.click(`.toolbar button[title^="Pause"]`)
	p.untilEach("the pause", func(o *view.Torrent) bool { return o.State == "paused" }, "film.bin", "things")
	p.clickRow("things")
	p.until("the details", details, "things")
	p.untilFocus(".details")
	p.click(`button[aria-label="Close the details"]`)
	p.untilFocus(".list")
	menu()
	p.choose("All (")
	p.press(kb.Escape)
	p.until("all torrents", rows, "8")
	p.look(1280, 800, false)
}

func (p *listTest) removes() {
	t, ctx := p.webPage.t, p.webPage.ctx
	left := func(n int) {
		t.Helper()
		poll(ctx, t, fmt.Sprint(n, " torrents"), func() bool {
			all, err := p.rest.List(ctx, remote.Filter{})
			return err == nil && len(all) == n
		})
		p.until("the list without it", rows, fmt.Sprint(n))
		p.untilClosed()
	}
	dir := filepath.Join(p.dir, "elsewhere")
	p.clickRow("film.bin")
	p.webPage.click(byXPath(`//div[@class="toolbar"]//button[span="Remove…"]`))
	p.untilDialog()
	p.inEveryLook("the question before a removal", p.accessible)
	p.press(kb.Enter)
	left(7)
	if !p.isIntact(dir) {
		t.Error("the data is gone with a torrent that was removed without it")
	}
	p.press(" ") // the keyboard is at the next torrent
	p.selects("renamed show")
	p.clickRow("things")
	p.press(kb.Delete)
	p.untilDialog()
	p.press(" ")
	p.until("that the data is deleted", `document.querySelector("dialog [type=submit]").textContent`, "delete the data")
	p.press(kb.Enter)
	left(6)
	poll(ctx, t, "the data to be gone", func() bool {
		_, err := os.Stat(filepath.Join(dir, "things"))
		return os.IsNotExist(err)
	})
	p.press("A", chromedp.ModifierCtrl)
	p.press(kb.Delete)
	p.untilDialog()
	p.press(kb.Enter)
	p.until("no torrents", `document.querySelector("main").textContent`, "There is no torrent yet")
	p.untilFocus("main")
	all, err := p.rest.List(ctx, remote.Filter{})
	must(t, err)
	if len(all) != 0 {
		t.Errorf("%d torrents after the removal of all", len(all))
	}
	p.inEveryLook("a list without torrents", p.accessible)
}
