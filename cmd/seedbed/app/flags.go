package app

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/netx"
	"seedbed/internal/userfile"
	"seedbed/node"
	"seedbed/node/visit"
)

// Flags are the flags that several commands share: settings of a node, and the folder of the
// data.
type Flags struct {
	*settings.Values
	Dir string
	// AcceptChange pins the key that a name has now in place of the pinned one.
	AcceptChange bool
}

// AddNetwork adds the flags of commands that run a node, except those of AddStore.
func (f *Flags) AddNetwork(fs *pflag.FlagSet) {
	f.Values = settings.NewValues()
	f.AddAll(fs, settings.StoreNames...)
}

// AddService adds the flags of a service that runs a node: those of AddNetwork but --peer and
// --timeout, which are about one download.
func (f *Flags) AddService(fs *pflag.FlagSet) {
	f.Values = settings.NewValues()
	f.AddAll(fs, append([]string{"peer", "timeout"}, settings.StoreNames...)...)
}

// AddVisit adds the flags of commands that only query the DHT; timeout is the default of
// --timeout.
func (f *Flags) AddVisit(fs *pflag.FlagSet, timeout time.Duration) {
	f.Values = settings.NewValues()
	f.Timeout = timeout
	f.Add(fs, "listen", "bind-interface", "proxy", "proxy-auth-file", "bootstrap", "timeout", "state")
}

// AddOutbound adds the flags of commands that run no node but fetch URLs.
func (f *Flags) AddOutbound(fs *pflag.FlagSet) {
	if f.Values == nil {
		f.Values = settings.NewValues()
	}
	f.Add(fs, "bind-interface", "proxy", "proxy-auth-file")
}

// Outbound returns what opens the connections of the command.
func (f *Flags) Outbound() (netx.Outbound, error) {
	out, err := f.Values.Outbound()
	if err != nil {
		return out, exit.Misuse(err)
	}
	return out, out.Check()
}

// AddState adds the flags of commands that only need the state directory.
func (f *Flags) AddState(fs *pflag.FlagSet) {
	f.Values = settings.NewValues()
	f.Add(fs, "state")
}

// AddDir adds --dir.
func (f *Flags) AddDir(fs *pflag.FlagSet, usage string) {
	fs.StringVarP(&f.Dir, "dir", "d", ".", usage)
}

// Visit returns the configuration of a DHT visit.
func (f *Flags) Visit(a *App) (visit.Config, error) {
	boot, err := f.Bootstrap()
	if err == nil && f.Timeout <= 0 {
		err = errors.New("--timeout must be longer than 0")
	}
	var out netx.Outbound
	if err == nil {
		out, err = f.Values.Outbound()
	}
	if err != nil {
		return visit.Config{}, exit.Misuse(err)
	}
	return visit.Config{State: f.State(), Listen: f.Config.Listen, Outbound: out, Bootstrap: boot, Log: a.Logger(),
		PortMap: f.PortMap(), PortMapGateway: f.Config.PortMapGateway, UTP: f.UTP()}, nil
}

// NodeConfig returns the configuration of the node that a command runs.
func (f *Flags) NodeConfig(ctx context.Context) (node.Config, error) {
	cfg, err := f.Node(ctx)
	var list *settings.BlocklistError
	var stopped *userfile.StoppedError
	switch {
	case errors.As(err, &stopped):
		return cfg, err
	case errors.As(err, &list):
		code := exit.CodeOf(err)
		if code == exit.Unknown { // it exists and can be read, but is not a blocklist
			code = exit.Usage
		}
		return cfg, exit.Fail(code, "", err)
	case err != nil:
		return cfg, exit.Misuse(err)
	}
	return cfg, nil
}
