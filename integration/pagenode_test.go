//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	"seedbed/node/view"
)

// Every action on the DHT, the doctor, the settings and the tokens does at the daemon what the page says, on a wide and on a narrow page.
func TestPageExaminesAndConfiguresTheNode(t *testing.T) {
	t.Parallel()
	p := openViews(t, "10.4.199.8", "10.4.199.9")
	t.Cleanup(func() { p.other.cmd.Process.Signal(syscall.SIGCONT) })
	p.inTwoLooks(func(m *managedView) {
		m.showsDHT()
		m.looksUp()
		m.storesItems()
		m.examines()
		m.changesSettings()
		m.managesTokens()
	})
}

// showsDHT compares what the page shows of the DHT with what the daemon says.
func (m *managedView) showsDHT() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	_, _, err := m.rest.Add(ctx, api.AddBody{Link: magnetOf(9)})
	must(t, err)
	m.view("#/dht", "Nodes by distance and age")
	var s api.DHTStatus
	poll(ctx, t, "the torrent to be announced", func() bool {
		s, err = m.rest.DHT(ctx)
		return err == nil && s.Announces.Torrents > 0 && s.Announces.Never == 0
	})
	m.fact("Nodes", fmt.Sprintf("%d good of %d", s.Families[0].Good, s.Families[0].Nodes))
	m.fact("Id of this node", s.Families[0].ID)
	m.fact("Address as others see it", s.Families[0].Votes[0].Addr)
	m.until("that there is no IPv6", `document.querySelector("section[aria-label=IPv6]").innerText`, "does not use IPv6")
	m.fact("Torrents announced", fmt.Sprint(s.Announces.Torrents))
	m.fact("Late", "none")
	m.fact("Items kept alive", fmt.Sprint(s.Held.Kept))
	m.until("the plot", `document.querySelectorAll("main svg[role=img] .point").length`, "1")
	m.seen("the nodes")
}

// looksUp stops a lookup that runs, and finds the closest nodes, which are the other daemon.
func (m *managedView) looksUp() {
	t := m.webPage.t
	t.Helper()
	m.view("#/dht/lookup", "Infohash")
	m.fill("Infohash", "not an infohash")
	m.click("Look up")
	m.until("why it is not looked up", `document.querySelector("main [role=alert]").innerText`, "not an infohash")
	m.seen("a target that is refused")
	m.ignore("status of 400")
	m.fill("Infohash", strings.Repeat("cd", 20))
	must(t, m.other.cmd.Process.Signal(syscall.SIGSTOP))
	m.click("Look up")
	m.until("who is asked while it runs", `document.querySelector(".lookup").innerText`, "Running: 1 node asked, 0 answered, 0 did not")
	m.seen("a lookup that runs")
	m.click("Stop")
	m.until("its end", `document.querySelector(".lookup").innerText.includes("Running")`, "false")
	must(t, m.other.cmd.Process.Signal(syscall.SIGCONT))
	m.click("The closest nodes")
	m.until("the answer of the other node", `(() => {
		[...document.querySelectorAll("main button")].find((e) => e.textContent === "Look up" && !e.disabled)?.click();
		return document.querySelector(".lookup tbody").innerText;
	})()`, "answered")
	m.until("its address", `document.querySelector(".lookup tbody").innerText`, endpoint("10.4.199.9"))
}

// storesItems stores a signed item and finds it. An item that is too long is refused, and one that nobody stores is not found.
func (m *managedView) storesItems() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	folder := filepath.Join(m.dir, m.name)
	must(t, os.MkdirAll(folder, 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "file"), []byte(m.name), 0o644))
	_, err := m.rest.Publish(ctx, api.PublishBody{Key: m.name, Path: folder}) // makes the key
	must(t, err)
	m.publication("the publication", func(h *view.History) bool { return len(h.Versions) == 1 })
	keys, err := m.rest.Keys(ctx)
	must(t, err)
	public := ""
	for _, k := range keys {
		if k.Name == m.name {
			public = k.PublicKey
		}
	}
	m.view("#/dht/items", "Put an item")
	m.fill("Value", strings.Repeat("long ", 210))
	m.until("that it is too long", `document.querySelector("[aria-labelledby=put-title]").innerText`, "1,050 bytes: an item has at most 1,000. Shorten it.")
	m.until("that it cannot be put", `[...document.querySelectorAll("main button")].find((e) => e.textContent === "Put").disabled`, "true")
	m.seen("an item that is too long")
	m.fill("Value", "signed on "+m.name)
	m.fill("Signed by", m.name)
	m.click("Put")
	m.until("why not with this salt", `document.querySelector("main [role=alert]").innerText`, "use another salt")
	m.seen("an item that would replace a publication")
	m.ignore("status of 409")
	m.page.enter(`[aria-labelledby=put-title] input`, "news")
	m.click("Put")
	m.shows("The item is stored")
	m.shows("Its version is 1.")
	found, err := m.rest.GetItem(ctx, public, "news")
	must(t, err)
	if text := encode(found.Item); !strings.Contains(text, "signed on "+m.name) {
		t.Errorf("the daemon finds the item %s", text)
	}
	m.page.enter(`[aria-labelledby=get-title] .field:nth-child(1) input`, public)
	m.page.enter(`[aria-labelledby=get-title] .field:nth-child(2) input`, "news")
	m.click("Get")
	m.until("the item", `document.querySelector("main textarea[readonly]").value`, "signed on "+m.name)
	m.fact("Held by", "1 node")
	m.seen("an item")
	m.page.enter(`[aria-labelledby=get-title] .field:nth-child(1) input`, strings.Repeat("0", 40))
	m.click("Get")
	m.shows("No node holds this item")
}

// examines stops the doctor, runs it, and runs it with the link of a torrent that the other daemon seeds.
func (m *managedView) examines() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	m.view("#/doctor", "Checks step by step")
	must(t, m.other.cmd.Process.Signal(syscall.SIGSTOP)) // the only bootstrap host
	m.click("Run")
	m.until("the step that runs", `document.querySelector(".verdict-line").innerText`, "Checking step 4 of 9: bootstrap hosts")
	m.seen("the checks that run")
	m.click("Stop")
	m.until("its end", `document.querySelector(".findings").innerText`, "Stopped before the end")
	m.until("what was not checked", `document.querySelector(".checks > li:last-child").innerText`, "Not checked")
	m.seen("checks that were stopped")
	must(t, m.other.cmd.Process.Signal(syscall.SIGCONT))
	jobs, err := m.send(ctx, "GET", "/v1/jobs", "", nil)
	must(t, err)
	if !bytes.Contains(jobs, []byte(`"kind":"doctor","status":"cancelled"`)) {
		t.Errorf("the jobs after a stop: %s", jobs)
	}

	m.fill("A torrent that does not load", "magnet:?xs=urn:btpk:"+strings.Repeat("ab", 32))
	m.click("Run again")
	m.until("why not", `document.querySelector("main [role=alert]").innerText`, "names a publication, not a torrent")
	folder := filepath.Join(m.otherDir, m.name)
	must(t, os.MkdirAll(folder, 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "file"), []byte(m.name), 0o644))
	_, err = m.other.rest.Publish(ctx, api.PublishBody{Key: m.name, Path: folder})
	must(t, err)
	hash := ""
	poll(ctx, t, "a torrent of the other daemon", func() bool {
		all, err := m.other.rest.Publications(ctx, false)
		for _, h := range all {
			if h.Name == m.name {
				hash = h.InfoHash
			}
		}
		return err == nil && hash != ""
	})
	m.fill("A torrent that does not load", hash)
	m.click("Run again")
	m.until("the end of the checks", `document.querySelector(".findings").innerText`, "Checked ")
	m.until("the steps of a torrent", `document.querySelectorAll(".checks > li").length`, "15")
	m.until("the verdicts", `document.querySelectorAll(".checks .verdict").length > 7`, "true")
	m.seen("the findings about a torrent")
}

// setting returns a setting as the daemon has it.
func (m *managedView) setting(name string) view.Setting {
	m.webPage.t.Helper()
	all, err := m.rest.Settings(m.webPage.ctx)
	must(m.webPage.t, err)
	for _, s := range all.Settings {
		if s.Setting == name {
			return s
		}
	}
	m.webPage.t.Fatalf("there is no setting %s", name)
	return view.Setting{}
}

// changesSettings changes settings, and undoes that. Of several, none is changed if one has a wrong value.
func (m *managedView) changesSettings() {
	t := m.webPage.t
	t.Helper()
	ofSetting := func(name string) string {
		return fmt.Sprintf(`document.querySelector("#setting-%s").closest(".setting").innerText`, name)
	}
	m.view("#/settings", "Seeding goals")
	m.until("a unit", ofSetting("up-limit"), "bytes a second")
	m.until("an example and a default", ofSetting("up-limit"), "Such as 500k or 2M. Default: 0.")
	m.until("the limits", ofSetting("port"), "From 0 to 65,535.")
	m.fill("Upload limit", "500k")
	m.fill("Download limit", "fast")
	m.until("what is not saved", `document.querySelector(".save-bar").innerText`, "2 changes not saved")
	m.click("Save")
	m.until("the message at the field", `document.querySelector("#setting-down-limit-error").innerText`, "fast")
	m.until("the keyboard at the field", `document.activeElement.id`, "setting-down-limit")
	m.seen("a wrong value")
	m.ignore("status of 400")
	if s := m.setting("up-limit"); s.Value != "0" {
		t.Errorf("a change is saved with a wrong one: %+v", s)
	}
	m.click("Discard")
	m.until("no drafts", `document.querySelector(".save-bar") === null && document.querySelector("#setting-up-limit").value`, "0")

	m.fill("Upload limit", "500k")
	m.fill("Allow host", "one.example\ntwo.example")
	m.fill("Super seed", "off")
	m.press("s", chromedp.ModifierCtrl)
	m.until("no drafts", `document.querySelector(".save-bar") === null`, "true")
	if s := m.setting("up-limit"); s.Value == "0" || s.Source != "changed while running" {
		t.Errorf("the upload limit: %+v", s)
	}
	if s := m.setting("allow-host"); strings.Join(s.Values, " ") != "one.example two.example" {
		t.Errorf("the hosts: %+v", s)
	}
	if s := m.setting("super-seed"); s.Value != "off" {
		t.Errorf("super seeding: %+v", s)
	}
	for _, name := range []string{"Upload limit", "Allow host", "Super seed"} {
		m.page.click(fmt.Sprintf(`button[aria-label="Undo the change of %s"]`, name))
	}
	m.until("what undoing means", ofSetting("up-limit"), "Goes back to what the command line")
	m.seen("changes that are undone")
	m.click("Save")
	m.until("no drafts", `document.querySelector(".save-bar") === null && document.querySelector("#setting-up-limit").value`, "0")
	for _, name := range []string{"up-limit", "allow-host", "super-seed"} {
		if s := m.setting(name); s.Source != "default" || s.Value != s.Default {
			t.Errorf("%s was not undone: %+v", name, s)
		}
	}
}

// managesTokens makes tokens, logs in with them, and revokes the one that the page uses.
func (m *managedView) managesTokens() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	m.view("#/tokens", "New token")
	secrets := map[string]string{}
	for scope, text := range map[string]string{"add": "also adds", "admin": "also removes"} {
		m.click("New token")
		m.fill("Name", m.name+" "+scope)
		m.click(text)
		m.seen("the dialog of a new token")
		m.answer("Create")
		m.until("the secret", within+`.querySelector("input[readonly]")?.value`, "sbt_")
		m.click("Copy")
		m.until("it to be copied", `copied`, "sbt_")
		secrets[scope] = evaluate[string](m.webPage, `copied`)
		m.do(chromedp.Evaluate[chromedp.Void](`copied = ""; undefined`))
		m.answer("Close")
	}
	m.until("both tokens", `document.querySelector("main tbody").innerText.split("`+m.name+`").length`, "3")
	m.seen("the tokens")
	made, err := m.rest.Tokens(ctx)
	must(t, err)
	scopes := map[string]string{}
	for _, x := range made.Tokens {
		scopes[x.Name] = x.Scope.String()
	}
	if scopes[m.name+" add"] != "add" || scopes[m.name+" admin"] != "admin" {
		t.Errorf("the tokens: %v", scopes)
	}

	m.page.click(`button[aria-label="Log out"]`)
	m.until("the login", `document.querySelector("main").innerText`, "Log in")
	m.noErrors()
	m.page.enter("input[name=token]", "sbt_wrong"+kb.Enter)
	m.until("why not", `document.querySelector("[role=alert]").innerText`, "seedbed token new")
	m.seen("a login that has failed")
	m.ignore("status of 401") // the browser reports it, perhaps later
	m.page.enter("input[name=token]", secrets["add"]+kb.Enter)
	m.until("the views of the scope add", `document.querySelector("nav").textContent`, "Doctor")
	m.until("no other views", `document.querySelector("nav").textContent.includes("Tokens")`, "false")
	m.page.click(`button[aria-label="Log out"]`)
	m.until("the login", `document.querySelector("main").innerText`, "Log in")
	m.page.enter("input[name=token]", secrets["admin"]+kb.Enter)
	m.view("#/tokens", "New token")
	m.page.click(fmt.Sprintf(`button[aria-label="Revoke %s admin"]`, m.name))
	m.shows("you will be logged out")
	m.seen("the question before a page revokes its own token")
	m.answer("Revoke")
	m.until("the login", `document.querySelector("main").innerText`, "Log in")
	m.ignore("status of 401") // the browser reports it, perhaps later
	made, err = m.rest.Tokens(ctx)
	must(t, err)
	for _, x := range made.Tokens {
		if x.Name == m.name+" admin" {
			t.Errorf("the token is not revoked: %+v", x)
		}
	}

	// The code of seedbed open logs in once.
	url, err := m.rest.Page(ctx, api.ToAdd{})
	must(t, err)
	m.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
	m.until("the session of a code", `document.querySelector("nav").textContent`, "Tokens")
	m.page.click(`button[aria-label="Log out"]`)
	m.until("the login", `document.querySelector("main").innerText`, "Log in")
	m.noErrors()
	m.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
	m.until("why the code is refused", `document.querySelector("[role=alert]").innerText`, "run seedbed open again")
	m.seen("a code that was used")
	m.ignore("status of 401") // the browser reports it, perhaps later
	url, err = m.rest.Page(ctx, api.ToAdd{})
	must(t, err)
	m.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
	m.until("the session of another code", `document.querySelector("nav").textContent`, "Tokens")
}
