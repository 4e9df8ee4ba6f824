//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	"seedbed/node/view"
)

// A managedView is a view of the page in one look, in which every action is also checked at the daemon.
type managedView struct {
	*viewTest
	page *pageTest
	name string // unique to the look
}

// inTwoLooks calls check on a wide light page and on a narrow dark one.
func (p *viewTest) inTwoLooks(check func(*managedView)) {
	for _, l := range []int{0, 3} {
		m := &managedView{p, &pageTest{webPage: p.webPage, service: p.service, axe: p.axe}, fmt.Sprint("look", looks[l].width)}
		p.look(looks[l].width, 800, looks[l].dark)
		p.do(chromedp.Evaluate[chromedp.Void](`document.addEventListener("copy", (e) => (window.copied = e.target.value)); undefined`))
		check(m)
		p.noErrors()
	}
}

// seen checks what is shown, in both colours, with axe-core, and that it fits, and so does each table.
func (m *managedView) seen(what string) {
	m.webPage.t.Helper()
	what = m.name + ": " + what
	m.page.accessible(what)
	if wide := evaluate[string](m.webPage, `[...document.querySelectorAll("main .table-frame")].filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.getAttribute("aria-label")).join()`); wide != "" {
		m.webPage.t.Errorf("%s: these tables are wider than the page: %s", what, wide)
	}
}

// click clicks what has a text.
func (m *managedView) click(text string) {
	m.webPage.t.Helper()
	m.webPage.click(fmt.Sprintf(`[...%s.querySelectorAll("button, summary, a, label")].find((e) => e.textContent.includes(%q) && !e.disabled)`, within, text))
}

// facts waits until a fact of the view has a text.
func (m *managedView) fact(title, text string) {
	m.webPage.t.Helper()
	m.until("the fact "+title, fmt.Sprintf(`[...document.querySelectorAll("main .facts-list > div")].find((e) => e.querySelector("dt").textContent.startsWith(%q)).querySelector("dd").innerText`, title), text)
}

// publication waits until the daemon says something of a publication, and returns it.
func (m *managedView) publication(what string, is func(*view.History) bool) (found *view.History) {
	m.webPage.t.Helper()
	ctx := m.webPage.ctx
	poll(ctx, m.webPage.t, what, func() bool {
		all, err := m.rest.Publications(ctx, true)
		if i := slices.IndexFunc(all, func(h *view.History) bool { return h.Name == m.name }); err == nil && i >= 0 && is(all[i]) {
			found = all[i]
		}
		return found != nil
	})
	return found
}

// follow waits until a daemon says something of what it follows under a link.
func (m *managedView) follow(s *service, what, link string, is func(*view.Followed) bool) (found *view.Followed) {
	m.webPage.t.Helper()
	ctx := m.webPage.ctx
	poll(ctx, m.webPage.t, what, func() bool {
		all, err := s.rest.Follows(ctx)
		if i := slices.IndexFunc(all, func(f *view.Followed) bool { return f.Link == link }); err == nil && i >= 0 && is(all[i]) {
			found = all[i]
		}
		return found != nil
	})
	return found
}

func isAt(seq int64) func(*view.Followed) bool {
	return func(f *view.Followed) bool { return f.Seq != nil && *f.Seq == seq }
}

// Every action on publications and follows does at the daemon what the page says, on a wide and on a narrow page.
func TestPageManagesPublicationsAndFollows(t *testing.T) {
	t.Parallel()
	p := openViews(t, "10.4.199.5", "10.4.199.6")
	third := serve(t, p.webPage.ctx, "10.4.199.7", filepath.Join(shortDir(t), "s"), t.TempDir(), "--no-dht=false", "--bootstrap", endpoint("10.4.199.5"))
	p.inTwoLooks(func(m *managedView) {
		m.cancelsPublishing()
		m.publishes(third)
		m.follows()
	})
}

// cancelsPublishing cancels the job of a publication that would take minutes.
func (m *managedView) cancelsPublishing() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	huge := filepath.Join(m.dir, m.name+"-huge")
	f, err := os.Create(huge)
	must(t, err)
	must(t, f.Truncate(50<<30)) // a hole
	must(t, f.Close())
	m.view("#/publications", "New publication")
	m.click("New publication")
	m.fill("Folder or file", huge)
	m.fill("Key", m.name+"-huge")
	m.answer("Publish")
	m.shows("Hashing the files: ")
	m.seen("a job that runs")
	m.click("Cancel")
	m.shows("Cancelled before it was done")
	m.seen("a job that was cancelled")
	m.answer("Close")
	b, err := m.send(ctx, "GET", "/v1/jobs", "", nil)
	must(t, err)
	if !bytes.Contains(b, []byte(`"kind":"publish","status":"cancelled"`)) {
		t.Errorf("the jobs after a cancellation: %s", b)
	}
	must(t, os.Remove(huge))
}

// publishes makes a publication, its next versions and an earlier one again, compares them, shows who has them, and ends it.
func (m *managedView) publishes(third *service) {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	folder := filepath.Join(m.dir, m.name)
	write := func(name, content string) {
		must(t, os.MkdirAll(folder, 0o755))
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644))
	}
	write("same.txt", "same")
	write("changed.txt", "before")
	write("removed.txt", strings.Repeat("r", 1500))

	m.click("New publication")
	m.fill("Folder or file", "/elsewhere")
	m.fill("Key", m.name)
	m.click("More")
	m.fill("Name within the key", "daily")
	m.fill("New versions", "3600")
	m.fill("Kind of torrent", "v1")
	m.seen("the dialog of a new publication")
	m.pressButton("Publish")
	m.shows("start the daemon with --allow-path /elsewhere")
	m.seen("a path that is refused")
	m.ignore("status of 400")
	m.fill("Folder or file", folder)
	m.answer("Publish")
	m.shows("Version 1 is published")
	h := m.publication("the publication", func(h *view.History) bool { return len(h.Versions) == 1 })
	if h.Salt != "daily" || h.Path != folder || h.Watch != 3600 || h.Versions[0].InfoHashV2 != "" || h.Ended {
		t.Errorf("it is published as %+v", h)
	}
	m.until("the keyboard at the link", `document.activeElement.value`, h.Link)
	m.seen("what was published")
	m.click("Copy")
	m.until("the link to be copied", `copied`, h.Link)
	m.do(chromedp.Focus(chromedp.CSS(`dialog[open] input`)))
	m.press(kb.Enter)
	m.until("its view", `document.querySelector("main h1").textContent`, m.name+" / daily")
	m.until("the QR code", `document.querySelector("img.qr").naturalWidth > 0 && document.querySelector("img.qr").src`, url.QueryEscape(h.Link))
	m.do(chromedp.Evaluate[chromedp.Void](`copied = ""; undefined`))
	m.click("Copy the link")
	m.until("the link to be copied again", `copied`, h.Link)

	keep := 3 // so that it still has version 1 when that is published again
	_, _, err := m.other.rest.Follow(ctx, api.FollowBody{Link: h.Link, Poll: 1, Keep: &keep})
	must(t, err)
	m.follow(m.other, "a follower to have version 1", h.Link, isAt(1))
	must(t, os.Remove(filepath.Join(folder, "removed.txt")))
	write("changed.txt", "afterwards")
	write("added.txt", "added")
	m.click("Publish the next version")
	h = m.publication("version 2", func(h *view.History) bool { return len(h.Versions) == 2 })
	m.follow(m.other, "the follower to have version 2", h.Link, isAt(2))
	m.until("both versions, with their sizes and dates", `[...document.querySelectorAll("main tbody tr")].map((r) => r.innerText).join("|")`, "1.5 kB")
	for _, v := range h.Versions {
		m.until("the date of a version", `document.querySelector("main tbody").innerText.replace(/\s+/g, " ")`,
			evaluate[string](m.webPage, fmt.Sprintf(`new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(%q)).replace(/\s+/g, " ")`, v.Time)))
	}
	m.click("Differences between")
	for class, file := range map[string]string{"added": "added.txt 5 B", "changed": "changed.txt 6 B → 10 B", "removed": "removed.txt 1.5 kB"} {
		m.until("what is "+class, fmt.Sprintf(`document.querySelector(".files-%s").innerText`, class), file)
	}
	m.seen("the differences")
	m.fill("From", "2")
	m.fill("To", "1")
	m.until("the differences the other way", `document.querySelector(".files-added").innerText`, "removed.txt")

	m.click("Go back to version 1")
	m.shows("Its content is published again, as version 3")
	m.seen("the question before a rollback")
	m.answer("Publish version 1 again")
	h = m.publication("version 3", func(h *view.History) bool { return len(h.Versions) == 3 })
	if h.Versions[2].InfoHash != h.Versions[0].InfoHash {
		t.Errorf("version 3 is not version 1: %+v", h.Versions)
	}
	m.until("three versions", `document.querySelectorAll("[aria-labelledby=versions-title] tbody tr").length`, "3")

	_, _, err = third.rest.Follow(ctx, api.FollowBody{Link: h.Link, Poll: 1})
	must(t, err)
	for _, s := range []*service{m.other, third} {
		m.follow(s, "the followers to have version 3", h.Link, isAt(3))
	}
	m.until("the followers in the DHT", `(() => {
		[...document.querySelectorAll("main button")].find((e) => e.textContent.startsWith("Ask") && !e.disabled)?.click();
		return document.querySelector("[aria-labelledby=holders-title]").innerText;
	})()`, "2 addresses")
	m.fact("Hold the item", "2 DHT nodes")
	m.fact("Connected now", "peer")
	m.fact("Get new versions pushed", "2 followers")
	m.until("the copies of each version", `document.querySelector("[aria-label='Copies of each version'] tbody").innerText.replace(/\s+/g, " ")`, "3 2 about ")
	m.seen("holders and followers")

	m.click("End…")
	m.answer("End")
	m.publication("its end", func(h *view.History) bool { return h.Ended })
	m.until("it as ended", `document.querySelector("main tbody").textContent`, "ended")
	m.seen("the publications")
	m.click(m.name + " / daily")
	m.click("Publish again")
	m.publication("it to be published again", func(h *view.History) bool { return !h.Ended && len(h.Versions) == 4 })
	m.click("End…")
	m.click("Keep the history")
	m.answer("End and delete the history")
	poll(ctx, t, "its history to be deleted", func() bool {
		all, err := m.rest.Publications(ctx, true)
		return err == nil && !slices.ContainsFunc(all, func(h *view.History) bool { return h.Name == m.name })
	})
	for _, s := range []*service{m.other, third} {
		must(t, s.rest.Unfollow(ctx, h.Target))
	}
}

// follows follows a publication of the other daemon, looks for a version, goes back to an earlier one and continues.
func (m *managedView) follows() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	folder := filepath.Join(m.otherDir, m.name)
	publish := func(name string) {
		must(t, os.MkdirAll(folder, 0o755))
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(name), 0o644))
		_, err := m.other.rest.Publish(ctx, api.PublishBody{Key: m.name, Path: folder})
		must(t, err)
	}
	publish("first.txt")
	link := ""
	poll(ctx, t, "the publication of the other daemon", func() bool {
		all, err := m.other.rest.Publications(ctx, false)
		for _, h := range all {
			if h.Name == m.name && len(h.Versions) == 1 {
				link = h.Link
			}
		}
		return err == nil && link != ""
	})
	m.view("#/follows", "Nothing is followed yet")
	m.seen("no follows")
	m.click("Follow a link")
	m.fill("Link", magnetOf(1))
	m.shows("Add it as a torrent instead")
	m.fill("Link", link)
	m.fill("Earlier versions to keep", "3")
	m.fill("Check for new versions", "3600")
	m.click("Keep the link alive")
	m.seen("the dialog of a new follow")
	m.answer("Follow")
	f := m.follow(m.service, "the first version", link, isAt(1))
	if f.Keep != 3 || f.Poll != 3600 || !f.KeepAlive {
		t.Errorf("it is followed as %+v", f)
	}
	m.fact("Current version", "1")
	m.until("its folder", `document.querySelector("main").innerText`, f.Folder)

	publish("second.txt")
	m.until("a version that is found when it is asked for", `(() => {
		if (!document.querySelector(".toasts").innerText.includes("Looking for a newer version")) [...document.querySelectorAll("main button")].find((e) => e.textContent === "Check now").click();
		return document.querySelectorAll("main tbody tr").length;
	})()`, "2")
	m.follow(m.service, "the second version", link, isAt(2))
	m.fact("Current version", "2")
	m.click("Differences between")
	m.until("the file that was added", `document.querySelector(".files-added").innerText`, "second.txt")
	m.seen("a follow with two versions")
	m.click("Go back to it")
	m.follow(m.service, "the first version again", link, func(f *view.Followed) bool { return isAt(1)(f) && f.Stays })
	m.fact("Next version", "1 stays")
	m.seen("a follow that stays")
	m.click("Continue with the newest")
	m.follow(m.service, "the newest version", link, func(f *view.Followed) bool { return isAt(2)(f) && !f.Stays })
	m.fact("Next version", "none found")

	m.view("#/follows", "Follow a link")
	m.seen("the follows")
	m.click("Follow a link")
	m.fill("Link", link)
	m.answer("Follow")
	m.until("that it is followed already", `document.querySelector(".toasts").innerText`, "follow this publication already")
	m.until("the follow that there is", `location.hash`, f.Target)
	if again := m.follow(m.service, "the follow", link, isAt(2)); again.Keep != 3 || again.Poll != 3600 {
		t.Errorf("following it again has changed it: %+v", again)
	}
	m.click("Stop following")
	m.answer("Stop following")
	poll(ctx, t, "the end of the follow", func() bool { all, err := m.rest.Follows(ctx); return err == nil && len(all) == 0 })
	if _, err := os.Stat(filepath.Join(f.Folder)); err != nil {
		t.Errorf("the files are gone: %v", err)
	}
}
