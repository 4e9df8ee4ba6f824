package pubcmd

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/id"
	"seedbed/node/keys"
	"seedbed/node/names"
	"seedbed/node/view"
)

// recordTTL is the time to live of the record to add, in seconds: a change is seen within an hour.
const recordTTL = 3600

// showRecord prints the DNS record that gives a publication a name, and whether the DNS has it.
func (p *publishing) showRecord(ctx context.Context, flags *app.Flags) error {
	if p.key == "" {
		return exit.Misuse(errors.New("--dns-record needs --key: a record names the publication of a key"))
	}
	domain, err := names.Parse(p.dnsRecord)
	if err != nil {
		return exit.Misuse(err)
	}
	key, err := keys.Open(flags.State()).Key(p.key)
	if err != nil {
		return err
	}
	pub := names.Publication{Key: id.ID32(key.Public().(ed25519.PublicKey)), Salt: []byte(p.salt)}
	o := &view.DNSRecord{Name: names.RecordName(domain), TTL: recordTTL, Text: pub.String()}
	resolver, err := flags.Names()
	if err != nil {
		return err
	}
	found, err := resolver.Lookup(ctx, domain)
	var none *names.NoRecordError
	var lookup *names.LookupError
	switch {
	case ctx.Err() != nil:
		return exit.Fail(exit.Unfinished, "", errors.New("stopped before the DNS has answered"))
	case err == nil && found.Equal(pub):
		o.State = "right"
	case err == nil:
		o.State, o.Found = "other", found.String()
	case errors.As(err, &none):
		o.State = "missing"
	case errors.As(err, &lookup):
		o.State = "unknown"
	default:
		o.State = "damaged"
	}
	if p.JSON {
		return p.Put(o)
	}
	p.Say("In a zone file:")
	p.Result("%s. %d IN TXT %q", o.Name, o.TTL, o.Text)
	p.Say("In a web form:")
	p.Say("  name   %s   (some forms add the domain themselves: give them only the part before it)", o.Name)
	p.Say("  type   TXT")
	p.Say("  value  %s   (without quotes)", o.Text)
	switch o.State {
	case "right":
		p.Say("The DNS has it: seedbed follow %s", domain)
	case "missing":
		p.Say("The DNS has no record for %s yet.", domain)
	case "other":
		p.Warn(fmt.Errorf("%s names another publication in the DNS now: %s at %s", domain, found.Publication, found.Name))
	default:
		p.Warn(err)
	}
	return nil
}
