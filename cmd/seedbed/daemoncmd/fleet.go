package daemoncmd

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/node/fleet"
)

// fleetPort is the default port of the nodes of a fleet for each other.
const fleetPort = "7946"

// fleetFlags are the flags that make a daemon a node of a fleet.
type fleetFlags struct {
	members   []string
	listen    option.Addr
	advertise option.Addr
	name, key string
}

func (f *fleetFlags) add(fs *pflag.FlagSet) {
	fs.Var(&option.List{To: &f.members, Arg: "HOST:PORT", Check: checkMembers}, "fleet", "share the torrents of the store with other nodes: `HOST:PORT` of some of them, by commas (repeatable; its own is ignored)")
	fs.Var(&f.listen, "fleet-listen", "the other nodes reach this one at `HOST:PORT` (default :"+fleetPort+", or 127.0.0.1:"+fleetPort+" without a key)")
	fs.Var(&f.advertise, "fleet-advertise", "the other nodes are told `HOST:PORT`, which a NAT forwards to --fleet-listen (default: an address of this machine)")
	fs.StringVar(&f.name, "fleet-name", "", "`NAME` of this node, different from those of the others (default: that of the machine with four digits)")
	fs.StringVar(&f.key, "fleet-key", "", "`FILE` with the key of the fleet, which seedbed fleet key makes")
}

// checkMembers checks addresses that are separated by commas.
func checkMembers(s string) error {
	for _, m := range strings.Split(s, ",") {
		if err := option.CheckPeer(m); err != nil {
			return err
		}
	}
	return nil
}

// config returns the configuration of the fleet of a daemon with a state directory, or nil if none of the flags is given. The
// first node of a fleet may be given only the key.
func (f *fleetFlags) config(state string) (*fleet.Config, error) {
	if len(f.members) == 0 && f.listen == "" && f.advertise == "" && f.name == "" && f.key == "" {
		return nil, nil
	}
	if f.advertise != "" {
		if err := option.CheckPeer(string(f.advertise)); err != nil {
			return nil, exit.Misuse(fmt.Errorf("--fleet-advertise: %w", err))
		}
	}
	c := &fleet.Config{Name: f.name, Listen: string(f.listen), Advertise: string(f.advertise)}
	for _, m := range f.members {
		c.Members = append(c.Members, strings.Split(m, ",")...)
	}
	var err error
	if f.key != "" {
		if c.Key, err = fleet.ReadKey(f.key); err != nil {
			return nil, err
		}
	}
	switch {
	case c.Listen != "":
	case c.Key == nil:
		c.Listen = "127.0.0.1:" + fleetPort
	default:
		c.Listen = ":" + fleetPort
	}
	if c.Name == "" {
		c.Name, err = fleet.Name(state)
	}
	return c, err
}
