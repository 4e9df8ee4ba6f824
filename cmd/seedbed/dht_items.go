package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
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
		return id.ID{}, usage(fmt.Errorf("%q is neither a target of 40 hex digits nor a public key of 64", s))
	}
	return x, nil
}

func itemJSON(i *dht.Item) *view.Item {
	if i == nil {
		return nil
	}
	j := &view.Item{Mutable: i.Mutable, Value: base64.StdEncoding.EncodeToString(i.Value)}
	if b, ok := i.Value.Bytes(); ok && utf8.Valid(b) {
		j.Text = string(b)
	}
	if i.Mutable {
		j.Key, j.Salt, j.Seq = hex.EncodeToString(i.Key[:]), string(i.Salt), &i.Seq
	}
	return j
}

// render formats a value for a person: text in quotes, other bytes in hex.
func render(v bencode.Value) string {
	switch v.Kind() {
	case bencode.String:
		b, _ := v.Bytes()
		if utf8.Valid(b) {
			return strconv.Quote(string(b))
		}
		return "0x" + hex.EncodeToString(b)
	case bencode.List:
		var parts []string
		for e := range v.List() {
			parts = append(parts, render(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case bencode.Dict:
		var parts []string
		for k, e := range v.Dict() {
			parts = append(parts, render(bencode.AppendBytes(nil, k))+": "+render(e))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return strings.Trim(string(v), "ie")
}

func (a *app) showItem(i *dht.Item) {
	if i.Mutable {
		a.say("key    %x", i.Key)
		if len(i.Salt) > 0 {
			a.say("salt   %s", string(i.Salt))
		}
		a.say("seq    %d", i.Seq)
	}
	a.say("value  %s", report.Exact(render(i.Value)))
}

func (a *app) dhtGet() *cobra.Command {
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
	return a.visits(cmd, false, func(ctx context.Context, v *visitor, args []string) error {
		target, err := itemTarget(args[0], []byte(salt))
		if err != nil {
			return err
		}
		var after *int64
		if cmd.Flags().Changed("seq") {
			after = &seq
		}
		g, err := v.Get(ctx, target, []byte(salt), after, nil)
		switch {
		case a.json:
			_ = a.put(&view.Get{Lookup: lookupJSON(&g.Report), Item: itemJSON(g.Item), Have: g.Have, Older: g.Older,
				Rejected: view.Rejected{Oversized: g.Faults.Oversized, WrongHash: g.Faults.Wrong, Unsigned: g.Faults.Unsigned}})
		case a.quiet && g.Item != nil:
			b, ok := g.Item.Value.Bytes()
			if !ok {
				b = g.Item.Value
			}
			_, _ = a.stdout.Write(b)
		case g.Item != nil:
			a.showItem(g.Item)
		}
		line := fmt.Sprintf("%s returned the item", report.Plural(g.Have, "node"))
		if g.Older > 0 {
			line += fmt.Sprintf(", %d an older version", g.Older)
		}
		if f := g.Faults; f.Oversized+f.Wrong+f.Unsigned > 0 {
			line += fmt.Sprintf("; rejected %d too large, %d with a wrong hash, %d with a bad signature", f.Oversized, f.Wrong, f.Unsigned)
		}
		a.say("%s; %s", line, reportLine(&g.Report))
		if err == nil {
			err = v.alone(&g.Report)
		}
		if err == nil && g.Item == nil {
			hint := "items are forgotten after about two hours unless they are put again; a mutable one may need its --salt"
			if g.Older > 0 {
				hint = ""
			}
			err = fail(exitNotFound, hint, fmt.Errorf("no item at %s", target))
			if g.Older > 0 {
				err = fail(exitNotFound, "", fmt.Errorf("no item newer than %d at %s", seq, target))
			}
		}
		return err
	})
}

func (a *app) dhtPut() *cobra.Command {
	var keyPath, salt string
	var fresh, bencoded bool
	var seq, cas int64
	cmd := &cobra.Command{
		Use:   "put VALUE",
		Short: "Store an item (BEP 44)",
		Long: `Put VALUE at the closest nodes and read it back from each. Without --key it is
immutable and found by its hash. With --key it is signed, found by the public key
and --salt, and replaces an older one.

VALUE is stored as a byte string, of at most 996 bytes or so; - reads it from standard
input. With --bencoded it is an encoded value of any kind, of at most 1000 bytes.

A key file holds the secret seed of an ed25519 key as 64 hex digits. --new-key makes
one, readable by its owner alone; a file that others may read is refused.
Nodes forget an item after about two hours: put it again to keep it.`,
		Args: cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	fs.StringVar(&keyPath, "key", "", "sign with the key in `FILE`")
	fs.BoolVar(&fresh, "new-key", false, "create the key file")
	fs.StringVar(&salt, "salt", "", "`SALT` that distinguishes several items of a key")
	fs.Int64Var(&seq, "seq", 0, "sequence number `N` (default: one more than the stored item has)")
	fs.Int64Var(&cas, "cas", 0, "replace only the item with sequence number `N`")
	fs.BoolVar(&bencoded, "bencoded", false, "VALUE is already bencoded")
	return a.visits(cmd, false, func(ctx context.Context, v *visitor, args []string) error {
		changed := cmd.Flags().Changed
		if keyPath == "" && (fresh || changed("salt") || changed("seq") || changed("cas")) {
			return usage(errors.New("--new-key, --salt, --seq and --cas are for items signed with --key"))
		}
		value, err := putValue(args[0], bencoded)
		if err != nil {
			return err
		}
		item, err := dht.NewItem(value)
		var when *int64
		if keyPath != "" && err == nil {
			if item, err = v.sign(ctx, keyPath, fresh, []byte(salt), changed("seq"), seq, cas, value); err != nil {
				return err
			}
			if changed("cas") {
				when = &cas
			}
		}
		if err != nil {
			return fail(exitUsage, "", errors.New(strings.TrimPrefix(err.Error(), "dht: ")))
		}
		begun := time.Now()
		p, err := v.Put(ctx, item, when)
		took := time.Since(begun)
		var conflict *dht.CASError
		if errors.As(err, &conflict) {
			return fail(exitUnknown, fmt.Sprintf("the item has changed since: get it, and put again with --cas %d if you want to replace it", conflict.Stored),
				fmt.Errorf("version %d is stored, not %d: nothing was written", conflict.Stored, conflict.CAS))
		}
		if a.json {
			_ = a.put(&view.Put{Lookup: lookupJSON(&p.Report), Item: itemJSON(&item), Accepted: p.Accepted, Kept: p.Kept,
				All: view.Millis(took), Contacts: toldJSON(p.Nodes, true, p.Target)})
		}
		for _, n := range p.Nodes {
			a.say("%s", contactRow(&n.Contact, p.Target, outcome(&n, "accepted, but does not return it", "stored")))
		}
		a.say("%s", reportLine(&p.Report))
		a.say("%d of %s accepted it, %d returned it; done after %s", p.Accepted, report.Plural(len(p.Nodes), "node"), p.Kept, millis(took))
		if item.Mutable {
			a.say("key    %x", item.Key)
			a.say("seq    %d", item.Seq)
		}
		if a.quiet {
			a.result("%s", p.Target)
		}
		a.say("target %s", p.Target)
		if err == nil {
			err = v.alone(&p.Report)
		}
		if err == nil && p.Accepted == 0 {
			err = refusal("item", p.Nodes)
		}
		if err == nil && p.Kept == 0 {
			err = fail(exitUnknown, "run the same command again", fmt.Errorf("%s accepted the item, but none returned it", report.Plural(p.Accepted, "node")))
		}
		return err
	})
}

// sign signs a mutable item. Without a given number it uses the next one after both the
// stored item and replaces, the item to be replaced (0: none).
func (v *visitor) sign(ctx context.Context, keyPath string, fresh bool, salt []byte, numbered bool, seq, replaces int64, value []byte) (dht.Item, error) {
	// Refuse a value that cannot be signed before a key file is created for it.
	probe := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	if _, err := dht.SignItem(probe, salt, seq, value); err != nil {
		return dht.Item{}, fail(exitUsage, "", errors.New(strings.TrimPrefix(err.Error(), "dht: ")))
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
			return dht.Item{}, fail(exitUsage, "give --seq", fmt.Errorf("the stored version is %d, the highest possible", last))
		}
	}
	return dht.SignItem(key, salt, seq, value)
}

// putValue returns the encoded value that an argument gives.
func putValue(arg string, bencoded bool) ([]byte, error) {
	b := []byte(arg)
	if arg == "-" {
		var err error
		if b, err = io.ReadAll(io.LimitReader(os.Stdin, 64<<10)); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	}
	if !bencoded {
		return bencode.AppendBytes(nil, b), nil
	}
	return bytes.TrimSuffix(b, []byte("\n")), nil
}

func (a *app) dhtSample() *cobra.Command {
	return a.visits(&cobra.Command{
		Use:   "sample [ID]",
		Short: "Sample infohashes that nodes store (BEP 51)",
		Long: `Query the nodes on the way to an id, or to a random one, for samples of the infohashes
for which they store peers (BEP 51), and print them.`,
		Args: cobra.MaximumNArgs(1),
	}, false, func(ctx context.Context, v *visitor, args []string) error {
		target := visit.RandomTarget()
		if len(args) > 0 {
			var err error
			if target, err = parseID(args[0]); err != nil {
				return err
			}
		}
		r, err := v.Sample(ctx, target)
		if a.json {
			list, nodes := []string{}, []view.Contact{}
			for _, x := range r.Infohashes {
				list = append(list, x.String())
			}
			for _, n := range r.Nodes {
				j, every := contactJSON(n.Contact, &target), n.Interval.Seconds()
				j.Samples, j.Num, j.Interval = &n.Samples, &n.Num, &every
				nodes = append(nodes, j)
			}
			_ = a.put(&view.Sample{Lookup: lookupJSON(&r.Report), InfoHashes: list, Contacts: nodes})
		}
		var total int64
		for _, x := range r.Infohashes {
			a.result("%s", x)
		}
		for _, n := range r.Nodes {
			a.say("%s", contactRow(&n.Contact, target, fmt.Sprintf("%d of %d, others after %v", n.Samples, n.Num, n.Interval)))
			total = max(total, n.Num)
		}
		a.say("%s from %s; the largest node stores %d; %s",
			strings.Replace(report.Plural(len(r.Infohashes), "infohash"), "hashs", "hashes", 1), report.Plural(len(r.Nodes), "node"), total, reportLine(&r.Report))
		if err == nil {
			err = v.alone(&r.Report)
		}
		if err == nil && len(r.Infohashes) == 0 {
			err = fail(exitNotFound, "", fmt.Errorf("no samples: %d of %s support BEP 51", len(r.Nodes), report.Plural(r.Answered, "node")))
		}
		return err
	})
}
