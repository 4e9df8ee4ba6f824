package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/blocklist"
	"seedbed/node"
)

// limits are the flags for what peers may take of the machine.
type limits struct {
	up, down, torrentUp, torrentDown settings.Size
	memory                           settings.Size
	connections, slots               int
	seedRatio                        float64
	seedTime                         time.Duration
	blocklists                       []string
}

func (l *limits) add(fs *pflag.FlagSet) {
	fs.Var(&l.up, "up-limit", "send at most so many bytes a second to peers; 0: no limit")
	fs.Var(&l.down, "down-limit", "receive at most so many bytes a second from peers; 0: no limit")
	fs.Var(&l.torrentUp, "torrent-up-limit", "the same for each torrent")
	fs.Var(&l.torrentDown, "torrent-down-limit", "the same for each torrent")
	fs.IntVar(&l.connections, "connections", 500, "peer connections of all torrents together, at most `N`")
	fs.IntVar(&l.slots, "upload-slots", 8, "upload to `N` peers of a torrent at once")
	l.memory = 24 << 20
	fs.Var(&l.memory, "memory", "memory for pieces of all torrents together")
	fs.Float64Var(&l.seedRatio, "seed-ratio", 0, "stop sharing a torrent when `R` times its size was uploaded; 0: never")
	fs.DurationVar(&l.seedTime, "seed-time", 0, "stop sharing a torrent after this long (as 90m or 48h); 0: never")
	fs.StringArrayVar(&l.blocklists, "blocklist", nil, "`FILE` of addresses to have nothing to do with (CIDR, P2P or DAT, gzipped or not); repeatable")
}

// apply sets what the flags say.
func (l *limits) apply(cfg *node.Config) error {
	cfg.UpRate, cfg.DownRate = int64(l.up), int64(l.down)
	cfg.TorrentUpRate, cfg.TorrentDownRate = int64(l.torrentUp), int64(l.torrentDown)
	cfg.Memory, cfg.MaxConns, cfg.Uploads = int64(l.memory), l.connections, l.slots
	cfg.SeedRatio, cfg.SeedTime = l.seedRatio, l.seedTime
	for what, n := range map[string]int64{"--connections": int64(l.connections), "--upload-slots": int64(l.slots), "--memory": int64(l.memory)} {
		if n < 1 {
			return usage(fmt.Errorf("%s must be 1 or more", what))
		}
	}
	if !(l.seedRatio >= 0) || l.seedTime < 0 {
		return usage(fmt.Errorf("--seed-ratio and --seed-time must not be negative"))
	}
	for _, path := range l.blocklists {
		f, err := os.Open(path)
		if err != nil {
			return fail(codeOf(err), "give the path of a blocklist", describePathError(path, err))
		}
		if cfg.Blocklist == nil {
			cfg.Blocklist = new(blocklist.List)
		}
		err = cfg.Blocklist.Read(f)
		f.Close()
		if err != nil {
			return fail(exitUsage, "mend the line, or leave the list out", fmt.Errorf("blocklist %s: %w", path, err))
		}
	}
	return nil
}
