package torrentcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// publication is what the DHT knows about a publication.
type publication struct {
	view.Publication
	value    bencode.Value // of the newest item; nil if none was found
	sig      string        // of the newest item, in hexadecimal
	unsigned int           // nodes that returned an item that the key has not signed
	flags    *versionFlags
	count    func(ctx context.Context, infohash string) *view.Copies // asks for the copies of a version
}

// errNotPublished is the error if no DHT node has the item of a publication.
var errNotPublished = exit.Fail(exit.NotFound, "DHT nodes drop an item two hours after the last publisher, or follower with --keep-alive, has stopped", errors.New("no DHT node returned an item of this key"))

// showFromDHT prints a link with a key, and what the DHT knows about its publication.
func showFromDHT(ctx context.Context, a *app.App, v *query.Visitor, arg string, flags *versionFlags) error {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return err
	}
	g, err := v.Get(ctx, dht.ItemTarget(link.PublicKey, link.Salt), link.Salt, nil, nil)
	if err == nil {
		err = v.RequireAnswer(&g.Report)
	}
	p := publication{Publication: view.Publication{Forked: g.Forked, Holders: view.HoldersOf(&g)}, unsigned: g.Faults.Unsigned, flags: flags}
	p.count = func(ctx context.Context, text string) *view.Copies {
		infohash, err := id.ParseHex(text)
		if err != nil {
			return nil
		}
		r, _ := v.GetPeers(ctx, infohash, true, nil)
		return view.CopiesFound(&r)
	}
	if g.Item != nil {
		p.value, p.sig, p.Seq = g.Item.Value, hex.EncodeToString(g.Item.Sig[:]), &g.Item.Seq
	}
	l := view.LookupOf(&g.Report)
	return p.show(ctx, a, link, &l, err)
}

// showFromDaemon is like showFromDHT, but a daemon does the lookup.
func showFromDaemon(ctx context.Context, a *app.App, c *client.Client, arg string, flags *versionFlags) error {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return err
	}
	g, err := c.GetItem(ctx, link.PublicKey.String(), string(link.Salt))
	if err != nil {
		return err
	}
	p := publication{Publication: view.Publication{Forked: g.Forked, Holders: g.Holders}, unsigned: g.Rejected.Unsigned, flags: flags}
	p.count = func(ctx context.Context, infohash string) *view.Copies {
		found, err := c.FindPeers(ctx, infohash, true)
		if err != nil || found.Lookup.Answered == 0 {
			return nil
		}
		return view.CopiesOf(len(found.Addrs), found.Scrape)
	}
	if h, err := c.Publication(ctx, g.Lookup.Target); err == nil { // this daemon publishes it
		p.Connected = h.Connected
	}
	if g.Item != nil {
		if p.value, err = handover.ValueOf(g.Item); err != nil {
			return err
		}
		p.sig, p.Seq = g.Item.Sig, g.Item.Seq
	}
	l := view.Lookup(g.Lookup)
	return p.show(ctx, a, link, &l, handover.RequireAnswer(&l))
}

// show prints p. The result is failed, or an error if nothing is published.
func (p *publication) show(ctx context.Context, a *app.App, link *magnet.Link, l *view.Lookup, failed error) error {
	s := showLink(link)
	s.note = nil
	p.Head, p.Named = s.Head, s.Named
	p.Target, p.Asked, p.Answered = l.Target, l.Asked, l.Answered
	switch p.Found = p.value != nil; {
	case p.Found:
		p.Signature = "valid"
		if v, err := mutable.Read(link, p.value); err == nil {
			p.Current = v.InfoHash.String()
			if p.Seq != nil {
				p.Versions = view.NamedVersions(*p.Seq, &v)
			}
		}
	case p.unsigned > 0:
		p.Signature = "bad"
	}
	if p.flags.copies {
		p.countCopies(ctx)
	}
	if a.JSON {
		if err := a.Put(&p.Publication); err != nil {
			return err
		}
	} else if p.flags.history {
		if len(p.Versions) > 0 {
			printVersions(a, p.Versions)
		}
	} else if err := p.print(a, &s); err != nil {
		return err
	}
	if failed == nil && !p.Found {
		return errNotPublished
	}
	return failed
}

// countCopies asks for the copies of the newest versions.
func (p *publication) countCopies(ctx context.Context) {
	infohashes := make([]string, len(p.Versions))
	for i, v := range p.Versions {
		infohashes[i] = v.InfoHash
	}
	counted := view.CountCopies(ctx, infohashes, p.count)
	for i, h := range infohashes {
		p.Versions[i].Copies = counted[h]
	}
}

func (p *publication) print(a *app.App, s *shown) error {
	if err := s.print(a.Stdout); err != nil {
		return err
	}
	row := func(label, format string, args ...any) { a.Result("%-10s  "+format, append([]any{label}, args...)...) }
	if p.Found {
		if p.Seq != nil {
			row("version", "%d", *p.Seq)
		}
		if p.Current != "" {
			row("current", "%s", p.Current)
		} else {
			row("current", "not a torrent (BEP 46): %s", query.Render(p.value))
		}
		row("signature", "valid: %s", p.sig)
	}
	if p.Forked {
		row("warning", "two different items are signed with this version number: the key is used in two places")
	}
	if p.unsigned > 0 {
		row("warning", "%s returned an item that is not signed by the key", report.Plural(p.unsigned, "node"))
	}
	row("target", "%s", p.Target)
	newest := 0
	var lines []string
	for _, h := range p.Holders {
		state := fmt.Sprintf("version %d", h.Seq)
		switch h.State {
		case "newest":
			newest++
		case "bad":
			state = "an invalid item"
		}
		lines = append(lines, query.NodeRow(&h.Contact, state))
	}
	row("stored on", "%s of the %d that answered", report.Plural(newest, "node"), p.Answered)
	for _, line := range lines {
		a.Say("  %s", line)
	}
	if p.Connected != nil {
		row("followers", "%s connected to the daemon", report.Plural(*p.Connected, "follower"))
	}
	if p.flags.copies {
		for _, v := range p.Versions {
			row("copies", "version %d: %s", v.Seq, copiesText(v.Copies))
		}
	}
	return nil
}

// copiesText says how many peers have a version.
func copiesText(c *view.Copies) string {
	if c == nil {
		return "not known"
	}
	text := report.Plural(c.Addresses, "peer")
	if c.Seeds != nil {
		text += fmt.Sprintf("; by estimate %d with all of it, %d downloading", *c.Seeds, *c.Downloading)
	}
	return text
}
