package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
)

// manualTexts are what the manual says about flags of commands where that is more than
// the line of --help. The settings of a node have theirs in settings.Table.
var manualTexts = map[string]map[string]string{
	"get": {
		"on-complete":   onCompleteText,
		"select":        "files to download, numbered from 1 as `show` lists them; the default is the link's `so=` (BEP 53), otherwise all",
		"metadata-only": "write `NAME.torrent` into `--dir` and stop",
		"overwrite":     "replace existing files that do not belong to this torrent, or are longer than it says. Otherwise they are left untouched and the command exits with 13",
		"symlinks":      "create the symbolic links of a torrent (BEP 47); one that points outside the torrent is never created. Otherwise all are left out, with a warning",
	},
	"seed": {
		"on-complete": onCompleteText,
		"torrents":    "seed every `.torrent` file in a folder, and those that appear in it later; `-` reads their paths from standard input, one a line",
	},
	"create": {
		"hybrid":       "v1 and v2 in one torrent (BEP 52; the default of `publish --key`). Transmission 3 and aria2 cannot open it",
		"v1":           "BEP 3 only, which every client opens (the default, except of `publish --key`)",
		"v2":           "BEP 52 only",
		"piece-length": "a power of two between 16K and 512M (default by size: at most 2,048 pieces up to 16M each, then 16M)",
		"private":      "neither DHT nor peer exchange (BEP 27)",
		"hidden":       "how to handle files whose names begin with a dot. The first value is the default, here and below; each case is reported on stderr",
	},
	"publish": {
		"key":         "the key, by its name in the state directory",
		"watch":       "publish changes once the folder has stayed the same for one interval",
		"watch-every": "the interval of `--watch`; without this flag 30s for objects",
		"all":         "resume every publication of this state directory; one that cannot be resumed is reported and does not stop the others; the exit code is that of the first that failed",
		"history":     "list the versions: number, time, infohash, size",
		"rollback":    "publish version N of `--key` again under a new number; data that the folder no longer holds is downloaded from followers",
		"overrule":    "continue from a version that another machine has published under the key; otherwise that is an error (exit 1), also if nothing has changed here",
	},
	"follow": {
		"on-complete": onCompleteText,
		"keep-alive":  "re-announce the publisher's signed item, as the publisher does",
		"poll":        "how often to check for a new version; ten times as often just after a change, then gradually less often",
		"keep":        "number of earlier versions to keep",
	},
	"stream": {
		"file":      "serve only this file, numbered from 1 as `show` lists them",
		"open":      "run a player with the URL as its last argument (the playlist if several files are playable); the command ends when the player does",
		"http":      "where to serve (default 127.0.0.1:8008, or a free port if that is taken; a port given here that is taken is an error). Requests with a different Host header are refused, which prevents DNS rebinding attacks from web pages",
		"readahead": "how far ahead of a player to download, so that a paused player does not trigger a download of the whole file",
	},
	"gateway": {
		"allow":       "with `--public`, serve this publication, and only those that are allowed: a key in hexadecimal or base32, a link with a public key, or a DNS name; repeatable. Without it, every key is served, but no name",
		"allow-file":  "with `--public`, a file with keys and names that are allowed, one on a line; lines that begin with # are ignored",
		"public":      "serve other machines too. Publications are at KEY.DOMAIN, and those with a name that is allowed also at that name; the name servers of both must lead to this machine. Each client may send 50 requests a second, and 1,000 at once",
		"trust-proxy": "with `--public`, trust the `X-Forwarded-For` and `X-Forwarded-Proto` of the reverse proxy, or network of proxies, at this address; repeatable",
		"cache-size":  "keep copies of at most this size (default 10G). The limit is checked every ten seconds; the copies that were not read for the longest time are deleted, but none that is being read",
		"quota":       "keep at most this much of one publication (default `--cache-size`). A larger file is not served (status 507)",
		"http":        "where to serve (default 127.0.0.1:8010); without `--public`, only a loopback address is accepted. Requests for a host that is neither `localhost` nor below it are refused, which prevents DNS rebinding attacks from web pages",
	},
	"bootstrap": {
		"listen":       "UDP; repeatable; the default is port 6881 of every address. On Linux each address has a socket for each processor",
		"state":        "where the ring is kept between runs (`bootstrap.ring`); a ring that is at most 15 minutes old is used at once, an older one is verified first",
		"metrics":      "serve `/metrics` for Prometheus, and `/healthz`: 200 while every socket is served",
		"verify-after": "how long after its first query a node is pinged: a node that still answers then is long-lived and not hidden behind a NAT. It is shorter while the ring has fewer than 512 nodes, and 0 while it is empty",
	},
}

const onCompleteText = "run a command when a torrent is complete (`follow`: when a new version is), with `SEEDBED_NAME`, `SEEDBED_INFOHASH` and `SEEDBED_DIR` (the folder that holds it) in its environment. No shell is involved: words are split at blanks, quotes and backslashes work as usual; for more, run `sh -c '…'`. Its output goes to stderr. If it fails, that is a warning; if it hangs, the node goes on"

// describeFlags gives the flags of all commands their texts in the manual.
func describeFlags(root *cobra.Command) {
	for command, texts := range manualTexts {
		cmd, _, err := root.Find([]string{command})
		if err != nil {
			panic(err) // manualTexts names a command that does not exist
		}
		for flag, text := range texts {
			settings.Describe(cmd.Flags(), flag, text)
		}
	}
}

// manualFlags returns the flags that the manual lists in the section of a command. The
// settings of a node have a section of their own. Flags that several commands share are in one
// section only: those that describe a torrent in that of create, and those that name a daemon
// in that of list.
func manualFlags(cmd *cobra.Command) (flags []*pflag.Flag) {
	elsewhere := func(string) bool { return false }
	if from := sharedFrom(cmd); from != "" {
		other, _, _ := cmd.Root().Find([]string{from})
		elsewhere = func(name string) bool { return other.Flags().Lookup(name) != nil }
	}
	cmd.LocalNonPersistentFlags().SortFlags = false
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		ofNode := settings.IsSetting(f) && cmd.Name() != "settings" && cmd.Name() != "bootstrap"
		if f.Name != "help" && !f.Hidden && !ofNode && !elsewhere(f.Name) {
			flags = append(flags, f)
		}
	})
	return flags
}

// sharedFrom returns the command whose section of the manual has the flags that cmd shares, or
// "".
func sharedFrom(cmd *cobra.Command) string {
	switch {
	case cmd.Name() == "seed" || cmd.Name() == "publish":
		return "create"
	case cmd.Flags().Lookup("daemon") != nil && cmd.Name() != "list":
		return "list"
	}
	return ""
}
