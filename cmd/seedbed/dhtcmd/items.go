package dhtcmd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/userfile"
	"seedbed/node/api/client"
	"seedbed/node/view"
	"seedbed/node/visit"
)

// itemTarget returns the target of an item, given as a target or as the public key of a
// mutable item.
func itemTarget(s string, salt []byte) (id.ID, error) {
	if len(s) == 2*ed25519.PublicKeySize {
		if b, err := hex.DecodeString(s); err == nil {
			return dht.ItemTarget([ed25519.PublicKeySize]byte(b), salt), nil
		}
	}
	x, err := id.ParseHex(s)
	if err != nil {
		return id.ID{}, exit.Misuse(fmt.Errorf("%q is neither a target of 40 hex digits nor a public key of 64", s))
	}
	return x, nil
}

// printItem prints an item with that encoded value.
func printItem(a *app.App, i *view.Item, value bencode.Value) {
	if i.Mutable {
		a.Say("key    %s", report.Exact(i.Key))
		if len(i.Salt) > 0 {
			a.Say("salt   %s", report.Exact(i.Salt))
		}
		if i.Seq != nil {
			a.Say("seq    %d", *i.Seq)
		}
	}
	a.Say("value  %s", report.Exact(query.Render(value)))
}

func dhtGet(a *app.App) *cobra.Command {
	var salt string
	var seq int64
	cmd := &cobra.Command{
		Use:   "get TARGET",
		Short: "Get an item (BEP 44)",
		Long: `Get the item at a target (40 hex digits), or the mutable item of a public key (64
hex digits). The first immutable item with the right hash is returned; of a mutable
item, the latest with a valid signature, after all the closest nodes have answered.
--quiet prints the value only, a string as its raw bytes.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&salt, "salt", "", "`SALT` of a mutable item")
	cmd.Flags().Int64Var(&seq, "seq", 0, "only accept an item with a sequence number above `N`")
	return handover.Lookup{Flags: new(app.Flags), Fit: []string{"salt", "seq"}, Visit: func(ctx context.Context, v *query.Visitor, args []string) error {
		target, err := itemTarget(args[0], []byte(salt))
		if err != nil {
			return err
		}
		var after *int64
		if cmd.Flags().Changed("seq") {
			after = &seq
		}
		g, err := v.Get(ctx, target, []byte(salt), after, nil)
		found := &view.Get{Lookup: view.LookupOf(&g.Report), Item: view.ItemOf(g.Item), Have: g.Have, Older: g.Older, Rejected: view.RejectedOf(&g)}
		var value bencode.Value
		if g.Item != nil {
			value = g.Item.Value
		}
		printGet(a, found, value)
		if err == nil {
			err = v.RequireAnswer(&g.Report)
		}
		return requireItem(found, seq, err)
	}, Ask: func(ctx context.Context, c *client.Client, args []string) error {
		if _, err := itemTarget(args[0], []byte(salt)); err != nil {
			return err
		}
		r, err := c.GetItem(ctx, args[0], salt)
		if err != nil {
			return err
		}
		found := &view.Get{Lookup: view.Lookup(r.Lookup), Item: r.Item, Have: r.Have, Older: r.Older, Rejected: r.Rejected}
		if i := found.Item; i != nil && i.Seq != nil && cmd.Flags().Changed("seq") && *i.Seq <= seq {
			found.Item, found.Have, found.Older = nil, 0, found.Older+found.Have
		}
		var value bencode.Value
		if found.Item != nil {
			if value, err = handover.ValueOf(found.Item); err != nil {
				return err
			}
		}
		printGet(a, found, value)
		return requireItem(found, seq, handover.RequireAnswer(&found.Lookup))
	}}.Command(a, cmd)
}

// printGet prints the result of a lookup of an item, with its encoded value.
func printGet(a *app.App, found *view.Get, value bencode.Value) {
	switch {
	case a.JSON:
		_ = a.Put(found)
	case a.Quiet && found.Item != nil:
		b, ok := value.Bytes()
		if !ok {
			b = value
		}
		_, _ = a.Stdout.Write(b)
	case found.Item != nil:
		printItem(a, found.Item, value)
	}
	line := fmt.Sprintf("%s returned the item", report.Plural(found.Have, "node"))
	if found.Older > 0 {
		line += fmt.Sprintf(", %d an older version", found.Older)
	}
	if r := found.Rejected; r.Oversized+r.WrongHash+r.Unsigned > 0 {
		line += fmt.Sprintf("; rejected %d too large, %d with a wrong hash, %d with a bad signature", r.Oversized, r.WrongHash, r.Unsigned)
	}
	a.Say("%s; %s", line, query.Summary(&found.Lookup))
}

// requireItem returns err, or an error if there is no item with a sequence number above seq.
func requireItem(found *view.Get, seq int64, err error) error {
	switch {
	case err != nil || found.Item != nil:
		return err
	case found.Older > 0:
		return exit.Fail(exit.NotFound, "", fmt.Errorf("no item newer than %d at %s", seq, found.Target))
	}
	return exit.Fail(exit.NotFound, "DHT nodes drop an item about two hours after it was last put; a mutable item may need its --salt", fmt.Errorf("no item at %s", found.Target))
}

func dhtPut(a *app.App) *cobra.Command {
	var keyPath, salt string
	var fresh, bencoded bool
	var seq, cas int64
	cmd := &cobra.Command{
		Use:   "put VALUE",
		Short: "Store an item (BEP 44)",
		Long: `Put VALUE at the closest nodes and read it back from each. Without --key it is
immutable and found by its hash. With --key it is signed, found by the public key
and --salt, and replaces an older one.

VALUE is stored as a byte string of at most about 996 bytes; - reads it from standard
input. With --bencoded it is an encoded value of any kind, of at most 1000 bytes.

A key file holds the secret seed of an ed25519 key as 64 hex digits. --new-key makes
one, readable by its owner alone; a file that others may read is refused.
Nodes drop an item after about two hours: put it again to keep it.`,
		Args: cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	fs.StringVar(&keyPath, "key", "", "sign with the key in `FILE`")
	fs.BoolVar(&fresh, "new-key", false, "create the key file")
	fs.StringVar(&salt, "salt", "", "`SALT` that distinguishes several items of a key")
	fs.Int64Var(&seq, "seq", 0, "sequence number `N` (default: one more than the stored item has)")
	fs.Int64Var(&cas, "cas", 0, "replace only the item with sequence number `N`")
	fs.BoolVar(&bencoded, "bencoded", false, "VALUE is already bencoded")
	return query.Command(a, cmd, false, func(ctx context.Context, v *query.Visitor, args []string) error {
		changed := cmd.Flags().Changed
		if keyPath == "" && (fresh || changed("salt") || changed("seq") || changed("cas")) {
			return exit.Misuse(errors.New("--new-key, --salt, --seq and --cas are for items signed with --key"))
		}
		value, err := putValue(ctx, args[0], bencoded)
		if err != nil {
			return err
		}
		item, err := dht.NewItem(value)
		var when *int64
		if keyPath != "" && err == nil {
			if item, err = sign(ctx, v, keyPath, fresh, []byte(salt), changed("seq"), seq, cas, value); err != nil {
				return err
			}
			if changed("cas") {
				when = &cas
			}
		}
		if err != nil {
			return exit.Fail(exit.Usage, "", errors.New(strings.TrimPrefix(err.Error(), "dht: ")))
		}
		began := time.Now()
		p, err := v.Put(ctx, item, when)
		took := time.Since(began)
		var conflict *dht.CASError
		if errors.As(err, &conflict) {
			return exit.Fail(exit.Unknown, fmt.Sprintf("the item has changed; get it, and put again with --cas %d to replace it", conflict.Stored),
				fmt.Errorf("version %d is stored, not %d: nothing was written", conflict.Stored, conflict.CAS))
		}
		lookup := view.LookupOf(&p.Report)
		if a.JSON {
			_ = a.Put(&view.Put{Lookup: lookup, Item: view.ItemOf(&item), Accepted: p.Accepted, Kept: p.Stored,
				All: view.Millis(took), Contacts: resultsJSON(p.Nodes, true, p.Target)})
		}
		for _, n := range p.Nodes {
			a.Say("%s", query.ContactRow(&n.Contact, p.Target, outcome(&n, "accepted, but does not return it", "stored")))
		}
		a.Say("%s", query.Summary(&lookup))
		a.Say("%d of %s accepted it, %d returned it; done after %s", p.Accepted, report.Plural(len(p.Nodes), "node"), p.Stored, query.Millis(took))
		if item.Mutable {
			a.Say("key    %x", item.Key)
			a.Say("seq    %d", item.Seq)
		}
		if a.Quiet {
			a.Result("%s", p.Target)
		}
		a.Say("target %s", p.Target)
		if err == nil {
			err = v.RequireAnswer(&p.Report)
		}
		if err == nil && p.Accepted == 0 {
			err = notAccepted("item", p.Nodes)
		}
		if err == nil && p.Stored == 0 {
			err = exit.Fail(exit.Unknown, "run the same command again", fmt.Errorf("%s accepted the item, but none returned it", report.Plural(p.Accepted, "node")))
		}
		return err
	})
}

// sign signs a mutable item. If numbered is false, its sequence number is one more than
// that of the stored item and than replaces, the number of the item to be replaced (0:
// none).
func sign(ctx context.Context, v *query.Visitor, keyPath string, fresh bool, salt []byte, numbered bool, seq, replaces int64, value []byte) (dht.Item, error) {
	// Refuse a value that cannot be signed before a key file is created for it.
	probe := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	if _, err := dht.SignItem(probe, salt, seq, value); err != nil {
		return dht.Item{}, exit.Fail(exit.Usage, "", errors.New(strings.TrimPrefix(err.Error(), "dht: ")))
	}
	key, err := openKey(keyPath, fresh)
	if err != nil {
		return dht.Item{}, err
	}
	if !numbered {
		public := [ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey))
		g, err := v.Get(ctx, dht.ItemTarget(public, salt), salt, nil, nil)
		if err != nil {
			return dht.Item{}, err
		}
		last := max(replaces, 0)
		if g.Item != nil {
			last = max(last, g.Item.Seq)
		}
		if seq = last + 1; seq < 1 {
			return dht.Item{}, exit.Fail(exit.Usage, "give --seq", fmt.Errorf("the stored version is %d, the highest possible", last))
		}
	}
	return dht.SignItem(key, salt, seq, value)
}

// putValue returns the bencoded value for an argument.
func putValue(ctx context.Context, arg string, bencoded bool) ([]byte, error) {
	b := []byte(arg)
	if arg == "-" {
		var err error
		if b, err = userfile.ParseOpen(ctx, os.Stdin, "standard input", userfile.All("standard input", 64<<10)); err != nil {
			return nil, err
		}
	}
	if !bencoded {
		return bencode.AppendBytes(nil, b), nil
	}
	return bytes.TrimSuffix(b, []byte("\n")), nil
}

func dhtSample(a *app.App) *cobra.Command {
	return query.Command(a, &cobra.Command{
		Use:   "sample [ID]",
		Short: "Sample infohashes that nodes store (BEP 51)",
		Long: `Query the nodes on the way to an id, or to a random one, for samples of the infohashes
for which they store peers (BEP 51), and print them.`,
		Args: cobra.MaximumNArgs(1),
	}, false, func(ctx context.Context, v *query.Visitor, args []string) error {
		target := visit.RandomTarget()
		if len(args) > 0 {
			var err error
			if target, err = query.ParseID(args[0]); err != nil {
				return err
			}
		}
		r, err := v.Sample(ctx, target)
		lookup := view.LookupOf(&r.Report)
		if a.JSON {
			list, nodes := []string{}, []view.Contact{}
			for _, x := range r.Infohashes {
				list = append(list, x.String())
			}
			for _, n := range r.Nodes {
				j, every := view.ContactOf(n.Contact, &target), n.Interval.Seconds()
				j.Samples, j.Num, j.Interval = &n.Samples, &n.Num, &every
				nodes = append(nodes, j)
			}
			_ = a.Put(&view.Sample{Lookup: lookup, InfoHashes: list, Contacts: nodes})
		}
		var total int64
		for _, x := range r.Infohashes {
			a.Result("%s", x)
		}
		for _, n := range r.Nodes {
			a.Say("%s", query.ContactRow(&n.Contact, target, fmt.Sprintf("%d of %d, others after %v", n.Samples, n.Num, n.Interval)))
			total = max(total, n.Num)
		}
		a.Say("%s from %s; the largest node stores %d; %s",
			report.Plural(len(r.Infohashes), "infohash"), report.Plural(len(r.Nodes), "node"), total, query.Summary(&lookup))
		if err == nil {
			err = v.RequireAnswer(&r.Report)
		}
		if err == nil && len(r.Infohashes) == 0 {
			err = exit.Fail(exit.NotFound, "", fmt.Errorf("no samples: %d of %s support BEP 51", len(r.Nodes), report.Plural(r.Answered, "node")))
		}
		return err
	})
}
