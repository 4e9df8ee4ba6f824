package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
)

// envPrefix begins the environment twin of every flag: --no-dht is SEEDBED_NO_DHT.
const envPrefix = "SEEDBED_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnv sets every flag that the command line leaves alone and the
// environment names. Repeatable flags take several values separated by spaces
// or commas.
func applyEnv(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		v, ok := os.LookupEnv(envName(f.Name))
		if !ok || f.Changed || v == "" {
			return
		}
		vals := []string{v}
		if _, ok := f.Value.(pflag.SliceValue); ok {
			vals = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
		}
		for _, v := range vals {
			if err := cmd.Flags().Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("environment variable %s: %w", envName(f.Name), err))
				return
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		return usage(err)
	}
	return nil
}

// parseSelection reads "1,3-5" into ascending file numbers, which count
// from 1 as show lists them.
func parseSelection(v string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(v, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 1 || b < a {
			return nil, fmt.Errorf("%q in --select is no file number or range such as 1,3-5", part)
		}
		if b-a >= maxSelection-len(out) {
			return nil, fmt.Errorf("%q in --select names more files than any torrent has", part)
		}
		for n := a; n <= b; n++ {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// maxSelection is more files than metainfo accepts in one torrent.
const maxSelection = 4 << 20

// common are the flags of every command that opens sockets.
type common struct {
	dir        string
	listen     settings.Addr
	bootstrap  settings.List
	noDHT      bool
	dhtRate    int
	dhtFlows   int
	enforceID  bool
	peers      settings.List
	encryption settings.Word
	superSeed  settings.Word
	noWeb      bool
	localWeb   bool
	limits     limits
	state      string
	timeout    time.Duration
	selection  string
}

func (c *common) addNetwork(fs *pflag.FlagSet) {
	c.addJoin(fs)
	fs.BoolVar(&c.noDHT, "no-dht", false, "do not use the DHT")
	fs.IntVar(&c.dhtRate, "dht-rate", 250, "send at most `N` DHT queries a second; 0: the default")
	fs.IntVar(&c.dhtFlows, "dht-flows", 500, "ask at most `N` DHT nodes within half a minute, for the sake of the router; -1: no limit")
	fs.BoolVar(&c.enforceID, "dht-enforce-id", false, "refuse DHT nodes whose id does not fit their address (BEP 42)")
	c.peers = settings.List{Arg: "HOST:PORT", Check: settings.CheckPeer}
	fs.Var(&c.peers, "peer", "`HOST:PORT` of a peer to try; repeatable")
	fs.BoolVar(&c.noWeb, "no-web-seeds", false, "do not fetch from HTTP mirrors that links and torrents name (BEP 19)")
	fs.BoolVar(&c.localWeb, "local-web-seeds", false, "fetch from HTTP mirrors at private and loopback addresses too")
	c.limits.add(fs)
	c.encryption = settings.Word{Value: "prefer", Words: []string{"prefer", "require", "off"}}
	fs.Var(&c.encryption, "encryption", "encryption of peer connections; prefer accepts and makes plain ones too")
	c.superSeed = settings.Word{Value: "auto", Words: []string{"auto", "on", "off"}}
	fs.Var(&c.superSeed, "super-seed", "as the only seed, announce to each peer only pieces that the swarm lacks (BEP 16)")
	fs.DurationVar(&c.timeout, "timeout", 0, "give up after this long (as 90s or 2h) with exit code 2")
}

// addJoin adds the flags that say where the node is and how it finds the DHT.
func (c *common) addJoin(fs *pflag.FlagSet) {
	fs.Var(&c.listen, "listen", "`HOST:PORT` for TCP and UDP (default port 6881, or a free one)")
	c.bootstrap = settings.List{Arg: "HOST:PORT", Check: settings.CheckBootstrap}
	fs.Var(&c.bootstrap, "bootstrap", "DHT bootstrap node `HOST:PORT` (repeatable; replaces the built-in list; \"none\" disables it)")
}

// addVisit is for commands that only ask the DHT.
func (c *common) addVisit(fs *pflag.FlagSet) {
	c.addJoin(fs)
	fs.DurationVar(&c.timeout, "timeout", dhtTimeout, "give up after this long (as 90s or 2h) with exit code 2")
}

func (c *common) addDir(fs *pflag.FlagSet, what string) {
	fs.StringVarP(&c.dir, "dir", "d", ".", what+" `DIR`")
}

func (c *common) addState(fs *pflag.FlagSet) {
	fs.StringVar(&c.state, "state", "", "state directory `DIR` (default by XDG: "+defaultStateText+")")
}

// bootstrapList is what node.Config wants: nil for the public list, empty for none.
func (c *common) bootstrapList() ([]string, error) {
	hosts := c.bootstrap.Values
	if slices.Contains(hosts, "none") {
		if len(hosts) > 1 {
			return nil, usage(errors.New("--bootstrap none cannot be combined with other values"))
		}
		return []string{}, nil
	}
	return hosts, nil
}
