package making

import (
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// LinkOf returns the magnet link of a torrent with its web seeds, and with its trackers,
// which other clients use.
func LinkOf(t *metainfo.Torrent) string {
	link, err := magnet.Parse(node.LinkOf(t.Info))
	if err != nil {
		panic(err) // node.LinkOf writes only valid links
	}
	DescribeLink(link, t)
	return link.String()
}

// DescribeLink adds the web seeds and trackers of a torrent to its link.
func DescribeLink(link *magnet.Link, t *metainfo.Torrent) {
	link.WebSeeds = t.WebSeeds
	for _, tier := range t.Trackers {
		link.Trackers = append(link.Trackers, tier...)
	}
}
