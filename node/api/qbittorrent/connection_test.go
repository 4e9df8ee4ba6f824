package qbittorrent

import (
	"testing"

	"seedbed/internal/reachability"
	"seedbed/node"
)

func TestConnectionStatus(t *testing.T) {
	for want, verdicts := range map[string][][]reachability.Verdict{
		"disconnected": {nil},
		"connected":    {{reachability.Unknown}, {reachability.Reachable}, {reachability.NotReachable, reachability.Reachable}},
		"firewalled":   {{reachability.NotReachable}, {reachability.Unknown, reachability.NotReachable}},
	} {
		for _, vs := range verdicts {
			var all []*node.Reachability
			for _, v := range vs {
				all = append(all, &node.Reachability{Status: reachability.Status{Verdict: v}})
			}
			if got := connectionOf(all); got != want {
				t.Errorf("%v: %s", vs, got)
			}
		}
	}
}
