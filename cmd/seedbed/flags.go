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
		if f.Value.Type() == "stringArray" {
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

// sizeFlag is a number of bytes: plain, or with K, M or G for the powers of 1024.
type sizeFlag int64

func (s *sizeFlag) Type() string   { return "SIZE" }
func (s *sizeFlag) String() string { return strconv.FormatInt(int64(*s), 10) }

func (s *sizeFlag) Set(v string) error {
	n, err := parseSize(v)
	if err != nil {
		return err
	}
	*s = sizeFlag(n)
	return nil
}

func parseSize(v string) (int64, error) {
	digits, shift := v, 0
	if v != "" {
		if i := strings.IndexByte("KMG", v[len(v)-1]&^0x20); i >= 0 && v[len(v)-1] >= 'A' {
			digits, shift = v[:len(v)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return 0, fmt.Errorf("%q is no size: give bytes, or a number with K, M or G", v)
	}
	return n << shift, nil
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
	listen     string
	bootstrap  []string
	noDHT      bool
	dhtRate    int
	dhtFlows   int
	enforceID  bool
	peers      []string
	encryption string
	superSeed  string
	noWeb      bool
	localWeb   bool
	limits     limits
	state      string
	timeout    time.Duration
	selection  string
}

func (c *common) addNetwork(fs *pflag.FlagSet) {
	fs.StringVar(&c.listen, "listen", "", "`HOST:PORT` for TCP and UDP (default port 6881, or a free one)")
	fs.StringArrayVar(&c.bootstrap, "bootstrap", nil, "`HOST:PORT` of a DHT node to begin with; repeatable; replaces the public list; none for no hosts")
	fs.BoolVar(&c.noDHT, "no-dht", false, "do not use the DHT")
	fs.IntVar(&c.dhtRate, "dht-rate", 250, "send at most `N` DHT queries a second; 0: the default")
	fs.IntVar(&c.dhtFlows, "dht-flows", 500, "ask at most `N` DHT nodes within half a minute, for the sake of the router; -1: no limit")
	fs.BoolVar(&c.enforceID, "dht-enforce-id", false, "refuse DHT nodes whose id does not fit their address (BEP 42)")
	fs.StringArrayVar(&c.peers, "peer", nil, "`HOST:PORT` of a peer to try; repeatable")
	fs.BoolVar(&c.noWeb, "no-web-seeds", false, "do not fetch from HTTP mirrors that links and torrents name (BEP 19)")
	fs.BoolVar(&c.localWeb, "local-web-seeds", false, "fetch from HTTP mirrors at private and loopback addresses too")
	c.limits.add(fs)
	fs.StringVar(&c.encryption, "encryption", "prefer", "`WHETHER`: off, prefer or require; prefer takes and makes encrypted connections beside plain ones")
	fs.StringVar(&c.superSeed, "super-seed", "auto", "`WHEN` to announce to each peer only pieces that the swarm lacks (BEP 16), as the only seed: auto, on or off")
	fs.DurationVar(&c.timeout, "timeout", 0, "give up after this long (as 90s or 2h) with exit code 2")
}

// addVisit is for commands that only ask the DHT.
func (c *common) addVisit(fs *pflag.FlagSet) {
	fs.StringVar(&c.listen, "listen", "", "`HOST:PORT` for TCP and UDP (default port 6881, or a free one)")
	fs.StringArrayVar(&c.bootstrap, "bootstrap", nil, "`HOST:PORT` of a DHT node to begin with; repeatable; replaces the public list; none for no hosts")
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
	if len(c.bootstrap) == 0 {
		return nil, nil
	}
	if slices.Contains(c.bootstrap, "none") {
		if len(c.bootstrap) > 1 {
			return nil, usage(errors.New("--bootstrap none stands alone"))
		}
		return []string{}, nil
	}
	return c.bootstrap, nil
}
