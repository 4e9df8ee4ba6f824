package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
	"seedbed/node"
	"seedbed/node/visit"
)

// parseSelection parses "1,3-5" into ascending file numbers, which start at 1 as in show.
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
			return nil, fmt.Errorf("%q in --select is not a file number or a range such as 3-5", part)
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

// maxSelection is more than the number of files that metainfo accepts in one torrent.
const maxSelection = 4 << 20

// common holds the flags that several commands share: settings of a node, and the folder of
// the data.
type common struct {
	*settings.Values
	dir       string
	selection string
}

// addNetwork adds the flags of commands that run a node.
func (c *common) addNetwork(fs *pflag.FlagSet) {
	c.Values = settings.NewValues()
	c.AddAll(fs)
}

// addVisit adds the flags of commands that only query the DHT; timeout is the default of
// --timeout.
func (c *common) addVisit(fs *pflag.FlagSet, timeout time.Duration) {
	c.Values = settings.NewValues()
	c.Timeout = timeout
	c.Add(fs, "listen", "bootstrap", "timeout", "state")
}

// addState adds the flags of commands that only need the state directory.
func (c *common) addState(fs *pflag.FlagSet) {
	c.Values = settings.NewValues()
	c.Add(fs, "state")
}

func (c *common) addDir(fs *pflag.FlagSet, usage string) {
	fs.StringVarP(&c.dir, "dir", "d", ".", usage)
}

// visit returns the configuration of a DHT visit.
func (c *common) visit(a *app) (visit.Config, error) {
	boot, err := c.Bootstrap()
	if err == nil && c.Timeout <= 0 {
		err = errors.New("--timeout must be longer than 0")
	}
	if err != nil {
		return visit.Config{}, usage(err)
	}
	return visit.Config{State: c.State(), Listen: c.Config.Listen, Bootstrap: boot, Log: a.logger()}, nil
}

// nodeConfig returns the configuration of the node that a command runs.
func (c *common) nodeConfig() (node.Config, error) {
	cfg, err := c.Node()
	var list *settings.BlocklistError
	switch {
	case errors.As(err, &list) && list.Line:
		return cfg, fail(exitUsage, "", err)
	case errors.As(err, &list):
		return cfg, fail(codeOf(err), "", err)
	case err != nil:
		return cfg, usage(err)
	}
	return cfg, nil
}
