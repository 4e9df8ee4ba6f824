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

	"seedbed/internal/filetest"
	"seedbed/node/api"
	"seedbed/node/view"
)

// A keeper is a daemon that publishes, and keeps what others publish alive.
type keeper struct {
	*service
	ctx context.Context
	dir string
}

func keepers(t *testing.T, ctx context.Context, ips ...string) (all []*keeper) {
	for i, ip := range ips {
		k := &keeper{ctx: ctx, dir: t.TempDir()}
		k.service = serve(t, ctx, ip, filepath.Join(shortDir(t), "s"), k.dir, "--no-dht=false", "--bootstrap", endpoint(ips[(i+1)%len(ips)]))
		all = append(all, k)
	}
	return all
}

// publishes publishes a file in the folder of the daemon and returns the link.
func (k *keeper) publishes(key string, content []byte) (link string) {
	k.service.t.Helper()
	path := filepath.Join(k.dir, key)
	must(k.service.t, os.WriteFile(path, content, 0o644))
	_, err := k.rest.Publish(k.ctx, api.PublishBody{Key: key, Path: path})
	must(k.service.t, err)
	return k.linkOf(key, "")
}

// linkOf waits until the daemon publishes something, and returns the link.
func (k *keeper) linkOf(key, salt string) (link string) {
	k.service.t.Helper()
	poll(k.ctx, k.service.t, key+" to be published", func() bool {
		all, err := k.rest.Publications(k.ctx, false)
		if i := slices.IndexFunc(all, func(h *view.History) bool { return h.Name == key && h.Salt == salt && len(h.Versions) > 0 }); err == nil && i >= 0 {
			link = all[i].Link
		}
		return link != ""
	})
	return link
}

// lists publishes the list of the pins, and returns the link.
func (k *keeper) lists() string {
	k.service.t.Helper()
	_, err := k.rest.PublishPins(k.ctx, api.PinListBody{Key: "list"})
	must(k.service.t, err)
	return k.linkOf("list", "pins")
}

func (k *keeper) subscribes(link string, quota int64, most int) {
	k.service.t.Helper()
	_, _, err := k.rest.SubscribePins(k.ctx, api.SubscribeBody{Link: link, Quota: quota, Max: most})
	must(k.service.t, err)
}

// reaches waits until the pin of a link has a state, or until there is none if state is "".
func (k *keeper) reaches(link, state string) (found *view.Pin) {
	k.service.t.Helper()
	key, _, _ := strings.Cut(link, "&dn=")
	poll(k.ctx, k.service.t, fmt.Sprintf("the pin of %s to be %q", link, state), func() bool {
		all, err := k.rest.Pins(k.ctx)
		i := slices.IndexFunc(all.Pins, func(p *view.Pin) bool { return strings.HasPrefix(p.Link, key) })
		if err == nil && i >= 0 {
			found = all.Pins[i]
		}
		return err == nil && (i < 0 && state == "" || i >= 0 && found.State == state)
	})
	return found
}

// Three daemons keep each other's publications alive by their lists. One of them is killed, and its publication can still be downloaded. What
// exceeds a quota is not downloaded, and what disappears from a list is deleted. A hostile list gets no more than it is allowed.
func TestDaemonsKeepEachOthersPublicationsAlive(t *testing.T) {
	t.Parallel()
	ctx := timeLimit(t)
	all := keepers(t, ctx, "10.4.199.30", "10.4.199.31", "10.4.199.32")
	a, b, c := all[0], all[1], all[2]
	const size = 300_000
	contents, links, lists := map[*keeper][]byte{}, map[*keeper]string{}, map[*keeper]string{}
	for i, k := range all {
		contents[k] = filetest.RandomBytes(fmt.Sprint(i), size)
		links[k] = k.publishes(fmt.Sprint("site", i), contents[k])
		_, _, err := k.rest.Pin(ctx, api.PinBody{Link: links[k]}) // asks the others for it
		must(t, err)
		lists[k] = k.lists()
	}
	huge := c.publishes("huge", make([]byte, 3*size))
	evil := func(n int) []byte {
		list := "seedbed-pins 1\n" + huge + "\nmagnet:?xs=nonsense\n" + strings.Repeat("x", 5000) + "\n"
		for i := range 3000 {
			list += fmt.Sprintf("magnet:?xt=urn:btih:%040x&x.pe=127.0.0.1:22&ws=http://127.0.0.1:1/\n", 1000*n+i+1)
		}
		return []byte(list)
	}
	hostile := c.publishes("evil", evil(0))
	must(t, os.WriteFile(filepath.Join(c.dir, "evil"), append(evil(1), hostile...), 0o644)) // it names itself
	_, err := c.rest.Publish(ctx, api.PublishBody{Key: "evil", Path: filepath.Join(c.dir, "evil")})
	must(t, err)
	for _, k := range all {
		for _, of := range all {
			switch {
			case k == b && of == c:
				k.subscribes(lists[of], size-1, 10)
			case k != of:
				k.subscribes(lists[of], 2*size, 10)
			}
		}
	}
	for _, k := range all {
		for _, of := range all {
			switch {
			case k == of:
				k.reaches(links[of], "elsewhere")
			case k == b && of == c:
				if p := k.reaches(links[of], "over_quota"); bytesBelow(t, p.Dir) != 0 {
					t.Errorf("%d bytes of what exceeds the quota are on disk", bytesBelow(t, p.Dir))
				}
			default:
				if p := k.reaches(links[of], "held"); p.Own || len(p.Lists) != 1 || p.Size != size {
					t.Errorf("the pin of a list is %+v", p)
				}
			}
		}
	}
	published, err := a.rest.Publications(ctx, false)
	must(t, err)
	i := slices.IndexFunc(published, func(h *view.History) bool { return h.Link == links[a] })
	poll(ctx, t, "the publisher to see two copies and two followers", func() bool {
		b, err := a.send(ctx, "GET", "/v1/publications/"+published[i].Target+"?copies=true", "", nil)
		return err == nil && bytes.Contains(b, []byte(`"copies":{"addresses":2`)) && bytes.Contains(b, []byte(`"connected":2`))
	})

	must(t, a.cmd.Process.Kill())
	dir := t.TempDir()
	run(t, "10.4.199.33", "get", links[a], "-d", dir, "--bootstrap", endpoint("10.4.199.31")).ends(ctx, 0)
	if got, err := os.ReadFile(filepath.Join(dir, "site0")); err != nil || !bytes.Equal(got, contents[a]) {
		t.Errorf("what is left of the publisher's file: %d bytes, %v", len(got), err)
	}

	// c no longer asks for its own publication, which b could not hold. b drops the pin; that of a stays, since its list was the last one.
	target := c.reaches(links[c], "elsewhere").ID
	must(t, c.rest.RemovePin(ctx, target, false))
	b.reaches(links[c], "")
	held := b.reaches(links[a], "held")

	b.subscribes(hostile, size, 20)
	if p := b.reaches(huge, "over_quota"); bytesBelow(t, p.Dir) != 0 || len(p.Lists) != 1 {
		t.Errorf("of a torrent that exceeds the quota: %d bytes, %+v", bytesBelow(t, p.Dir), p)
	}
	pins, err := b.rest.Pins(ctx)
	must(t, err)
	if len(pins.Pins) > 23 {
		t.Errorf("a list that may have 20 pins makes them %d", len(pins.Pins))
	}
	if p := b.reaches(links[a], "held"); p.Size != held.Size {
		t.Errorf("after a hostile list: %+v", p)
	}
	subscriptions, err := b.rest.PinLists(ctx)
	must(t, err)
	for _, l := range subscriptions {
		if l.Link != hostile {
			continue
		}
		if l.Pins != 20 || l.Named < 3000 || l.Skipped < 2 {
			t.Errorf("the hostile list: %+v", l)
		}
		must(t, b.rest.UnsubscribePins(ctx, l.ID))
	}
	b.reaches(huge, "")
	pins, err = b.rest.Pins(ctx)
	must(t, err)
	for _, p := range pins.Pins {
		if strings.Contains(p.Link, "btih") {
			t.Errorf("a pin of the hostile list is left: %+v", p)
		}
	}
}

// bytesBelow returns the bytes of the files below a folder, which may not exist.
func bytesBelow(t *testing.T, dir string) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			if fi, e := d.Info(); e == nil {
				n += fi.Size()
			}
		}
		return err
	}))
	return n
}
