//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seedbed/node/api"
	remote "seedbed/node/api/client"
	nodedaemon "seedbed/node/daemon"
	"seedbed/node/view"
)

// openViewsAsPage is openViews, with the page also as a pageTest.
func openViewsAsPage(t *testing.T, ip, otherIP string) (*pageTest, *viewTest) {
	v := openViews(t, ip, otherIP)
	return &pageTest{service: v.service, webPage: v.webPage, url: "http://" + ip + ":8009/", axe: v.axe}, v
}

// dropLink drops a link onto the page, as browsers hand one over.
func (p *pageTest) dropLink(link string) {
	p.webPage.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const d = new DataTransfer();
		d.setData("text/uri-list", %q);
		document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: d, bubbles: true, cancelable: true }));
	})()`, link)))
}

// Expressions about the dialog that adds.
const (
	items = `document.querySelectorAll("dialog .item").length`
	space = `[...document.querySelectorAll("dialog [role=status]")].find((e) => e.textContent.includes(" free in ")).textContent`
	label = `document.querySelector("dialog button[type=submit]").textContent`
)

// Links and files that are pasted and dropped anywhere come into one dialog. It says whether what is selected fits into the folder, and the
// torrents get the files, folder, category and labels that were chosen there.
func TestPageAddsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	p, v := openViewsAsPage(t, "10.4.205.1", "10.4.205.2")
	ctx := p.webPage.ctx
	small, films := filepath.Join(v.dir, "small"), filepath.Join(v.dir, "films")
	must(t, os.MkdirAll(small, 0o755))
	mountSmallAt(t, small, "1M")
	must(t, p.rest.PutCategory(ctx, nodedaemon.Category{Name: "film", Dir: films}))
	files := tree(t, "chosen", 3<<20)
	run(t, "10.4.205.3", offline("seed", files.torrent, "-d", files.parent)...).wait(ctx, "ready")
	single := newPayload(t, "single.bin", 32<<10, false, map[string]int{"": 100_000})
	content, err := os.ReadFile(single.torrent)
	must(t, err)

	p.paste("two of them: " + magnetOf(31) + "&dn=First\n" + magnetOf(32) + "&dn=Second")
	p.until("both links", items, "2")
	p.dropLink(files.from("10.4.205.3"))
	p.until("the link that was dropped", items, "3")
	p.dropLink(magnetOf(31) + "&dn=First")
	p.dropFile("single.torrent", content)
	p.until("no link twice", items, "4")
	p.until("one dialog", `document.querySelectorAll("dialog").length`, "1")
	p.until("what the button does", label, "Add 4")
	p.dropFile("not.torrent", []byte("\x00text"))
	p.until("the error of a file that is none", `document.querySelector(".toasts").textContent`, "not.torrent is not a .torrent file")
	p.click(`.toasts button`)
	p.until("the free space", space, "at least ") // since the metadata of two links is not known
	p.inEveryLook("several torrents to add", p.accessible)
	p.click(`dialog button[aria-label="Leave out First"]`)
	p.click(`dialog button[aria-label="Leave out Second"]`)
	p.until("two torrents", items, "2")

	// All of it does not fit into 1 MiB; without the folder it does.
	v.fill("Folder", small)
	p.until("what is known", `document.querySelector("dialog .item > .folder").textContent`, "All 6 files")
	p.until("that it does not fit", space, "This does not fit: 3.2 MB selected")
	p.inEveryLook("a selection that does not fit", p.accessible)
	p.click(`dialog .item > .folder`)
	p.do(chromedp.Focus(chromedp.CSS(`dialog input[aria-label="All of folder"]`)))
	p.press(" ")
	p.until("three files less", `document.querySelector("dialog .item > .folder").textContent`, "3 of 6 files, 787 kB")
	p.until("that it fits", space, "887 kB selected, ")
	v.fill("Folder", filepath.Join(t.TempDir(), "elsewhere"))
	p.until("why the folder cannot be used", `document.querySelector("dialog .warn").textContent`, "outside of the folders")
	p.ignore("status of 400")
	v.fill("Folder", "")
	v.fill("Category", "film")
	p.until("the folder of the category", space, films)
	v.fill("Labels", "one, of two,")
	p.click(`dialog button[type="submit"]`)
	p.untilState(files.infohash, "seeding")
	p.untilState(single.infohash, "downloading")
	for hash, size := range map[string]int64{files.infohash: 3*piece + 123, single.infohash: 100_000} {
		o, err := p.rest.Torrent(ctx, hash)
		must(t, err)
		if o.Dir != films || o.Category != "film" || strings.Join(o.Labels, "|") != "of two|one" && strings.Join(o.Labels, "|") != "one|of two" || o.Wanted != size {
			t.Errorf("%s was added to %s with the category %q and the labels %q, and %d bytes are wanted", o.Name, o.Dir, o.Category, o.Labels, o.Wanted)
		}
	}
	list, err := p.rest.Files(ctx, files.infohash)
	must(t, err)
	for _, f := range list {
		if f.Selected == strings.HasPrefix(f.Path, "folder/") {
			t.Errorf("%s is selected: %v", f.Path, f.Selected)
		}
	}
	p.noErrors()

	v.handsOver(t, p)
}

// handsOver opens a magnet link as the desktop does: seedbed open gives the browser a page that asks how to add it.
func (v *viewTest) handsOver(t *testing.T, p *pageTest) {
	t.Helper()
	ctx := p.webPage.ctx
	bin := t.TempDir()
	opened := filepath.Join(bin, "opened")
	must(t, os.WriteFile(filepath.Join(bin, "xdg-open"), []byte("#!/bin/sh\nprintf %s \"$1\" > "+opened+"\n"), 0o755))
	cmd := exec.CommandContext(ctx, seedbed, "open", magnetOf(41)+"&dn=From+the+desktop", "--socket", p.socket)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("seedbed open: %v: %s", err, out)
	}
	url, err := os.ReadFile(opened)
	must(t, err)
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(string(url)))
	p.until("the link of the desktop", `document.querySelector("dialog .item").textContent`, "From the desktop")
	p.press(kb.Enter)
	p.click(`dialog button[type="submit"]`)
	poll(ctx, t, "the torrent of the link", func() bool {
		all, err := p.rest.List(ctx, remote.Filter{})
		return err == nil && slices.ContainsFunc(all, func(o *view.Torrent) bool { return o.Name == "From the desktop" })
	})
	p.noErrors()
}

// The dialog recognises the link of a publication and offers to follow it, and how often to look for versions. One that is followed already
// it does not offer again, but leads to it.
func TestPageFollowsAPublicationOnce(t *testing.T) {
	t.Parallel()
	p, v := openViewsAsPage(t, "10.4.206.1", "10.4.206.2")
	ctx := p.webPage.ctx
	theirs := filepath.Join(v.otherDir, "theirs")
	must(t, os.MkdirAll(theirs, 0o755))
	must(t, os.WriteFile(filepath.Join(theirs, "a.txt"), []byte("theirs"), 0o644))
	job, err := v.other.rest.Publish(ctx, api.PublishBody{Key: "theirs", Path: theirs})
	must(t, err)
	poll(ctx, t, "the publication of the other daemon", func() bool {
		b, err := v.other.send(ctx, "GET", fmt.Sprintf("/v1/jobs/%d", job.Number), "", nil)
		return err == nil && json.Unmarshal(b, job) == nil && job.Status == "done"
	})
	list, err := v.other.rest.Publications(ctx, false)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("the publications are %+v", list)
	}
	link := list[0].Link
	const publication = `document.querySelector("dialog .publication").textContent`

	p.paste(link)
	p.until("the publication", publication, "The newest version is 1")
	p.until("its size", space, "6 B selected, ")
	p.until("what the button does", label, "Follow")
	v.fill("Check for new versions", "3600")
	p.inEveryLook("the link of a publication", p.accessible)
	p.click(`dialog button[type="submit"]`)
	p.until("the follow", `location.hash`, "#/follows/")
	p.until("how often it is checked", `document.querySelector("main").textContent`, "every 1 h")
	follows, err := p.rest.Follows(ctx)
	must(t, err)
	if len(follows) != 1 || follows[0].Poll != 3600 || evaluate[string](p.webPage, `location.hash`) != "#/follows/"+follows[0].Target {
		t.Fatalf("the follows are %+v", follows)
	}

	v.view("#/torrents", "theirs")
	p.paste(link)
	p.until("that it is followed", publication, "You follow it already")
	p.until("what the button does now", label, "Show")
	if evaluate[bool](p.webPage, `document.querySelector("dialog .publication input, dialog select, dialog footer button[type=submit]:disabled") !== null`) {
		t.Error("a publication that is followed can be followed again")
	}
	p.inEveryLook("a publication that is followed", p.accessible)
	p.click(`dialog button[type="submit"]`)
	p.until("the follow again", `location.hash`, "#/follows/"+follows[0].Target)
	v.view("#/torrents", "theirs")
	p.paste(link + "\n" + magnetOf(61) + "&dn=Another")
	p.until("both", items, "2")
	p.until("that one is followed", publication, "You follow it already")
	p.click(`dialog .publication a`)
	p.until("the follow by its link", `location.hash`, "#/follows/"+follows[0].Target)
	p.until("no dialog", `document.querySelector("dialog") === null`, "true")
	again, err := p.rest.Follows(ctx)
	must(t, err)
	if len(again) != 1 || again[0].Poll != 3600 {
		t.Errorf("the follows are %+v", again)
	}
	p.noErrors()
}
