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
	history  bool          // print the versions that the item names, and nothing else
}

// errNotPublished is the error if no DHT node has the item of a publication.
var errNotPublished = exit.Fail(exit.NotFound, "DHT nodes drop an item two hours after the last publisher, or follower with --keep-alive, has stopped", errors.New("no DHT node returned an item of this key"))

// showFromDHT prints a link with a key, and what the DHT knows about its publication.
func showFromDHT(ctx context.Context, a *app.App, v *query.Visitor, arg string, history bool) error {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return err
	}
	g, err := v.Get(ctx, dht.ItemTarget(link.PublicKey, link.Salt), link.Salt, nil, nil)
	if err == nil {
		err = v.RequireAnswer(&g.Report)
	}
	p := publication{Publication: view.Publication{Forked: g.Forked, Holders: view.HoldersOf(&g)}, unsigned: g.Faults.Unsigned, history: history}
	if g.Item != nil {
		p.value, p.sig, p.Seq = g.Item.Value, hex.EncodeToString(g.Item.Sig[:]), &g.Item.Seq
	}
	l := view.LookupOf(&g.Report)
	return p.show(a, link, &l, err)
}

// showFromDaemon is like showFromDHT, but a daemon does the lookup.
func showFromDaemon(ctx context.Context, a *app.App, c *client.Client, arg string, history bool) error {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return err
	}
	g, err := c.GetItem(ctx, link.PublicKey.String(), string(link.Salt))
	if err != nil {
		return err
	}
	p := publication{Publication: view.Publication{Forked: g.Forked, Holders: g.Holders}, unsigned: g.Rejected.Unsigned, history: history}
	if g.Item != nil {
		if p.value, err = handover.ValueOf(g.Item); err != nil {
			return err
		}
		p.sig, p.Seq = g.Item.Sig, g.Item.Seq
	}
	l := view.Lookup(g.Lookup)
	return p.show(a, link, &l, handover.RequireAnswer(&l))
}

// show prints p. The result is failed, or an error if nothing is published.
func (p *publication) show(a *app.App, link *magnet.Link, l *view.Lookup, failed error) error {
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
	if a.JSON {
		if err := a.Put(&p.Publication); err != nil {
			return err
		}
	} else if p.history {
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
	return nil
}
