package torrentcmd

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node/api/client"
	"seedbed/node/delegate"
	"seedbed/node/view"
)

// publication is what the DHT knows about a publication.
type publication struct {
	view.Publication
	value    bencode.Value // of the item of the newest version, or of the owner's item if it names none; nil if none was found
	sig      string        // of this item, in hexadecimal
	unsigned int           // nodes that returned an item that the key has not signed
	flags    *versionFlags
	count    func(ctx context.Context, infohash string) *view.Copies // asks for the copies of a version
	daemon   *client.Client                                          // that is asked; or nil
}

// copiesInDHT returns a function that asks the DHT for the copies of a version.
func copiesInDHT(v *query.Visitor) func(ctx context.Context, infohash string) *view.Copies {
	return func(ctx context.Context, text string) *view.Copies {
		infohash, err := id.ParseHex(text)
		if err != nil {
			return nil
		}
		r, _ := v.GetPeers(ctx, infohash, true, nil)
		return view.CopiesFound(&r)
	}
}

// copiesByDaemon returns a function that has a daemon ask for the copies of a version.
func copiesByDaemon(c *client.Client) func(ctx context.Context, infohash string) *view.Copies {
	return func(ctx context.Context, infohash string) *view.Copies {
		found, err := c.FindPeers(ctx, infohash, true)
		if err != nil || found.Lookup.Answered == 0 {
			return nil
		}
		return view.CopiesOf(len(found.Addrs), found.Scrape)
	}
}

// show prints a link with a key, and what the DHT knows about its publication.
func (p *publication) show(ctx context.Context, a *app.App, f handover.Finder, arg string) error {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return err
	}
	s := showLink(link)
	s.note = nil
	p.Head, p.Named = s.Head, s.Named
	found, failed := f.Newest(ctx, link)
	p.fill(link, found)
	if p.daemon != nil {
		if h, err := p.daemon.Publication(ctx, p.Target); err == nil { // this daemon publishes it
			p.Connected = h.Connected
		}
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
		return handover.ErrNoItem
	}
	return failed
}

// fill sets the fields from what was found.
func (p *publication) fill(link *magnet.Link, found *handover.Found) {
	owner := found.Lookups[link.PublicKey]
	p.Target, p.Asked, p.Answered, p.Forked = owner.Target.String(), owner.Asked, owner.Answered, owner.Forked
	p.unsigned, p.Holders = owner.Faults.Unsigned, found.Holders[link.PublicKey]
	if v, ok := found.Judge.Newest(); ok {
		p.Found, p.Seq, p.Current = true, &v.Number, v.InfoHash.String()
		p.Versions = view.NamedVersions(v.Number, &v.Version)
		p.value, p.sig = v.Item.Value, hex.EncodeToString(v.Item.Sig[:])
		if v.Item.Key != link.PublicKey {
			of := found.Lookups[v.Item.Key]
			p.SignedBy, p.Target, p.Forked, p.Holders = v.Item.Key.String(), of.Target.String(), of.Forked, found.Holders[v.Item.Key]
		}
	} else if i := owner.Item; i != nil {
		p.Found, p.Seq, p.value, p.sig = true, &i.Seq, i.Value, hex.EncodeToString(i.Sig[:])
	}
	if p.Holders == nil {
		p.Holders = []view.Holder{}
	}
	if d := found.Statement(); d != nil {
		p.Delegation = view.DelegationStateOf(d, owner.Item.Seq, owner.Have)
	}
	switch {
	case p.Found:
		p.Signature = "valid"
	case p.unsigned > 0:
		p.Signature = "bad"
	}
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
		if p.SignedBy != "" {
			row("signed by", "%s", p.SignedBy)
		}
	}
	if p.Delegation != nil {
		printDelegation(p.Delegation, row)
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

// printDelegation prints who publishes besides the key in the link.
func printDelegation(d *view.DelegationState, row func(label, format string, args ...any)) {
	for _, key := range d.Keys {
		row("publishes", "%s", key)
	}
	if len(d.Keys) == 0 {
		row("publishes", "nobody but the owner")
	}
	expires, err := time.Parse(time.RFC3339, d.Expires)
	if err != nil {
		panic(err) // it was formatted here
	}
	row("until", "%s", expires.Local().Format("2006-01-02 15:04"))
	row("statement", "number %d, stored on %s", d.Number, report.Plural(d.Nodes, "node"))
	if _, err := delegate.CheckExpiry(expires, time.Now(), delegate.AskOwner); err != nil {
		row("warning", "%s", err)
	}
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
