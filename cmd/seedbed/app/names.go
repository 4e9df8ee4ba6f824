package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/names"
)

// AddNames adds the flags of commands whose arguments can be domain names.
func (f *Flags) AddNames(fs *pflag.FlagSet) {
	if fs.Lookup("resolver") == nil {
		f.Add(fs, "resolver")
	}
	fs.BoolVar(&f.AcceptChange, "accept-change", false, "accept that a name has another key now than the one that is pinned")
}

// Names returns what resolves names with the settings of the command.
func (f *Flags) Names() (*names.Names, error) {
	out, err := f.Outbound()
	if err != nil {
		return nil, err
	}
	return names.New(names.Config{Resolver: f.Resolver, Outbound: out, State: f.State()}), nil
}

// ResolveName returns the link of the publication that a domain names, and reports what is unusual
// about it.
func (f *Flags) ResolveName(ctx context.Context, a *App, domain string) (*magnet.Link, error) {
	n, err := f.Names()
	if err != nil {
		return nil, err
	}
	if f.AcceptChange {
		link, before, err := n.Accept(ctx, domain)
		if err == nil && before != nil {
			a.Warn(fmt.Errorf("%s: the change from %s to the key %s is accepted", domain, before.Publication, link.PublicKey))
		}
		return link, err
	}
	link, err := n.Resolve(ctx, domain)
	if err != nil {
		return nil, err
	}
	for _, w := range link.Warnings {
		a.Warn(w)
	}
	salt := ""
	if link.Salt != nil {
		salt = ", salt " + hex.EncodeToString(link.Salt)
	}
	a.Say("%s is the publication with the key %s%s", domain, link.PublicKey, salt)
	return link, nil
}

// ArgumentLink returns the argument of a command, or the link of its publication if the argument is a
// domain name.
func (f *Flags) ArgumentLink(ctx context.Context, a *App, arg string) (string, error) {
	if !argument.IsName(arg) {
		return arg, nil
	}
	link, err := f.ResolveName(ctx, a, arg)
	if err != nil && !errors.Is(err, context.Canceled) {
		return "", exit.Fail(exit.CodeOf(err), "", fmt.Errorf("there is no file %s, and as a name: %w", arg, err))
	}
	if err != nil {
		return "", err
	}
	return link.String(), nil
}

// OpenArgument opens the torrent that the argument of a command names: what argument.Open takes, or a
// domain name.
func (f *Flags) OpenArgument(ctx context.Context, a *App, arg string) (node.Spec, error) {
	link, err := f.ArgumentLink(ctx, a, arg)
	if err != nil {
		return node.Spec{}, err
	}
	out, err := f.Outbound()
	if err != nil {
		return node.Spec{}, err
	}
	return argument.Open(ctx, out, link)
}
