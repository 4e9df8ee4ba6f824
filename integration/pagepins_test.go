//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/dnstest"
	"seedbed/node/api"
	domains "seedbed/node/names"
	"seedbed/node/view"
)

// Every action on pins and lists does at the daemon what the page says, on a wide and on a narrow page, and so does the button that accepts
// the other key of a name.
func TestPageManagesPins(t *testing.T) {
	t.Parallel()
	zone := dnstest.Start(t)
	p := openViews(t, "10.4.199.20", "10.4.199.21", "--resolver", zone.Addr)
	p.inTwoLooks(func(m *managedView) {
		link, large := m.otherPublishes(m.name, 2000), m.otherPublishes(m.name+"-large", 5000)
		m.pinsLinks(link, large)
		m.subscribes(link)
		m.acceptsOtherKeys(zone, link, large)
		m.removesPins()
	})
}

// otherPublishes makes the other daemon publish so many bytes, and returns the link.
func (m *managedView) otherPublishes(key string, size int) (link string) {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	folder := filepath.Join(m.otherDir, key)
	must(t, os.MkdirAll(folder, 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "file"), []byte(strings.Repeat("x", size)), 0o644))
	_, err := m.other.rest.Publish(ctx, api.PublishBody{Key: key, Path: folder})
	must(t, err)
	return m.otherLink(key)
}

// otherLink waits until the other daemon publishes something under a key, and returns the link.
func (m *managedView) otherLink(key string) (link string) {
	ctx := m.webPage.ctx
	poll(ctx, m.webPage.t, "the publication of "+key, func() bool {
		all, err := m.other.rest.Publications(ctx, false)
		if i := slices.IndexFunc(all, func(h *view.History) bool { return h.Name == key && len(h.Versions) > 0 }); err == nil && i >= 0 {
			link = all[i].Link
		}
		return link != ""
	})
	return link
}

// pin waits until the daemon says something of a pin, and returns it.
func (m *managedView) pin(what, name string, is func(*view.Pin) bool) (found *view.Pin) {
	m.webPage.t.Helper()
	ctx := m.webPage.ctx
	poll(ctx, m.webPage.t, what, func() bool {
		all, err := m.rest.Pins(ctx)
		if i := slices.IndexFunc(all.Pins, func(p *view.Pin) bool { return p.Name == name }); err == nil && i >= 0 && is(all.Pins[i]) {
			found = all.Pins[i]
		}
		return found != nil
	})
	return found
}

// pinRows is the text of the table of pins.
const pinRows = `[...document.querySelectorAll("[aria-label=Pins] tbody tr")].map((r) => r.textContent).join("|")`

// pinsLinks pins a publication, and one that exceeds its quota.
func (m *managedView) pinsLinks(link, large string) {
	t := m.webPage.t
	t.Helper()
	m.view("#/pins", "Nothing is pinned yet")
	m.seen("no pins")
	m.click("Pin a link")
	m.fill("Link or name", link)
	m.fill("Name to show", "pinned "+m.name)
	m.fill("Largest version", "0.5")
	m.seen("the dialog of a new pin")
	m.answer("Pin")
	p := m.pin("the pin", "pinned "+m.name, func(p *view.Pin) bool { return p.State == "held" })
	if !p.Own || p.Quota != 500_000_000 || *p.Seq != 1 {
		t.Errorf("it is pinned as %+v", p)
	}
	m.until("it as held", pinRows, "pinned "+m.name+"Held1")
	m.until("what is used", `document.querySelector(".pin-quota").innerText`, "2.0 kB of ")
	m.click("Pin a link")
	m.fill("Link or name", large)
	m.fill("Largest version", "0.000004")
	m.answer("Pin")
	m.until("the reason why it is not held", pinRows, "Over the quotathis is not fetched: it has 5000 bytes, but the quota of the pin is 4000")
	m.click("Pin a link")
	m.fill("Link or name", link)
	m.answer("Pin")
	m.until("that it is pinned already", `document.querySelector(".toasts").innerText`, "You have pinned it already")
	m.pin("no quota of its own", "pinned "+m.name, func(p *view.Pin) bool { return p.Quota == 0 })
}

// subscribes subscribes to the list of the other daemon, and publishes a list.
func (m *managedView) subscribes(link string) {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	_, _, err := m.other.rest.Pin(ctx, api.PinBody{Link: link})
	must(t, err)
	_, err = m.other.rest.PublishPins(ctx, api.PinListBody{Key: m.name + "-list"})
	must(t, err)
	list := m.otherLink(m.name + "-list")
	m.click("Subscribe to a list")
	m.fill("Link or name of the list", magnetOf(1))
	m.shows("This link has no public key")
	m.fill("Link or name of the list", list)
	m.fill("All its pins together", "2")
	m.fill("Most pins", "5")
	m.seen("the dialog of a subscription")
	m.answer("Subscribe")
	m.until("what it names", `document.querySelector("[aria-label='Lists of pins'] tbody").textContent`, " of ")
	m.pin("the pin to be on a list", "pinned "+m.name, func(p *view.Pin) bool { return len(p.Lists) == 1 })
	m.until("by whom it is pinned", pinRows, "you, 1 list")
	m.seen("pins and a list")
	lists, err := m.rest.PinLists(ctx)
	must(t, err)
	if len(lists) != 1 || lists[0].Quota != 2_000_000_000 || lists[0].Max != 5 {
		t.Errorf("the subscriptions: %+v", lists)
	}

	m.click("Publish your list")
	m.fill("Key", m.name+"-mine")
	m.seen("the dialog that publishes the list")
	m.answer("Publish")
	m.shows("Version 1 is published")
	m.answer("Close")
	must(t, m.rest.Unpublish(ctx, m.name+"-mine", false))
}

// acceptsOtherKeys gives names another key, and accepts that for a pin and before a follow.
func (m *managedView) acceptsOtherKeys(zone *dnstest.Zone, first, second string) {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	// changed returns a name that had another key before. The daemon has not looked it up yet, because it caches answers.
	changed := func(name string) string {
		for i, link := range []string{first, second} {
			_, key, _ := strings.Cut(link, "urn:btpk:")
			zone.Set("_btpk."+name, "btpk="+key[:64])
			if i == 0 {
				_, err := domains.New(domains.Config{Resolver: zone.Addr, State: filepath.Dir(m.socket)}).Resolve(ctx, name)
				must(t, err)
			}
		}
		return name
	}
	m.click("Pin a link")
	m.fill("Link or name", changed(m.name+".example"))
	m.fill("Name to show", "large "+m.name)
	m.pressButton("Pin")
	m.shows("names another publication than before")
	m.seen("a name with another key")
	m.ignore("status of 409")
	m.click("Accept the other key")
	m.answer("Pin")
	m.pin("the pin of the other key", "large "+m.name, func(p *view.Pin) bool { return p.State == "held" && p.Size == 5000 })

	m.page.paste(changed("added-" + m.name + ".example"))
	m.shows("names another publication than before")
	m.seen("a name with another key in the dialog that adds")
	m.click("Accept the other key")
	m.shows("The newest version is 1")
	m.seen("a name whose other key was accepted")
	m.answer("Cancel")
}

// removesPins ends the subscription and removes the pins with their data.
func (m *managedView) removesPins() {
	t, ctx := m.webPage.t, m.webPage.ctx
	t.Helper()
	m.page.click(`button[aria-label="Remove pinned ` + m.name + `"]`)
	m.shows("A list names it as well")
	m.seen("the question before a pin is removed")
	m.answer("Remove")
	m.until("that a list keeps it", `document.querySelector(".toasts").innerText`, "A list keeps pinned "+m.name+" pinned")
	p := m.pin("the pin of the list", "pinned "+m.name, func(p *view.Pin) bool { return !p.Own })
	m.click("End…")
	m.shows("their data is deleted")
	m.answer("End")
	poll(ctx, t, "the data to be deleted", func() bool { _, err := os.Stat(p.Dir); return os.IsNotExist(err) })
	p = m.pin("the other pin", "large "+m.name, func(*view.Pin) bool { return true })
	m.page.click(`button[aria-label="Remove large ` + m.name + `"]`)
	m.click("Also delete what it has downloaded")
	m.answer("Remove")
	m.until("no pins", `document.querySelector("main").innerText`, "Nothing is pinned yet")
	poll(ctx, t, "its data to be deleted", func() bool { _, err := os.Stat(p.Dir); return os.IsNotExist(err) })
}
