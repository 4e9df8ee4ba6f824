package dhtcmd

import (
	"testing"
	"time"

	"seedbed/dht/bootnode"
	"seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
)

func someStats() (s bootnode.Stats) {
	s.Loops, s.Running = 2, 2
	s.V4 = bootnode.FamilyStats{Has: true, Nodes: 400, Size: 512}
	s.V6 = bootnode.FamilyStats{Has: true, Nodes: 12, Size: 128}
	s.Waiting = 30
	s.Queries[krpc.FindNode][bootstrap.Answered] = 6000
	s.Queries[krpc.FindNode][bootstrap.Small] = 1200
	s.Queries[krpc.Unknown][bootstrap.Shed] = 60
	s.Dropped[bootstrap.Limited] = 120
	s.InBytes, s.OutBytes = 600_000, 1_800_000
	return s
}

func TestTheStatusLine(t *testing.T) {
	at := time.Unix(0, 0)
	got := bootstrapLine(bootstrapMark{at: at}, bootstrapMark{at.Add(time.Minute), someStats()})
	want := "400 IPv4 and 12 IPv6 nodes verified, 30 waiting; 120 queries/s answered, 3 datagrams/s dropped; ↓ 10 kB/s ↑ 30 kB/s"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
