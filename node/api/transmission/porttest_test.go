package transmission

import (
	"testing"

	"seedbed/internal/reachability"
	"seedbed/node"
)

func TestPortTest(t *testing.T) {
	of := func(v4, v6 reachability.Verdict) []*node.Reachability {
		return []*node.Reachability{
			{Status: reachability.Status{Verdict: v4}},
			{Status: reachability.Status{Verdict: v6}, V6: true},
		}
	}
	const unknown, open, closed = reachability.Unknown, reachability.Reachable, reachability.NotReachable
	for _, c := range []struct {
		all      []*node.Reachability
		protocol string
		is, ok   bool
	}{
		{nil, "", false, false},
		{of(unknown, unknown), "", false, false},
		{of(open, unknown), "", true, true},
		{of(open, unknown), "ipv6", false, false},
		{of(closed, open), "", true, true},
		{of(closed, open), "ipv4", false, true},
		{of(closed, open), "ipv6", true, true},
		{of(open, closed)[:1], "ipv6", false, false},
	} {
		if is, err := isPortOpen(c.all, c.protocol); is != c.is || (err == nil) != c.ok {
			t.Errorf("%+v: %v, %v", c, is, err)
		}
	}
}
